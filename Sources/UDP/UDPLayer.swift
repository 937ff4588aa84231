import IPv4
import Internet
import NetNamespace
import SkBuff
import Wire

/// UDP (RFC 768): its sockets, and what goes in and out of them. Linux: `net/ipv4/udp.c`.
///
/// Nothing here blocks: a call that would have to wait throws EAGAIN, and `net.wake` tells when to try again.
public struct UDPLayer: ~Copyable {
  var table: DatagramTable

  /// - Parameter secret: keys the hash of the socket table.
  public init(secret: (UInt64, UInt64)) { table = DatagramTable(kind: .udp, secret: secret) }

  /// - Throws: EAFNOSUPPORT; ENOBUFS at the most sockets.
  public mutating func create(family: AddressFamily, net: inout Net) throws(Errno) -> SocketID {
    try table.create(family: family, net: &net)
  }

  /// - Throws: EINVAL when bound already; EADDRNOTAVAIL; EADDRINUSE.
  public mutating func bind(_ id: SocketID, to address: SocketAddress, host: inout Host) throws(Errno) {
    try table.bind(id, to: address, host: &host)
  }

  /// Sets the peer: the default destination, and the only source that is received from.
  ///
  /// - Throws: ENETUNREACH, EACCES (broadcast without SO_BROADCAST), EAGAIN (no port left).
  public mutating func connect(_ id: SocketID, to remote: SocketAddress, host: inout Host) throws(Errno) {
    try table.connect(id, to: remote, host: &host)
  }

  public mutating func disconnect(_ id: SocketID) throws(Errno) { try table.disconnect(id) }

  public mutating func shutdown(_ id: SocketID, read: Bool, write: Bool, net: inout Net) throws(Errno) {
    try table.shutdown(id, read: read, write: write, net: &net)
  }

  /// Ends the socket. A corked datagram that was not sent is gone; Linux sends it in `udp_destroy_sock()`'s flush as
  /// little.
  public mutating func close(_ id: SocketID) { table.close(id) }

  public func options(_ id: SocketID) throws(Errno) -> DatagramOptions {
    table.sockets[try table.slot(id)].options
  }

  /// Sets every option. Taking `UDP_CORK` off sends the datagram that was collected.
  public mutating func setOptions(
    _ id: SocketID, _ options: DatagramOptions, host: inout Host
  ) throws(Errno) {
    let wasCorked = try table.sockets[table.slot(id)].options.cork
    try table.setOptions(id, options)
    if wasCorked && !options.cork { try pushPending(id, host: &host) }
  }

  /// Sends the datagram that `MSG_MORE` or `UDP_CORK` has been collecting: what `UDP_CORK` 0 asks for, whatever it was
  /// before. Linux: `udp_lib_setsockopt()`.
  public mutating func pushPending(_ id: SocketID, host: inout Host) throws(Errno) {
    try pushPendingFrames(table.slot(id), host: &host)
  }

  public func readiness(_ id: SocketID) -> Readiness {
    guard let index = try? table.slot(id) else { return [] }
    return table.sockets[index].readiness
  }

  public func localAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    table.sockets[try table.slot(id)].local
  }

  /// - Throws: ENOTCONN when the socket has no peer.
  public func remoteAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    guard let remote = table.sockets[try table.slot(id)].remote, remote.port != 0 else { throw .ENOTCONN }
    return remote
  }

  /// The path MTU of a connected socket. Linux: `IP_MTU`.
  ///
  /// - Throws: ENOTCONN.
  public func pathMTU(_ id: SocketID) throws(Errno) -> Int {
    let index = try table.slot(id)
    guard table.sockets[index].remote != nil, let mtu = table.sockets[index].route?.mtu else {
      throw .ENOTCONN
    }
    return mtu
  }

  /// Returns and clears the pending error. Linux: SO_ERROR.
  public mutating func takeError(_ id: SocketID) -> Errno? {
    guard let index = try? table.slot(id) else { return nil }
    return table.sockets[index].takeError()
  }

  /// Takes the first datagram. Never blocks.
  ///
  /// - Throws: the pending error; EAGAIN; EFAULT.
  public mutating func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, net: inout Net
  ) throws(Errno) -> ReceivedMessage {
    let index = try table.slot(id)
    let message = try table.sockets[index].receive(into: &iter, flags: flags)
    if message.source != nil && flags.isDisjoint(with: [.peek, .errorQueue]) {
      net.counters.count(.UdpInDatagrams)
    }
    return message
  }

  /// Every socket, for `ss`.
  public func sockets() -> [SocketID] { table.all }
  /// What `ss -u` tells of a socket.
  public func info(_ id: SocketID) throws(Errno) -> DatagramInfo { try table.info(id) }
}
