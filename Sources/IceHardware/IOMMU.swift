import Synchronization

/// Which way the device may use a mapping. Linux: `enum dma_data_direction`.
@frozen public enum DMADirection: UInt8, Sendable {
  /// The device reads. Linux: DMA_TO_DEVICE
  case toDevice = 1
  /// The device writes. Linux: DMA_FROM_DEVICE
  case fromDevice = 2
}

/// Why the device was refused memory.
@frozen public enum IOMMUFault: UInt8, Error, Sendable {
  /// Nothing was ever mapped at the address.
  case notMapped = 1
  /// It was mapped once, and unmapped since.
  case useAfterUnmap = 2
  /// The access begins or ends outside the mapping.
  case outOfBounds = 3
  /// The mapping is for the other direction.
  case wrongDirection = 4
}

/// What the IOMMU answers the device.
@frozen @safe public enum IOMMUTranslation {
  /// Host memory, valid for the whole length asked for until the driver unmaps it.
  case memory(UnsafeMutableRawPointer)
  case fault(IOMMUFault)
}

/// The table between the device and memory: the device reaches nothing that is not in it.
///
/// A slot table with a free list; map, unmap and translate are O(1) and allocate nothing. An IOVA is
///
///      63       40 39     20 19         0
///     +-----------+---------+------------+
///     | generation|  slot   |   offset   |
///     +-----------+---------+------------+
///
/// where the offset starts at the buffer's own offset in its 4 KiB page, so that alignment means the
/// same to the device as to memory, and the generation changes with every unmap, so that an address
/// kept too long is a `useAfterUnmap` and not someone else's packet.
///
/// This is a handle: it is copied freely and refers to memory that `IceBus` owns and outlives it with.
@frozen @safe public struct IOMMU: BitwiseCopyable {
  @frozen @usableFromInline struct Slot: BitwiseCopyable {
    /// The page the mapping starts in.
    @usableFromInline var page: UInt
    /// First valid offset, and the offset after the last valid one.
    @usableFromInline var lower: UInt32
    @usableFromInline var upper: UInt32
    /// What an IOVA must carry to match; also the number of times the slot was mapped.
    @usableFromInline var generation: UInt32
    /// `DMADirection`, 0 when the slot is free.
    @usableFromInline var direction: UInt32
    /// Free list link.
    @usableFromInline var nextFree: UInt32
  }

  /// Memory that the device reaches elsewhere than processors do.
  @frozen @usableFromInline struct Window: BitwiseCopyable {
    @usableFromInline var start: UInt
    @usableFromInline var byteCount: UInt
    /// Where the device finds it; 0: it does not any more.
    @usableFromInline var device: UInt
  }

  @frozen @usableFromInline struct State: BitwiseCopyable {
    @usableFromInline var firstFree: UInt32
    @usableFromInline var windowCount: UInt32
    @usableFromInline var mappedCount: Int
    @usableFromInline var failuresToInject: Int
    /// Mappings that are still to succeed before.
    @usableFromInline var successesBefore = 0
    @usableFromInline var mappingFailureCount: UInt64
  }

  @usableFromInline let slots: UnsafeMutablePointer<Slot>
  @usableFromInline let state: UnsafeMutablePointer<State>
  @usableFromInline let windows: UnsafeMutablePointer<Window>
  /// The driver counts, the device looks, perhaps on a thread of its own.
  @usableFromInline let unmapCount: UnsafeMutablePointer<Atomic<UInt64>>
  /// Most windows at once.
  public static let maximumWindows = 16
  /// How many mappings can exist at once.
  public let capacity: Int

  @usableFromInline static var none: UInt32 { .max }
  /// Longest single mapping, bytes: the offset field less one page for the alignment.
  @inlinable public static var maxMappingByteCount: Int { 1 << 20 - 4096 }

  init(capacity: Int) {
    precondition(capacity > 0 && capacity < 1 << 20, "An IOMMU table has 1 to 2^20 - 1 slots.")
    self.capacity = capacity
    unsafe slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    unsafe state = UnsafeMutablePointer<State>.allocate(capacity: 1)
    unsafe windows = UnsafeMutablePointer<Window>.allocate(capacity: Self.maximumWindows)
    for index in 0..<capacity {
      let next = index + 1 < capacity ? UInt32(index + 1) : Self.none
      unsafe (slots + index).initialize(
        to: Slot(page: 0, lower: 0, upper: 0, generation: 0, direction: 0, nextFree: next))
    }
    unsafe state.initialize(
      to: State(
        firstFree: 0, windowCount: 0, mappedCount: 0, failuresToInject: 0, mappingFailureCount: 0))
    unsafe unmapCount = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: 1)
    unsafe unmapCount.initialize(to: Atomic(0))
  }

  /// Frees the table; only its owner calls this, last.
  func deallocate() {
    unsafe slots.deallocate()
    unsafe state.deallocate()
    unsafe windows.deallocate()
    unsafe unmapCount.deallocate()
  }

  // MARK: Memory of devices

  /// Lets mappings of memory that no processor reads lead to where the device reads it.
  ///
  /// Safety: `device` is readable for as long as a mapping may lead there.
  ///
  /// - Returns: false when there are `maximumWindows` already.
  @unsafe public func bind(_ start: UInt, byteCount: Int, to device: UInt) -> Bool {
    let count = unsafe Int(state.pointee.windowCount)
    guard count < Self.maximumWindows else { return false }
    // count is below the windows' capacity.
    unsafe (windows + count).initialize(to: Window(start: start, byteCount: UInt(byteCount), device: device))
    unsafe state.pointee.windowCount += 1
    return true
  }

  /// The device is not to reach it any more: further mappings are refused, those that there are stay.
  public func close(_ start: UInt) {
    let count = unsafe Int(state.pointee.windowCount)
    for index in 0..<count where unsafe windows[index].start == start {
      unsafe windows[index].device = 0
    }
  }

  /// The memory ends.
  public func unbind(_ start: UInt) {
    let count = unsafe Int(state.pointee.windowCount)
    for index in 0..<count where unsafe windows[index].start == start {
      unsafe windows[index] = windows[count - 1]
      unsafe state.pointee.windowCount -= 1
      return
    }
  }

  /// Where the device finds `byteCount` bytes; `nil`: nowhere.
  @usableFromInline func devicePlace(_ address: UInt, byteCount: Int) -> UInt? {
    let count = unsafe Int(state.pointee.windowCount)
    for index in 0..<count {
      // index is below windowCount.
      let window = unsafe windows[index]
      guard address >= window.start, address - window.start < window.byteCount else { continue }
      let offset = address - window.start
      guard window.device != 0, UInt(byteCount) <= window.byteCount - offset else { return nil }
      return window.device + offset
    }
    return address
  }

  /// Lets the device reach bytes. Their owner keeps them until they are unmapped. Linux: `dma_map_single()`.
  ///
  /// - Returns: nil when the table is full, there are no bytes or more than `maxMappingByteCount`, or a failure was injected.
  @inlinable @inline(__always) public func map(_ bytes: RawSpan, _ direction: DMADirection) -> IOVA? {
    unsafe bytes.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return nil }
      return unsafe map(base, byteCount: buffer.count, direction)
    }
  }

  /// Lets the device reach `byteCount` bytes at `base`. Linux: `dma_map_single()`.
  ///
  /// - Returns: nil when the table is full, the length is not 1...`maxMappingByteCount`, or a failure was injected.
  @inlinable @inline(__always)
  public func map(_ base: UnsafeRawPointer, byteCount: Int, _ direction: DMADirection) -> IOVA? {
    // state and slots are valid while the bus lives; the index comes from the free list, which
    // holds only indices below capacity.
    let index = unsafe state.pointee.firstFree
    let injected = unsafe state.pointee.failuresToInject
    if index == Self.none || byteCount <= 0 || byteCount > Self.maxMappingByteCount
      || injected > 0 && takesInjectedFailure()
    {
      unsafe state.pointee.mappingFailureCount += 1
      return nil
    }
    let slot = unsafe slots + Int(index)
    var address = UInt(bitPattern: base)
    if unsafe state.pointee.windowCount > 0 {
      guard let place = devicePlace(address, byteCount: byteCount) else {
        unsafe state.pointee.mappingFailureCount += 1
        return nil
      }
      address = place
    }
    let pageOffset = UInt32(truncatingIfNeeded: address & 4095)
    unsafe state.pointee.firstFree = slot.pointee.nextFree
    unsafe state.pointee.mappedCount += 1
    var generation = unsafe (slot.pointee.generation &+ 1) & 0xFF_FFFF
    // 0 is kept for "never mapped", so that IOVA 0 never means anything.
    if generation == 0 { generation = 1 }
    unsafe slot.pointee.page = address - UInt(pageOffset)
    unsafe slot.pointee.lower = pageOffset
    unsafe slot.pointee.upper = pageOffset + UInt32(truncatingIfNeeded: byteCount)
    unsafe slot.pointee.generation = generation
    unsafe slot.pointee.direction = UInt32(direction.rawValue)
    return IOVA(rawValue: UInt64(generation) << 40 | UInt64(index) << 20 | UInt64(pageOffset))
  }

  @inline(never) @usableFromInline
  func takesInjectedFailure() -> Bool {
    if unsafe state.pointee.successesBefore > 0 {
      unsafe state.pointee.successesBefore -= 1
      return false
    }
    unsafe state.pointee.failuresToInject -= 1
    return true
  }

  /// Ends a mapping. Linux: `dma_unmap_single()`.
  ///
  /// Unmapping what is not mapped is a broken driver and traps.
  @inlinable public func unmap(_ iova: IOVA) {
    let index = Int(truncatingIfNeeded: iova.rawValue >> 20 & 0xF_FFFF)
    precondition(index < capacity, "The driver unmapped an address that was never mapped.")
    // index is below capacity.
    let slot = unsafe slots + index
    let isLive = unsafe slot.pointee.direction != 0 && UInt64(slot.pointee.generation) == iova.rawValue >> 40
    precondition(isLive, "The driver unmapped an address that is not mapped.")
    if unsafe slot.pointee.direction == UInt32(DMADirection.fromDevice.rawValue) {
      // One writer, so counting needs no locked operation.
      unsafe unmapCount.pointee.store(
        unmapCount.pointee.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }
    unsafe slot.pointee.direction = 0
    unsafe slot.pointee.nextFree = state.pointee.firstFree
    unsafe state.pointee.firstFree = UInt32(truncatingIfNeeded: index)
    unsafe state.pointee.mappedCount -= 1
  }

  /// The device's side: memory for an access, or the reason why not.
  @inlinable public func translate(_ iova: IOVA, byteCount: Int, _ direction: DMADirection)
    -> IOMMUTranslation
  {
    let index = Int(truncatingIfNeeded: iova.rawValue >> 20 & 0xF_FFFF)
    let generation = UInt32(truncatingIfNeeded: iova.rawValue >> 40)
    if index >= capacity || generation == 0 { return .fault(.notMapped) }
    // index is below capacity; the copy is checked before its page is used.
    let slot = unsafe slots[index]
    if slot.generation != generation || slot.direction == 0 {
      return .fault(slot.generation < generation ? .notMapped : .useAfterUnmap)
    }
    if slot.direction != UInt32(direction.rawValue) { return .fault(.wrongDirection) }
    let offset = UInt32(truncatingIfNeeded: iova.rawValue & 0xF_FFFF)
    if offset < slot.lower || offset > slot.upper || byteCount < 0 || byteCount > Int(slot.upper - offset) {
      return .fault(.outOfBounds)
    }
    guard let page = unsafe UnsafeMutableRawPointer(bitPattern: slot.page) else { return .fault(.notMapped) }
    // offset ..< offset + byteCount is inside what the driver mapped.
    return unsafe .memory(page + Int(offset))
  }

  /// How many mappings that the device may write to were ended: while it stands still, a translation that the device
  /// keeps is good. Linux: what `iommu_iotlb_sync()` tells a device that caches translations.
  @inlinable public var fromDeviceUnmapCount: UInt64 { unsafe unmapCount.pointee.load(ordering: .acquiring) }
  /// How many mappings exist now.
  public var mappedCount: Int { unsafe state.pointee.mappedCount }
  /// How many calls of `map` were refused.
  public var mappingFailureCount: UInt64 { unsafe state.pointee.mappingFailureCount }
  /// Calls of `map` that are still to fail.
  public var pendingMappingFailures: Int { unsafe state.pointee.failuresToInject }
  /// Fault injection: so many calls of `map` fail, the next or those after some that succeed.
  public func injectMappingFailures(_ count: Int, after successes: Int = 0) {
    unsafe state.pointee.failuresToInject = count
    unsafe state.pointee.successesBefore = successes
  }
}
