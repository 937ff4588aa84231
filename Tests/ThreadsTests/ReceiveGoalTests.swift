import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// How much a receive waits for: SO_RCVLOWAT, MSG_WAITALL, and both with MSG_PEEK. What Linux 6.18 does over loopback.
@Suite struct ReceiveGoalTests {
  enum Style: CaseIterable, Sendable { case array, memory, async }
  struct Case: Sendable, CustomTestStringConvertible {
    var style: Style
    var flags: MessageFlags = []
    var lowWater: Int32 = 1
    var limit = 100
    /// Bytes sent, one after the other; the call returns after the last.
    var parts: [Int]
    var expected: Int
    var isTimedOut = false
    var testDescription: String { "\(style), \(flags), at least \(lowWater), \(parts)" }
  }

  static let cases = Style.allCases.flatMap { style in
    [
      Case(style: style, lowWater: 10, parts: [5, 5], expected: 10),
      Case(style: style, lowWater: 10, parts: [5], expected: 5, isTimedOut: true),
      Case(style: style, lowWater: 3, parts: [1, 3], expected: 4),
      Case(style: style, flags: .waitAll, limit: 8, parts: [5, 5], expected: 8),
      Case(style: style, flags: .peek, lowWater: 10, parts: [5, 5], expected: 10),
      Case(style: style, flags: [.peek, .waitAll], limit: 8, parts: [5, 5], expected: 8),
      Case(style: style, flags: [.peek, .waitAll], limit: 8, parts: [5], expected: 5, isTimedOut: true),
    ]
  }

  @Test("S7 a receive waits for SO_RCVLOWAT bytes, with MSG_WAITALL for all", arguments: cases)
  func waits(_ test: Case) async throws {
    let wire = try SimulatedWire(services: false)
    let (client, server) = try wire.connect()
    client.isNonBlocking = false
    // SO_RCVLOWAT
    try client.setsockopt(level: 1, name: 18, test.lowWater)
    client.receiveTimeout = test.isTimedOut ? .seconds(1) : nil
    let driver = Driver(wire, step: .milliseconds(1))
    let call = try Self.receive(client, test)
    #expect(await driver.run(until: { client.isWaitedFor || call.isDone }))
    for (index, part) in test.parts.enumerated() {
      try Self.send(server, [UInt8](repeating: 1, count: part))
      if index < test.parts.count - 1 || test.isTimedOut {
        await driver.run(steps: 200) { call.isDone }
        #expect(!call.isDone, "satisfied with \(part) bytes")
      }
    }
    #expect(await driver.run(until: { call.isDone }))
    #expect(call.result == test.expected)
    client.isNonBlocking = true
    let left = test.parts.reduce(0, +) - (test.flags.contains(.peek) ? 0 : test.expected)
    if left > 0 { #expect(try Self.rest(client) == left) }
  }

  private static func receive(_ socket: Socket, _ test: Case) throws -> Call<Int> {
    let (flags, limit) = (test.flags, test.limit)
    switch test.style {
    case .array: return try Call(blocking: { (try? socket.receive(upTo: limit, flags: flags).count) ?? -1 })
    case .memory:
      return try Call(blocking: {
        var bytes = [UInt8](repeating: 0, count: limit)
        return unsafe bytes.withUnsafeMutableBytes {
          unsafe (try? socket.receive(into: $0, flags: flags).byteCount) ?? -1
        }
      })
    case .async: return Call { (try? await socket.receive(upTo: limit, flags: flags).count) ?? -1 }
    }
  }

  private static func send(_ socket: Socket, _ bytes: [UInt8]) throws { try socket.send(bytes) }
  private static func rest(_ socket: Socket, upTo limit: Int = 100) throws -> Int {
    try socket.receive(upTo: limit).count
  }

  @Test(
    "S7 what is there already counts; the end of the stream and a call that may not wait are satisfied with less"
  )
  func satisfied() async throws {
    let wire = try SimulatedWire(services: false)
    let (client, server) = try wire.connect()
    try client.setsockopt(level: 1, name: 18, 10)
    try Self.send(server, [1, 2, 3])
    wire.run(for: .milliseconds(100), until: { false })
    #expect(client.readiness == .writable)
    #expect(try Self.rest(client, upTo: 2) == 2)
    client.isNonBlocking = false
    let driver = Driver(wire)
    let call = Call { try? await client.receive(upTo: 100) }
    await driver.run(steps: 300) { call.isDone }
    #expect(!call.isDone)
    try Self.send(server, [4])
    try server.shutdown(write: true)
    #expect(await driver.run(until: { call.isDone }))
    #expect(call.result == [3, 4])
  }
}
