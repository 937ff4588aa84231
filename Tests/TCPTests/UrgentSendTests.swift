import SwiftStack
import TestSupport
import Testing

@Suite("T8 urgent data on the way out", .everyVariation)
struct UrgentSendTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  /// Segments with URG, and the sequence number each one points at.
  private func pointed(_ segments: [ScriptedSegment]) -> [UInt32] {
    segments.filter { $0.flags & 0x20 != 0 }.map { $0.sequence &+ UInt32($0.urgentPointer) }
  }

  @Test("T7 every segment before the urgent byte points at it, the device cutting packets or not")
  func segments() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let start = open.acknowledgment
    try open.socket.send(data(29_200))
    try open.socket.send([33], flags: .outOfBand)
    let urgent = start &+ 29_201
    var got = open.peer.all()
    #expect(got.count == 10)
    for _ in 0..<6 {
      guard let last = got.last else { break }
      open.acknowledge(through: last)
      let more = open.peer.all()
      #expect(more.allSatisfy { $0.flags & 0x20 != 0 })
      #expect(pointed(more).allSatisfy { $0 == urgent })
      got = more
      if open.acknowledgment == urgent { break }
    }
    #expect(open.acknowledgment == urgent)
    // Behind it there is no urgent mode any more.
    try open.socket.send(data(3000))
    #expect(pointed(open.peer.all()).isEmpty)
  }

  @Test(
    "T7 packets of several segments sent before urgent mode are sent again one by one, each pointing right")
  func retransmitted() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let start = open.acknowledgment
    try open.socket.send(data(14_600))
    try open.socket.send([33], flags: .outOfBand)
    _ = open.peer.all()
    let urgent = start &+ 14_601
    let again = open.peer.timeline(for: .seconds(100)) { segment in
      if segment.sequence == open.acknowledgment { open.acknowledge(through: segment) }
    }.map(\.segment)
    #expect(again.count >= 10)
    #expect(pointed(again).count == again.count)
    #expect(pointed(again).allSatisfy { $0 == urgent })
  }

  @Test("T8 at a closed window the urgent pointer still goes, on a probe at SND.UNA")
  func probe() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 0)
    try open.socket.send(data(10), flags: .outOfBand)
    let probes = open.peer.timeline(for: .seconds(4)).map(\.segment)
    let first = try #require(probes.first)
    #expect(first.sequence == open.acknowledgment && first.payload.isEmpty)
    #expect(pointed([first]) == [open.acknowledgment &+ 10])
    #expect(probes.contains { $0.sequence == open.acknowledgment &- 1 })
  }
}
