import SkBuff
import Trace

/// Packet memory and trace ring of a shard: handles to them are everywhere in its state, this owns them.
///
/// Safety: outlives the shard, and with it every handle and packet: whoever holds the shard sees to it.
package final class ShardMemory: Sendable {
  package let pool: SkBuffPool
  package let tracer: Tracer

  package init(limit: Int) {
    tracer = Tracer()
    pool = SkBuffPool(limit: limit, tracer: tracer)
  }

  deinit {
    pool.destroy()
    tracer.destroy()
  }
}
