import NetNamespace
import TestSupport
import Testing

@testable import SwiftStack
@testable import TCP

@Suite("B4 net.ipv4.tcp_mem")
struct MemoryLevelTests {
  /// Writes into connections that nobody reads from until so many pages are used.
  private func fill(_ open: [ScriptedConnection], to pages: Int) {
    for connection in open where used(open[0]) < pages {
      connection.inspect { $0.core.sendBuffer = 64 << 20 }
      for _ in 0..<2000 where used(open[0]) < pages {
        guard (try? connection.socket.send([UInt8](repeating: 1, count: 4096))) != nil else { break }
      }
    }
  }
  private func used(_ open: ScriptedConnection) -> Int { open.peer.host.packetMemory.used / 4096 }
  private func isUnderPressure(_ open: ScriptedConnection) -> Bool {
    open.peer.host.stack.shards[0].inspect { $0.host.net.pool.isUnderPressure }
  }

  @Test(
    "B4 tcp_mem: pressure begins at the second number and ends at the first, TCPMemoryPressures counts it")
  func pressure() throws {
    let open = try ScriptedConnection.withSACK()
    let base = used(open)
    try open.peer.host.stack.set("net.ipv4.tcp_mem", to: "\(base + 100) \(base + 300) \(base + 2000)")
    #expect(!isUnderPressure(open))
    fill([open], to: base + 200)
    #expect(!isUnderPressure(open))
    fill([open], to: base + 310)
    #expect(isUnderPressure(open))
    open.peer.advance(.milliseconds(1))
    #expect(open.counter(.TcpExtTCPMemoryPressures) == 1)
    // Below the second and above the first it lasts.
    try open.peer.host.stack.set("net.ipv4.tcp_mem", to: "\(base + 200) \(base + 400)")
    #expect(isUnderPressure(open))
    try open.peer.host.stack.set("net.ipv4.tcp_mem", to: "\(base + 350)")
    #expect(!isUnderPressure(open))
  }

  @Test("B4 tcp_mem: above the third number a writer is refused, and woken when there is memory again")
  func high() throws {
    let open = try ScriptedConnection.withSACK()
    let base = used(open)
    try open.peer.host.stack.set("net.ipv4.tcp_mem", to: "\(base + 50) \(base + 100) \(base + 200)")
    open.inspect { $0.core.sendBuffer = 64 << 20 }
    var taken = 0
    while let count = try? open.socket.send([UInt8](repeating: 1, count: 4096)) { taken += count }
    #expect(used(open) >= base + 190 && used(open) <= base + 230)
    #expect(taken > 100 * 4096)
    #expect(!open.socket.readiness.contains(.writable))
    try open.peer.host.stack.set("net.ipv4.tcp_mem", to: "\(base + 50) \(base + 100) \(base + 2000)")
    #expect(open.socket.readiness.contains(.writable))
    #expect(try open.socket.send([1]) == 1)
  }
}
