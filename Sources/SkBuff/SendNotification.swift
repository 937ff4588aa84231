/// Who is told when nothing of a send reads the caller's memory any more: neither a packet that may have to be sent again
/// nor a descriptor on a ring. Linux: `struct ubuf_info`, `struct ubuf_info_msgzc`.
///
/// A socket's notification has numbers, one for each send that it stands for, and becomes an entry of the error queue. One
/// that the caller owns (Linux: `msg_ubuf`) runs a closure.
///
/// Safety: everything that changes is touched only by the holder of the shard's lock.
@safe
public final class SendNotification: @unchecked Sendable {
  /// The socket that it belongs to, and which of those that have had its number; 0: the caller owns it.
  package let socket: UInt32
  package let generation: UInt32
  /// The number of the first send, and how many it stands for. Linux: `id`, `len`.
  package let first: UInt32
  package var count: UInt32 = 1
  /// Bytes of all of them. Linux: `bytelen`.
  package var byteCount: Int
  /// Some of the bytes were copied after all. Linux: not `zerocopy`.
  package var isCopied = false
  /// Pages and calls that hold it. Linux: `refcnt`.
  package internal(set) var uses = 1
  private let completed: (@Sendable (_ isCopied: Bool) -> Void)?
  fileprivate var next: SendNotification?

  package init(socket: UInt32, generation: UInt32, first: UInt32, byteCount: Int) {
    self.socket = socket
    self.generation = generation
    self.first = first
    self.byteCount = byteCount
    completed = nil
  }

  /// One that the caller owns, until it has ended it.
  ///
  /// - Parameter completed: called once, when the caller has ended the notification and nothing reads the memory; under the
  ///   shard's lock, so that it must not call into the stack. Told whether some of the bytes were copied.
  public init(completed: @escaping @Sendable (_ isCopied: Bool) -> Void) {
    socket = 0
    generation = 0
    first = 0
    byteCount = 0
    self.completed = completed
  }

  /// Whether the caller owns it. Linux: `msg_ubuf`.
  package var isCallers: Bool { completed != nil }
  /// The last number.
  package var last: UInt32 { first &+ count &- 1 }

  package func tellOwner() { completed?(isCopied) }
}

extension SkBuffPool {
  package func hold(_ notification: SendNotification) { notification.uses += 1 }

  /// A use ends: with the last one the notification is complete. Linux: `net_zcopy_put()`.
  package func release(_ notification: SendNotification) {
    unsafe PoolBlock.release(notification, block)
  }

  /// Whether `takeCompleted()` has something.
  @inlinable package var hasCompleted: Bool { unsafe block.pointee.hasCompleted }

  /// The notification that has been complete for longest, to be told.
  package func takeCompleted() -> SendNotification? {
    guard let notification = unsafe block.pointee.firstCompleted else { return nil }
    unsafe block.pointee.firstCompleted = notification.next
    if notification.next == nil {
      unsafe block.pointee.lastCompleted = nil
      unsafe block.pointee.hasCompleted = false
    }
    notification.next = nil
    return notification
  }
}

extension PoolBlock {
  static func release(_ notification: SendNotification, _ pool: UnsafeMutablePointer<PoolBlock>) {
    precondition(notification.uses > 0, "a notification completes once")
    notification.uses -= 1
    guard notification.uses == 0 else { return }
    if let last = unsafe pool.pointee.lastCompleted {
      last.next = notification
    } else {
      unsafe pool.pointee.firstCompleted = notification
    }
    unsafe pool.pointee.lastCompleted = notification
    unsafe pool.pointee.hasCompleted = true
  }
}
