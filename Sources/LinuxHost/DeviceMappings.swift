import Glibc

/// A file that stands for a device's memory: processors have its addresses and may not touch them, a NIC has addresses of its
/// own. Linux: a dma-buf, mmap(2).
public struct DeviceMappings: Sendable {
  /// Where packets say that it lies: nothing there can be read.
  public let hidden: UInt
  /// Where the NIC reads it.
  public let visible: UInt
  public let byteCount: Int

  /// - Parameter descriptor: of a file of at least `byteCount` bytes that is not cut shorter, such as memfd_create(2) makes.
  /// - Throws: the errors of mmap(2); EINVAL for a file that is shorter.
  public init(_ descriptor: Int32, byteCount: Int) throws(LinuxError) {
    var status = stat()
    // Safe: one stat structure is what fstat writes.
    guard unsafe fstat(descriptor, &status) == 0 else { throw .last("look at", "the memory") }
    guard byteCount > 0, status.st_size >= byteCount else {
      throw LinuxError(EINVAL, "map", "the memory", reason: "the file is shorter")
    }
    self.byteCount = byteCount
    visible = try Self.map(descriptor, byteCount, PROT_READ, MAP_SHARED)
    do { hidden = try Self.map(-1, byteCount, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) } catch
    {
      unsafe munmap(UnsafeMutableRawPointer(bitPattern: visible), byteCount)
      throw error
    }
  }

  private static func map(_ descriptor: Int32, _ byteCount: Int, _ access: Int32, _ kind: Int32)
    throws(LinuxError) -> UInt
  {
    let base = unsafe mmap(nil, byteCount, access, kind, descriptor, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else { throw .last("map", "the memory") }
    return UInt(bitPattern: base)
  }

  /// The NIC reads it no more.
  public func unmapVisible() { unsafe munmap(UnsafeMutableRawPointer(bitPattern: visible), byteCount) }
  /// Nobody has the addresses any more that packets had.
  public func unmapHidden() { unsafe munmap(UnsafeMutableRawPointer(bitPattern: hidden), byteCount) }
}
