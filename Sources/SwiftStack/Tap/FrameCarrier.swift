import Glibc
import IceModel
import LinuxHost
import Shard
import Synchronization

/// Puts frames out on a thread of its own, in order. Whoever holds the shard gives them and takes word of what became of
/// them; the two meet in a ring of places and three counts, and neither waits for the other.
///
/// Safety: a place belongs to the holder of the shard's lock up to `given`, from there to the thread up to `done`; each count is
/// released after the place was written and acquired before it is read. `places` is made in `init`, never moves, and ends in
/// `deinit`, when the thread, which holds a reference, has ended.
@safe
final class FrameCarrier: @unchecked Sendable {
  /// Safety: `header` is allocated here and lives as long as the place.
  @safe
  private struct Place: ~Copyable {
    var frame = FrameVector(capacity: 64)
    var metadata = WireFrameMetadata()
    let header = UnsafeMutableRawBufferPointer.allocate(byteCount: Wire.headerByteCount, alignment: 64)
    var outcome = WireOutcome.done(0)

    deinit { unsafe header.deallocate() }
  }

  /// A power of two: a full-sized window of frames of one MTU, or of 64 KiB.
  static var capacity: Int { 256 }
  private let places: UnsafeMutablePointer<Place>
  private let line: TapLine
  private let inbox: ShardInbox
  private let waiter = SocketWaiter()

  /// Frames that were given, put out, and told of.
  private let given = Atomic<Int>(0)
  private let done = Atomic<Int>(0)
  private var told = 0
  /// At which count of `done` the event loop is to be woken; 0: it is not.
  private let wanted = Atomic<Int>(0)
  /// The thread sleeps, or is about to.
  private let isIdle = Atomic<Bool>(false)
  /// Frames that the wire does not take at once are given up.
  private let isHurried = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)

  /// Between two tries of a frame that the wire did not take.
  private static let retryInterval = Nanoseconds.microseconds(200)

  init(line: TapLine, inbox: ShardInbox) {
    self.line = line
    self.inbox = inbox
    unsafe places = .allocate(capacity: Self.capacity)
    for index in 0..<Self.capacity { unsafe (places + index).initialize(to: Place()) }
  }

  deinit {
    unsafe places.deinitialize(count: Self.capacity)
    unsafe places.deallocate()
  }

  private func place(_ count: Int) -> UnsafeMutablePointer<Place> {
    unsafe places + (count & (Self.capacity - 1))
  }

  // MARK: The holder of the shard

  var room: Int { Self.capacity - (given.load(ordering: .relaxed) - told) }

  func give(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) {
    let count = given.load(ordering: .relaxed)
    let place = unsafe place(count)
    unsafe place.pointee.frame.take(frame, headerInto: place.pointee.header)
    unsafe place.pointee.metadata = metadata
    given.store(count + 1, ordering: .sequentiallyConsistent)
    if isIdle.load(ordering: .sequentiallyConsistent) && isIdle.exchange(false, ordering: .relaxed) {
      waiter.signal()
    }
  }

  func takeOutcome() -> WireOutcome? {
    guard told < done.load(ordering: .acquiring) else { return nil }
    defer { told += 1 }
    return unsafe place(told).pointee.outcome
  }

  /// Has the event loop woken when half of what is under way is out; false if that is so already.
  func announce() -> Bool {
    let half = told + max(1, (given.load(ordering: .relaxed) - told) / 2)
    wanted.store(half, ordering: .sequentiallyConsistent)
    guard done.load(ordering: .sequentiallyConsistent) >= half else { return true }
    // If the thread has seen it, too, its word is on the way, and nobody else's next wait is to end by it.
    return wanted.exchange(0, ordering: .relaxed) == 0
  }

  /// Waits until everything is out, or given up.
  func finish() {
    isHurried.store(true, ordering: .sequentiallyConsistent)
    waiter.signal()
    while done.load(ordering: .acquiring) < given.load(ordering: .relaxed) { sched_yield() }
    isHurried.store(false, ordering: .relaxed)
  }

  func stop() {
    finish()
    isStopping.store(true, ordering: .sequentiallyConsistent)
    waiter.signal()
  }

  // MARK: The thread

  func run() {
    var next = 0
    while true {
      while next < given.load(ordering: .acquiring) {
        let place = unsafe place(next)
        unsafe place.pointee.outcome = put(place.pointee.frame, place.pointee.metadata)
        next += 1
        done.store(next, ordering: .sequentiallyConsistent)
        let goal = wanted.load(ordering: .sequentiallyConsistent)
        if goal != 0 && next >= goal && wanted.exchange(0, ordering: .relaxed) != 0 { inbox.signal() }
      }
      let generation = waiter.generation
      isIdle.store(true, ordering: .sequentiallyConsistent)
      if next < given.load(ordering: .sequentiallyConsistent) {
        isIdle.store(false, ordering: .relaxed)
        continue
      }
      if isStopping.load(ordering: .sequentiallyConsistent) { return }
      waiter.wait(since: generation, until: .distantFuture)
    }
  }

  private func put(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    while true {
      let generation = waiter.generation
      let outcome = line.transmit(frame, metadata)
      guard case .wouldBlock = outcome else { return outcome }
      if isHurried.load(ordering: .sequentiallyConsistent) { return .failed(EAGAIN) }
      waiter.wait(since: generation, until: MonotonicClock.now() + Self.retryInterval)
    }
  }
}
