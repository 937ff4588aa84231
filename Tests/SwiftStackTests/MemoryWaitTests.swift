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
  private final class Hoard: @unchecked Sendable { var pages: [HeldPage] = [] }

  @Test(
    "T3 a writer with nothing in flight that met an empty pool is woken when memory is free",
    arguments: [true, false])
  func wakes(isAsync: Bool) async throws {
    let wire = try SimulatedWire(services: false, packetMemory: 16 << 20)
    let (client, server) = try SimulatedTransferTests.connect(wire)
    defer { server.close() }
    client.isNonBlocking = false
    let shard = wire.left.stack.shards[0]
    let hoard = Hoard()
    shard.inspect { state in
      for large in [true, false] {
        while let page = state.net.pool.allocatePage(large: large) { hoard.pages.append(HeldPage(page)) }
      }
    }
    let driver = Driver(wire)
    let call =
      isAsync
      ? Call { try? await client.send([UInt8](repeating: 1, count: 70000)) }
      : try Call(blocking: { try? client.send([UInt8](repeating: 1, count: 70000)) })
    #expect(await driver.run(until: { client.isWaitedFor }))
    await driver.run(steps: 3000) { call.isDone }
    #expect(!call.isDone, "there was memory after all")
    shard.inspect { _ in hoard.pages.removeAll() }
    #expect(await driver.run(until: { call.isDone }))
    #expect(call.result == 70000)
  }
}
