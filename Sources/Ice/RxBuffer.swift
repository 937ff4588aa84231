import IceHardware
import SkBuff

/// A receive buffer: part of a page, mapped for the device to write to. Linux: `struct ice_rx_buf`.
struct PostedBuffer: ~Copyable {
  let page: Page
  /// Where in the page the buffer begins.
  let offset: Int
  let address: IOVA

  init(page: consuming Page, offset: Int, address: IOVA) {
    self.page = page
    self.offset = offset
    self.address = address
  }

  /// Ends the record, giving the page to the packet that adopts it.
  consuming func intoPage() -> Page { page }
}

/// What the driver remembers of one Rx descriptor.
enum RxBuffer: ~Copyable {
  case empty
  /// Mapped; the hardware owns the bytes from the posting to the write-back.
  case posted(PostedBuffer)
}

/// The buffer records of a receive ring, one for each descriptor.
///
/// Safety: one allocation, every record initialized from init to deinit; every index is checked.
@safe struct RxBufferTable: ~Copyable {
  private let records: UnsafeMutablePointer<RxBuffer>
  let count: Int

  init(count: Int) {
    self.count = count
    unsafe records = UnsafeMutablePointer<RxBuffer>.allocate(capacity: count)
    for index in 0..<count { unsafe (records + index).initialize(to: .empty) }
  }

  deinit {
    unsafe records.deinitialize(count: count)
    unsafe records.deallocate()
  }

  /// Puts a record in place of the one there, which must be empty.
  @inline(__always) func set(_ index: Int, _ record: consuming RxBuffer) {
    precondition(index >= 0 && index < count, "An Rx buffer index is outside the ring.")
    // Assigning ends the old record, which is .empty.
    unsafe records[index] = record
  }

  /// Takes the record out, leaving `.empty`.
  func take(_ index: Int) -> RxBuffer {
    precondition(index >= 0 && index < count, "An Rx buffer index is outside the ring.")
    let record = unsafe (records + index).move()
    unsafe (records + index).initialize(to: .empty)
    return record
  }

  /// The mapping of the buffer at `index`, nil when there is none.
  @inline(__always) func address(_ index: Int) -> IOVA? {
    precondition(index >= 0 && index < count, "An Rx buffer index is outside the ring.")
    switch unsafe records[index] {
    case .posted(let buffer): return buffer.address
    case .empty: return nil
    }
  }

  /// The first bytes of the buffer at `index`, which is there.
  @inline(__always)
  @_lifetime(borrow self)
  func bytes(_ index: Int, count size: Int) -> RawSpan {
    precondition(index >= 0 && index < count, "An Rx buffer index is outside the ring.")
    switch unsafe records[index] {
    case .posted(let buffer):
      let bytes = buffer.page.bytes.extracting(buffer.offset..<buffer.offset + size)
      // Safe: the record keeps the page until it is taken out, which needs this table.
      return unsafe _overrideLifetime(bytes, borrowing: self)
    case .empty:
      preconditionFailure("The device wrote back an Rx descriptor that has no buffer.")
    }
  }
}
