import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// The small services at their edges.
@Suite struct ServiceEdgeTests {
  static let own = IPv4Address(10, 0, 0, 2)

  static func stack() throws -> SimulatedStack {
    var configuration = StackConfiguration()
    configuration.services = true
    return try SimulatedStack(configuration)
  }

  /// What a service answers to a datagram from a port; `nil`: nothing.
  static func ask(
    _ simulated: SimulatedStack, _ service: UInt16, from port: UInt16, _ bytes: [UInt8] = [1, 2, 3]
  )
    throws -> [UInt8]?
  {
    let socket = try simulated.stack.socket(.udp)
    try socket.bind(to: SocketAddress(own, port: port))
    try socket.send(bytes, to: SocketAddress(own, port: service))
    return try? socket.receive(upTo: 65535, flags: .dontWait)
  }

  @Test(
    "RFC 862: what was sent comes back; from a port of such a service it does not, or two would go on for ever"
  )
  func noLoop() throws {
    let simulated = try Self.stack()
    #expect(try Self.ask(simulated, 7, from: 6000) == [1, 2, 3])
    for port in [17, 37] as [UInt16] {
      for service in [7, 13, 19] as [UInt16] { #expect(try Self.ask(simulated, service, from: port) == nil) }
    }
    #expect(try Self.ask(simulated, 9, from: 6001) == nil)
  }

  @Test("RFC 1122 3.2.2.6 as with echo requests: what was sent to everybody is not answered")
  func noAmplifier() throws {
    let simulated = try Self.stack()
    _ = simulated.takeFrames()
    for (number, service) in [7, 13, 19, 7].enumerated() {
      let udp = ScriptedPeer.bytes(UInt16(6000)) + ScriptedPeer.bytes(UInt16(service)) + [0, 9, 0, 0, 1]
      let destinations: [[UInt8]] = [
        [10, 0, 0, 255], [255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 2],
      ]
      var frame = ScriptedPeer.frame(protocol: 17, udp, destination: destinations[number])
      if number < 3 { frame.replaceSubrange(0..<6, with: [UInt8](repeating: 0xFF, count: 6)) }
      simulated.receive(frame)
      // An answer asks for its receiver's station first.
      #expect(simulated.takeFrames().isEmpty == (number < 3))
    }
  }

  @Test("RFC 864: a datagram has 0 to 512 characters of the pattern, not always as many")
  func chargenDatagram() throws {
    let simulated = try Self.stack()
    var lengths: Set<Int> = []
    for port in 6000..<6064 as Range<UInt16> {
      let answer = try #require(try Self.ask(simulated, 19, from: port))
      #expect(answer.count <= 512)
      #expect(answer.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x0D || $0 == 0x0A })
      lengths.insert(answer.count)
    }
    #expect(lengths.count > 10)
  }

  @Test("RFC 867: the time of day is the system's now, also after it was set")
  func daytimeFollows() throws {
    let simulated = try Self.stack()
    func text(_ port: UInt16) throws -> String {
      String(decoding: try #require(try Self.ask(simulated, 13, from: port)), as: UTF8.self)
    }
    #expect(try text(6000) == "Thursday, January 1, 1970 00:00:00-UTC\r\n")
    simulated.time.timeOfDayOffset.store(951_827_696_000_000_000, ordering: .relaxed)
    #expect(try text(6001) == "Tuesday, February 29, 2000 12:34:56-UTC\r\n")
    simulated.advance(to: simulated.now + .seconds(61))
    #expect(try text(6002) == "Tuesday, February 29, 2000 12:35:57-UTC\r\n")
    simulated.time.timeOfDayOffset.store(0, ordering: .relaxed)
    #expect(try text(6003) == "Thursday, January 1, 1970 00:01:01-UTC\r\n")
  }

  @Test("RFC 863: discard closes when its peer has")
  func discardCloses() throws {
    let wire = try SimulatedWire()
    let socket = try ServiceTests.client(wire, of: 9)
    _ = try socket.send([1, 2, 3])
    try socket.shutdown(write: true)
    #expect(wire.run(for: .seconds(5)) { (try? socket.receive(upTo: 1)) == [] })
    let right = wire.right.stack
    #expect(
      wire.run(for: .seconds(5)) {
        !right.socketReports.contains {
          $0.local.hasSuffix(":9") && $0.state != "LISTEN" && $0.netid == "tcp"
        }
      })
  }
}
