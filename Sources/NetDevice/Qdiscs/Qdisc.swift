import NetNamespace
import SkBuff
import Tables
import Timers

/// What a queueing discipline gives when the device asks for a packet.
@frozen
public enum Dequeued: ~Copyable {
  case packet(SkBuff)
  /// Nothing waits.
  case empty
  /// Packets wait, and none may go before that. Linux: `qdisc_watchdog_schedule_ns()`.
  case notBefore(Instant)
}

/// A queueing discipline: one of a closed set, so that a packet meets a switch and not a table of functions.
/// Linux: `struct Qdisc`, `struct Qdisc_ops`.
///
/// Those with much state have it in memory of its own, as `qdisc_priv()` is: the others are no larger for it.
public enum Qdisc: ~Copyable {
  case noqueue(NoQueue)
  case pfifoFast(PfifoFast)
  case tbf(Box<TokenBucketFilter>)
  case netem(Box<NetworkEmulator>)
  case fq(Box<FairQueue>)

  /// - Parameters:
  ///   - limit: the device's `tx_queue_len`, for those that hold so many packets.
  ///   - now: when it begins.
  ///   - random: where those that need random numbers take a seed.
  public init(_ configuration: QdiscConfiguration, limit: Int, now: Instant, random: inout RandomSource) {
    switch configuration {
    case .noqueue: self = .noqueue(NoQueue())
    case .pfifoFast: self = .pfifoFast(PfifoFast(limit: limit))
    case .tbf(let parameters): self = .tbf(Box(TokenBucketFilter(parameters, now: now)))
    case .netem(let parameters):
      self = .netem(Box(NetworkEmulator(parameters, random: RandomSource(seed: random.next()))))
    case .fq(let parameters): self = .fq(Box(FairQueue(parameters)))
    }
  }

  /// Gives one of the same kind other parameters; what waits stays. Linux: `qdisc_change()`.
  ///
  /// - Parameter statistics: where it counts what waits and can no longer go.
  /// - Returns: false for another kind; nothing was changed then.
  public mutating func change(
    to configuration: QdiscConfiguration, now: Instant, statistics: inout QdiscStatistics
  ) -> Bool {
    switch consume self {
    case .noqueue(let state):
      self = .noqueue(state)
      return configuration.kind == .noqueue
    case .pfifoFast(let fifo):
      self = .pfifoFast(fifo)
      return configuration.kind == .pfifoFast
    case .tbf(var box):
      if case .tbf(let parameters) = configuration {
        box.value.change(to: parameters, now: now, statistics: &statistics)
        self = .tbf(box)
        return true
      }
      self = .tbf(box)
      return false
    case .netem(var box):
      if case .netem(let parameters) = configuration {
        box.value.change(to: parameters)
        self = .netem(box)
        return true
      }
      self = .netem(box)
      return false
    case .fq(var box):
      if case .fq(let parameters) = configuration {
        box.value.change(to: parameters)
        self = .fq(box)
        return true
      }
      self = .fq(box)
      return false
    }
  }

  public var configuration: QdiscConfiguration {
    switch self {
    case .noqueue: .noqueue
    case .pfifoFast: .pfifoFast
    case .tbf(let box): .tbf(box.value.configuration)
    case .netem(let box): .netem(box.value.configuration)
    case .fq(let box): .fq(box.value.configuration)
    }
  }

  public var isNoqueue: Bool {
    switch self {
    case .noqueue: true
    default: false
    }
  }

  /// Whether an empty one may be passed by: it neither delays nor reorders. Linux: `TCQ_F_CAN_BYPASS`.
  public var canBypass: Bool {
    switch self {
    case .pfifoFast: true
    default: false
    }
  }

  /// Packets that wait.
  public var count: Int {
    switch self {
    case .noqueue: 0
    case .pfifoFast(let fifo): fifo.count
    case .tbf(let box): box.value.count
    case .netem(let box): box.value.count
    case .fq(let box): box.value.count
    }
  }
  /// Wire bytes that wait.
  public var byteCount: Int {
    switch self {
    case .noqueue: 0
    case .pfifoFast(let fifo): fifo.byteCount
    case .tbf(let box): box.value.byteCount
    case .netem(let box): box.value.byteCount
    case .fq(let box): box.value.byteCount
    }
  }

  /// Linux: `q->enqueue()`.
  ///
  /// - Parameter statistics: where it counts what it drops.
  public mutating func enqueue(
    _ skb: consuming SkBuff, now: Instant, statistics: inout QdiscStatistics
  ) -> XmitResult {
    switch consume self {
    case .noqueue(let state):
      self = .noqueue(state)
      statistics.dropped += 1
      skb.drop(.qdiscDrop)
      return .dropped
    case .pfifoFast(var fifo):
      let result = fifo.enqueue(skb)
      self = .pfifoFast(fifo)
      if result == .dropped { statistics.dropped += 1 }
      return result
    case .tbf(var box):
      let result = box.value.enqueue(skb, statistics: &statistics)
      self = .tbf(box)
      return result
    case .netem(var box):
      let result = box.value.enqueue(skb, now: now, statistics: &statistics)
      self = .netem(box)
      return result
    case .fq(var box):
      let result = box.value.enqueue(skb, now: now, statistics: &statistics)
      self = .fq(box)
      return result
    }
  }

  /// Linux: `q->dequeue()`.
  ///
  /// - Parameter statistics: where it counts what had to wait.
  public mutating func dequeue(now: Instant, statistics: inout QdiscStatistics) -> Dequeued {
    switch consume self {
    case .noqueue(let state):
      self = .noqueue(state)
      return .empty
    case .pfifoFast(var fifo):
      let skb = fifo.dequeue()
      self = .pfifoFast(fifo)
      guard let skb else { return .empty }
      return .packet(skb)
    case .tbf(var box):
      let result = box.value.dequeue(now: now, statistics: &statistics)
      self = .tbf(box)
      return result
    case .netem(var box):
      let result = box.value.dequeue(now: now)
      self = .netem(box)
      return result
    case .fq(var box):
      let result = box.value.dequeue(now: now)
      self = .fq(box)
      return result
    }
  }

  /// Drops every packet. Linux: `qdisc_reset()`.
  public mutating func reset(now: Instant) {
    switch consume self {
    case .noqueue(let state): self = .noqueue(state)
    case .pfifoFast(var fifo):
      fifo.reset()
      self = .pfifoFast(fifo)
    case .tbf(var box):
      box.value.reset(now: now)
      self = .tbf(box)
    case .netem(var box):
      box.value.reset()
      self = .netem(box)
    case .fq(var box):
      box.value.reset()
      self = .fq(box)
    }
  }

  /// For a device without a queue: begins a transmission inside the present one, see `NoQueue.enter()`; always true for
  /// the others.
  mutating func enterDirect() -> Bool {
    switch consume self {
    case .noqueue(var state):
      let entered = state.enter()
      self = .noqueue(state)
      return entered
    case let other:
      self = other
      return true
    }
  }
  mutating func leaveDirect() {
    switch consume self {
    case .noqueue(var state):
      state.leave()
      self = .noqueue(state)
    case let other: self = other
    }
  }
}
