import Wire

/// Which way the bytes go. Linux: `ITER_SOURCE`, `ITER_DEST`.
@frozen
public enum IterDirection: Sendable {
  /// The caller's bytes are read: a send.
  case source
  /// The caller's memory is filled: a receive.
  case destination
}

/// One run of the caller's memory; layout of `struct iovec`. A `nil` base with a length is memory that cannot be
/// touched: copying from or to it is a fault (EFAULT).
@safe
@frozen
public struct IoVector {
  public var base: UnsafeMutableRawPointer?
  public var byteCount: Int
  public init(base: UnsafeMutableRawPointer?, byteCount: Int) {
    unsafe self.base = base
    self.byteCount = byteCount
  }

  /// Whether a process could have such memory: the upper half of the addresses is the kernel's. Linux: `access_ok()`.
  public var isInAddressSpace: Bool {
    let start = unsafe UInt(bitPattern: base)
    let (end, isBeyond) = start.addingReportingOverflow(UInt(bitPattern: byteCount))
    return !isBeyond && Int(bitPattern: end) >= 0
  }
}

/// Copies so many bytes between the caller's memory and ours, and says how many of them were there.
/// Linux: `raw_copy_from_user()`, `raw_copy_to_user()`.
public typealias UserCopy = @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer, Int) -> Int

/// A cursor over the caller's bytes. Linux: `struct iov_iter`.
///
/// One type over: one buffer (ubuf), a vector of buffers (iovec and, as there is no user/kernel border inside a process,
/// kvec), a list of slices of memory that packets may carry (Linux's bvec, folio queue and xarray differ only in how the
/// pages are found), and discard.
///
/// Safety: whoever makes one with `init(unsafe...)` keeps the memory alive and unaliased until the iterator ends; the
/// iterator touches only bytes inside the given runs.
@safe
public struct IovIter: ~Copyable {
  @safe
  enum Backing {
    case buffer(UnsafeMutableRawPointer?)
    case vectors(UnsafePointer<IoVector>, count: Int)
    case slices(UnsafePointer<MemorySlice>, count: Int)
    case discard
  }
  let backing: Backing
  public let direction: IterDirection
  /// Bytes that are left.
  public private(set) var count: Int
  /// Index of the current vector and offset into it; for one buffer only the offset is used.
  private var segment = 0
  private var offset = 0
  private let total: Int

  /// Who is told when the bytes that a send took are free: the caller's own, or that of a call which goes on; `nil`: the
  /// send makes one when it is asked to. Linux: `msg_ubuf`.
  ///
  /// Safety: whoever sets it keeps it alive until the iterator ends.
  package var notification: Unmanaged<SendNotification>? = nil
  package var hasNotification: Bool { unsafe notification != nil }

  /// Which copy from now on fails, as one of memory that cannot be touched; 0: none. Linux: `should_fail_usercopy()`.
  public var copiesUntilFault = 0

  /// How the caller's memory is touched when it may not be there; `nil`: it is there. Linux: `user_backed_iter()`.
  package var userCopy: UserCopy? = nil

  /// The longest transfer. Linux: `MAX_RW_COUNT`.
  public static let maximumByteCount = 0x7fff_f000

  /// A source over one buffer, clamped to `maximumByteCount`. Linux: `import_ubuf()`.
  @unsafe public init(source buffer: UnsafeRawBufferPointer) {
    unsafe self.init(
      .buffer(UnsafeMutableRawPointer(mutating: buffer.baseAddress)), .source, count: buffer.count)
  }
  /// A destination over one buffer.
  @unsafe public init(destination buffer: UnsafeMutableRawBufferPointer) {
    unsafe self.init(.buffer(buffer.baseAddress), .destination, count: buffer.count)
  }
  /// Over several buffers; `nil` when a length is negative (EINVAL). The total is clamped. Linux: `import_iovec()`.
  @unsafe public init?(_ vectors: UnsafeBufferPointer<IoVector>, direction: IterDirection) {
    var sum = 0
    for index in 0..<vectors.count {
      let vector = unsafe vectors[index]
      guard vector.byteCount >= 0 else { return nil }
      sum = min(Self.maximumByteCount, sum &+ min(vector.byteCount, Self.maximumByteCount))
    }
    guard let base = vectors.baseAddress else {
      unsafe self.init(.buffer(nil), direction, count: 0)
      return
    }
    // One run, as nearly always: nothing to walk.
    if vectors.count == 1 {
      unsafe self.init(.buffer(vectors[0].base), direction, count: sum)
      return
    }
    unsafe self.init(.vectors(base, count: vectors.count), direction, count: sum)
  }
  /// A source over memory that packets may carry, so that a send need not copy. Linux: `iov_iter_bvec()`.
  @unsafe public init(_ slices: UnsafeBufferPointer<MemorySlice>) {
    var sum = 0
    for index in 0..<slices.count {
      sum = unsafe min(Self.maximumByteCount, sum + slices[index].byteCount)
    }
    guard let base = slices.baseAddress else {
      unsafe self.init(.buffer(nil), .source, count: 0)
      return
    }
    unsafe self.init(.slices(base, count: slices.count), .source, count: sum)
  }
  /// A destination that swallows `count` bytes. Linux: `iov_iter_discard()`.
  public init(discarding count: Int) { self.init(.discard, .destination, count: max(0, count)) }

  private init(_ backing: Backing, _ direction: IterDirection, count: Int) {
    self.backing = backing
    self.direction = direction
    self.count = min(count, Self.maximumByteCount)
    total = self.count
  }

  /// Bytes used up so far.
  public var position: Int { total - count }

  /// The rest of the current run; empty when nothing is left, `nil` base when it cannot be touched.
  private func currentRun() -> UnsafeMutableRawBufferPointer? {
    switch backing {
    case .buffer(let base):
      guard let base = unsafe base else { return nil }
      return unsafe UnsafeMutableRawBufferPointer(start: base + offset, count: count)
    case .vectors(let vectors, _):
      let vector = unsafe vectors[segment]
      guard let base = unsafe vector.base else { return nil }
      return unsafe UnsafeMutableRawBufferPointer(
        start: base + offset, count: min(vector.byteCount - offset, count))
    case .slices(let slices, _):
      let slice = unsafe slices[segment]
      // What only a device reads faults.
      guard slice.memory.isReadable else { return nil }
      return unsafe UnsafeMutableRawBufferPointer(
        start: slice.memory.base + slice.offset + offset, count: min(slice.byteCount - offset, count))
    case .discard:
      return nil
    }
  }

  /// Whether packets may carry the bytes as they lie.
  public var isLendable: Bool { if case .slices = backing { true } else { false } }

  /// Some of the bytes only a device can read: they cannot be copied.
  public var isUnreadable: Bool {
    guard case .slices(let slices, let count) = backing else { return false }
    for index in 0..<count {
      // index is below the number of slices.
      if unsafe !slices[index].memory.isReadable { return true }
    }
    return false
  }

  /// The rest of the current slice; `nil` when nothing is left or packets may not carry it.
  var currentSlice: MemorySlice? {
    mutating get {
      guard count > 0, case .slices(let slices, _) = backing else { return nil }
      skipEmptySegments()
      let slice = unsafe slices[segment]
      return MemorySlice(
        slice.memory, offset: slice.offset + offset, byteCount: min(slice.byteCount - offset, count))
    }
  }

  /// Bytes of one of several segments; `nil` when there is but one run, or no such segment.
  private func segmentByteCount(_ index: Int) -> Int? {
    switch backing {
    case .vectors(let vectors, let count): index < count ? unsafe vectors[index].byteCount : nil
    case .slices(let slices, let count): index < count ? unsafe slices[index].byteCount : nil
    case .buffer, .discard: nil
    }
  }
  private var hasSegments: Bool {
    switch backing {
    case .vectors, .slices: true
    case .buffer, .discard: false
    }
  }

  /// Moves on by `distance` bytes, over any number of segments, empty ones included. Linux: `iov_iter_advance()`.
  public mutating func advance(_ distance: Int) {
    precondition(distance >= 0 && distance <= count, "an iov_iter advances within its bytes")
    count -= distance
    guard hasSegments else {
      offset += distance
      return
    }
    var left = distance
    while let byteCount = segmentByteCount(segment) {
      let room = byteCount - offset
      if left < room {
        offset += left
        return
      }
      left -= room
      segment += 1
      offset = 0
    }
  }

  /// Moves back by `distance` bytes. Going back past the start traps. Linux: `iov_iter_revert()`.
  public mutating func revert(_ distance: Int) {
    precondition(distance >= 0 && distance <= position, "an iov_iter is not reverted past its start")
    count += distance
    guard hasSegments else {
      offset -= distance
      return
    }
    var left = distance
    while left > offset {
      left -= offset
      segment -= 1
      offset = segmentByteCount(segment) ?? 0
    }
    offset -= left
  }

  private mutating func skipEmptySegments() {
    while let byteCount = segmentByteCount(segment), offset == byteCount {
      segment += 1
      offset = 0
    }
  }

  /// Whether a copy of so many bytes is to be tried: not one of more than 2 GiB less one byte, nor one that is to fail.
  /// Linux: `check_copy_size()`.
  private mutating func mayCopy(_ byteCount: Int) -> Bool {
    guard byteCount <= Int(Int32.max) else { return false }
    guard copiesUntilFault > 0, byteCount > 0 else { return true }
    copiesUntilFault -= 1
    return copiesUntilFault > 0
  }

  /// Copies within one run; fewer bytes than asked when the rest is not there.
  ///
  /// Safety: both ends are so long, or `userCopy` finds out.
  @inline(__always)
  private func copy(
    to target: UnsafeMutableRawPointer, from source: UnsafeRawPointer, _ byteCount: Int
  ) -> Int {
    if let userCopy = unsafe userCopy { return unsafe userCopy(target, source, byteCount) }
    unsafe target.copyMemory(from: source, byteCount: byteCount)
    return byteCount
  }

  /// Copies bytes out of the caller's memory. Linux: `copy_from_iter()`.
  ///
  /// - Returns: how many were copied; fewer than asked when the bytes ran out or a run could not be read.
  public mutating func copyFrom(into target: UnsafeMutableRawBufferPointer) -> Int {
    precondition(direction == .source, "copy_from_iter reads a source iterator")
    guard mayCopy(target.count) else { return 0 }
    var copied = 0
    while copied < target.count, count > 0 {
      skipEmptySegments()
      guard let run = unsafe currentRun(), let source = run.baseAddress, let base = target.baseAddress else {
        break
      }
      let length = min(run.count, target.count - copied)
      let done = unsafe copy(to: base + copied, from: source, length)
      advance(done)
      copied += done
      if done < length { break }
    }
    return copied
  }

  /// The first bytes of a source, which stay where they are: fewer where there are no more, or none can be read.
  public mutating func firstBytes(_ most: Int) -> [UInt8] {
    let wanted = min(most, count)
    guard wanted > 0 else { return [] }
    let faults = copiesUntilFault
    copiesUntilFault = 0
    defer { copiesUntilFault = faults }
    var copied = 0
    // Safe: the array's memory is ours, and as long as is said.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: wanted) { room, initialized in
      copied = unsafe copyFrom(
        into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(room)[..<wanted]))
      initialized = copied
    }
    revert(copied)
    return bytes
  }

  /// All or nothing: on a fault the cursor is where it was. Linux: `copy_from_iter_full()`.
  public mutating func copyFromFull(into target: UnsafeMutableRawBufferPointer) -> Bool {
    let copied = unsafe copyFrom(into: target)
    if copied == target.count { return true }
    revert(copied)
    return false
  }

  /// Copies and sums in one pass; all or nothing. That a byte cannot be read is told apart from any sum.
  /// Linux: `csum_and_copy_from_iter_full()`.
  public mutating func copyFromFull(into target: UnsafeMutableRawBufferPointer, sum: inout InternetChecksum)
    -> Bool
  {
    // Memory that may not be there is summed where it has been copied to.
    if unsafe userCopy != nil {
      guard unsafe copyFromFull(into: target) else { return false }
      unsafe sum.add(UnsafeRawBufferPointer(target))
      return true
    }
    precondition(direction == .source, "copy_from_iter reads a source iterator")
    guard mayCopy(target.count) else { return false }
    var copied = 0
    var running = InternetChecksum()
    while copied < target.count {
      skipEmptySegments()
      guard count > 0, let run = unsafe currentRun(), let source = run.baseAddress,
        let base = target.baseAddress
      else {
        revert(copied)
        return false
      }
      let length = min(run.count, target.count - copied)
      var block = InternetChecksum()
      unsafe block.add(UnsafeRawBufferPointer(start: source, count: length), copyingTo: base + copied)
      running.add(block, at: copied)
      advance(length)
      copied += length
    }
    sum.add(running, at: 0)
    return true
  }

  /// Copies bytes into the caller's memory. Linux: `copy_to_iter()`.
  ///
  /// - Returns: how many were copied; fewer than given when the room ran out or a run could not be written.
  public mutating func copyTo(from source: UnsafeRawBufferPointer) -> Int {
    precondition(direction == .destination, "copy_to_iter writes a destination iterator")
    guard mayCopy(source.count) else { return 0 }
    if case .discard = backing {
      let length = min(source.count, count)
      advance(length)
      return length
    }
    // One buffer, as nearly always: nothing to walk.
    if case .buffer(let base) = backing, let target = unsafe base, let bytes = source.baseAddress {
      let length = unsafe copy(to: target + offset, from: bytes, min(source.count, count))
      offset += length
      count -= length
      return length
    }
    var copied = 0
    while copied < source.count, count > 0 {
      skipEmptySegments()
      guard let run = unsafe currentRun(), let target = run.baseAddress, let base = source.baseAddress else {
        break
      }
      let length = min(run.count, source.count - copied)
      let done = unsafe copy(to: target, from: base + copied, length)
      advance(done)
      copied += done
      if done < length { break }
    }
    return copied
  }
}

extension SkBuff {
  /// Adds `count` of the caller's bytes at the end of the linear area; all or nothing.
  ///
  /// - Returns: false on a fault.
  public mutating func put(from iter: inout IovIter, count: Int) -> Bool {
    var none: InternetChecksum?
    return put(from: &iter, count: count, sum: &none)
  }

  /// As above, and sums them on the way, as a block of their own; `nil`: nobody wants the sum.
  public mutating func put(from iter: inout IovIter, count: Int, sum: inout InternetChecksum?) -> Bool {
    let end = headLength
    put(count)
    // Safe: put made these bytes part of the linear area.
    let target = unsafe UnsafeMutableRawBufferPointer(start: linearBase + end, count: count)
    if unsafe iter.copyFromFull(into: target, summing: &sum) { return true }
    _ = trim(to: end)
    return false
  }

  /// Copies packet bytes to the caller. Linux: `skb_copy_datagram_iter()`.
  ///
  /// - Returns: bytes copied; fewer than `count` on a fault or when the room ran out.
  public func copyDatagram(from offset: Int, count: Int, to iter: inout IovIter) -> Int {
    precondition(
      offset >= 0 && count >= 0 && offset <= length && count <= length - offset,
      "a copied range lies inside its packet")
    var copied = 0
    var skip = offset
    let linearCount = headLength
    if skip < linearCount {
      let run = min(count, linearCount - skip)
      copied = unsafe iter.copyTo(from: UnsafeRawBufferPointer(start: linearBase + skip, count: run))
      if copied < run { return copied }
      skip = 0
    } else {
      skip -= linearCount
    }
    let shared = unsafe header.pointee.shared
    var index = 0
    while copied < count {
      let fragment = unsafe shared.pointee.fragments[index]
      let byteCount = Int(fragment.byteCount)
      index += 1
      if skip >= byteCount {
        skip -= byteCount
        continue
      }
      let run = min(count - copied, byteCount - skip)
      let done = unsafe iter.copyPageTo(fragment.page, offset: Int(fragment.offset) + skip, count: run)
      copied += done
      if done < run { break }
      skip = 0
    }
    return copied
  }

  /// Copies up to `count` of the caller's bytes behind the packet, into the page-fragment allocator's current chunk;
  /// bytes that follow the last fragment in memory are added to it. Linux: `skb_copy_to_page_nocache()`.
  ///
  /// - Parameter fragments: so many slots it may fill at most.
  /// - Returns: bytes added. 0 with `fault == false` when memory or fragment slots ran out.
  public mutating func append(
    from iter: inout IovIter, count most: Int, use: MemoryUse = .ordinary,
    fragments: Int = SkBuff.maximumFragments
  ) -> (byteCount: Int, fault: Bool) {
    var none: InternetChecksum?
    return append(from: &iter, count: most, use: use, fragments: fragments, sum: &none)
  }

  /// As above, and sums them on the way, as a block of their own; `nil`: nobody wants the sum.
  public mutating func append(
    from iter: inout IovIter, count most: Int, use: MemoryUse, fragments: Int = SkBuff.maximumFragments,
    sum: inout InternetChecksum?
  ) -> (byteCount: Int, fault: Bool) {
    precondition(!isCloned, "a packet that is shared is not appended to")
    let pool = self.pool
    let available = pool.refillFragment(use: use)
    // An empty fragment would take a slot for nothing, and bytes the caller does not have are not a fault.
    let wanted = min(most, iter.count)
    guard wanted > 0, available > 0, let page = unsafe pool.block.pointee.cachePage else { return (0, false) }
    let offset = unsafe pool.block.pointee.cacheOffset
    let shared = unsafe header.pointee.shared
    let last = fragmentCount - 1
    var merge = false
    if last >= 0 {
      let previous = unsafe shared.pointee.fragments[last]
      merge = unsafe previous.page == page && Int(previous.offset + previous.byteCount) == offset
    }
    if !merge && fragmentCount >= min(fragments, Self.maximumFragments) { return (0, false) }
    guard payForLent(use) else { return (0, false) }
    let length = min(wanted, available)
    guard unsafe iter.copyPageFrom(page, offset: offset, count: length, sum: &sum) else { return (0, true) }
    if merge {
      unsafe shared.pointee.fragments[last].byteCount += UInt32(length)
    } else {
      unsafe page.pointee.references += 1
      unsafe shared.pointee.fragments[last + 1] = Fragment(page: page, offset: offset, byteCount: length)
      unsafe shared.pointee.fragmentCount += 1
    }
    unsafe pool.block.pointee.cacheOffset = offset + length
    unsafe header.pointee.length += Int32(length)
    unsafe header.pointee.dataLength += Int32(length)
    unsafe header.pointee.truesize += Int32(length)
    return (length, false)
  }
}
