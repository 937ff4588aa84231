import NetNamespace
import SkBuff
import Timers
import Trace

/// The ground of a bench: packet memory and trace, and the `struct net` above them in virtual time. It ends with the bench, which
/// has given back every packet by then: one that was leaked traps.
public final class TestMemory {
  public let tracer: Tracer
  public let pool: SkBuffPool

  public init(limit: Int = 64 << 20, traceCapacity: Int = 64) {
    tracer = Tracer(capacity: traceCapacity)
    pool = SkBuffPool(limit: limit, tracer: tracer)
  }

  deinit {
    pool.destroy()
    tracer.destroy()
  }

  /// A `struct net` of its own, a second after the clock's origin unless asked otherwise.
  public func net(seed: UInt64 = 1, now: Instant = .origin + .seconds(1)) -> Net {
    Net(pool: pool, tracer: tracer, seed: seed, now: now)
  }
}

extension SkBuffPool {
  /// Takes what packets are made of until there is none: neither a header nor data for one is left.
  public func exhaust() -> SkBuffQueue {
    var held = SkBuffQueue()
    // As many as a piece of the pool has data for: each takes data without a header in the end.
    var clones: [SkBuffQueue.Position] = []
    for _ in 0..<64 {
      guard let skb = allocate(headroom: 0, linear: 256, use: .transit), let clone = skb.clone() else {
        break
      }
      held.append(skb)
      held.append(clone)
      if let place = held.last { clones.append(place) }
    }
    while let skb = allocate(headroom: 0, linear: 256, use: .transit) { held.append(skb) }
    for place in clones { _ = held.withMutablePacket(at: place) { $0.unclone() } }
    return held
  }
}
