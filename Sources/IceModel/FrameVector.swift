/// One piece of a frame in memory. The layout is `struct iovec`'s, so a vector of these can be
/// handed to `writev`/`readv` as it is.
@frozen @safe public struct FrameSegment: BitwiseCopyable {
  /// First byte of the piece.
  public var base: UnsafeMutableRawPointer
  /// Length of the piece, bytes.
  public var byteCount: Int

  @inlinable public init(base: UnsafeMutableRawPointer, byteCount: Int) {
    unsafe self.base = base
    self.byteCount = byteCount
  }
}

/// A gather or scatter list for one frame: what the NIC puts on the wire, or where the wire puts
/// what it received. Fixed capacity, memory allocated once, reused for every frame.
///
/// The segments point into memory owned by others (mapped packet memory, posted buffers, the
/// device's scratch) and are valid until the device is told the frame is done.
@safe public struct FrameVector: ~Copyable {
  /// Slot 0 is kept free for a prefix (the TAP's virtio-net header); segments start at slot 1.
  @usableFromInline let storage: UnsafeMutablePointer<FrameSegment>
  /// How many segments fit.
  public let capacity: Int
  /// How many segments are there.
  public private(set) var count: Int
  /// Sum of the segments' lengths, bytes.
  public private(set) var byteCount: Int

  public init(capacity: Int = 64) {
    precondition(capacity > 0, "A frame vector needs room for at least one segment.")
    // Owned by this noncopyable value from here to its deinit; capacity + 1 slots, all initialized.
    unsafe storage = UnsafeMutablePointer<FrameSegment>.allocate(capacity: capacity + 1)
    let placeholder = unsafe FrameSegment(base: UnsafeMutableRawPointer(storage), byteCount: 0)
    unsafe storage.initialize(repeating: placeholder, count: capacity + 1)
    self.capacity = capacity
    count = 0
    byteCount = 0
  }

  deinit {
    unsafe storage.deallocate()
  }

  /// Forgets all segments.
  public mutating func removeAll() {
    count = 0
    byteCount = 0
  }

  /// Adds a piece, growing the last segment when the piece follows it in memory.
  ///
  /// - Returns: false, and nothing changes, when all slots are taken.
  public mutating func append(_ base: UnsafeMutableRawPointer, byteCount size: Int) -> Bool {
    if size == 0 { return true }
    if count > 0 {
      // Slots 1...count are initialized segments.
      let last = unsafe storage + count
      if unsafe last.pointee.base + last.pointee.byteCount == base {
        unsafe last.pointee.byteCount += size
        byteCount += size
        return true
      }
    }
    return unsafe appendSegment(base, byteCount: size)
  }

  /// Adds a piece as a segment of its own, even when it follows the last one in memory: for
  /// receive buffers, where the boundary is the buffer's.
  public mutating func appendSegment(_ base: UnsafeMutableRawPointer, byteCount size: Int) -> Bool {
    if count == capacity { return false }
    count += 1
    // count is at most capacity, and capacity + 1 slots exist.
    unsafe storage[count] = FrameSegment(base: base, byteCount: size)
    byteCount += size
    return true
  }

  /// Drops the first pieces; those behind move to the front.
  mutating func removeFirst(_ dropped: Int) {
    precondition(dropped >= 0 && dropped <= count, "A frame vector has fewer segments than are to go.")
    for index in 0..<dropped { byteCount -= unsafe storage[1 + index].byteCount }
    count -= dropped
    // Slots 1 + dropped ..< 1 + dropped + count are initialized segments, and so are the slots before them.
    if count > 0 { unsafe (storage + 1).update(from: storage + 1 + dropped, count: count) }
  }

  /// Becomes a copy of another list, whose segments all fit.
  public mutating func copy(_ other: borrowing FrameVector) {
    precondition(other.count <= capacity, "A frame vector has no room for another's segments.")
    // Slots 1...other.count are initialized segments of the other, and exist here by the check above.
    unsafe (storage + 1).update(from: other.storage + 1, count: other.count)
    count = other.count
    byteCount = other.byteCount
  }

  /// Becomes a copy of another list of the same capacity. The first piece is copied to `room` if it fits there: it may be
  /// the device's scratch, which the next frame uses again.
  public mutating func take(_ other: borrowing FrameVector, headerInto room: UnsafeMutableRawBufferPointer) {
    copy(other)
    guard count > 0 else { return }
    let first = unsafe storage[1]
    guard let start = room.baseAddress, first.byteCount <= room.count else { return }
    unsafe start.copyMemory(from: first.base, byteCount: first.byteCount)
    unsafe storage[1].base = start
  }

  /// The segments, in frame order.
  @inlinable @inline(__always)
  public func withUnsafeSegments<R: ~Copyable, E: Error>(
    _ body: (UnsafeBufferPointer<FrameSegment>) throws(E) -> R
  ) throws(E) -> R {
    try unsafe body(UnsafeBufferPointer(start: storage + 1, count: count))
  }

  /// The segments in frame order behind one more, so that a header the wire wants in front goes
  /// out in the same `writev`.
  @inlinable @inline(__always)
  public func withUnsafeSegments<R: ~Copyable, E: Error>(
    prefixedBy prefix: FrameSegment, _ body: (UnsafeBufferPointer<FrameSegment>) throws(E) -> R
  ) throws(E) -> R {
    // Slot 0 is reserved for this.
    unsafe storage[0] = prefix
    return try unsafe body(UnsafeBufferPointer(start: storage, count: count + 1))
  }

  /// One segment; `index` is below `count`.
  public func segment(at index: Int) -> FrameSegment {
    precondition(index >= 0 && index < count, "A frame vector was asked for a segment it does not have.")
    return unsafe storage[index + 1]
  }

  /// Copies the frame's bytes out, as many as fit.
  ///
  /// - Returns: how many bytes were copied.
  @discardableResult
  public func copyBytes(to target: UnsafeMutableRawBufferPointer) -> Int {
    guard let start = target.baseAddress else { return 0 }
    var done = 0
    var index = 1
    while index <= count {
      let segment = unsafe storage[index]
      let part = min(segment.byteCount, target.count - done)
      if part <= 0 { break }
      // part bytes are inside the segment and inside the target.
      unsafe (start + done).copyMemory(from: segment.base, byteCount: part)
      done += part
      index += 1
    }
    return done
  }

  /// Copies bytes into the segments in order, as many as fit.
  ///
  /// - Returns: how many bytes were copied.
  @discardableResult
  public func copyBytes(from source: UnsafeRawBufferPointer) -> Int {
    guard let start = source.baseAddress else { return 0 }
    var done = 0
    var index = 1
    while index <= count {
      let segment = unsafe storage[index]
      let part = min(segment.byteCount, source.count - done)
      if part <= 0 { break }
      // part bytes are inside the segment and inside the source.
      unsafe segment.base.copyMemory(from: start + done, byteCount: part)
      done += part
      index += 1
    }
    return done
  }

  /// The whole frame as an array: for simulated wires, captures and tests, not for the hot path.
  public var bytes: [UInt8] {
    let size = byteCount
    // Every empty array is one and the same: its count is not to be written.
    guard size > 0 else { return [] }
    return unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
      initialized = unsafe copyBytes(to: UnsafeMutableRawBufferPointer(buffer))
    }
  }
}
