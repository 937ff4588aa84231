import IceModel

/// One shard alone, in virtual time: its wire and its clock belong to the caller, and there is no thread and no lock. The
/// whole path, NIC model included, runs inside the calls. A scheduler that has timers of its own runs it by `nextDeadline` and
/// `advance(to:)`; a link that carries frames as spans is plugged in by `receive` and `takeFrames`.
///
/// ```swift
/// let host = try SimulatedShard()
/// host.run { $0.start(MyProgram()) }
/// host.receive(frame)
/// host.takeFrames { bytes, _ in send(bytes) }
/// ```
///
/// Safety: `shard` is made in `init`, never moves, and ends in `deinit`, before its memory.
@safe
public final class SimulatedShard {
  private let shard: UnsafeMutablePointer<Shard>
  private let memory: ShardMemory
  /// The shard's time, which only `advance(to:)` moves.
  public private(set) var now: Instant

  /// - Parameters:
  ///   - configuration: addresses, settings, device.
  ///   - lendsEngines: frames may be larger than the MTU and carry metadata, as on a TAP with offload.
  ///   - seed: everything random in the stack comes from it.
  ///   - now: the first reading of the clock.
  /// - Throws: `StackError` for values that cannot be.
  public init(
    _ configuration: StackConfiguration = StackConfiguration(), lendsEngines: Bool = false, seed: UInt64 = 1,
    now: Instant = .origin
  ) throws(StackError) {
    try configuration.validate()
    var source = RandomSource(seed: seed)
    do throws(Errno) {
      let made = try Shard(
        configuration, wire: SimulatedWirePort(), links: configuration.links.map { _ in SimulatedWirePort() },
        lendsEngines: lendsEngines,
        seed: (source.next(), source.next(), source.next()), now: now, timeOfDayOffset: { nil })
      memory = made.memory
      unsafe shard = .allocate(capacity: 1)
      unsafe shard.initialize(to: made)
    } catch {
      throw StackError("the stack cannot be set up: \(error)", code: error)
    }
    self.now = now
    if configuration.announcesAddress { run { $0.host.announceAddresses() } }
  }

  deinit {
    unsafe shard.deinitialize(count: 1)
    unsafe shard.deallocate()
  }

  /// Runs `body` inside the shard, then everything that follows from it. Not to be called from within itself.
  public func run<Result, Failure: Error>(
    _ body: (inout Shard) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    unsafe shard.pointee.host.net.advance(to: now)
    defer {
      unsafe _ = shard.pointee.leave()
      unsafe shard.pointee.owners.woken.take().wake()
    }
    return unsafe try body(&shard.pointee)
  }

  /// A frame arrives from the wire, from its Ethernet header on, without its frame check sequence.
  public func receive(_ frame: Span<UInt8>, _ metadata: WireFrameMetadata = WireFrameMetadata()) {
    run { $0.receive(frame, metadata) }
  }

  /// The frames that the stack has sent since the last call, in order; a span is good during the call it is given to.
  public func takeFrames(_ body: (Span<UInt8>, WireFrameMetadata) -> Void) {
    unsafe (shard.pointee.port.wire as? SimulatedWirePort)?.takeAll(body)
  }

  /// When `advance` has something to do next; `nil`: not before a frame or a call comes.
  public var nextDeadline: Instant? {
    let deadline = unsafe shard.pointee.nextDeadline
    return deadline == .distantFuture ? nil : max(deadline, now)
  }

  /// Moves the clock and runs what is due until then, each timer at its time.
  public func advance(to instant: Instant) {
    while let deadline = nextDeadline, deadline <= instant {
      now = max(now, deadline)
      turn()
    }
    now = max(now, instant)
    turn()
  }

  /// Moves the clock at once, as for a machine that was suspended: what was due meanwhile is late, and runs now.
  public func jump(to instant: Instant) {
    now = max(now, instant)
    turn()
  }

  private func turn() {
    run { _ = $0.turn(isReadable: false, frameLimit: 0) }
  }
}
