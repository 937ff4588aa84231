import IPv4
import Internet
import NetNamespace
import SkBuff
import TCP
import Timers
import UDP
import Wire

/// The socket calls over TCP, UDP and ping sockets: one number space, Linux's checks and errors.
/// Linux: `net/socket.c`, `net/ipv4/af_inet.c`.
///
/// Nothing here blocks: a call that would have to wait throws EAGAIN (or EINPROGRESS), and `net.wake` tells when
/// `readiness` is worth asking for. Waiting, `SO_RCVTIMEO` and `SO_SNDTIMEO` and the SIGPIPE that goes with EPIPE are
/// the business of whoever is above; `timeouts(_:)` and `raisesSIGPIPE(_:kind:flags:)` tell what is due.
public struct SocketLayer: ~Copyable {
  public var tcp: TCPLayer
  public var udp: UDPLayer
  public var ping: PingLayer
  /// Sees every send first.
  public var policy = SendPolicy()
  public var privileges: SocketPrivileges = .netAdmin
  /// What sockets were told that their protocols do not keep.
  var extras: [SocketID: SocketExtras] = [:]
  /// Groups that sockets have joined, so that a closing socket leaves them.
  var memberships: [SocketID: [IPv4Address]] = [:]

  /// - Parameter secret: keys the hash tables and initial sequence numbers.
  public init(net: borrowing Net, secret: (UInt64, UInt64)) {
    tcp = TCPLayer(net: net, secret: secret)
    udp = UDPLayer(secret: (secret.0 ^ 0x5544_5000_0000_0000, secret.1))
    ping = PingLayer(secret: (secret.0 ^ 0x5049_4E47_0000_0000, secret.1))
  }

  // MARK: Making and ending sockets

  /// - Parameter number: `nil`: the type's own protocol. ICMP with `.datagram` makes a ping socket.
  /// - Throws: EAFNOSUPPORT; EPROTONOSUPPORT when the protocol is not one of the type; ENOBUFS.
  public mutating func socket(
    family: AddressFamily, type: SocketType, protocol number: IPProtocol? = nil, net: inout Net
  ) throws(Errno) -> SocketID {
    guard family == .inet else { throw .EAFNOSUPPORT }
    switch (type, number) {
    case (.stream, nil), (.stream, IPProtocol.tcp?): return try tcp.create(family: family, net: &net)
    case (.datagram, nil), (.datagram, IPProtocol.udp?): return try udp.create(family: family, net: &net)
    case (.datagram, IPProtocol.icmp?): return try ping.create(family: family, net: &net)
    default: throw .EPROTONOSUPPORT
    }
  }

  /// As `socket(2)` takes it: SOCK_NONBLOCK and SOCK_CLOEXEC in `type` are the caller's.
  ///
  /// - Throws: EAFNOSUPPORT; EINVAL for a type or protocol out of range; ESOCKTNOSUPPORT; EPROTONOSUPPORT; ENOBUFS.
  public mutating func socket(
    domain: Int32, type: Int32, protocol number: Int32, net: inout Net
  ) throws(Errno) -> SocketID {
    let kind = type & 0xF
    // Linux: SOCK_MAX, IPPROTO_MAX.
    guard type & ~(0xF | 0o4000 | 0o2000000) == 0, kind < 11 else { throw .EINVAL }
    guard domain == Int32(AddressFamily.inet.rawValue) else { throw .EAFNOSUPPORT }
    guard number >= 0, number < 263 else { throw .EINVAL }
    guard let type = SocketType(rawValue: kind) else { throw .ESOCKTNOSUPPORT }
    guard number <= 255 else { throw .EPROTONOSUPPORT }
    let chosen = number == 0 ? nil : IPProtocol(rawValue: UInt8(number))
    return try socket(family: .inet, type: type, protocol: chosen, net: &net)
  }

  /// Ends the caller's use of the socket. A stream is closed in order unless SO_LINGER with 0 asks for a reset.
  ///
  /// - Throws: EBADF when there is no such socket; it is gone otherwise.
  public mutating func close(_ id: SocketID, host: inout Host) throws(Errno) {
    try leaveGroups(id, host: &host)
    switch id.kind {
    case .tcp:
      _ = try tcp.options(id)
      let resets = extra(id).linger == .zero
      extras[id] = nil
      tcp.close(id, resets: resets, host: &host)
    case .udp:
      _ = try udp.options(id)
      extras[id] = nil
      udp.close(id)
    case .ping:
      _ = try ping.options(id)
      extras[id] = nil
      ping.close(id)
    case nil: throw .EBADF
    }
  }

  /// Ends the socket at once; a connection is reset.
  public mutating func abort(_ id: SocketID, host: inout Host) {
    guard id.kind == .tcp else {
      try? close(id, host: &host)
      return
    }
    extras[id] = nil
    tcp.abort(id, host: &host)
  }

  // MARK: Addresses

  public mutating func bind(_ id: SocketID, to address: SocketAddress, host: inout Host) throws(Errno) {
    switch id.kind {
    case .tcp: try tcp.bind(id, to: address, host: &host)
    case .udp: try udp.bind(id, to: address, host: &host)
    case .ping: try ping.bind(id, to: address, host: &host)
    case nil: throw .EBADF
    }
  }

  /// - Throws: EOPNOTSUPP for anything but a stream.
  public mutating func listen(_ id: SocketID, backlog: Int, net: inout Net) throws(Errno) {
    switch id.kind {
    case .tcp: try tcp.listen(id, backlog: backlog, net: &net)
    case .udp, .ping: throw .EOPNOTSUPP
    case nil: throw .EBADF
    }
  }

  /// - Throws: EAGAIN when no connection waits; EOPNOTSUPP for anything but a stream; EINVAL when it does not listen.
  public mutating func accept(_ id: SocketID, net: inout Net) throws(Errno) -> SocketID {
    switch id.kind {
    case .tcp:
      let child = try tcp.accept(id, net: &net)
      if let inherited = extras[id] { extras[child] = inherited }
      return child
    case .udp, .ping: throw .EOPNOTSUPP
    case nil: throw .EBADF
    }
  }

  /// Starts a connection, or sets a datagram socket's peer.
  public mutating func connect(_ id: SocketID, to remote: SocketAddress, host: inout Host) throws(Errno) {
    switch id.kind {
    case .tcp: try tcp.connect(id, to: remote, host: &host)
    case .udp: try udp.connect(id, to: remote, host: &host)
    case .ping: try ping.connect(id, to: remote, host: &host)
    case nil: throw .EBADF
    }
  }

  /// How a stream's connection came out: what a blocking `connect` returns.
  ///
  /// - Throws: EAGAIN while it is on its way, its error when it failed.
  public mutating func finishConnect(_ id: SocketID, net: borrowing Net) throws(Errno) {
    if id.kind == .tcp { try tcp.finishConnect(id, net: net) }
  }

  /// Takes a socket's peer away, a stream's by a reset: `connect` with AF_UNSPEC.
  public mutating func disconnect(_ id: SocketID, host: inout Host) throws(Errno) {
    switch id.kind {
    case .tcp: try tcp.disconnect(id, host: &host)
    case .udp: try udp.disconnect(id)
    case .ping: try ping.disconnect(id)
    case nil: throw .EBADF
    }
  }

  /// - Throws: ENOTCONN without a peer.
  public mutating func shutdown(_ id: SocketID, read: Bool, write: Bool, host: inout Host) throws(Errno) {
    switch id.kind {
    case .tcp: try tcp.shutdown(id, read: read, write: write, host: &host)
    case .udp: try udp.shutdown(id, read: read, write: write, net: &host.net)
    case .ping: try ping.shutdown(id, read: read, write: write, net: &host.net)
    case nil: throw .EBADF
    }
  }

  public func localAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    switch id.kind {
    case .tcp: try tcp.localAddress(id)
    case .udp: try udp.localAddress(id)
    case .ping: try ping.localAddress(id)
    case nil: throw .EBADF
    }
  }

  /// - Throws: ENOTCONN without a peer.
  public func remoteAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    switch id.kind {
    case .tcp: try tcp.remoteAddress(id)
    case .udp: try udp.remoteAddress(id)
    case .ping: try ping.remoteAddress(id)
    case nil: throw .EBADF
    }
  }

  // MARK: State

  /// What the socket is ready for now; as `poll(2)` shows it.
  public func readiness(_ id: SocketID) -> Readiness {
    switch id.kind {
    case .tcp: tcp.readiness(id)
    case .udp: udp.readiness(id)
    case .ping: ping.readiness(id)
    case nil: []
    }
  }

  /// Returns and clears the pending error: SO_ERROR.
  public mutating func takeError(_ id: SocketID) -> Errno? {
    switch id.kind {
    case .tcp: tcp.takeError(id)
    case .udp: udp.takeError(id)
    case .ping: ping.takeError(id)
    case nil: nil
    }
  }

  /// `nil` when `id` is not a TCP socket.
  public func tcpInfo(_ id: SocketID, now: Instant) -> TCPInfo? { try? tcp.info(id, now: now) }
  /// `nil` when `id` is neither a UDP nor a ping socket.
  public func datagramInfo(_ id: SocketID) -> DatagramInfo? {
    id.kind == .ping ? try? ping.info(id) : try? udp.info(id)
  }
  /// Every socket of every protocol.
  public func sockets() -> [SocketID] { tcp.socketIDs() + udp.sockets() + ping.sockets() }

  /// `SO_RCVTIMEO` and `SO_SNDTIMEO`; `nil`: wait for ever.
  public func timeouts(_ id: SocketID) -> (receive: Nanoseconds?, send: Nanoseconds?) {
    let extra = extra(id)
    return (extra.receiveTimeout, extra.sendTimeout)
  }

  func extra(_ id: SocketID) -> SocketExtras { extras[id] ?? SocketExtras() }

  /// Whether a send that failed with `error` also raises SIGPIPE: on a stream, unless `MSG_NOSIGNAL`.
  /// Linux: `sk_stream_error()`.
  package static func raisesSIGPIPE(_ error: Errno, kind: SocketID.Kind?, flags: MessageFlags) -> Bool {
    error == .EPIPE && kind == .tcp && !flags.contains(.noSignal)
  }
}
