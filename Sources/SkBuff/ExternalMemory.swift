/// Memory of somebody else's that packets may carry in their fragments: it is sent from where it lies.
/// Linux: the user pages behind a `struct ubuf_info`.
///
/// Packets that were cloned, split or segmented share it, and each keeps it alive; what is changed in it meanwhile may or
/// may not be sent. With the last reference, a packet's or the owner's, it is given back.
@safe
public final class ExternalMemory: @unchecked Sendable {
  /// The bytes. Whoever has lent them to a send leaves them alone until it is told that they are free.
  public let bytes: UnsafeMutableRawBufferPointer
  let base: UnsafeMutableRawPointer
  public var byteCount: Int { unsafe bytes.count }
  /// Processors may read it; else only a device does. Linux: `skb_frags_readable()`.
  public let isReadable: Bool
  private let released: @Sendable () -> Void

  /// - Parameters:
  ///   - bytes: 1 to 2 GiB less one byte, valid until `released` is called.
  ///   - isReadable: false: only a device reads it.
  ///   - released: called with the last reference, perhaps under the lock of the shard whose packets carried it: it must
  ///     not call into the stack.
  public init(
    bytes: UnsafeMutableRawBufferPointer, isReadable: Bool = true, released: @escaping @Sendable () -> Void
  ) {
    guard let base = bytes.baseAddress, bytes.count > 0, bytes.count <= Int(Int32.max) else {
      preconditionFailure("external memory has 1 to 2,147,483,647 bytes, not \(bytes.count)")
    }
    unsafe self.bytes = bytes
    unsafe self.base = base
    self.isReadable = isReadable
    self.released = released
  }

  /// A copy of `bytes`, of which there is at least one.
  public convenience init(copying bytes: [UInt8]) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
    unsafe memory.copyBytes(from: bytes)
    let base = UInt(bitPattern: memory.baseAddress)
    // Safe: what was allocated here is given back once.
    unsafe self.init(bytes: memory) { unsafe UnsafeMutableRawPointer(bitPattern: base)?.deallocate() }
  }

  deinit { released() }

  /// All of it, as what is sent.
  public var slice: MemorySlice { MemorySlice(whole: self) }

  /// A part of it; `nil` when that is not inside.
  public subscript(range: Range<Int>) -> MemorySlice? {
    MemorySlice(self, offset: range.lowerBound, byteCount: range.count)
  }
}

/// Bytes of memory that packets may carry. Linux: `struct bio_vec`.
public struct MemorySlice: Sendable {
  public let memory: ExternalMemory
  public let offset: Int
  public let byteCount: Int

  init(whole memory: ExternalMemory) {
    self.memory = memory
    offset = 0
    byteCount = memory.byteCount
  }

  /// `nil` when the range is not inside the memory. Linux: `page_copy_sane()`.
  public init?(_ memory: ExternalMemory, offset: Int, byteCount: Int) {
    guard offset >= 0, byteCount >= 0, offset <= memory.byteCount, byteCount <= memory.byteCount - offset
    else { return nil }
    self.memory = memory
    self.offset = offset
    self.byteCount = byteCount
  }
}

extension SkBuffPool {
  /// A page that stands for memory which is not the pool's, for `SkBuff.appendFragment`. It is not counted in
  /// `usedByteCount`; a packet's `truesize` counts it all the same.
  ///
  /// - Parameters:
  ///   - notification: told when the page has ended, as one of its uses.
  ///   - isShared: what is in it may change under way.
  public func page(
    of memory: ExternalMemory, for notification: SendNotification? = nil, isShared: Bool = true
  ) -> Page {
    let page: UnsafeMutablePointer<PageHeader>
    if let free = unsafe block.pointee.freeLentPages {
      unsafe block.pointee.freeLentPages = free.pointee.nextFree?.assumingMemoryBound(to: PageHeader.self)
      unsafe page = free
    } else {
      unsafe page = UnsafeMutablePointer<PageHeader>.allocate(capacity: 1)
    }
    unsafe page.initialize(
      to: PageHeader(byteCount: Int32(memory.byteCount), base: memory.base, pool: block, slab: nil))
    unsafe page.pointee.external = .passRetained(memory)
    unsafe page.pointee.isShared = isShared
    unsafe page.pointee.isUnreadable = !memory.isReadable
    if let notification {
      notification.uses += 1
      unsafe page.pointee.notification = .passRetained(notification)
    }
    unsafe page.pointee.references = 1
    return unsafe Page(adopting: page)
  }
}

extension PoolBlock {
  /// Ends a page that came from the system by itself, or from an owner, who is told.
  static func free(ownPage page: UnsafeMutablePointer<PageHeader>) {
    let pool = unsafe page.pointee.pool
    if let external = unsafe page.pointee.external {
      let notification = unsafe page.pointee.notification
      unsafe page.pointee.external = nil
      unsafe page.pointee.notification = nil
      unsafe page.pointee.nextFree = UnsafeMutableRawPointer(pool.pointee.freeLentPages)
      unsafe pool.pointee.freeLentPages = page
      unsafe external.release()
      if let notification = unsafe notification {
        unsafe release(notification.takeRetainedValue(), pool)
      }
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
