/// A program that a shard runs itself, on the thread that has made one of its sockets ready: to completion, without a lock
/// or a switch of threads. The services that `up` offers are such.
///
/// A program has any number of sockets and one timer. Nothing of it may block, and each turn should end after about
/// `Shard.turnByteCount`; a socket that still has something gets in line again with `Shard.wake(_:)`. It is started on one
/// shard, and is used from then on by whoever holds that shard only.
open class Program {
  /// What it runs under, from `Shard.start(_:)` on.
  public internal(set) final var id = ProgramID.none

  /// A program that does not run yet.
  public init() {}

  /// One of its sockets may be ready, or has just been given to it.
  open func ready(_ socket: SocketID, on shard: inout Shard) {}

  /// The time that `Shard.setTimer(of:at:)` asked for has come.
  open func timeIsUp(on shard: inout Shard) {}

  /// Somebody outside the shard wants it to look: `Shard.nudge(_:)`.
  open func nudged(on shard: inout Shard) {}

  /// The stack is about to close, and resets what is left: the last call.
  open func stackEnds(on shard: inout Shard) {}
}

/// Names a program that runs on a shard. A later one in the same place has another.
public struct ProgramID: Hashable, Sendable {
  package var slot: UInt32
  /// 0 is nobody's.
  package var generation: UInt32

  package init(slot: UInt32, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }

  /// No program.
  public static var none: ProgramID { ProgramID(slot: 0, generation: 0) }

  /// In one word, for a descriptor's event or a timer.
  package var word: UInt64 { UInt64(generation) << 32 | UInt64(slot) }
  package init(word: UInt64) {
    self.init(slot: UInt32(truncatingIfNeeded: word), generation: UInt32(truncatingIfNeeded: word >> 32))
  }
}
