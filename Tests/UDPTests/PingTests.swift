import IPv4
import NetDevice
import NetNamespace
import Sockets
import Testing
import Wire

@Suite struct PingTests {
  func ping(_ bench: DatagramBench, identifier: UInt16) throws -> SocketID {
    let id = try bench.sockets.socket(domain: 2, type: 2, protocol: 1, net: &bench.host.net)
    try bench.sockets.bind(id, to: SocketAddress(.any, port: identifier), host: &bench.host)
    return id
  }
  let target = SocketAddress(DatagramBench.peer, port: 0)

  @Test("ping RFC 792: the identifier is the socket's, the checksum is filled in", arguments: [true, false])
  func request(offload: Bool) throws {
    let bench = DatagramBench(features: offload ? [.scatterGather, .checksum] : [])
    let id = try ping(bench, identifier: 0x1234)
    // Identifier 0xDEAD and checksum 0xBEEF are replaced.
    try bench.send(id, [8, 0, 0xBE, 0xEF, 0xDE, 0xAD, 0, 1] + Array("abcd".utf8), to: target)
    bench.settle()
    let packet = try #require(bench.sent.first)
    #expect(packet[9] == 1)
    #expect(packet[20..<32].elementsEqual([8, 0, 0x21, 0x04, 0x12, 0x34, 0, 1, 0x61, 0x62, 0x63, 0x64]))
    #expect(bench.count(.IcmpOutEchos) == 1)
  }

  func reply(_ identifier: Int, _ payload: [UInt8]) -> [UInt8] {
    var message = [0, 0, 0, 0] + Packet.big16(identifier) + [0, 1] + payload
    message.replaceSubrange(2..<4, with: Packet.big16(Packet.checksum(message)))
    return Packet.ip(protocol: 1, payload: message, timeToLive: 61)
  }

  @Test("ping Replies go to the socket with their identifier")
  func replies() throws {
    let bench = DatagramBench()
    let first = try ping(bench, identifier: 100)
    let second = try ping(bench, identifier: 200)
    try bench.setFlag(second, level: 0, name: 12)
    bench.receive(reply(200, [1, 2, 3]))
    bench.receive(reply(300, [4]))
    #expect(throws: Errno.EAGAIN) { try bench.receive(first) }
    let (bytes, message) = try bench.receive(second)
    #expect(bytes[0] == 0 && Packet.read16(bytes, 4) == 200 && Array(bytes[8...]) == [1, 2, 3])
    #expect(message.source?.address == IPAddress(DatagramBench.peer))
    #expect(message.control.timeToLive == 61)
    try bench.setFlag(first, level: 1, name: 2, 0)
    #expect(throws: Errno.EADDRINUSE) { try ping(bench, identifier: 100) }
  }

  @Test("ping 65,507 bytes of data leave in fragments; one more is EMSGSIZE")
  func long() throws {
    let bench = DatagramBench()
    let id = try ping(bench, identifier: 5)
    // Means nothing to ICMP, which always has a checksum.
    try bench.setFlag(id, level: 1, name: 11)
    let payload = (0..<65507).map { UInt8(truncatingIfNeeded: $0 &* 3) }
    #expect(try bench.send(id, [8, 0, 0, 0, 0, 0, 0, 9] + payload, to: target) == 65515)
    bench.settle()
    let whole = bench.sent.flatMap { $0[20..<Packet.read16($0, 2)] }
    #expect(whole.count == 65515 && Array(whole[8...]) == payload)
    #expect(Packet.checksum(whole) == 0)
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [8, 0, 0, 0, 0, 0, 0, 9, 1] + payload, to: target) }
  }

  @Test("ping Only echo requests may be sent")
  func refusals() throws {
    let bench = DatagramBench()
    let id = try ping(bench, identifier: 5)
    #expect(throws: Errno.EINVAL) { try bench.send(id, [8, 0, 0, 0, 0, 0, 0], to: target) }
    #expect(throws: Errno.EINVAL) { try bench.send(id, [0, 0, 0, 0, 0, 0, 0, 1], to: target) }
    #expect(throws: Errno.EINVAL) { try bench.send(id, [8, 1, 0, 0, 0, 0, 0, 1], to: target) }
    #expect(throws: Errno.EDESTADDRREQ) { try bench.send(id, [8, 0, 0, 0, 0, 0, 0, 1]) }
    bench.settle()
    #expect(bench.sent.isEmpty)
  }

  @Test("ping Errors are reported: time exceeded through IP_RECVERR")
  func errors() throws {
    let bench = DatagramBench()
    let id = try ping(bench, identifier: 77)
    try bench.setFlag(id, level: 0, name: 11)
    try bench.send(id, [8, 0, 0, 0, 0, 0, 0, 1], to: target)
    bench.settle()
    bench.receive(Packet.icmpError(type: 11, code: 0, about: try #require(bench.sent.first)))
    let message = try bench.receive(id, flags: .errorQueue).message
    let error = try #require(message.control.error)
    #expect(error.errno == .EHOSTUNREACH && error.kind == 11)
    #expect(error.destination?.address == IPAddress(DatagramBench.peer))
  }
}
