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
