import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// A receive from the error queue returns what the ICMP error quotes of the datagram, as tracepath(8) needs it.
@Suite struct ErrorPayloadTests {
  private let simulated = try! SimulatedStack()
  private let closed = SocketAddress(IPv4Address(127, 0, 0, 1), port: 4009)

  private func refused(_ payload: [UInt8]) throws -> Socket {
    let socket = try simulated.stack.socket(.udp)
    socket.isNonBlocking = true
    // IP_RECVERR
    try socket.setsockopt(level: 0, name: 11, 1)
    try socket.send(payload, to: closed)
    simulated.advance(to: simulated.now + .milliseconds(20))
    return socket
  }

  @Test("S7 the error queue returns the datagram's bytes, cut to the room for them")
  func payload() throws {
    let socket = try refused([1, 2, 3])
    let whole = try socket.recvmsg(flags: .errorQueue)
    #expect(whole.bytes == [1, 2, 3] && whole.source == closed)
    #expect(whole.control.error?.errno == .ECONNREFUSED)
    #expect(whole.flags == .errorQueue)

    let cut = try refused([4, 5, 6]).recvmsg(upTo: 2, flags: .errorQueue)
    #expect(cut.bytes == [4, 5] && cut.flags == [.errorQueue, .truncate])
    let none = try refused([]).recvmsg(flags: .errorQueue)
    #expect(none.bytes.isEmpty && none.flags == .errorQueue)
  }

  @Test("S7 of a long datagram the error queue has what the ICMP error had room for")
  func long() throws {
    let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
    let quoted = try refused(bytes).recvmsg(flags: .errorQueue).bytes
    // 576 bytes less IP and ICMP header, and less the datagram's own (RFC 1812 4.3.2.3).
    #expect(quoted == Array(bytes[..<(576 - 20 - 8 - 20 - 8)]))
  }

  @Test(
    "S7 an ICMP error from the wire: all that it quotes, up to what 576 bytes have room for",
    arguments: [300, 1000])
  func received(count: Int) throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    // IP_RECVERR
    try socket.setsockopt(level: 0, name: 11, 1)
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try socket.send(bytes, to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 5000))
    let packet = try #require(peer.takePackets().first)
    // Longer than what the driver copies: only its headers are in the linear area.
    peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, packet)))
    let received = try socket.recvmsg(flags: .errorQueue)
    #expect(received.control.error?.errno == .ECONNREFUSED)
    #expect(received.bytes == Array(bytes.prefix(576 - 20 - 8 - 20 - 8)))
  }
}
