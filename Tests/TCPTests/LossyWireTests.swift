import SwiftStack
import TestSupport
import Testing

/// Whole transfers between two stacks, NIC models included, in virtual time.
@Suite("Two stacks on a bad wire", .everyVariation)
struct LossyWireTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var fault: WireFault
    var byteCount: Int
    var lent = false
    var mtu = 1500
    var testDescription: String { name }
  }

  static func fault(_ change: (inout WireFault) -> Void) -> WireFault {
    var fault = WireFault()
    change(&fault)
    return fault
  }

  static let cases: [Case] = [
    Case(name: "clean", fault: WireFault(), byteCount: 1 << 20),
    Case(name: "clean, engines lent", fault: WireFault(), byteCount: 1 << 20, lent: true),
    Case(name: "MTU 576", fault: WireFault(), byteCount: 1 << 18, mtu: 576),
    Case(name: "MTU 9000", fault: WireFault(), byteCount: 1 << 20, mtu: 9000),
    Case(name: "1 % loss", fault: .loss(0.01), byteCount: 1 << 19),
    Case(name: "5 % loss", fault: .loss(0.05), byteCount: 1 << 18),
    Case(name: "20 % loss", fault: .loss(0.20), byteCount: 1 << 16),
    Case(name: "1 % loss, engines lent", fault: .loss(0.01), byteCount: 1 << 20, lent: true),
    Case(name: "reordering", fault: fault { $0.reorder = 0.1 }, byteCount: 1 << 19),
    Case(name: "duplicates", fault: fault { $0.duplicate = 0.1 }, byteCount: 1 << 19),
    Case(name: "corruption", fault: fault { $0.corrupt = 0.02 }, byteCount: 1 << 18),
    Case(
      name: "slow and long",
      fault: fault {
        $0.rate = 10_000_000; $0.delay = .milliseconds(50)
      }, byteCount: 1 << 19),
    Case(
      name: "everything",
      fault: fault {
        $0.loss = 0.02
        $0.reorder = 0.05
        $0.duplicate = 0.02
        $0.corrupt = 0.005
        $0.delay = .milliseconds(5)
      }, byteCount: 1 << 18),
  ]

  @Test("R every byte arrives once and in order, both ways at once", arguments: cases)
  func transfer(_ scenario: Case) throws {
    let wire = try SimulatedWire(mtu: scenario.mtu, lendsEngines: scenario.lent, services: false)
    let server = try wire.right.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.bind(to: SocketAddress(.any, port: 9000))
    try server.listen()
    let client = try wire.left.stack.socket(.tcp)
    client.isNonBlocking = true
    try? client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
    var accepted: Socket?
    wire.run(for: .seconds(120)) {
      if accepted == nil { accepted = try? server.accept() }
      return accepted != nil && client.readiness.contains(.writable)
    }
    let far = try #require(accepted)
    far.isNonBlocking = true
    wire.leftToRight = scenario.fault
    wire.rightToLeft = scenario.fault
    var left = Stream(client, seed: 1, count: scenario.byteCount)
    var right = Stream(far, seed: 101, count: scenario.byteCount)
    let done = try wire.run(for: .seconds(3600)) {
      try left.step(reading: &right.expected)
      try right.step(reading: &left.expected)
      return left.isDone && right.isDone
    }
    #expect(done)
    #expect(left.received == scenario.byteCount)
    #expect(right.received == scenario.byteCount)
    #expect(!left.isWrong && !right.isWrong)
  }

  /// Bytes of which no long run comes twice (Knuth's generator for 64 bits); cheap, where nothing is optimised.
  struct Pattern {
    var state: UInt64
    mutating func next() -> UInt8 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  /// One end's bytes: a pattern of its own going out, the other's checked as it comes in.
  struct Stream {
    let socket: Socket
    var pattern: Pattern
    /// What the other end will read from us.
    var expected: Pattern
    let count: Int
    var sent = 0
    var pending: [UInt8] = []
    var closed = false
    var received = 0
    var sawEnd = false
    /// A byte came that the other end did not send there.
    var isWrong = false

    init(_ socket: Socket, seed: UInt64, count: Int) {
      self.socket = socket
      pattern = Pattern(state: seed)
      expected = Pattern(state: seed)
      self.count = count
    }
    var isDone: Bool { closed && sawEnd }

    mutating func step(reading other: inout Pattern) throws {
      while sent < count {
        if pending.isEmpty {
          pending = (0..<min(4096, count - sent)).map { _ in pattern.next() }
        }
        do {
          let taken = try socket.send(pending)
          sent += taken
          pending.removeFirst(taken)
        } catch {
          guard error.errno == .EAGAIN else { throw error }
          break
        }
      }
      if sent == count && !closed {
        try socket.shutdown(write: true)
        closed = true
      }
      while !sawEnd {
        do {
          let bytes = try socket.receive(upTo: 65536)
          if bytes.isEmpty {
            sawEnd = true
            break
          }
          received += bytes.count
          isWrong = isWrong || bytes.contains { $0 != other.next() }
        } catch {
          guard error.errno == .EAGAIN else { throw error }
          break
        }
      }
    }
  }
}

@Suite("B4 memory pressure")
struct MemoryPressureTests {
  @Test(
    "B4 readers that never read cannot hold more than the pool; others still get through, and it all drains")
  func pressure() throws {
    let wire = try SimulatedWire(seed: 5, services: false, packetMemory: 24 << 20)
    let server = try wire.right.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.bind(to: SocketAddress(.any, port: 9000))
    try server.listen()
    var near: [Socket] = []
    var far: [Socket] = []
    for _ in 0..<40 {
      let client = try wire.left.stack.socket(.tcp)
      client.isNonBlocking = true
      try? client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
      near.append(client)
    }
    wire.run(for: .seconds(10)) {
      while let socket = try? server.accept() {
        socket.isNonBlocking = true
        far.append(socket)
      }
      return far.count == near.count
    }
    #expect(far.count == 40)
    // Everybody sends as much as is taken, nobody reads.
    let block = [UInt8](repeating: 7, count: 65536)
    wire.run(for: .seconds(20)) {
      for socket in near { _ = try? socket.send(block) }
      return false
    }
    // A newcomer is served all the same.
    let late = try wire.left.stack.socket(.tcp)
    late.isNonBlocking = true
    try? late.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
    var accepted: Socket?
    wire.run(for: .seconds(60)) {
      if accepted == nil { accepted = try? server.accept() }
      return accepted != nil
    }
    let served = try #require(accepted)
    served.isNonBlocking = true
    var echoed: [UInt8] = []
    var sent = false
    wire.run(for: .seconds(60)) {
      if !sent { sent = (try? late.send(Array("hello".utf8))) != nil }
      echoed += (try? served.receive(upTo: 100)) ?? []
      return echoed.count == 5
    }
    #expect(echoed == Array("hello".utf8))
    // Reading lets everything go on.
    var total = 0
    wire.run(for: .seconds(30)) {
      for socket in far { total += ((try? socket.receive(upTo: 1 << 20)) ?? []).count }
      return total > 40 * 200_000
    }
    #expect(total > 0)
  }
}
