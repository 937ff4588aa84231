import Wire

/// Between the caller's memory and pages. A page here is as many of Linux's as it is long, and lies in one piece, so that a range
/// goes on where one of those ends.
extension IovIter {
  /// Copies bytes of a page to the caller. Linux: `copy_page_to_iter()`.
  ///
  /// - Returns: how many were copied: none of a range that is not inside the page, and fewer than asked when the room ran out or
  ///   could not be written.
  mutating func copyPageTo(_ page: UnsafeMutablePointer<PageHeader>, offset: Int, count: Int) -> Int {
    guard unsafe PageHeader.holds(page, offset: offset, count: count) else { return 0 }
    return unsafe copyTo(from: UnsafeRawBufferPointer(start: page.pointee.base + offset, count: count))
  }

  /// Copies the caller's bytes into a page that is in nobody else's hands; all or nothing. Linux: `copy_page_from_iter()`.
  ///
  /// - Parameter sum: of the bytes, where it is wanted.
  /// - Returns: false also for a range that is not inside the page.
  mutating func copyPageFrom(
    _ page: UnsafeMutablePointer<PageHeader>, offset: Int, count: Int, sum: inout InternetChecksum?
  ) -> Bool {
    guard unsafe PageHeader.holds(page, offset: offset, count: count) else { return false }
    let target = unsafe UnsafeMutableRawBufferPointer(start: page.pointee.base + offset, count: count)
    return unsafe copyFromFull(into: target, summing: &sum)
  }

  /// All or nothing, with a sum where it is wanted.
  mutating func copyFromFull(
    into target: UnsafeMutableRawBufferPointer, summing sum: inout InternetChecksum?
  ) -> Bool {
    guard var block = sum else { return unsafe copyFromFull(into: target) }
    guard unsafe copyFromFull(into: target, sum: &block) else { return false }
    sum = block
    return true
  }
}

extension PageHeader {
  /// Whether a range lies inside the page. Linux: `page_copy_sane()`.
  static func holds(_ page: UnsafeMutablePointer<PageHeader>, offset: Int, count: Int) -> Bool {
    let byteCount = unsafe Int(page.pointee.byteCount)
    return offset >= 0 && count >= 0 && offset <= byteCount && count <= byteCount - offset
  }
}
