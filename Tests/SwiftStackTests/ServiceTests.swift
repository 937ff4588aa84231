import SwiftStack
@testable import Services
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// The small services, in virtual time.
@Suite struct ServiceTests {
  private func read(_ wire: SimulatedWire, port: UInt16, atLeast count: Int) throws -> [UInt8] {
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: port))
    var bytes: [UInt8] = []
    wire.run(for: .seconds(10)) {
      while let piece = try? socket.receive(upTo: 4096) {
        if piece.isEmpty { return true }
        bytes += piece
      }
      return bytes.count >= count
    }
    return bytes
  }

  @Test("daytime sends one line and closes")
  func daytimeStream() throws {
    let bytes = try read(SimulatedWire(), port: 13, atLeast: .max)
    #expect(String(decoding: bytes, as: UTF8.self) == "Thursday, January 1, 1970 00:00:00-UTC\r\n")
  }

  @Test("chargen goes on")
  func chargenStream() throws {
    let bytes = try read(SimulatedWire(), port: 19, atLeast: 50_000)
    #expect(bytes.count >= 50_000)
    #expect(bytes.enumerated().allSatisfy { $1 == CharacterGenerator.byte(at: $0) })
  }

  @Test("echo gives back what it got, at its own pace, and closes when the peer has")
  func echoStream() throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 7))
    #expect(wire.run(for: .seconds(5)) { socket.readiness.contains(.writable) })
    let pump = StreamPump(from: socket, to: socket, byteCount: 1_000_000)
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.isIntact && pump.received == 1_000_000)
  }

  @Test("discard takes everything and says nothing")
  func discardStream() throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9))
    #expect(wire.run(for: .seconds(5)) { socket.readiness.contains(.writable) })
    let pump = StreamPump(from: socket, to: socket, byteCount: 500_000)
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.received == 0)
  }
}
