import SwiftStack
import TestSupport
import Testing
import Trace

@testable import SwiftStack
@testable import TCP

@Suite("T3 the copy path, clause by clause", .everyVariation)
struct SendClauseTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  @Test("T3 a full segment at the head goes at once, alone, while the copy continues") func fullHead() throws
  {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let shard = open.peer.host.stack.shards[0]
    shard.inspect { $0.host.net.tracer.isEnabled = true }
    let start = shard.inspect { $0.host.net.tracer.records(from: 0).records.count }
    // Less than half a window goes in one packet, and no push is forced.
    try open.socket.send(data(32_700), flags: .more)
    let points = shard.inspect { $0.host.net.tracer.records(from: 0).records }.dropFirst(start).map(\.point)
    let copied = try #require(points.firstIndex(of: .tcp_sendmsg))
    #expect(points[..<copied].count { $0 == .tcp_transmit_skb } == 1)
  }

  @Test("T3 out of room what was copied goes at once and pushes, though MSG_MORE says that more is to come")
  func outOfRoom() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.sendBuffer, 4608) }
    try open.peer.host.stack.set("net.core.max_skb_frags", to: "1")
    open.inspect { $0.sender.window.segments = 100 }
    // The page that both fill ends soon, and the segment with it; there is no room for another.
    let other = try ScriptedConnection(peer: open.peer)
    try other.socket.send(data(12_768))
    _ = open.peer.all()
    let count = try open.socket.send(data(50_000), flags: .more)
    #expect(count == 20_000)
    let segments = open.peer.all()
    #expect(segments.map(\.payload.count).reduce(0, +) == count)
    #expect(segments.last?.isPush == true)
  }

  @Test("T3 a tail without free fragment slots is closed, and pushes") func noSlots() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.peer.host.stack.set("net.core.max_skb_frags", to: "1")
    // What waits stays as it was written.
    open.inspect { $0.sender.window.segments = 1 }
    try open.socket.send(data(1460))
    _ = open.peer.all()
    // Another connection's byte lies behind each piece, so that no two of them touch.
    let other = try ScriptedConnection(peer: open.peer)
    for _ in 0..<4 {
      try open.socket.send([1, 2], flags: .more)
      try other.socket.send([9], flags: .more)
    }
    let pushes = open.inspect { connection in
      var pushes: [Bool] = []
      var place = connection.sender.writeQueue.first
      while let current = place {
        pushes.append(connection.sender.writeQueue[tcp: current].flags.contains(.psh))
        place = connection.sender.writeQueue.position(after: current)
      }
      return pushes
    }
    #expect(pushes == [true, true, true, false])
  }
}
