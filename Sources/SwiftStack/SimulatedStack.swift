import IceModel

/// A stack whose clock and wire belong to the caller: frames go in and come out, and time passes only when it says so.
/// The whole path, NIC model included, runs in virtual time.
///
/// Sockets of it never wait by themselves: use them non-blocking, or from a thread other than the one that drives.
public final class SimulatedStack: Sendable {
  public let stack: Stack
  private let time: ManualTime
  private var shard: Shard { stack.shards[0] }

  /// - Parameters:
  ///   - lendsEngines: frames may be larger than the MTU and carry metadata, as on a TAP with offload.
  ///   - seed: everything random in the stack comes from it.
  public init(
    _ configuration: StackConfiguration = StackConfiguration(), lendsEngines: Bool = false, seed: UInt64 = 1,
    now: Instant = .origin
  ) throws {
    time = ManualTime(now)
    stack = try Stack(simulated: configuration, lendsEngines: lendsEngines, time: time, seed: seed)
  }

  public var now: Instant { time.now }

  /// Moves the clock and runs what is due until then, each timer at its time.
  public func advance(to instant: Instant) {
    while let deadline = nextDeadline, deadline <= instant {
      time.advance(to: deadline)
      runTurn()
    }
    time.advance(to: instant)
    runTurn()
  }

  private func runTurn() { _ = shard.runLoopTurn(isReadable: false, frameLimit: 0) }

  /// When `advance` has something to do next; `nil`: not before a frame or a call comes.
  public var nextDeadline: Instant? {
    let deadline = shard.inspect { $0.nextDeadline }
    return deadline == .distantFuture ? nil : max(deadline, now)
  }

  /// A frame arrives from the wire, without its frame check sequence.
  public func receive(_ frame: SimulatedFrame) {
    shard.enter { state in
      guard !state.isClosed else { return }
      state.runTimers()
      unsafe frame.bytes.withUnsafeBytes { unsafe state.receiveFrame($0, frame.metadata) }
    }
  }

  public func receive(_ bytes: [UInt8]) { receive(SimulatedFrame(bytes: bytes)) }

  /// The frames that the stack has sent since the last call, in order.
  public func takeFrames() -> [SimulatedFrame] { shard.inspect { $0.port.takeSimulated() } }

  /// Commits faults in the NIC, for tests.
  public func setFaults(_ faults: FaultInjection) { shard.inspect { $0.nic.faults = faults } }

  /// Packet buffers in use, for tests that nothing leaks.
  public var buffersInUse: Int { shard.inspect { $0.net.pool.buffersInUse } }

  /// Entries of the stack's timer queue, for tests that one leaves with what it timed.
  public var timerCount: Int { shard.inspect { $0.net.timers.count } }
}
