import SwiftStack

extension AgentSocket {
  private static let (info, repair, queue, number, options, timestamp, window):
    (
      Int32, Int32, Int32, Int32, Int32, Int32, Int32
    ) = (11, 19, 20, 21, 22, 24, 29)

  /// Its connection in another socket, by TCP_REPAIR; kernel_agent.py does the same.
  func moved(to new: Socket) throws(SocketError) -> (AgentSocket, String) {
    let (local, remote) = (try socket.localAddress, try socket.remoteAddress)
    try socket.setsockopt(level: 6, name: Self.repair, 1)
    let info = try socket.getsockopt(level: 6, name: Self.info, maximum: 104)
    try socket.setsockopt(level: 6, name: Self.queue, 2)
    let (sent, end) = (peek(), try Self.word(socket, Self.number))
    try socket.setsockopt(level: 6, name: Self.queue, 1)
    let (unread, begin) = (peek(), try Self.word(socket, Self.number))
    let window = try socket.getsockopt(level: 6, name: Self.window, maximum: 20)
    let stamp = try Self.word(socket, Self.timestamp)
    socket.close()
    try new.setsockopt(level: 6, name: Self.repair, 1)
    try new.bind(to: local)
    try new.setsockopt(level: 6, name: Self.queue, 2)
    try new.setsockopt(level: 6, name: Self.number, Int32(bitPattern: end &- UInt32(sent.count)))
    try new.setsockopt(level: 6, name: Self.queue, 1)
    try new.setsockopt(level: 6, name: Self.number, Int32(bitPattern: begin &- UInt32(unread.count)))
    try new.connect(to: remote)
    var options: [UInt32] = [2, 1460]
    if info[5] & 4 != 0 { options += [3, UInt32(info[6] & 15) | UInt32(info[6] >> 4) << 16] }
    if info[5] & 2 != 0 { options += [4, 0] }
    if info[5] & 1 != 0 { options += [8, 0] }
    try Self.set(new, Self.options, options.flatMap { word in (0..<4).map { UInt8(word >> ($0 * 8) & 255) } })
    if !unread.isEmpty { try new.send(unread) }
    try new.setsockopt(level: 6, name: Self.queue, 2)
    if !sent.isEmpty { try new.send(sent) }
    try Self.set(new, Self.window, window)
    try new.setsockopt(level: 6, name: Self.timestamp, Int32(bitPattern: stamp))
    try new.setsockopt(level: 6, name: Self.repair, 0)
    return (AgentSocket(new, sent: self.sent), "sent \(sent.count) unread \(unread.count)")
  }

  private func peek() -> [UInt8] { (try? socket.receive(upTo: 1 << 20, flags: .peek)) ?? [] }

  private static func word(_ socket: Socket, _ name: Int32) throws(SocketError) -> UInt32 {
    let bytes = try socket.getsockopt(level: 6, name: name, maximum: 4)
    return bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func set(_ socket: Socket, _ name: Int32, _ value: [UInt8]) throws(SocketError) {
    // Safe: a byte has no padding.
    try socket.setsockopt(level: 6, name: name, value: unsafe value.span.bytes)
  }
}
