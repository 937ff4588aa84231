// What a user of the library names: addresses, errors, readiness, instants. One import is enough for them.
@_exported import NetNamespace
@_exported import Timers
@_exported import Wire

/// What a socket is ready for. (epoll's own readiness has the same name one floor below.)
public typealias Readiness = NetNamespace.Readiness
