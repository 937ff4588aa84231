import SkBuff

/// A queueing discipline: one of a closed set, so that a packet meets a switch and not a table of functions.
/// Linux: `struct Qdisc`, `struct Qdisc_ops`.
public enum Qdisc: ~Copyable {
  case noqueue(NoQueue)
  case pfifoFast(PfifoFast)

  public init(_ kind: QdiscKind, limit: Int) {
    switch kind {
    case .noqueue: self = .noqueue(NoQueue())
    case .pfifoFast: self = .pfifoFast(PfifoFast(limit: limit))
    }
  }

  public var kind: QdiscKind {
    switch self {
    case .noqueue: .noqueue
    case .pfifoFast: .pfifoFast
    }
  }

  /// Whether an empty one may be passed by: it neither delays nor reorders. Linux: `TCQ_F_CAN_BYPASS`.
  public var canBypass: Bool {
    switch self {
    case .noqueue: false
    case .pfifoFast: true
    }
  }

  /// Packets that wait.
  public var count: Int {
    switch self {
    case .noqueue: 0
    case .pfifoFast(let fifo): fifo.count
    }
  }
  /// Wire bytes that wait.
  public var byteCount: Int {
    switch self {
    case .noqueue: 0
    case .pfifoFast(let fifo): fifo.byteCount
    }
  }

  /// Linux: `q->enqueue()`.
  public mutating func enqueue(_ skb: consuming SkBuff) -> XmitResult {
    switch consume self {
    case .noqueue(let state):
      self = .noqueue(state)
      skb.drop(.qdiscDrop)
      return .dropped
    case .pfifoFast(var fifo):
      let result = fifo.enqueue(skb)
      self = .pfifoFast(fifo)
      return result
    }
  }

  /// Linux: `q->dequeue()`.
  public mutating func dequeue() -> SkBuff? {
    switch consume self {
    case .noqueue(let state):
      self = .noqueue(state)
      return nil
    case .pfifoFast(var fifo):
      let skb = fifo.dequeue()
      self = .pfifoFast(fifo)
      return skb
    }
  }

  /// Drops every packet.
  public mutating func reset() {
    switch consume self {
    case .noqueue(let state): self = .noqueue(state)
    case .pfifoFast(var fifo):
      fifo.reset()
      self = .pfifoFast(fifo)
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
    case .pfifoFast(let fifo):
      self = .pfifoFast(fifo)
      return true
    }
  }
  mutating func leaveDirect() {
    switch consume self {
    case .noqueue(var state):
      state.leave()
      self = .noqueue(state)
    case .pfifoFast(let fifo): self = .pfifoFast(fifo)
    }
  }
}
