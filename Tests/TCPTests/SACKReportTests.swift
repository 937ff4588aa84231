import SwiftStack
import TestSupport
import Testing

@Suite("RFC 2018, RFC 2883 what a receiver reports", .everyVariation)
struct SACKReportTests {
  /// A connection that negotiated SACK; sequence numbers are given relative to RCV.NXT + 1, as in RFC 2018's examples.
  private final class Receiver {
    let open: ScriptedConnection
    let base: UInt32

    init(seed: UInt64 = 1, initial: UInt32 = 1000) throws {
      open = try ScriptedConnection(
        peer: ScriptedPeer(seed: seed), initial: initial, options: [2, 4, 5, 0xB4, 1, 1, 4, 2])
      base = open.sequence &- 1
    }

    /// Bytes from `start` up to `end`, and the answer's ACK and blocks.
    func take(_ start: UInt32, _ end: UInt32, flags: UInt8 = 0x10) throws -> [UInt32] {
      open.peer.send(
        flags, sequence: base &+ start, acknowledgment: open.acknowledgment,
        payload: [UInt8](repeating: 1, count: Int(end - start)))
      let answer = try #require(open.peer.all().last)
      return [answer.acknowledgment &- base] + answer.sackBlocks.flatMap { [$0.0 &- base, $0.1 &- base] }
    }
    func read() { while let bytes = try? open.socket.receive(upTo: 10000), !bytes.isEmpty {} }
  }

  static let initials: [UInt32] = [1000, 0x7FFF_FF00, 0xFFFF_FF00]

  @Test(
    "RFC 2883 4 of several overlaps the first is reported, grown by what touches it", arguments: initials
  )
  func firstOverlap(_ initial: UInt32) throws {
    let receiver = try Receiver(initial: initial)
    #expect(try receiver.take(1, 101) == [101])
    #expect(try receiver.take(201, 301) == [101, 201, 301])
    #expect(try receiver.take(401, 501) == [101, 401, 501, 201, 301])
    #expect(try receiver.take(51, 301) == [301, 51, 101, 401, 501])
  }

  @Test("R a duplicate grows by a neighbour that it touches; a held packet's part below RCV.NXT counts")
  func grownOverlap() throws {
    let receiver = try Receiver()
    _ = try receiver.take(201, 301)
    _ = try receiver.take(301, 401)
    // Covers both: one duplicate from end to end.
    #expect(try receiver.take(201, 401) == [1, 201, 401, 201, 401])
    let second = try Receiver()
    _ = try second.take(101, 301)
    // In order, up into the held packet: what both have is the duplicate.
    #expect(try second.take(1, 151) == [301, 101, 151])
  }

  @Test("RFC 2883 4 a duplicate of held data is followed by the block it lies in")
  func duplicateOfHeld() throws {
    let receiver = try Receiver()
    #expect(try receiver.take(1, 101) == [101])
    _ = try receiver.take(201, 301)
    _ = try receiver.take(401, 501)
    #expect(try receiver.take(221, 281) == [101, 221, 281, 201, 301, 401, 501])
    #expect(receiver.open.peer.host.counter("TcpExtTCPDSACKOfoSent") == 1)
    #expect(receiver.open.peer.host.counter("TcpExtTCPOFOMerge") == 1)
  }

  @Test("R a FIN on a retransmission of old data: acknowledged without SACK")
  func finOnOldData() throws {
    let receiver = try Receiver()
    _ = try receiver.take(1, 1001)
    receiver.read()
    _ = receiver.open.peer.all()
    receiver.open.peer.send(
      0x11, sequence: receiver.base &+ 1, acknowledgment: receiver.open.acknowledgment,
      payload: [UInt8](repeating: 1, count: 1000))
    receiver.open.peer.advance(.milliseconds(50))
    let answer = try #require(receiver.open.peer.all().last)
    #expect(answer.acknowledgment &- receiver.base == 1002)
    #expect(answer.sackBlocks.isEmpty)
  }

  @Test("RFC 2018 4 the newest block first, at most four, three beside timestamps or a duplicate's three")
  func blockCount() throws {
    let receiver = try Receiver()
    for index in 1...5 as ClosedRange<UInt32> { _ = try receiver.take(index * 200, index * 200 + 100) }
    #expect(try receiver.take(1200, 1300) == [1, 1200, 1300, 1000, 1100, 800, 900, 600, 700])
    // The duplicate takes one of the four places.
    #expect(try receiver.take(1200, 1210) == [1, 1200, 1210, 1200, 1300, 1000, 1100, 800, 900])
    let stamped = try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4, 1, 1, 4, 2], timestamps: true)
    for index in 1...5 as ClosedRange<UInt32> {
      stamped.peer.send(
        0x10, sequence: stamped.sequence &+ index * 200, acknowledgment: stamped.acknowledgment,
        options: stamped.standing, payload: [1, 2])
    }
    let last = try #require(stamped.peer.all().last)
    #expect(last.sackBlocks.count == 3)
    #expect(last.timestamps != nil)
  }

  @Test("RFC 2018 a block that the cumulative ACK passes is reported no more; neighbours become one")
  func blocksGo() throws {
    let receiver = try Receiver()
    _ = try receiver.take(101, 201)
    _ = try receiver.take(301, 401)
    #expect(try receiver.take(201, 301) == [1, 101, 401])
    _ = try receiver.take(501, 601)
    #expect(try receiver.take(1, 101) == [401, 501, 601])
    #expect(try receiver.take(401, 501) == [601])
  }

  @Test("RFC 2883 wholly old data is reported once; without SACK permission never")
  func oldData() throws {
    let receiver = try Receiver()
    _ = try receiver.take(1, 101)
    #expect(try receiver.take(1, 101) == [101, 1, 101])
    #expect(receiver.open.peer.host.counter("TcpExtTCPDSACKOldSent") == 1)
    #expect(receiver.open.peer.host.counter("TcpExtDelayedACKLost") == 1)
    // One that ends below the last ACK, too.
    #expect(try receiver.take(1, 51) == [101, 1, 51])
    #expect(receiver.open.peer.host.counter("TcpExtDelayedACKLost") == 2)
    #expect(try receiver.take(101, 201) == [201])
    let plain = try ScriptedConnection(peer: ScriptedPeer())
    plain.send([1, 2])
    plain.peer.send(
      0x10, sequence: plain.sequence &- 2, acknowledgment: plain.acknowledgment, payload: [1, 2])
    plain.peer.send(0x10, sequence: plain.sequence &+ 9, acknowledgment: plain.acknowledgment, payload: [1])
    #expect(plain.peer.all().allSatisfy { $0.options.isEmpty })
  }

  @Test("A FIN that comes out of order is kept: the connection ends when the gap is filled")
  func earlyFin() throws {
    let receiver = try Receiver()
    #expect(try receiver.take(101, 201, flags: 0x11) == [1, 101, 202])
    #expect(!receiver.open.socket.readiness.contains(.readHangup))
    _ = try? receiver.take(1, 101)
    receiver.open.peer.advance(.milliseconds(50))
    #expect(receiver.open.socket.readiness.contains(.readHangup))
    #expect(try receiver.open.socket.receive(upTo: 1000).count == 200)
    #expect(try receiver.open.socket.receive(upTo: 1000).isEmpty)

    // A FIN alone, before the data that it follows.
    let second = try Receiver()
    second.open.peer.send(0x11, sequence: second.base &+ 11, acknowledgment: second.open.acknowledgment)
    #expect(second.open.peer.all().last?.acknowledgment == second.base &+ 1)
    _ = try? second.take(1, 11)
    #expect(try second.open.socket.receive(upTo: 100).count == 10)
    #expect(try second.open.socket.receive(upTo: 100).isEmpty)
  }
}
