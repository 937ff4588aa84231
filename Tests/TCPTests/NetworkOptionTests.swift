import SwiftStack
import TestSupport
import Testing

@Suite("U7 a stream with IP options", .everyVariation)
struct NetworkOptionTests {
  private static let alert: [UInt8] = [148, 4, 0, 0]

  private func set(_ socket: Socket, _ bytes: [UInt8]) throws {
    // Safe: a byte has no padding.
    try socket.setsockopt(level: 0, name: 4, value: unsafe bytes.span.bytes)
  }
  private func segmentSize(_ socket: Socket) throws -> Int {
    let bytes = try socket.getsockopt(level: 6, name: 2, maximum: 4)
    return Int(bytes[0]) | Int(bytes[1]) << 8
  }

  @Test("every segment has them and is as much shorter, until they are taken away") func segments() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let size = try segmentSize(open.socket)
    try set(open.socket, Self.alert)
    #expect(try segmentSize(open.socket) == size - 4)
    try open.socket.send([UInt8](repeating: 7, count: 5000))
    let sent = open.peer.all()
    #expect(!sent.isEmpty && sent.allSatisfy { $0.networkOptions == Self.alert })
    #expect(sent.reduce(0) { $0 + $1.payload.count } == 5000)
    open.acknowledge(open.acknowledgment &+ 5000)
    try set(open.socket, [])
    #expect(try segmentSize(open.socket) == size)
    try open.socket.send([UInt8](repeating: 7, count: 100))
    #expect(open.peer.all().allSatisfy { $0.networkOptions.isEmpty })
  }
}
