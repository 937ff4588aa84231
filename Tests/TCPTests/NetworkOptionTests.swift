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

  /// A SYN from 10.0.0.1 with IP options, as it comes by the routers of its source route.
  private func syn(_ peer: ScriptedPeer, _ options: [UInt8]) throws -> ScriptedSegment? {
    peer.hostPort = 80
    peer.stations = [1, 5, 6]
    var tcp = ScriptedPeer.bytes(peer.port) + ScriptedPeer.bytes(UInt16(80))
    tcp += ScriptedPeer.bytes(Variation.current.peerSequence) + [0, 0, 0, 0, 0x50, 2, 0xFF, 0xFF, 0, 0, 0, 0]
    let pseudo: [UInt8] = [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, UInt8(tcp.count)]
    tcp.replaceSubrange(16..<18, with: ScriptedPeer.bytes(ScriptedPeer.checksum(pseudo + tcp)))
    peer.receiveRaw(FramePeer.ip(6, tcp, options: options))
    return peer.next()
  }

  /// Loose source route by 10.0.0.5 and 10.0.0.6, which it has passed.
  private static let passed: [UInt8] = [131, 11, 12, 10, 0, 0, 5, 10, 0, 0, 6, 1]

  @Test("an answered SYN's record of the route goes into its SYN-ACK and every segment of the connection")
  func record() throws {
    let listening = try ListeningPeer()
    let record: [UInt8] = [7, 7, 4, 0, 0, 0, 0, 1]
    let answer = try #require(try syn(listening.peer, record))
    #expect(answer.flags == 0x12 && answer.networkOptions == [7, 7, 8, 10, 0, 0, 2, 0])
    listening.peer.complete(answer)
    let connection = try listening.server.accept()
    try connection.send([1, 2, 3])
    #expect(listening.peer.next()?.networkOptions.first == 7)
    #expect(try connection.getsockopt(level: 0, name: 4, maximum: 40).first == 7)
    // The next connection has none.
    listening.peer.port += 1
    #expect(try listening.open().networkOptions.isEmpty)
  }

  @Test("accept_source_route: a SYN by a source route is answered the way back, which the connection keeps")
  func sourceRoute() throws {
    var settings = NetSettings()
    settings.allInterfaces.acceptsSourceRoute = true
    let listening = try ListeningPeer(settings: settings)
    let answer = try #require(try syn(listening.peer, Self.passed))
    // To 10.0.0.6 first, then 10.0.0.5, then who asked (RFC 1122 section 3.2.1.8).
    #expect(answer.flags == 0x12 && answer.networkDestination == [10, 0, 0, 6])
    #expect(answer.networkOptions == [131, 11, 4, 10, 0, 0, 5, 10, 0, 0, 1, 0])
    listening.peer.complete(answer)
    let connection = try listening.server.accept()
    try connection.send([1, 2, 3])
    #expect(listening.peer.next()?.networkDestination == [10, 0, 0, 6])
    #expect(
      try connection.getsockopt(level: 0, name: 4, maximum: 40) == [131, 11, 4, 10, 0, 0, 6, 10, 0, 0, 5, 0])
  }

  @Test(
    "accept_source_route: both all and the interface have to say so; a route that goes on is refused",
    arguments: 0...2)
  func refused(how: Int) throws {
    var settings = NetSettings()
    settings.allInterfaces.acceptsSourceRoute = how != 0
    settings.interface.acceptsSourceRoute = how != 1
    let listening = try ListeningPeer(settings: settings)
    var options = Self.passed
    if how == 2 { options[2] = 8 }
    #expect(try syn(listening.peer, options) == nil)
  }
}
