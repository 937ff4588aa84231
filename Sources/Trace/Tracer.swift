import Timers

/// The ring that tracepoints record into. Off (the default) a tracepoint costs one load and one predictable branch.
///
/// A `Tracer` is a handle: copies name the same ring. The ring lives until `destroy()`, which its one owner calls last.
///
/// Safety: `block` comes from `init` and stays valid until `destroy()`; every index is taken modulo the capacity.
/// One shard owns a ring and only its lock holder records or reads.
@safe
@frozen
public struct Tracer: @unchecked Sendable {
  @safe
  @usableFromInline
  struct Block {
    @usableFromInline var isEnabled: Bool
    @usableFromInline var now: Instant
    @usableFromInline var written: UInt64
    @usableFromInline var capacity: UInt64
    @usableFromInline var records: UnsafeMutablePointer<TraceRecord>
  }
  @usableFromInline let block: UnsafeMutablePointer<Block>

  /// - Parameter capacity: how many records the ring keeps; older ones are overwritten.
  public init(capacity: Int = 16384) {
    precondition(capacity > 0, "a trace ring holds at least one record")
    let records = UnsafeMutablePointer<TraceRecord>.allocate(capacity: capacity)
    unsafe block = .allocate(capacity: 1)
    unsafe block.initialize(
      to: Block(isEnabled: false, now: .origin, written: 0, capacity: UInt64(capacity), records: records))
  }

  /// Frees the ring. No copy of this handle may be used afterwards.
  public func destroy() {
    unsafe block.pointee.records.deallocate()
    unsafe block.deallocate()
  }

  @inlinable public var isEnabled: Bool {
    get { unsafe block.pointee.isEnabled }
    nonmutating set { unsafe block.pointee.isEnabled = newValue }
  }

  /// The shard's clock reading; set once per entry into the stack.
  @inlinable public var now: Instant {
    get { unsafe block.pointee.now }
    nonmutating set { unsafe block.pointee.now = newValue }
  }

  /// How many records were ever written; record `n` is readable while `n + capacity > written`.
  public var written: UInt64 { unsafe block.pointee.written }
  public var capacity: Int { Int(unsafe block.pointee.capacity) }

  @inlinable @inline(__always)
  public func record(
    _ point: TracePoint, skb: UInt32 = 0, socket: UInt32 = 0, _ a: @autoclosure () -> UInt64 = 0,
    _ b: @autoclosure () -> UInt64 = 0, _ c: @autoclosure () -> UInt64 = 0
  ) {
    if isEnabled { store(point, skb: skb, socket: socket, a(), b(), c()) }
  }

  @usableFromInline @inline(never)
  func store(_ point: TracePoint, skb: UInt32, socket: UInt32, _ a: UInt64, _ b: UInt64, _ c: UInt64) {
    let index = unsafe Int(block.pointee.written % block.pointee.capacity)
    let record = unsafe TraceRecord(
      nanoseconds: block.pointee.now.nanoseconds, point: point, skb: skb, socket: socket, a: a, b: b, c: c)
    unsafe (block.pointee.records + index).initialize(to: record)
    unsafe block.pointee.written += 1
  }

  /// The records from number `first` on that are still in the ring, oldest first, and the number to ask for next.
  public func records(from first: UInt64) -> (records: [TraceRecord], next: UInt64) {
    let written = self.written
    let start = max(first, written > UInt64(capacity) ? written - UInt64(capacity) : 0)
    guard start < written else { return ([], written) }
    let kept = (start..<written).map { unsafe block.pointee.records[Int($0 % UInt64(capacity))] }
    return (kept, written)
  }
}
