/// Who drains, who may wait and who goes first: decided here and nowhere else.
///
/// - Whoever enters the shard, its event loop or a thread with a call, drains what follows from it before it leaves: frames
///   out, completions and frames in, programs in line, round by round until all is quiet. One entry takes at most
///   `entryByteCount` from the wire, gives programs turns worth as much, and a thread with more to send comes back for the
///   next piece; so nobody holds the lock for longer than that takes. What is left is the event loop's, which comes at once.
/// - A short frame that comes alone is answered before anybody looks for the next.
/// - Threads that wait for the lock get it in the order they came once they have waited too long: `Guarded`.
/// - Programs have their turns first come, first served.
/// - Each frame is put out by whoever holds the shard, down to the system call, as long as one direction is busy: that
///   costs least, and nobody else has anything to do. When both are, one thread could give each only half of what it does
///   alone: frames are then carried out by the wire's own thread, in order, while the holder goes on with what comes in.
///   When all of them are out and one direction has gone quiet, the holder puts frames out itself again.
package struct DrainPolicy {
  /// Bytes that one entry takes from the wire, and that its programs move.
  package static var entryByteCount: Int { 1 << 20 }
  /// Bytes that are taken from the wire before they go up the floors while both directions are busy: what a core has close
  /// by when it copies them. One direction alone takes all that an entry may: fewer, larger turns cost it less.
  static var batchByteCount: Int { 256 << 10 }
  /// Frames that one entry takes from the wire.
  package static var entryFrameCount: Int { 256 }
  /// Rounds of one drain; what is left then is done at the next entry, which comes at once.
  package static var roundLimit: Int { 256 }

  /// A direction is busy from an entry on that moved as much, at most for `busyTime` without another.
  static var busyByteCount: Int { 64 << 10 }
  static var busyTime: Nanoseconds { .milliseconds(1) }

  private var turnsUntilLook = 0
  private var entryBytesIn = 0
  private var entryBytesOut = 0
  private var busyInUntil = Instant.origin
  private var busyOutUntil = Instant.origin
  /// Frames that the wire carries and has not told of.
  package private(set) var carriedCount = 0

  package init() {}

  /// Somebody begins to drain.
  package mutating func begin() {
    entryBytesIn = 0
    entryBytesOut = 0
  }

  /// A frame has come in.
  @inline(__always)
  package mutating func received(_ byteCount: Int, now: Instant) {
    entryBytesIn += byteCount
    if entryBytesIn >= Self.busyByteCount { busyInUntil = now + Self.busyTime }
  }

  /// A frame has been put out, or is being carried.
  @inline(__always)
  package mutating func sent(_ byteCount: Int, isCarried: Bool, now: Instant) {
    entryBytesOut += byteCount
    if entryBytesOut >= Self.busyByteCount { busyOutUntil = now + Self.busyTime }
    if isCarried { carriedCount += 1 }
  }

  /// The wire has told of a carried frame.
  package mutating func carried() { carriedCount -= 1 }

  /// Turns that take one frame and do not look for another, between two that look.
  static var turnsWithoutLook: Int { 7 }

  /// A longer frame is a part of more: of a transfer that is worth a look each time, as turns of several frames cost it less.
  static var loneByteCount: Int { 512 }

  /// The first frame of a turn is here: whether to leave it at that. While short frames come one by one, the look that finds
  /// no second costs as much as the frame itself, so most turns do without; the wire's readiness tells of one.
  mutating func expectsNoSecond(_ byteCount: Int) -> Bool {
    guard byteCount <= Self.loneByteCount, turnsUntilLook > 0 else { return false }
    turnsUntilLook -= 1
    return true
  }

  /// Whether this entry has taken more than a short frame.
  package var isTransfer: Bool { entryBytesIn > Self.loneByteCount }

  /// A turn has taken all there was.
  mutating func wireIsEmpty(after frameCount: Int) {
    if frameCount == 1 { turnsUntilLook = Self.turnsWithoutLook }
  }

  /// Whether both directions are busy.
  @inline(__always)
  package func isBusyBothWays(now: Instant) -> Bool { (now < busyInUntil) && (now < busyOutUntil) }

  /// Bytes of the next batch from the wire.
  package func batchByteCount(now: Instant) -> Int {
    isBusyBothWays(now: now) ? Self.batchByteCount : Self.entryByteCount
  }

  /// Who puts out the next frame.
  package enum Duty { case holder, carrier }

  /// - Parameter room: frames that the wire can carry now; asked when it matters.
  /// - Returns: `nil`: nobody now, it waits for those before it.
  @inline(__always)
  package func duty(now: Instant, room: () -> Int) -> Duty? {
    // Nobody overtakes.
    if carriedCount > 0 { return room() > 0 ? .carrier : nil }
    guard isBusyBothWays(now: now) else { return .holder }
    return room() > 0 ? .carrier : .holder
  }
}
