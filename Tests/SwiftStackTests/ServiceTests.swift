import SwiftStack
@testable import Services
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// The small services, in virtual time.
@Suite struct ServiceTests {
  /// A connection to a service of the wire's right end.
  static func client(_ wire: SimulatedWire, of port: UInt16) throws -> Socket {
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: port))
    #expect(wire.run(for: .seconds(5)) { socket.readiness.contains(.writable) })
    return socket
  }

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
    let socket = try Self.client(wire, of: 7)
    let pump = StreamPump(from: socket, to: socket, byteCount: 1_000_000)
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.isIntact && pump.received == 1_000_000)
  }

  @Test("echo closes when the end came with the last bytes")
  func echoEnd() throws {
    let wire = try SimulatedWire()
    let socket = try Self.client(wire, of: 7)
    // Corked: the FIN rides on the segment that has the bytes.
    #expect(try socket.send([1, 2, 3], flags: .more) == 3)
    try socket.shutdown(write: true)
    var bytes: [UInt8] = []
    let ended = wire.run(for: .seconds(5)) {
      while let piece = try? socket.receive(upTo: 16) {
        if piece.isEmpty { return true }
        bytes += piece
      }
      return false
    }
    #expect(ended && bytes == [1, 2, 3])
  }

  @Test("discard takes everything and says nothing")
  func discardStream() throws {
    let wire = try SimulatedWire()
    let socket = try Self.client(wire, of: 9)
    let pump = StreamPump(from: socket, to: socket, byteCount: 500_000)
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.received == 0)
  }
}
