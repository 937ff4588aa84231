import SwiftStack
import TestSupport
import Testing

/// What recvmsg leaves beside the bytes, as Linux has it.
@Suite struct ReceivedFlagsTests {
  @Test(
    "S7 a receive from the error queue tells of the ICMP message what the options ask for",
    arguments: [false, true])
  func bearer(isAsked: Bool) throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    // IP_RECVERR; IP_PKTINFO, IP_RECVTTL, IP_RECVTOS
    for name: Int32 in isAsked ? [11, 8, 12, 13] : [11] { try socket.setsockopt(level: 0, name: name, 1) }
    try socket.send([1, 2, 3], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 5000))
    let packet = try #require(peer.takePackets().first)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, packet), typeOfService: 0xC0, timeToLive: 0x31))
    let received = try socket.recvmsg(flags: .errorQueue)
    #expect(received.control.error?.errno == .ECONNREFUSED)
    #expect(received.control.timeToLive == (isAsked ? 0x31 : nil))
    #expect(received.control.typeOfService == (isAsked ? 0xC0 : nil))
    #expect(received.control.destination == (isAsked ? IPv4Address(10, 0, 0, 2) : nil))
    #expect((received.control.interface != .none) == isAsked)
  }

  @Test("S7 MSG_OOB stands in the flags of a receive that brings the urgent byte")
  func urgent() throws {
    let simulated = try SimulatedStack()
    let here = SocketAddress(IPv4Address(10, 0, 0, 2), port: 4000)
    let listener = try simulated.stack.socket(.tcp)
    try listener.bind(to: here)
    try listener.listen()
    let client = try simulated.stack.socket(.tcp)
    try client.connect(to: here)
    let server = try listener.accept()
    server.isNonBlocking = true
    func send(_ byte: UInt8) throws {
      try client.send([byte], flags: .outOfBand)
      simulated.advance(to: simulated.now + .milliseconds(10))
    }
    try send(9)
    let peeked = try server.recvmsg(flags: [.outOfBand, .peek])
    let taken = try server.recvmsg(flags: .outOfBand)
    #expect(peeked.bytes == [9] && peeked.flags == .outOfBand)
    #expect(taken.bytes == [9] && taken.flags == .outOfBand)
    try send(8)
    let nowhere = try server.recvmsg(upTo: 0, flags: .outOfBand)
    #expect(nowhere.bytes.isEmpty && nowhere.flags == [.outOfBand, .truncate])
    try client.send([1])
    #expect(try server.recvmsg().flags == [])
    try client.shutdown(write: true)
    simulated.advance(to: simulated.now + .milliseconds(10))
    #expect(try server.recvmsg().flags == [])
  }
}
