import Glibc

/// Bytes behind which a page lies that nobody may touch.
///
/// Safety: mapped in `init`, unmapped at its end; `base` points to `byteCount` bytes of it.
@safe public struct MemoryWithHole: ~Copyable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int
  private let mapping: UnsafeMutableRawBufferPointer

  public init(_ bytes: [UInt8]) {
    let page = sysconf(Int32(_SC_PAGESIZE))
    let length = (bytes.count + page - 1) / page * page
    let start = unsafe mmap(nil, length + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let start = unsafe start, unsafe start != MAP_FAILED else { fatalError("no memory for a test") }
    unsafe mapping = UnsafeMutableRawBufferPointer(start: start, count: length + page)
    unsafe mprotect(start + length, page, PROT_NONE)
    byteCount = bytes.count
    unsafe base = start + (length - byteCount)
    unsafe UnsafeMutableRawBufferPointer(start: base, count: byteCount).copyBytes(from: bytes)
  }
  deinit { unsafe munmap(mapping.baseAddress, mapping.count) }

  public var bytes: [UInt8] { unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: byteCount)) }
}
