import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Wire

@testable import TCP

/// Random peers, honest and not, against a recount of every counter and a plain model of the byte stream.
@Suite("Recovery, at random")
struct RecoveryPropertyTests {
  /// What the sender wrote, and what of it the peer has seen.
  struct Model {
    var random: RandomSource
    let base: UInt32
    var written = 0
    var highest = 0
    /// First byte that is not acknowledged.
    var acknowledged = 0
    var seen: [Range<Int>] = []
    var mtu = 1500

    static let pattern = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

    mutating func below(_ limit: Int) -> Int { Int(random.next(below: UInt32(max(limit, 1)))) }

    /// Takes a segment off the wire; part of it may be lost on the way.
    mutating func take(_ segment: ScriptedSegment, isLost: Bool) {
      guard !segment.payload.isEmpty else { return }
      let start = Int(segment.sequence &- base)
      #expect(start >= 0 && start + segment.payload.count <= written)
      #expect(segment.payload == Array(Self.pattern[start..<start + segment.payload.count]))
      #expect(segment.payload.count + 20 + segment.options.count + 20 <= mtu)
      highest = max(highest, start + segment.payload.count)
      if !isLost { seen.append(start..<start + segment.payload.count) }
      if seen.count > 100 { seen.removeAll { $0.upperBound <= acknowledged } }
    }

    /// What an honest receiver would acknowledge.
    var contiguous: Int {
      var end = acknowledged
      for range in seen.sorted(by: { $0.lowerBound < $1.lowerBound })
      where range.lowerBound <= end && range.upperBound > end { end = range.upperBound }
      return end
    }
  }

  private func check(_ open: ScriptedConnection, _ seed: UInt64, _ step: String) -> Bool {
    guard let problem = open.inspect({ $0.brokenInvariant() }) else { return true }
    Issue.record("seed \(seed), after \(step): \(problem)")
    return false
  }

  private func connection(_ model: inout RandomSource, _ seed: UInt64) throws -> ScriptedConnection {
    let mss = [UInt16](arrayLiteral: 48, 100, 536, 1000, 1460)[Int(model.next(below: 5))]
    var options = [2, 4] + ScriptedPeer.bytes(mss)
    if model.next(below: 4) > 0 { options += [1, 1, 4, 2] }
    options += [1, 3, 3, 4]
    var settings = NetSettings()
    settings.tcpCongestionControl = seed % 2 == 0 ? .cubic : .reno
    return try ScriptedConnection(
      peer: ScriptedPeer(settings: settings, seed: seed), window: 4096, options: options,
      timestamps: model.next(below: 2) == 0)
  }

  private func fragmentationNeeded(_ open: ScriptedConnection, mtu: Int) {
    var quoted: [UInt8] = [0x45, 0, 0x05, 0xDC, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]
    quoted += ScriptedPeer.bytes(open.peer.hostPort) + ScriptedPeer.bytes(open.peer.port)
    quoted += ScriptedPeer.bytes(open.acknowledgment)
    var icmp: [UInt8] = [3, 4, 0, 0, 0, 0] + ScriptedPeer.bytes(UInt16(mtu)) + quoted
    let check = ScriptedPeer.checksum(icmp)
    icmp[2] = UInt8(check >> 8)
    icmp[3] = UInt8(check & 0xFF)
    open.peer.host.receive(ScriptedPeer.frame(protocol: 1, icmp))
  }

  private func step(_ open: ScriptedConnection, _ model: inout Model) throws -> String {
    func number(_ index: Int) -> UInt32 { model.base &+ UInt32(truncatingIfNeeded: index) }
    switch model.below(12) {
    case 0...2:
      let count = model.below(20000)
      let bytes = Array(Model.pattern[model.written..<model.written + count])
      // Written first: what is sent goes out within the call.
      model.written += count
      var taken = 0
      do { taken = try open.socket.send(bytes) } catch { guard error.errno == .EAGAIN else { throw error } }
      model.written += taken - count
      return "send"
    case 3...5:
      model.acknowledged = model.acknowledged + model.below(model.contiguous - model.acknowledged + 1)
      open.acknowledge(number(model.acknowledged))
      return "an honest ACK"
    case 6...8:
      var blocks: [(UInt32, UInt32)] = []
      for _ in 0..<1 + model.below(3) where !model.seen.isEmpty {
        let range = model.seen[model.below(model.seen.count)]
        blocks.append((number(range.lowerBound), number(range.upperBound)))
      }
      open.acknowledge(number(model.acknowledged), sack: blocks)
      return "honest SACKs"
    case 9:
      var blocks: [(UInt32, UInt32)] = []
      for _ in 0..<1 + model.below(3) {
        let start = model.below(model.highest + 2000) - 1000
        blocks.append((number(start), number(start + model.below(5000) - 500)))
      }
      open.peer.send(
        0x10, sequence: open.sequence, acknowledgment: number(model.below(model.highest + 4000) - 2000 * 2),
        window: UInt16(model.below(5000)),
        options: open.standing + [1, 1, 5, UInt8(2 + 8 * blocks.count)]
          + blocks.flatMap { ScriptedPeer.bytes($0.0) + ScriptedPeer.bytes($0.1) })
      // The stack may have believed the number.
      let una = Int(open.inspect { $0.sender.sndUna.rawValue } &- model.base)
      if una > model.acknowledged { model.acknowledged = una }
      open.acknowledgment = number(model.acknowledged)
      return "an absurd ACK"
    case 10:
      open.peer.advance(.milliseconds(Int64(model.below(400))))
      return "time"
    default:
      if model.below(3) == 0 && model.mtu > 600 {
        model.mtu = 576 + model.below(model.mtu - 576)
        fragmentationNeeded(open, mtu: model.mtu)
      } else {
        open.window = UInt16([0, 1, 40, 500, 4096, 20000][model.below(6)])
        open.acknowledge(number(model.acknowledged))
      }
      return "a new window or MTU"
    }
  }

  private func takeAll(_ open: ScriptedConnection, _ model: inout Model) {
    for segment in open.peer.all() {
      model.take(segment, isLost: false)
      if let stamps = segment.timestamps { open.echo = stamps.value }
    }
  }

  @Test("RFC 6675 counters agree with the queues, and bytes with the stream, whatever the peer says")
  func random() throws {
    for seed in UInt64(1)...300 {
      var random = RandomSource(seed: seed &* 7919)
      let open = try connection(&random, seed)
      var model = Model(random: random, base: open.acknowledgment)
      for _ in 0..<50 {
        let what = try step(open, &model)
        let share = model.below(4)
        for segment in open.peer.all() {
          let isLost = model.below(4) < share
          model.take(segment, isLost: isLost)
          if !isLost, let stamps = segment.timestamps { open.echo = stamps.value }
        }
        guard check(open, seed, what) else { return }
      }
      // From here on the peer is honest, and everything arrives.
      open.window = 4096
      for _ in 0..<600 where model.acknowledged < model.written {
        takeAll(open, &model)
        model.acknowledged = model.contiguous
        open.acknowledge(model.base &+ UInt32(model.acknowledged))
        takeAll(open, &model)
        if model.contiguous == model.acknowledged { open.peer.advance(.seconds(3)) }
        guard check(open, seed, "an honest end") else { return }
      }
      guard model.acknowledged == model.written else {
        Issue.record("seed \(seed): \(model.acknowledged) of \(model.written) bytes arrived")
        return
      }
      #expect(open.info.unacknowledged == 0)
      #expect(open.inspect { $0.sender.writeQueuedMemory } == 0)
    }
  }
}
