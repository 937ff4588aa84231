import IPv4
import InetSocket
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
  public var udpLite: UDPLayer
  /// Sees every send first.
  public var policy = SendPolicy()
  /// Memory that only a device reads, by its number, and which device. Linux: `net_devmem_dmabuf_bindings`.
  public var deviceMemory: [UInt32: InterfaceIndex] = [:]
  /// Programs of every socket.
  var programs: SocketPrograms?
  public var privileges: SocketPrivileges = [.netAdmin, .netRaw]
  /// Which copy from or to a caller's memory fails from now on; 0: none. Linux: `fail_usercopy`.
  public var copiesUntilFault = 0

  /// - Parameter secret: keys the hash tables and initial sequence numbers.
  public init(net: borrowing Net, secret: (UInt64, UInt64)) {
    tcp = TCPLayer(net: net, secret: secret)
    udp = UDPLayer(secret: (secret.0 ^ 0x5544_5000_0000_0000, secret.1))
    udpLite = UDPLayer(secret: (secret.0 ^ 0x554C_0000_0000_0000, secret.1), isLite: true)
    ping = PingLayer(secret: (secret.0 ^ 0x5049_4E47_0000_0000, secret.1))
  }

  // MARK: One socket

  /// Runs `body` on what a socket has in common with all others.
  ///
  /// - Throws: EBADF when there is no such socket.
  mutating func withCore<Result>(
    _ id: SocketID, _ body: (inout SocketCore) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    switch id.kind {
    case .tcp: try tcp.withCore(id, body)
    case .udp: try udp.table.withCore(id, body)
    case .ping: try ping.table.withCore(id, body)
    case .udpLite: try udpLite.table.withCore(id, body)
    case nil: throw .ENOTSOCK
    }
  }

  /// The user that a socket belongs to. Linux: `sk_uid`.
  ///
  /// - Throws: EBADF.
  public mutating func user(of id: SocketID) throws(Errno) -> UInt32 {
    try withCore(id) { (core) throws(Errno) in core.user }
  }
  /// Makes a socket another user's. Linux: `sockfs_setattr()`.
  ///
  /// - Throws: EBADF.
  public mutating func setUser(_ user: UInt32, of id: SocketID) throws(Errno) {
    try withCore(id) { (core) throws(Errno) in
      core.user = user
      core.route = nil
    }
  }

  /// - Throws: ENOTSOCK for the number of something else.
  func operations(_ id: SocketID) throws(Errno) -> any SocketOperations.Type {
    switch id.kind {
    case .tcp: TCPOperations.self
    case .udp: UDPOperations.self
    case .ping: PingOperations.self
    case .udpLite: UDPLiteOperations.self
    case nil: throw .ENOTSOCK
    }
  }

  // MARK: Making and ending sockets

  /// - Parameter number: `nil`: the type's own protocol. ICMP with `.datagram` makes a ping socket.
  /// - Throws: EAFNOSUPPORT; EPROTONOSUPPORT when the protocol is not one of the type; ENOBUFS.
  public mutating func socket(
    family: AddressFamily, type: SocketType, protocol number: IPProtocol? = nil, net: inout Net
  ) throws(Errno) -> SocketID {
    guard family == .inet else { throw .EAFNOSUPPORT }
    let id =
      switch (type, number) {
      case (.stream, nil), (.stream, IPProtocol.tcp?): try tcp.create(family: family, net: &net)
      case (.datagram, nil), (.datagram, IPProtocol.udp?): try udp.table.create(family: family, net: &net)
      case (.datagram, IPProtocol.udpLite?): try udpLite.table.create(family: family, net: &net)
      case (.datagram, IPProtocol.icmp?): try ping.table.create(family: family, net: &net)
      default: throw .EPROTONOSUPPORT
      }
    if let programs { try withCore(id) { (core) throws(Errno) in core.programs = programs } }
    return id
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
    try leaveGroups(id, &host)
    try operations(id).close(id, &self, host: &host)
  }

  /// Ends the socket at once; a connection is reset.
  public mutating func abort(_ id: SocketID, host: inout Host) {
    try? leaveGroups(id, &host)
    try? operations(id).abort(id, &self, host: &host)
  }

  // MARK: Addresses

  public mutating func bind(_ id: SocketID, to address: SocketAddress, host: inout Host) throws(Errno) {
    try operations(id).bind(id, to: address, &self, host: &host)
  }

  /// - Throws: EOPNOTSUPP for anything but a stream.
  public mutating func listen(_ id: SocketID, backlog: Int, net: inout Net) throws(Errno) {
    try operations(id).listen(id, backlog: backlog, &self, net: &net)
  }

  /// - Throws: EAGAIN when no connection waits; EOPNOTSUPP for anything but a stream; EINVAL when it does not listen.
  public mutating func accept(_ id: SocketID, net: inout Net) throws(Errno) -> SocketID {
    try operations(id).accept(id, &self, net: &net)
  }

  /// Starts a connection, or sets a datagram socket's peer.
  public mutating func connect(_ id: SocketID, to remote: SocketAddress, host: inout Host) throws(Errno) {
    try operations(id).connect(id, to: remote, &self, host: &host)
  }

  /// How a stream's connection came out: what a blocking `connect` returns.
  ///
  /// - Throws: EAGAIN while it is on its way, its error when it failed.
  public mutating func finishConnect(_ id: SocketID, net: borrowing Net) throws(Errno) {
    try operations(id).finishConnect(id, &self, net: net)
  }

  /// Takes a socket's peer away, a stream's by a reset: `connect` with AF_UNSPEC.
  public mutating func disconnect(_ id: SocketID, host: inout Host) throws(Errno) {
    try operations(id).disconnect(id, &self, host: &host)
  }

  /// - Throws: ENOTCONN without a peer.
  public mutating func shutdown(_ id: SocketID, read: Bool, write: Bool, host: inout Host) throws(Errno) {
    try operations(id).shutdown(id, read: read, write: write, &self, host: &host)
  }

  public mutating func localAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    try withCore(id) { (core) throws(Errno) in core.tuple.local }
  }

  /// - Throws: ENOTCONN without a peer.
  public mutating func remoteAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    try operations(id).remoteAddress(id, &self)
  }

  // MARK: State

  /// What the socket is ready for now; as `poll(2)` shows it.
  public mutating func readiness(_ id: SocketID) -> Readiness {
    guard let operations = try? operations(id) else { return [] }
    return operations.readiness(id, &self)
  }

  /// Returns and clears the pending error, or else a soft one: SO_ERROR.
  public mutating func takeError(_ id: SocketID) -> Errno? {
    (try? withCore(id) { (core) throws(Errno) in core.takeError() ?? core.softError.take() }) ?? nil
  }

  /// `nil` when `id` is not a TCP socket.
  public func tcpInfo(_ id: SocketID, now: Instant) -> TCPInfo? { try? tcp.info(id, now: now) }
  /// `nil` when `id` is neither a UDP nor a ping socket.
  public func datagramInfo(_ id: SocketID) -> DatagramInfo? {
    (try? udp.table.info(id)) ?? (try? ping.table.info(id)) ?? (try? udpLite.table.info(id))
  }
  /// Whether the socket is there: that very one, and not a later one with its number.
  public mutating func contains(_ id: SocketID) -> Bool { (try? withCore(id) { _ in }) != nil }
  /// Every socket of every protocol.
  public func sockets() -> [SocketID] { tcp.socketIDs() + udp.table.all + ping.table.all + udpLite.table.all }

  /// Runs `body` on the layer of a socket of UDP or UDP-Lite.
  ///
  /// - Throws: EBADF.
  mutating func withUDP<Result>(
    _ id: SocketID, _ body: (inout UDPLayer) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    id.kind == .udpLite ? try body(&udpLite) : try body(&udp)
  }

  /// `SO_RCVTIMEO` and `SO_SNDTIMEO`; `nil`: wait for ever.
  public mutating func timeouts(_ id: SocketID) -> (receive: Nanoseconds?, send: Nanoseconds?) {
    let timeouts = try? withCore(id) { (core) throws(Errno) in
      (core.options.receiveTimeout, core.options.sendTimeout)
    }
    return timeouts ?? (nil, nil)
  }

  /// The next call on the socket gets an error that a call before it found too late. Linux: `sk_err` in `do_recvmmsg()`.
  package mutating func leaveError(_ id: SocketID, _ error: Errno) {
    try? withCore(id) { (core) throws(Errno) in core.pendingError = error }
  }

  /// Whether a send that failed with `error` also raises SIGPIPE: on a stream, unless `MSG_NOSIGNAL`.
  /// Linux: `sk_stream_error()`.
  package static func raisesSIGPIPE(_ error: Errno, kind: SocketID.Kind?, flags: MessageFlags) -> Bool {
    error == .EPIPE && kind == .tcp && !flags.contains(.noSignal)
  }
}
