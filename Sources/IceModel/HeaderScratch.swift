import Wire

/// The device's own memory for headers: a template fetched once per packet, and the copy of it that
/// goes out with the current frame.
///
/// Safety: one block owned from init to deinit; every access is checked against its size.
@safe struct HeaderScratch: ~Copyable {
  /// Most header bytes the device can hold, tags included.
  static var capacity: Int { 512 }
  /// Longest header it fetches, so that two tags still fit.
  static var maxHeaderByteCount: Int { 500 }
  static var paddingByteCount: Int { 64 }

  private let memory: UnsafeMutableRawPointer

  init() {
    let size = Self.capacity * 2 + Self.paddingByteCount
    unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
  }

  deinit { unsafe memory.deallocate() }

  /// Where the header as the driver wrote it is collected.
  var template: UnsafeMutableRawPointer { unsafe memory }
  /// Where the frame's header is built.
  var work: UnsafeMutableRawPointer { unsafe memory + Self.capacity }
  /// Zeros, to pad short frames with.
  var padding: UnsafeMutableRawPointer { unsafe memory + Self.capacity * 2 }

  /// One byte of the template.
  func templateByte(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < Self.capacity, "The device read past its header memory.")
    return unsafe template.load(fromByteOffset: offset, as: UInt8.self)
  }

  func load16(_ offset: Int) -> UInt16 {
    precondition(offset >= 0 && offset + 2 <= Self.capacity, "The device read past its header memory.")
    return unsafe UInt16(bigEndian: work.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  func load32(_ offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset + 4 <= Self.capacity, "The device read past its header memory.")
    return unsafe UInt32(bigEndian: work.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  func load8(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < Self.capacity, "The device read past its header memory.")
    return unsafe work.load(fromByteOffset: offset, as: UInt8.self)
  }

  func store8(_ value: UInt8, _ offset: Int) {
    precondition(offset >= 0 && offset < Self.capacity, "The device wrote past its header memory.")
    unsafe work.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }

  func store16(_ value: UInt16, _ offset: Int) {
    precondition(offset >= 0 && offset + 2 <= Self.capacity, "The device wrote past its header memory.")
    unsafe work.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  func store32(_ value: UInt32, _ offset: Int) {
    precondition(offset >= 0 && offset + 4 <= Self.capacity, "The device wrote past its header memory.")
    unsafe work.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  /// The sum over a range of the frame's header.
  func sum(from offset: Int, byteCount: Int) -> InternetChecksum {
    precondition(
      offset >= 0 && byteCount >= 0 && offset + byteCount <= Self.capacity,
      "The device summed past its header memory.")
    var sum = InternetChecksum()
    // Inside the block by the check above.
    unsafe sum.add(UnsafeRawBufferPointer(start: UnsafeRawPointer(work) + offset, count: byteCount))
    return sum
  }

  /// Copies the template to the work area, with room for `tags` bytes behind the two addresses.
  func beginFrame(headerByteCount: Int, tagByteCount: Int) {
    precondition(
      headerByteCount >= 14 && headerByteCount + tagByteCount <= Self.capacity,
      "A frame header fits its scratch.")
    // Both areas hold capacity bytes and do not overlap.
    unsafe work.copyMemory(from: template, byteCount: 12)
    unsafe (work + 12 + tagByteCount).copyMemory(from: template + 12, byteCount: headerByteCount - 12)
  }
}
