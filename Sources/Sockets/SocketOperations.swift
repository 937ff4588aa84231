import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import TCP
import UDP
import Wire

/// What a protocol does for a call on one of its sockets. Linux: `struct proto_ops`, `struct proto`.
///
/// What all sockets do alike is done on their `SocketCore`.
protocol SocketOperations {
  static var type: SocketType { get }
  static var number: IPProtocol { get }

  static func close(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno)
  static func abort(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno)
  static func bind(
    _ id: SocketID, to address: SocketAddress, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno)
  static func listen(
    _ id: SocketID, backlog: Int, _ layer: inout SocketLayer, net: inout Net
  ) throws(Errno)
  static func accept(_ id: SocketID, _ layer: inout SocketLayer, net: inout Net) throws(Errno) -> SocketID
  static func connect(
    _ id: SocketID, to remote: SocketAddress, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno)
  static func finishConnect(
    _ id: SocketID, _ layer: inout SocketLayer, net: borrowing Net
  ) throws(Errno)
  static func disconnect(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno)
  static func shutdown(
    _ id: SocketID, read: Bool, write: Bool, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno)
  static func remoteAddress(_ id: SocketID, _ layer: inout SocketLayer) throws(Errno) -> SocketAddress

  static func sendmsg(
    _ id: SocketID, header: MessageHeader, flags: MessageFlags, iter: inout IovIter,
    _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> Int
  static func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> ReceivedMessage
  /// A send that was repeated without `MSG_DONTWAIT` was given up.
  static func countTimedOutSend(net: inout Net)

  static func readiness(_ id: SocketID, _ layer: inout SocketLayer) -> Readiness
  static func poll(_ id: SocketID, _ layer: inout SocketLayer) -> Readiness
  static func receivableByteCount(_ id: SocketID, isPeek: Bool, _ layer: inout SocketLayer) -> Int
  static func ioctl(
    _ id: SocketID, _ request: SocketRequest, _ layer: inout SocketLayer
  ) throws(Errno) -> Int
  static func pathMTU(_ id: SocketID, _ layer: inout SocketLayer, net: borrowing Net) throws(Errno) -> Int
  /// `SO_REUSEADDR`, `SO_REUSEPORT` or `SO_BINDTODEVICE` was set.
  static func bindingChanged(_ id: SocketID, _ layer: inout SocketLayer) throws(Errno)
  /// What the socket wants of other shards; `nil`: nothing.
  static func portWish(
    _ id: SocketID, _ asked: SocketAddress?, _ layer: inout SocketLayer
  ) throws(Errno) -> PortWish?
  /// Whether sockets here are in the way of another shard's.
  static func refuses(_ wish: PortWish, _ layer: inout SocketLayer) -> Bool
}

enum TCPOperations: SocketOperations {
  static var type: SocketType { .stream }
  static var number: IPProtocol { .tcp }

  static func close(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno) {
    let resets = try layer.tcp.withCore(id) { (core) throws(Errno) in core.options.linger == .zero }
    layer.tcp.close(id, resets: resets, host: &host)
  }
  static func abort(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno) {
    layer.tcp.abort(id, host: &host)
  }
  static func bind(
    _ id: SocketID, to address: SocketAddress, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) {
    try layer.tcp.bind(id, to: address, host: &host)
  }
  static func listen(
    _ id: SocketID, backlog: Int, _ layer: inout SocketLayer, net: inout Net
  ) throws(Errno) {
    try layer.tcp.listen(id, backlog: backlog, net: &net)
  }
  static func accept(_ id: SocketID, _ layer: inout SocketLayer, net: inout Net) throws(Errno) -> SocketID {
    try layer.tcp.accept(id, net: &net)
  }
  static func connect(
    _ id: SocketID, to remote: SocketAddress, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) {
    try layer.tcp.connect(id, to: remote, host: &host)
  }
  static func finishConnect(
    _ id: SocketID, _ layer: inout SocketLayer, net: borrowing Net
  ) throws(Errno) {
    try layer.tcp.finishConnect(id, net: net)
  }
  static func disconnect(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno) {
    try layer.tcp.disconnect(id, host: &host)
  }
  static func shutdown(
    _ id: SocketID, read: Bool, write: Bool, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) {
    try layer.tcp.shutdown(id, read: read, write: write, host: &host)
  }
  static func remoteAddress(_ id: SocketID, _ layer: inout SocketLayer) throws(Errno) -> SocketAddress {
    try layer.tcp.remoteAddress(id)
  }

  static func sendmsg(
    _ id: SocketID, header: MessageHeader, flags: MessageFlags, iter: inout IovIter,
    _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> Int {
    if header.controlError == nil && header.control.deviceMemory != nil {
      try layer.admitDeviceMemory(id, header, flags, iter, host: &host)
    }
    let controlError = try layer.controlError(id, header)
    guard let records = header.control.timestamping, controlError == nil else {
      return try layer.tcp.sendmsg(
        id, iter: &iter, to: header.address, flags: flags, controlError: controlError, host: &host)
    }
    // For this message only. Linux: `sockc.tsflags`.
    let own = try layer.tcp.exchangeTimestamping(id, records)
    defer { _ = try? layer.tcp.exchangeTimestamping(id, own) }
    return try layer.tcp.sendmsg(
      id, iter: &iter, to: header.address, flags: flags, controlError: nil, host: &host)
  }
  static func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> ReceivedMessage {
    var message = ReceivedMessage(byteCount: 0)
    if flags.contains(.outOfBand) {
      // Linux: `tcp_recv_urg()`.
      let isThere = try layer.tcp.hasUrgentByte(id)
      message.flags = iter.count > 0 || !isThere ? .outOfBand : [.outOfBand, .truncate]
    }
    message.byteCount = try layer.tcp.recvmsg(id, iter: &iter, flags: flags, host: &host)
    if message.byteCount > 0 && !flags.contains(.outOfBand) {
      message.control.times = try layer.withCore(id) { (core) throws(Errno) in
        core.tellsArrival ? core.times(ofReadAt: core.arrival, net: host.net) : nil
      }
    }
    if try layer.withCore(id, { (core) throws(Errno) in core.tellsUnread }) {
      message.control.unreadByteCount = try layer.tcp.unreadByteCount(id)
    }
    // The end of a stream has no urgent byte, nor has one that it does without.
    if message.byteCount == 0 && !message.flags.contains(.truncate) { message.flags = [] }
    return message
  }
  static func countTimedOutSend(net: inout Net) {}

  static func readiness(_ id: SocketID, _ layer: inout SocketLayer) -> Readiness { layer.tcp.readiness(id) }
  static func poll(_ id: SocketID, _ layer: inout SocketLayer) -> Readiness { layer.tcp.poll(id) }
  static func receivableByteCount(_ id: SocketID, isPeek: Bool, _ layer: inout SocketLayer) -> Int {
    layer.tcp.receivableByteCount(id)
  }
  static func ioctl(
    _ id: SocketID, _ request: SocketRequest, _ layer: inout SocketLayer
  ) throws(Errno) -> Int {
    try layer.tcp.ioctl(id, request)
  }
  static func pathMTU(_ id: SocketID, _ layer: inout SocketLayer, net: borrowing Net) throws(Errno) -> Int {
    try layer.tcp.pathMTU(id)
  }
  static func bindingChanged(_ id: SocketID, _ layer: inout SocketLayer) throws(Errno) {
    try layer.tcp.bindingChanged(id)
  }
  static func portWish(
    _ id: SocketID, _ asked: SocketAddress?, _ layer: inout SocketLayer
  ) throws(Errno) -> PortWish? { try layer.tcp.portWish(id, asked) }
  static func refuses(_ wish: PortWish, _ layer: inout SocketLayer) -> Bool { layer.tcp.refuses(wish) }
}

/// What UDP and ping sockets do alike.
protocol DatagramOperations: SocketOperations {
  static func withTable<Result>(
    _ layer: inout SocketLayer, _ body: (inout DatagramTable) throws(Errno) -> Result
  ) throws(Errno) -> Result
}

extension DatagramOperations {
  static var type: SocketType { .datagram }

  static func close(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno) {
    try withTable(&layer) { (table) throws(Errno) in table.close(id, net: &host.net) }
  }
  static func abort(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno) {
    try layer.close(id, host: &host)
  }
  static func bind(
    _ id: SocketID, to address: SocketAddress, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) {
    try withTable(&layer) { (table) throws(Errno) in try table.bind(id, to: address, host: &host) }
  }
  static func listen(
    _ id: SocketID, backlog: Int, _ layer: inout SocketLayer, net: inout Net
  ) throws(Errno) { throw .EOPNOTSUPP }
  static func accept(_ id: SocketID, _ layer: inout SocketLayer, net: inout Net) throws(Errno) -> SocketID {
    throw .EOPNOTSUPP
  }
  static func connect(
    _ id: SocketID, to remote: SocketAddress, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) {
    try withTable(&layer) { (table) throws(Errno) in try table.connect(id, to: remote, host: &host) }
  }
  static func finishConnect(
    _ id: SocketID, _ layer: inout SocketLayer, net: borrowing Net
  ) throws(Errno) {}
  static func disconnect(_ id: SocketID, _ layer: inout SocketLayer, host: inout Host) throws(Errno) {
    try withTable(&layer) { (table) throws(Errno) in try table.disconnect(id) }
  }
  static func shutdown(
    _ id: SocketID, read: Bool, write: Bool, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) {
    try withTable(&layer) { (table) throws(Errno) in
      try table.shutdown(id, read: read, write: write, net: &host.net)
    }
  }
  static func remoteAddress(_ id: SocketID, _ layer: inout SocketLayer) throws(Errno) -> SocketAddress {
    let peer = try layer.withCore(id) { (core) throws(Errno) in core.peer }
    // Linux: inet_getname().
    guard let peer, peer.port != 0 else { throw .ENOTCONN }
    return peer
  }
  static func readiness(_ id: SocketID, _ layer: inout SocketLayer) -> Readiness {
    (try? withTable(&layer) { (table) throws(Errno) in table.readiness(id) }) ?? []
  }
  /// Datagram sockets owe a wake-up whenever they are asked.
  static func poll(_ id: SocketID, _ layer: inout SocketLayer) -> Readiness { readiness(id, &layer) }
  static func receivableByteCount(_ id: SocketID, isPeek: Bool, _ layer: inout SocketLayer) -> Int {
    let count = try? withTable(&layer) { (table) throws(Errno) in
      isPeek ? table.peekableByteCount(id) : table.receivableByteCount(id)
    }
    return count ?? 0
  }
  static func ioctl(
    _ id: SocketID, _ request: SocketRequest, _ layer: inout SocketLayer
  ) throws(Errno) -> Int {
    try withTable(&layer) { (table) throws(Errno) in try table.ioctl(id, request) }
  }
  static func pathMTU(_ id: SocketID, _ layer: inout SocketLayer, net: borrowing Net) throws(Errno) -> Int {
    try withTable(&layer) { (table) throws(Errno) in try table.pathMTU(id) }
  }
  static func bindingChanged(_ id: SocketID, _ layer: inout SocketLayer) throws(Errno) {
    try withTable(&layer) { (table) throws(Errno) in try table.bindingChanged(id) }
  }
  static func portWish(
    _ id: SocketID, _ asked: SocketAddress?, _ layer: inout SocketLayer
  ) throws(Errno) -> PortWish? {
    try withTable(&layer) { (table) throws(Errno) in try table.portWish(id, asked) }
  }
  static func refuses(_ wish: PortWish, _ layer: inout SocketLayer) -> Bool {
    (try? withTable(&layer) { (table) throws(Errno) in table.refuses(wish) }) ?? false
  }
}

enum UDPOperations: DatagramOperations {
  static var number: IPProtocol { .udp }

  static func withTable<Result>(
    _ layer: inout SocketLayer, _ body: (inout DatagramTable) throws(Errno) -> Result
  ) throws(Errno) -> Result { try body(&layer.udp.table) }

  static func sendmsg(
    _ id: SocketID, header: MessageHeader, flags: MessageFlags, iter: inout IovIter,
    _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> Int {
    let refusals = try layer.refusals(id, header)
    return try layer.udp.sendmsg(
      id, iter: &iter, to: header.address, control: header.control, flags: flags, refusals: refusals,
      host: &host)
  }
  static func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> ReceivedMessage {
    try layer.udp.recvmsg(id, iter: &iter, flags: flags, net: &host.net)
  }
  /// Linux: SOCK_NOSPACE at the end of `udp_sendmsg()`.
  static func countTimedOutSend(net: inout Net) {
    net.counters.count(.IpOutDiscards)
    net.counters.count(.UdpSndbufErrors)
  }
}

enum UDPLiteOperations: DatagramOperations {
  static var number: IPProtocol { .udpLite }

  static func withTable<Result>(
    _ layer: inout SocketLayer, _ body: (inout DatagramTable) throws(Errno) -> Result
  ) throws(Errno) -> Result { try body(&layer.udpLite.table) }

  static func sendmsg(
    _ id: SocketID, header: MessageHeader, flags: MessageFlags, iter: inout IovIter,
    _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> Int {
    let refusals = try layer.refusals(id, header)
    return try layer.udpLite.sendmsg(
      id, iter: &iter, to: header.address, control: header.control, flags: flags, refusals: refusals,
      host: &host)
  }
  static func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> ReceivedMessage {
    try layer.udpLite.recvmsg(id, iter: &iter, flags: flags, net: &host.net)
  }
  static func countTimedOutSend(net: inout Net) {
    net.counters.count(.IpOutDiscards)
    net.counters.count(.UdpLiteSndbufErrors)
  }
}

enum PingOperations: DatagramOperations {
  static var number: IPProtocol { .icmp }

  static func withTable<Result>(
    _ layer: inout SocketLayer, _ body: (inout DatagramTable) throws(Errno) -> Result
  ) throws(Errno) -> Result { try body(&layer.ping.table) }

  static func sendmsg(
    _ id: SocketID, header: MessageHeader, flags: MessageFlags, iter: inout IovIter,
    _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> Int {
    let refusals = try layer.refusals(id, header)
    return try layer.ping.sendmsg(
      id, iter: &iter, to: header.address, control: header.control, flags: flags, refusals: refusals,
      host: &host)
  }
  static func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, _ layer: inout SocketLayer, host: inout Host
  ) throws(Errno) -> ReceivedMessage {
    try layer.ping.recvmsg(id, iter: &iter, flags: flags, net: host.net)
  }
  static func countTimedOutSend(net: inout Net) { net.counters.count(.IpOutDiscards) }
}
