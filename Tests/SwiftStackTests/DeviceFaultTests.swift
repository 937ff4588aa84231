import IceModel
import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// What happens to a whole stack whose NIC stops, loses or refuses: the watchdog's and the queue's wiring.
@Suite struct DeviceFaultTests {
  private func nic(_ host: SimulatedStack, _ name: String) -> UInt64 {
    host.stack.nicReports[0].statistics.first { $0.name == name }?.value ?? 0
  }

  /// Bytes from left to right with a fault in the left NIC at the start.
  private func transfer(_ commit: (SimulatedStack) -> Void) throws -> SimulatedWire {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    commit(wire.left)
    let bytes = (0..<40000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    #expect(try client.send(bytes) == bytes.count)
    var got: [UInt8] = []
    wire.run(for: .seconds(60)) {
      while let piece = try? server.receive(upTo: 65536), !piece.isEmpty { got += piece }
      return got.count == bytes.count
    }
    #expect(got == bytes)
    return wire
  }

  @Test(
    "Q8 D11 a queue that the device stopped: named in nic, reset after 5 s, the connection goes on, nothing leaks"
  )
  func misreadDescriptor() throws {
    let wire = try transfer { host in
      var faults = FaultInjection()
      faults.descriptorsToMisread = 1
      host.setFaults(faults)
    }
    #expect(nic(wire.left, "tx_mdd_events") == 1)
    #expect(nic(wire.left, "tx_mdd.unknownDescriptorType") == 1)
    #expect(nic(wire.left, "tx_timeout") == 1)
    #expect(nic(wire.left, "tx_dropped_link_down.nic") == 0)
    try wire.run(for: .seconds(1))
    #expect(wire.left.buffersInUse == 0)
  }

  @Test("Q8 a stalled device: the shard's watchdog resets it, what was sent comes again")
  func stalled() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    wire.left.setFaults(faults)
    #expect(try client.send([UInt8](repeating: 5, count: 30000)) == 30000)
    try wire.run(for: .milliseconds(4900))
    #expect(nic(wire.left, "tx_timeout") == 0)
    try wire.run(for: .milliseconds(300))
    #expect(nic(wire.left, "tx_timeout") == 1)
    wire.left.setFaults(FaultInjection())
    var count = 0
    wire.run(for: .seconds(60)) {
      while let piece = try? server.receive(upTo: 65536), !piece.isEmpty { count += piece.count }
      return count == 30000
    }
    #expect(count == 30000)
    try wire.run(for: .seconds(1))
    #expect(wire.left.buffersInUse == 0)
  }

  @Test("D6 a doorbell that is lost: what it announced goes with the next one")
  func lostDoorbell() throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.udp)
    try socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9))
    // The neighbour is known afterwards.
    #expect(try socket.send([0]) == 1)
    try wire.run(for: .seconds(1))
    _ = wire.left.takeFrames()
    var faults = FaultInjection()
    faults.doorbellsToLose = 1
    wire.left.setFaults(faults)
    #expect(try socket.send([1]) == 1)
    #expect(wire.left.takeFrames().isEmpty)
    wire.left.advance(to: wire.left.now + .milliseconds(100))
    #expect(wire.left.takeFrames().isEmpty)
    #expect(try socket.send([2]) == 1)
    #expect(wire.left.takeFrames().map { $0.bytes[42] } == [1, 2])
  }

  @Test("D5 mappings that fail: the packets are lost and counted, the connection goes on")
  func mappingFailures() throws {
    let wire = try transfer { $0.failMappings(3) }
    #expect(nic(wire.left, "tx_dma_errors") == 3)
    #expect(wire.left.stack.dropReports.first { $0.name == "DMA_MAPPING" }?.value == 3)
    #expect(nic(wire.left, "tx_timeout") == 0)
  }

  @Test("D11 frames that the device loses come again")
  func framesLost() throws {
    let wire = try transfer { host in
      var faults = FaultInjection()
      faults.framesToDrop = 4
      host.setFaults(faults)
    }
    #expect(nic(wire.left, "tx_errors") == 4)
  }

  @Test("D2 two sockets that write in turn with the NIC's own engines: it never stops the queue")
  func interleavedWriters() throws {
    let wire = try SimulatedWire()
    let (one, first) = try wire.connect(port: 5000)
    let (other, second) = try wire.connect(port: 5001)
    var sent = (0, 0)
    var received = (0, 0)
    func drain() {
      while let piece = try? first.receive(upTo: 65536), !piece.isEmpty { received.0 += piece.count }
      while let piece = try? second.receive(upTo: 65536), !piece.isEmpty { received.1 += piece.count }
    }
    first.isNonBlocking = true
    second.isNonBlocking = true
    let sizes = [2696, 16384] + [Int](repeating: 250, count: 12) + [2000]
    for round in 0..<40 {
      for size in sizes {
        sent.0 += (try? one.send([UInt8](repeating: UInt8(round), count: size))) ?? 0
        sent.1 += (try? other.send([1])) ?? 0
      }
      try wire.run(for: .milliseconds(20))
      drain()
    }
    wire.run(for: .seconds(5)) {
      drain()
      return received == sent
    }
    #expect(received == sent && sent.0 > 500_000)
    #expect(nic(wire.left, "tx_mdd_events") == 0)
    #expect(nic(wire.left, "tx_timeout") == 0)
  }
}
