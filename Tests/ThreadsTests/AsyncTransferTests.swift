import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Wire

/// Whole transfers by calls that suspend, over a wire in virtual time.
@Suite struct AsyncTransferTests {
  @Test("S7 an async send of 1 MB goes through, both ways", arguments: [0, 0.02])
  func both(loss: Double) async throws {
    let wire = try SimulatedWire(seed: 5)
    let (client, server) = try wire.connect()
    client.isNonBlocking = false
    server.isNonBlocking = false
    wire.leftToRight = .loss(loss)
    wire.rightToLeft = .loss(loss)
    let bytes = (0..<1_000_000).map(StreamPump.pattern)
    let driven = Driver(wire, step: .milliseconds(1))
    let result = await driven.run {
      async let out: Int? = try? client.send(bytes)
      async let back: Int? = try? server.send(bytes)
      async let there = Self.collect(server, bytes.count)
      async let here = Self.collect(client, bytes.count)
      let (sent, heard) = await ((out, back), (there, here))
      return [sent.0 == bytes.count, sent.1 == bytes.count, heard.0 == bytes, heard.1 == bytes]
    }
    #expect(result == [true, true, true, true])
  }

  @Test("S7 an async send of 1 MB goes through, one way", arguments: [0, 0.02])
  func oneWay(loss: Double) async throws {
    let wire = try SimulatedWire(seed: 7)
    let (client, server) = try wire.connect()
    client.isNonBlocking = false
    server.isNonBlocking = false
    wire.leftToRight = .loss(loss)
    let bytes = (0..<1_000_000).map(StreamPump.pattern)
    let result = await Driver(wire, step: .milliseconds(1)).run {
      async let out: Int? = try? client.send(bytes)
      async let there = Self.collect(server, bytes.count)
      return await [out == bytes.count, there == bytes]
    }
    #expect(result == [true, true])
  }

  static func collect(_ socket: Socket, _ count: Int) async -> [UInt8] {
    var all: [UInt8] = []
    while all.count < count {
      guard let piece = try? await socket.receive(upTo: 65536), !piece.isEmpty else { break }
      all += piece
    }
    return all
  }
}
