import Glibc

/// A part of a file in memory, to be read. Linux: mmap(2).
public enum MappedFile {
  /// Maps `count` bytes of an open file from `offset` on. The caller ends it with `unmap`.
  ///
  /// Safety: the memory is only read; a file that is cut shorter meanwhile ends whoever reads behind its end.
  @unsafe
  public static func map(_ descriptor: Int32, from offset: Int, count: Int) throws(LinuxError)
    -> UnsafeMutableRawBufferPointer
  {
    let lead = offset % pageByteCount
    let base = unsafe mmap(nil, lead + count, PROT_READ, MAP_SHARED, descriptor, offset - lead)
    guard let base = unsafe base, unsafe base != MAP_FAILED else {
      throw LinuxError(errno, "map", "the file")
    }
    return unsafe UnsafeMutableRawBufferPointer(start: base + lead, count: count)
  }

  /// - Parameter address: of the first byte that `map` returned.
  @unsafe
  public static func unmap(address: UInt, count: Int) {
    let lead = address % UInt(pageByteCount)
    unsafe munmap(UnsafeMutableRawPointer(bitPattern: address - lead), Int(lead) + count)
  }

  private static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))
}
