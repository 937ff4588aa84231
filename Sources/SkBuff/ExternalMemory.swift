/// Memory of somebody else's that packets may carry in their fragments: it is sent from where it lies.
/// Linux: the user pages behind a `struct ubuf_info`.
///
/// Packets that were cloned, split or segmented share it. When the last of them has ended the owner is told, once; until
/// then the bytes must stay where they are, and what is changed in them may or may not be sent.
@safe
public final class ExternalMemory {
  let base: UnsafeMutableRawPointer
  public let byteCount: Int
  private let released: () -> Void

  /// - Parameters:
  ///   - bytes: at most 2 GiB less one byte, valid until `released` is called.
  ///   - released: called under the lock of the shard whose packets carried it: it must not call into the stack.
  public init(bytes: UnsafeMutableRawBufferPointer, released: @escaping () -> Void) {
    guard let base = bytes.baseAddress, bytes.count <= Int(Int32.max) else {
      preconditionFailure("external memory has 1 to 2,147,483,647 bytes, not \(bytes.count)")
    }
    unsafe self.base = base
    byteCount = bytes.count
    self.released = released
  }

  func tellReleased() { released() }
}

extension SkBuffPool {
  /// A page that stands for memory which is not the pool's, for `SkBuff.appendFragment`. It is not counted in
  /// `usedByteCount`; a packet's `truesize` counts it all the same.
  public func page(of memory: ExternalMemory) -> Page {
    let page = UnsafeMutablePointer<PageHeader>.allocate(capacity: 1)
    unsafe page.initialize(
      to: PageHeader(byteCount: Int32(memory.byteCount), base: memory.base, pool: block, slab: nil))
    unsafe page.pointee.external = .passRetained(memory)
    unsafe page.pointee.references = 1
    return unsafe Page(adopting: page)
  }
}

extension PoolBlock {
  /// Ends a page that came from the system by itself, or from an owner, who is told.
  static func free(ownPage page: UnsafeMutablePointer<PageHeader>) {
    let pool = unsafe page.pointee.pool
    if let external = unsafe page.pointee.external {
      unsafe page.deallocate()
      unsafe external.takeRetainedValue().tellReleased()
      return
    }
    let size = unsafe Int(page.pointee.byteCount)
    unsafe page.pointee.base.deallocate()
    unsafe page.deallocate()
    unsafe pool.pointee.pagesInUse -= 1
    unsafe pool.pointee.allocated -= size
    unsafe pool.pointee.noteUsed(-size)
  }
}
