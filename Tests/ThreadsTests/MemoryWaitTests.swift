import NetNamespace
import SkBuff
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// A writer that meets the end of packet memory goes on when there is some again, whoever frees it.
@Suite struct MemoryWaitTests {
  /// A page that somebody else holds.
  private final class HeldPage {
    let page: Page
    init(_ page: consuming Page) { self.page = page }
  }

  /// Safety: used under the shard's lock only.
  private final class Hoard: @unchecked Sendable {
    private let shard: LockedShard
    private var pages: [HeldPage] = []

    /// Takes all that is given for such a use.
    init(_ shard: LockedShard, _ use: MemoryUse) {
      self.shard = shard
      shard.inspect { state in
        for large in [true, false] {
          while let page = state.host.net.pool.allocatePage(large: large, use: use) {
            pages.append(HeldPage(page))
          }
        }
      }
    }

    /// Gives back until `isEnough`.
    func give(until isEnough: (borrowing SkBuffPool) -> Bool) {
      shard.inspect { state in
        while !isEnough(state.host.net.pool), !pages.isEmpty { pages.removeLast() }
      }
    }
    func giveAll() { give(until: { _ in false }) }
  }

  enum Style: CaseIterable, Sendable { case blocking, suspending, poll, pollSuspending }

  @Test(
    "T3 a writer with nothing in flight that met an empty pool is woken when memory is free, and not before",
    arguments: Style.allCases, [MemoryUse.ordinary, .guaranteed])
  func wakes(style: Style, use: MemoryUse) async throws {
    let wire = try SimulatedWire(services: false, packetMemory: 16 << 20)
    let (client, server) = try wire.connect()
    defer { server.close() }
    let hoard = Hoard(wire.left.stack.shards[0], use)
    let isPoll = style == .poll || style == .pollSuspending
    if isPoll {
      // What is guaranteed is taken first.
      while (try? Self.send(client, 70000)) != nil { wire.run(for: .milliseconds(1), until: { false }) }
    }
    client.isNonBlocking = false
    let driver = Driver(wire)
    let call: Call<Int>
    switch style {
    case .blocking:
      call = try Call(blocking: { (try? client.send([UInt8](repeating: 1, count: 70000))) ?? 0 })
    case .suspending: call = Call { (try? await client.send([UInt8](repeating: 1, count: 70000))) ?? 0 }
    case .poll: call = try Call(blocking: { Int(client.poll(.writable).rawValue) })
    case .pollSuspending: call = Call { Int(((try? await client.poll(.writable)) ?? []).rawValue) }
    }
    // Nobody reads what was guaranteed, so that no acknowledgement opens anything.
    if !isPoll { #expect(await driver.run(until: { client.isWaitedFor })) }
    if use == .guaranteed {
      await driver.run(steps: 3000) { call.isDone }
      #expect(!call.isDone, "there was memory after all")
    }
    hoard.giveAll()
    // At once: the peer has nothing to say, and no timer looks again.
    #expect(await driver.run(steps: 300, until: { call.isDone }))
    #expect(call.result == (isPoll ? Int(Readiness.writable.rawValue) : 70000))
  }
  private static func send(_ socket: Socket, _ count: Int) throws {
    _ = try socket.send([UInt8](repeating: 1, count: count))
  }

  @Test("T3 B4 at the end of packet memory poll says what a send says, at every fill level")
  func pollAgrees() throws {
    let wire = try SimulatedWire(services: false, packetMemory: 16 << 20)
    let (client, server) = try wire.connect()
    defer { server.close() }
    let hoard = Hoard(wire.left.stack.shards[0], .guaranteed)
    #expect(!client.readiness.contains(.writable))
    #expect(throws: SocketError("send", .EAGAIN)) { try client.send([UInt8](repeating: 1, count: 1000)) }
    var refusals = 0
    for level in stride(from: 16 << 20, to: 8 << 20, by: -(16 << 10)) {
      hoard.give(until: { $0.usedByteCount <= level })
      let isReady = client.readiness.contains(.writable)
      let taken = (try? client.send([UInt8](repeating: 1, count: 1000))) ?? 0
      if isReady { #expect(taken > 0, "writable, and EAGAIN at \(level)") } else { refusals += 1 }
      wire.run(for: .milliseconds(50), until: { false })
      _ = try? server.receive(upTo: 65536, flags: .dontWait)
    }
    #expect(refusals > 0)
    #expect(client.readiness.contains(.writable))
  }

  @Test(
    "U5 no page for more of a datagram that is collected: ENOMEM, it is thrown away and counted; the next one is whole",
    arguments: [0x8000, 0] as [Int32])
  func datagram(more: Int32) throws {
    let wire = try SimulatedWire(services: false, packetMemory: 16 << 20)
    let stack = wire.left.stack
    let peer = try wire.right.stack.socket(.udp)
    try peer.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 9))
    let socket = try stack.socket(.udp)
    try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 9))
    func cork(_ isOn: Int32) throws { if more == 0 { try socket.setsockopt(level: 17, name: 1, isOn) } }
    let flags = MessageFlags(rawValue: more)
    try cork(1)
    #expect(try socket.send([1, 2], flags: flags) == 2)
    let hoard = Hoard(stack.shards[0], .guaranteed)
    #expect(throws: SocketError("send", .ENOMEM)) {
      try socket.send([UInt8](repeating: 3, count: 1300), flags: flags)
    }
    #expect(stack.counterReports.first { $0.name == "IpOutDiscards" }?.value == 1)
    hoard.giveAll()
    // Nothing of it is left.
    try cork(0)
    #expect(try socket.send([UInt8](repeating: 4, count: 1300)) == 1300)
    wire.run(for: .milliseconds(20), until: { false })
    #expect(try peer.receive(upTo: 4000, flags: .dontWait) == [UInt8](repeating: 4, count: 1300))
    #expect(throws: SocketError("receive", .EAGAIN)) { try peer.receive(upTo: 4000, flags: .dontWait) }
  }

  @Test("T3 B4 those who wait for memory are woken in the order in which they came")
  func order() async throws {
    let wire = try SimulatedWire(services: false, packetMemory: 16 << 20)
    let pairs = try (0..<3).map { try wire.connect(port: 5000 + UInt16($0)) }
    let shard = wire.left.stack.shards[0]
    let hoard = Hoard(shard, .guaranteed)
    for (client, _) in pairs.reversed() { #expect(!client.readiness.contains(.writable)) }
    let served = Guarded<[SocketID]>([])
    hoard.give(until: { $0.admits(.guaranteed) && $0.usedByteCount < 13 << 20 })
    shard.inspect { state in
      while let raw = state.host.net.pool.takeMemoryWaiter(served: 0) {
        served.withLock { $0.append(SocketID(rawValue: raw)) }
      }
    }
    #expect(served.withLock { $0.map(\.index) } == pairs.reversed().map(\.client.id.index))
  }
}
