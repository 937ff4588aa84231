import Testing

@testable import SkBuff

/// A packet and the bytes it must have.
private final class Held {
  var skb: SkBuff
  var bytes: [UInt8]
  init(_ skb: consuming SkBuff, _ bytes: [UInt8]) {
    self.skb = skb
    self.bytes = bytes
  }

  /// Whether the room in front is its own to give to a header: one that is kept for another transmission gave it away.
  var isPushable: Bool { unsafe !skb.header.pointee.hasReleasedHeader }

  /// Fills up to `limit` of the bytes that it may write from `start` on.
  func write(_ value: UInt8, from start: Int, limit: Int) {
    let end = Self.fill(&skb, value, from: start, limit: limit)
    for place in start..<max(start, end) { bytes[place] = value }
  }

  private static func fill(_ skb: inout SkBuff, _ value: UInt8, from start: Int, limit: Int) -> Int {
    guard var room = skb.writable() else { return start }
    let end = min(room.byteCount, start + limit)
    for place in start..<max(start, end) { room.store8(value, place) }
    return end
  }

  /// Takes what stands in front of the packet since a push as its own.
  func pushed(_ count: Int) { bytes = skb.bytes.prefix(count) + bytes }
}

private struct Dice {
  var state: UInt64
  mutating func below(_ limit: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % max(1, limit)
  }
}

/// Random operations on packets that share data, beside a model in which every packet is an array of its own: nothing that
/// one packet does changes a byte of another.
@Suite("Packets that share beside arrays that do not")
struct SkBuffModelTests {
  @Test(
    "B3 nothing that one packet does to itself is seen in another", arguments: 1...60 as ClosedRange<UInt64>)
  func model(_ seed: UInt64) {
    let bench = PoolBench()
    var dice = Dice(state: seed)
    var all: [Int: Held] = [:]
    var next = 0
    for _ in 0..<600 {
      let keys = all.keys.sorted()
      guard !keys.isEmpty, dice.below(20) > 0, let held = all[keys[dice.below(keys.count)]] else {
        let linear = dice.below(3) == 0 ? 0 : dice.below(300)
        let skb = bench.packet(
          linear: linear, fragments: (0..<dice.below(4)).map { _ in 1 + dice.below(300) })
        let bytes = skb.bytes
        all[next] = Held(skb, bytes)
        next += 1
        continue
      }
      if let new = step(held, &dice) {
        all[next] = new
        next += 1
      } else if dice.below(12) == 0 || all.count > 12 {
        all[keys[dice.below(keys.count)]] = nil
      }
      for other in all.values {
        let isSame = other.skb.bytes == other.bytes
        check(isSame && other.skb.inconsistency() == nil)
        if !isSame { return }
      }
    }
  }

  /// One random operation; the packet that it made, if it did.
  private func step(_ held: Held, _ dice: inout Dice) -> Held? {
    let count = held.bytes.count
    let value = UInt8(truncatingIfNeeded: dice.below(256))
    switch dice.below(12) {
    case 0: if let copy = held.skb.clone() { return Held(copy, held.bytes) }
    case 1, 2: if let copy = held.skb.transmissionClone() { return Held(copy, held.bytes) }
    case 3, 4: held.write(value, from: dice.below(count + 1), limit: 1 + dice.below(40))
    case 5:
      guard held.isPushable else { break }
      let header = min(held.skb.headroom, dice.below(24))
      held.skb.push(header)
      held.pushed(header)
      held.write(value, from: 0, limit: header)
    case 6:
      guard held.isPushable, held.skb.headroom >= 16 else { break }
      if held.skb.push(cached: SIMD2(UInt64(value), ~0), byteCount: 14) { held.pushed(14) }
    case 7:
      let cut = dice.below(count + 1)
      check(held.skb.trimHead(cut))
      held.bytes.removeFirst(cut)
    case 8:
      let left = dice.below(count + 1)
      check(held.skb.trim(to: left))
      held.bytes.removeLast(count - left)
    case 9:
      let place = dice.below(count + 1)
      guard let rest = held.skb.split(at: place, headroom: 64) else { break }
      let tail = Array(held.bytes[place...])
      held.bytes.removeLast(count - place)
      return Held(rest, tail)
    case 10: check(held.skb.mayPull(dice.below(count + 1)))
    default: check(held.skb.expandHead(headroom: 32 + dice.below(64), tailroom: dice.below(64)))
    }
    return nil
  }
}
