import NetNamespace
import SkBuff
import Timers

/// A network that is longer, slower or worse than it is: packets leave later, not at all, twice, damaged, or out of order.
/// Linux: `netem`.
///
/// A packet that is held back counts as being on the wire: its socket may send on meanwhile, or the emulated delay would
/// throttle the sender as no network does. Linux: `skb_orphan_partial()`.
public struct NetworkEmulator: ~Copyable {
  /// What `tc qdisc replace ... netem` sets.
  public struct Parameters: Sendable, Equatable {
    /// Packets held at most.
    public var limit = 1000
    public var latency = Nanoseconds.zero
    /// How far the delay strays: the half width of the uniform distribution, the standard deviation of the normal one.
    public var jitter = Nanoseconds.zero
    public var delayCorrelation = Share.none
    public var distribution = DelayDistribution.uniform
    public var loss = Loss.none
    public var duplicate = Chance()
    public var corrupt = Chance()
    /// Of packets that are not delayed and so overtake others.
    public var reorder = Chance()
    /// Every so manieth packet may overtake.
    public var gap = 0
    /// Bytes a second.
    public var rate: UInt64?
    public init() {}
  }

  /// How often something happens, and how much one decision depends on the last.
  public struct Chance: Sendable, Equatable {
    public var share = Share.none
    public var correlation = Share.none
  }

  /// Which packets the network loses.
  public enum Loss: Sendable, Equatable {
    case none
    case random(Chance)
    /// Gilbert-Elliott: a good and a bad state; shares of going bad (p), of going good (r), and of loss in the bad
    /// (1-h) and in the good (1-k).
    case gilbertElliott(p: Share, r: Share, inBad: Share, inGood: Share)
  }

  private var parameters: Parameters
  private var random: RandomSource
  private var delays: DelaySource
  private var lossRandom: CorrelatedRandom
  private var duplicateRandom: CorrelatedRandom
  private var corruptRandom: CorrelatedRandom
  private var reorderRandom: CorrelatedRandom
  private var isInBadState = false
  /// Packets delayed since one overtook.
  private var counter = 0

  /// Packets that wait for their time, and those that overtake all of them.
  private var waiting = SkBuffQueue()
  private var departures = DepartureQueue<SkBuffQueue.Position>()
  private var overtaking = SkBuffQueue()
  /// The latest departure of those that wait.
  private var latest = Instant.origin
  public private(set) var byteCount = 0

  /// - Parameter random: its numbers come from there.
  public init(_ parameters: Parameters, random: RandomSource) {
    self.parameters = parameters
    self.random = random
    delays = DelaySource(parameters)
    lossRandom = CorrelatedRandom(parameters.lossCorrelation)
    duplicateRandom = CorrelatedRandom(parameters.duplicate.correlation)
    corruptRandom = CorrelatedRandom(parameters.corrupt.correlation)
    reorderRandom = CorrelatedRandom(parameters.reorder.correlation)
  }

  public var count: Int { waiting.count + overtaking.count }
  public var configuration: Parameters { parameters }

  /// Other parameters; packets that wait keep their times. Linux: `netem_change()`.
  public mutating func change(to parameters: Parameters) {
    self.parameters = parameters
    delays = DelaySource(parameters)
    lossRandom = CorrelatedRandom(parameters.lossCorrelation)
    duplicateRandom = CorrelatedRandom(parameters.duplicate.correlation)
    corruptRandom = CorrelatedRandom(parameters.corrupt.correlation)
    reorderRandom = CorrelatedRandom(parameters.reorder.correlation)
    isInBadState = false
  }

  /// Takes a packet in, or two of it, or none. Linux: `netem_enqueue()`.
  public mutating func enqueue(
    _ skb: consuming SkBuff, now: Instant, statistics: inout QdiscStatistics
  ) -> XmitResult {
    let isTwice = duplicateRandom.hits(parameters.duplicate.share, &random)
    let copy = isTwice ? skb.copyHeader() : nil
    let isLost = loses()
    if isLost && !isTwice {
      // The network lost it: the sender does not hear of that.
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return .success
    }
    // What comes twice and is lost once comes once.
    var result = place(skb, now: now, statistics: &statistics)
    if !isLost, let copy { result = enqueueAgain(copy, now: now, statistics: &statistics, after: result) }
    return result
  }

  /// The second of two, which is not doubled again.
  private mutating func enqueueAgain(
    _ skb: consuming SkBuff, now: Instant, statistics: inout QdiscStatistics, after result: XmitResult
  ) -> XmitResult {
    if loses() {
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return result
    }
    return place(skb, now: now, statistics: &statistics) == .success ? .success : result
  }

  private mutating func place(
    _ skb: consuming SkBuff, now: Instant, statistics: inout QdiscStatistics
  ) -> XmitResult {
    if parameters.holdsBack { skb.orphan() }
    guard corruptRandom.hits(parameters.corrupt.share, &random) else {
      return schedule(skb, now: now, statistics: &statistics)
    }
    // Only one segment of a packet that stands for several is damaged.
    var segments = SkBuffQueue()
    if skb.isGSO {
      guard GenericSegmentation.segment(skb, features: [.scatterGather, .checksum], into: &segments) else {
        statistics.dropped += 1
        return .dropped
      }
    } else {
      segments.append(skb)
    }
    guard var first = segments.popFirst() else { return .dropped }
    guard damage(&first) else {
      statistics.dropped += 1
      first.drop(.noMemory)
      return .dropped
    }
    var result = schedule(first, now: now, statistics: &statistics)
    while let next = segments.popFirst() {
      let loses = loses()
      if loses {
        statistics.dropped += 1
        next.drop(.qdiscDrop)
      } else if schedule(next, now: now, statistics: &statistics) == .success {
        result = .success
      }
    }
    return result
  }

  /// Turns one bit of the linear bytes round, the checksum complete before. Returns false when memory ran out.
  private mutating func damage(_ skb: inout SkBuff) -> Bool {
    guard skb.completeChecksum(), skb.unclone() else { return false }
    let count = skb.headLength
    guard count >= 2 else { return true }
    let place = Int(random.next(below: UInt32(count)))
    let bit = UInt16(1) << UInt16(random.next(below: 8))
    let isLast = place == count - 1
    let offset = isLast ? place - 1 : place
    guard var bytes = skb.writable() else { return false }
    bytes.store16(bytes.bytes.load16(offset) ^ (isLast ? bit : bit << 8), offset)
    // Nobody vouches for it any more.
    skb.checksumStatus = .none
    return true
  }

  /// Gives the packet its time, or lets it overtake.
  private mutating func schedule(
    _ skb: consuming SkBuff, now: Instant, statistics: inout QdiscStatistics
  ) -> XmitResult {
    guard count < parameters.limit else {
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return .dropped
    }
    let length = skb.wireSize.byteCount
    byteCount += length
    if parameters.gap > 0, counter >= parameters.gap - 1,
      reorderRandom.hits(parameters.reorder.share, &random)
    {
      counter = 0
      statistics.requeues += 1
      overtaking.prepend(skb)
      return .success
    }
    var start = now
    var delay = delays.next(&random)
    if let rate = parameters.rate {
      // The emulated line sends one after the other: what waits for the line has its delay meanwhile.
      if !departures.isEmpty {
        delay = max(.zero, delay - (latest - now))
        start = latest
      }
      delay = delay + Nanoseconds(Int64(UInt64(length) * 1_000_000_000 / rate))
    }
    counter += 1
    let departure = start + delay
    latest = departures.isEmpty ? departure : max(latest, departure)
    waiting.append(skb)
    if let place = waiting.last { departures.insert(place, at: departure) }
    return .success
  }

  /// Linux: `netem_dequeue()`.
  public mutating func dequeue(now: Instant) -> Dequeued {
    if let skb = overtaking.popFirst() {
      byteCount -= skb.wireSize.byteCount
      return .packet(skb)
    }
    guard let next = departures.next else { return .empty }
    guard next <= now else { return .notBefore(next) }
    guard let place = departures.popFirst() else { return .empty }
    let skb = waiting.remove(at: place)
    byteCount -= skb.wireSize.byteCount
    return .packet(skb)
  }

  /// Drops every packet. Linux: `netem_reset()`.
  public mutating func reset() {
    departures.removeAll()
    while let skb = overtaking.popFirst() { skb.drop(.qdiscReset) }
    while let skb = waiting.popFirst() { skb.drop(.qdiscReset) }
    byteCount = 0
  }

  /// Whether the network loses the next packet. Linux: `loss_event()`.
  private mutating func loses() -> Bool {
    switch parameters.loss {
    case .none: return false
    case .random(let chance): return lossRandom.hits(chance.share, &random)
    case .gilbertElliott(let p, let r, let inBad, let inGood):
      let change = Share.draw(&random)
      let loss = Share.draw(&random)
      if isInBadState {
        if r.includes(change) { isInBadState = false }
        return inBad.includes(loss)
      }
      if p.includes(change) { isInBadState = true }
      return inGood.includes(loss)
    }
  }
}
