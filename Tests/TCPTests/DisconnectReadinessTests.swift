import SwiftStack
import TestSupport
import Testing

@Suite("S7 readiness after a disconnect", .everyVariation)
struct DisconnectReadinessTests {
  @Test("S7 a listener tells of no error, and keeps it")
  func listener() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.disconnect()
    #expect(open.socket.readiness == [.error, .hangup, .writable])
    try open.socket.listen(backlog: 1)
    #expect(open.socket.readiness.isEmpty)
    #expect(open.socket.takeError() == .ECONNRESET)
  }

  @Test("S7 the distance to the next connection's numbers counts as unsent for TCP_NOTSENT_LOWAT")
  func lowWater() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 5000)
    try open.socket.disconnect()
    try open.socket.setsockopt(level: 6, name: 25, 1000)
    #expect(open.socket.readiness == [.error, .hangup])
    // A connection that was never there had no window, and is disconnected all the same.
    let fresh = try open.peer.host.stack.socket(.tcp)
    try fresh.setsockopt(level: 6, name: 25, 5)
    for isWritable in [true, true, false] {
      #expect(fresh.readiness.contains(.writable) == isWritable)
      try fresh.disconnect()
    }
  }
}
