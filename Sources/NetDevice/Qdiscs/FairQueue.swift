import SkBuff
import Tables
import Timers

/// Every socket's packets in turn, none before its departure time. Linux: `fq`.
///
/// A flow is what one socket sends; what none sends is told apart by its hash. A flow has `quantum` bytes each time its turn comes, and one that begins has more. A flow whose
/// next packet is to leave later stands aside until then and holds nobody up.
public struct FairQueue: ~Copyable {
  /// What `tc qdisc replace ... fq` sets.
  public struct Parameters: Sendable, Equatable {
    /// Packets held at most, in all and of one flow.
    public var limit = 10_000
    public var flowLimit = 100
    /// Bytes of a turn, and of the turns of a flow that begins.
    public var quantum = 3028
    public var initialQuantum = 15_140
    /// A packet that would leave later than this is dropped. Linux: `horizon_drop`.
    public var horizon = Nanoseconds.seconds(10)
    public init() {}
  }

  /// What one socket sends. Linux: `struct fq_flow`.
  private struct Flow: ~Copyable {
    let key: UInt64
    var packets = SkBuffQueue()
    /// Bytes it may still send in this turn.
    var credit: Int
    /// Since when nothing of it has waited.
    var idleSince = Instant.origin
  }

  /// A flow this long without packets begins anew. Linux: `flow_refill_delay`.
  private static let refillDelay = Nanoseconds.milliseconds(40)
  /// Flows without packets that are remembered. Linux: `FQ_GC_MAX` and its age bound them.
  private static let idleFlowLimit = 1024

  private var parameters: Parameters
  private var flows = Slab<Flow>()
  private var places: [UInt64: Int] = [:]
  /// What keeps the network going, ARP: before all others and within no flow's limit. Linux: `q->internal`.
  private var control = SkBuffQueue()
  /// Whose turn it is: flows that have just begun, then the others. Linux: `new_flows`, `old_flows`.
  private var new = Fifo<Int>(capacity: 64, blank: 0)
  private var old = Fifo<Int>(capacity: 64, blank: 0)
  /// The flow whose turn is not over.
  private var current: Int?
  /// Flows that stand aside, by the time their first packet leaves.
  private var aside = DepartureQueue<Int>()
  public private(set) var count = 0
  public private(set) var byteCount = 0

  public init(_ parameters: Parameters) { self.parameters = parameters }

  public var configuration: Parameters { parameters }

  /// Other parameters for what comes; what waits stays. Linux: `fq_change()`.
  public mutating func change(to parameters: Parameters) { self.parameters = parameters }

  /// Linux: `fq_enqueue()`.
  public mutating func enqueue(
    _ skb: consuming SkBuff, now: Instant, statistics: inout QdiscStatistics
  ) -> XmitResult {
    let isControl = skb.priority & 15 == Self.controlPriority
    let index = isControl ? nil : flow(of: Self.key(of: skb), now: now)
    guard count < parameters.limit, skb.timestamp - now <= parameters.horizon,
      index.map({ flows[$0].packets.count < parameters.flowLimit }) ?? true
    else {
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return .dropped
    }
    count += 1
    byteCount += skb.wireSize.byteCount
    guard let index else {
      control.append(skb)
      return .success
    }
    let begins = flows[index].packets.isEmpty
    if begins && now - flows[index].idleSince >= Self.refillDelay {
      flows[index].credit = max(flows[index].credit, parameters.quantum)
    }
    flows[index].packets.append(skb)
    if begins { new.append(index) }
    return .success
  }

  /// Linux: `TC_PRIO_CONTROL`.
  private static let controlPriority: UInt32 = 7

  /// Linux: `fq_classify()`, with its 1024 flows of packets without a socket.
  private static func key(of skb: borrowing SkBuff) -> UInt64 {
    skb.socket != 0 ? UInt64(skb.socket) : 1 << 32 | UInt64(skb.hash & 1023)
  }

  private mutating func flow(of key: UInt64, now: Instant) -> Int {
    if let place = places[key] { return place }
    if flows.count >= Self.idleFlowLimit + count { forgetIdle() }
    let place = flows.insert(Flow(key: key, credit: parameters.initialQuantum, idleSince: now))
    places[key] = place
    return place
  }

  /// Linux: `fq_gc()`.
  private mutating func forgetIdle() {
    for place in 0..<flows.capacity where flows.isLive(place) && flows[place].packets.isEmpty {
      places[flows[place].key] = nil
      _ = flows.remove(place)
    }
  }

  /// Linux: `fq_dequeue()`.
  public mutating func dequeue(now: Instant) -> Dequeued {
    if let skb = control.popFirst() {
      count -= 1
      byteCount -= skb.wireSize.byteCount
      return .packet(skb)
    }
    while let time = aside.next, time <= now, let index = aside.popFirst() { old.append(index) }
    while let index = takeTurn() {
      if flows[index].credit <= 0 {
        flows[index].credit += parameters.quantum
        old.append(index)
        continue
      }
      guard let first = flows[index].packets.first else { continue }
      let due = flows[index].packets.withPacket(at: first) { $0.timestamp }
      // A time that is more than half the clock's range ahead has passed, as for Linux's signed one.
      if due - now > .zero {
        aside.insert(index, at: due)
        continue
      }
      guard let skb = flows[index].packets.popFirst() else { continue }
      let length = skb.wireSize.byteCount
      count -= 1
      byteCount -= length
      flows[index].credit -= length
      if flows[index].packets.isEmpty { flows[index].idleSince = now } else { current = index }
      return .packet(skb)
    }
    return aside.next.map { .notBefore($0) } ?? .empty
  }

  private mutating func takeTurn() -> Int? {
    if let index = current {
      current = nil
      return index
    }
    return new.popFirst() ?? old.popFirst()
  }

  /// Drops every packet. Linux: `fq_reset()`.
  public mutating func reset() {
    while let skb = control.popFirst() { skb.drop(.qdiscReset) }
    for place in 0..<flows.capacity where flows.isLive(place) {
      var flow = flows.remove(place)
      while let skb = flow.packets.popFirst() { skb.drop(.qdiscReset) }
    }
    places.removeAll()
    while takeTurn() != nil {}
    aside.removeAll()
    count = 0
    byteCount = 0
  }
}

extension FairQueue.Parameters {
  /// What `init(parsing:)` takes, in any order.
  static let usage =
    "fq [limit PACKETS] [flow_limit PACKETS] [quantum BYTES] [initial_quantum BYTES] [horizon TIME]"

  /// iproute2: `fq_parse_opt()`.
  init(parsing words: inout Words) throws(WordError) {
    self.init()
    while let word = words.next() {
      switch word {
      case "limit": limit = try words.value(of: word, .count("packets", in: 1...1_000_000))
      case "flow_limit": flowLimit = try words.value(of: word, .count("packets", in: 1...1_000_000))
      case "quantum": quantum = try words.value(of: word, .size)
      case "initial_quantum": initialQuantum = try words.value(of: word, .size)
      case "horizon": horizon = try words.value(of: word, .time)
      default:
        throw words.wrong(
          "unknown parameter \"\(word)\": expected limit, flow_limit, quantum, initial_quantum or horizon")
      }
      try words.once(word)
    }
  }

  /// As `tc qdisc show`.
  var description: String {
    "limit \(limit)p flow_limit \(flowLimit)p quantum \(quantum)b initial_quantum \(initialQuantum)b "
      + "horizon \(QuantityText.time(horizon)) horizon_drop"
  }
}
