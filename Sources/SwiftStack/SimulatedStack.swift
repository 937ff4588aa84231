import IceModel
import Shard

/// A stack whose clock and wire belong to the caller: frames go in and come out, and time passes only when it says so.
/// The whole path, NIC model included, runs in virtual time.
///
/// Time-outs of its sockets go by its clock, too: use them non-blocking, or from a thread or task other than the one that
/// drives.
public final class SimulatedStack: Sendable {
  /// The stack, with the calls that every stack has.
  public let stack: Stack
  let time: ManualTime
  private var shards: [LockedShard] { stack.shards }

  /// - Parameters:
  ///   - configuration: addresses, settings, device.
  ///   - queues: shards that share the address, 1 to 64. Frames come to them by `queue(of:)`.
  ///   - lendsEngines: frames may be larger than the MTU and carry metadata, as on a TAP with offload.
  ///   - seed: everything random in the stack comes from it.
  ///   - now: the first reading of the stack's clock.
  public init(
    _ configuration: StackConfiguration = StackConfiguration(), queues: Int = 1, lendsEngines: Bool = false,
    seed: UInt64 = 1, now: Instant = .origin
  ) throws {
    time = ManualTime(now)
    stack = try Stack(
      simulated: configuration, queues: queues, lendsEngines: lendsEngines, time: time, seed: seed)
  }

  /// The stack's time, which only `advance(to:)` moves.
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

  private func runTurn() {
    for shard in shards { _ = shard.runLoopTurn(isReadable: false, frameLimit: 0) }
    settle()
    for shard in shards { while shard.executor.runJobs() { settle() } }
  }

  /// Has every shard take what others have handed it, until nobody has anything.
  private func settle() {
    guard shards.count > 1 else { return }
    while let shard = shards.first(where: { !$0.inbox.isEmpty }) {
      _ = shard.runLoopTurn(isReadable: false, frameLimit: 0)
    }
  }

  /// When `advance` has something to do next; `nil`: not before a frame or a call comes.
  public var nextDeadline: Instant? {
    settle()
    let deadline = shards.map { $0.inspect { $0.nextDeadline } }.min() ?? .distantFuture
    return deadline == .distantFuture ? nil : max(deadline, now)
  }

  /// The queue that a frame comes to when nobody says: by the flow's addresses and ports, the same both ways. A fragment
  /// has no ports that a NIC would look at.
  public func queue(of bytes: [UInt8]) -> Int {
    guard shards.count > 1, bytes.count >= 34, bytes[12] == 8, bytes[13] == 0 else { return 0 }
    func word(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    var hash = word(26) ^ word(30)
    let isFragment = (bytes[20] & 0x3F | bytes[21]) != 0
    if !isFragment, bytes[23] == 6 || bytes[23] == 17, bytes.count >= 38 {
      let ports = word(34)
      hash ^= ports ^ (ports << 16 | ports >> 16)
    }
    hash = (hash ^ hash >> 15) &* 0x2C1B_3C6D
    return Int((hash ^ hash >> 12) % UInt32(shards.count))
  }

  /// A frame arrives from the wire, without its frame check sequence.
  ///
  /// - Parameters:
  ///   - frame: from its Ethernet header on.
  ///   - queue: the one it arrives at; `nil`: by its flow.
  public func receive(_ frame: SimulatedFrame, queue: Int? = nil) {
    shards[queue ?? self.queue(of: frame.bytes)].enter { $0.receive(frame) }
    settle()
  }

  /// A frame without metadata arrives from the wire.
  public func receive(_ bytes: [UInt8], queue: Int? = nil) {
    receive(SimulatedFrame(bytes: bytes), queue: queue)
  }

  /// The frames that the stack has sent since the last call, in order; those of several queues one queue after the other.
  public func takeFrames() -> [SimulatedFrame] {
    settle()
    return shards.flatMap { $0.inspect { $0.takeFrames() } }
  }

  // MARK: Further interfaces

  /// A frame arrives from the wire of an interface, without its frame check sequence.
  ///
  /// - Parameters:
  ///   - name: the interface's.
  ///   - queue: the one it arrives at; `nil`: by its flow.
  /// - Throws: `StackError` with ENODEV for a name that is none.
  public func receive(_ frame: SimulatedFrame, on name: String, queue: Int? = nil) throws(StackError) {
    guard let card = try self.card(name) else { return receive(frame, queue: queue) }
    shards[queue ?? self.queue(of: frame.bytes)].enter { $0.receive(frame, card: card) }
    settle()
  }

  /// The frames that the stack has sent by an interface since the last call; see `takeFrames()`.
  ///
  /// - Throws: `StackError` with ENODEV for a name that is none.
  public func takeFrames(on name: String) throws(StackError) -> [SimulatedFrame] {
    guard let card = try self.card(name) else { return takeFrames() }
    settle()
    return shards.flatMap { $0.inspect { $0.takeFrames(card: card) } }
  }

  private func card(_ name: String) throws(StackError) -> Int? {
    if name == stack.configuration.name { return nil }
    guard let place = stack.configuration.links.firstIndex(where: { $0.name == name }) else {
      throw StackError("Cannot find device \"\(name)\"", code: .ENODEV)
    }
    return place
  }

  /// Plugs the cable in or out: frames that are sent meanwhile are lost.
  public func setCarrier(_ isUp: Bool) {
    for shard in shards { shard.inspect { $0.setCarrier(isUp) } }
  }

  /// Commits faults in the NIC, for tests.
  public func setFaults(_ faults: FaultInjection) {
    for shard in shards { shard.inspect { $0.nic.faults = faults } }
  }

  /// Makes the driver's next so many mappings fail, for tests.
  public func failMappings(_ count: Int) {
    for shard in shards { shard.inspect { $0.nic.injectMappingFailures(count) } }
  }

  /// Has the `number`th copy from or to a caller's memory from now on fail, on each shard, as one of memory that cannot be
  /// touched; 0: none. Linux: `fail_usercopy`.
  public func injectCopyFault(_ number: Int) {
    for shard in shards { shard.inspect { $0.sockets.copiesUntilFault = max(0, number) } }
  }

  /// Takes the interface away, as when a TAP is removed under its stack: every call gets ENETDOWN.
  public func removeLink() { for shard in shards { shard.linkGone() } }

  /// Packet buffers in use, for tests that nothing leaks.
  public var buffersInUse: Int { sum { $0.host.net.pool.buffersInUse } }

  /// Packet memory that is in use, and that is taken from the system, in bytes.
  public var packetMemory: (used: Int, allocated: Int) {
    (sum { $0.host.net.pool.usedByteCount }, sum { $0.host.net.pool.allocatedByteCount })
  }

  /// Entries of the stack's timer queue, for tests that one leaves with what it timed.
  public var timerCount: Int { sum { $0.host.net.timers.count } }

  private func sum(_ value: (borrowing Shard) -> Int) -> Int {
    shards.reduce(0) { total, shard in total + shard.inspect { value($0) } }
  }
}
