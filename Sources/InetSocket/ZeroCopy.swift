import NetNamespace
import SkBuff

// Sends that do not copy, and how a socket tells that their memory is free again.
extension SocketCore {
  /// What a notification costs of `net.core.optmem_max`, from its beginning until it was read, and what has to be free for
  /// another. Linux: `truesize` and `SKB_TRUESIZE(0)` of the packet that becomes the entry of the error queue.
  static let notificationByteCount = 832
  static let leastNotificationByteCount = 576
  /// A notification stands for no more bytes, unless they are of one send. Linux: `byte_limit` in `msg_zerocopy_realloc()`.
  static let notificationLimit = 1 << 19

  /// A send of `byteCount` bytes that asks for no copy begins: it takes the next number, of the notification that the packet
  /// has to which it is going to add, or of a new one. The caller holds a use of what is returned.
  /// Linux: `msg_zerocopy_realloc()`.
  ///
  /// - Throws: ENOBUFS when the notifications that are under way and those that nobody has read take too much memory.
  public mutating func beginZeroCopy(
    _ byteCount: Int, extending earlier: SendNotification? = nil, net: borrowing Net
  ) throws(Errno) -> SendNotification {
    if let earlier, earlier.isCallers { throw .ENOBUFS }
    let pool = net.pool
    let limit = net.settings.maximumOptionMemory
    let id = id
    let made = withRare { rare -> SendNotification? in
      if let earlier, earlier.count < UInt32(UInt16.max) - 1,
        earlier.byteCount + byteCount <= Self.notificationLimit,
        earlier.last &+ 1 == rare.nextZeroCopyID
      {
        earlier.count += 1
        earlier.byteCount += byteCount
        rare.nextZeroCopyID &+= 1
        pool.hold(earlier)
        return earlier
      }
      guard rare.optionMemory + Self.leastNotificationByteCount <= limit else { return nil }
      rare.optionMemory += Self.notificationByteCount
      let made = SendNotification(
        socket: id.rawValue, generation: id.generation, first: rare.nextZeroCopyID, byteCount: byteCount)
      rare.nextZeroCopyID &+= 1
      return made
    }
    guard let made else { throw .ENOBUFS }
    return made
  }

  /// A send has taken what it could. Linux: `net_zcopy_put()`.
  public func endZeroCopy(_ notification: SendNotification, net: borrowing Net) {
    net.pool.release(notification)
  }

  /// A send has queued nothing: nobody hears of its number, which the next one takes. Linux: `net_zcopy_put_abort()`.
  public mutating func abortZeroCopy(_ notification: SendNotification, net: borrowing Net) {
    withRare { rare in
      // Another thread may have sent while this one waited: then the number is told like any other.
      guard notification.last &+ 1 == rare.nextZeroCopyID else { return }
      rare.nextZeroCopyID &-= 1
      notification.count -= 1
    }
    net.pool.release(notification)
  }

  /// Nothing reads the memory of a notification's sends any more: an entry at the end of the error queue, or a part of the
  /// last one. Linux: `__msg_zerocopy_callback()`.
  ///
  /// - Returns: whether the owner is to be told.
  public mutating func complete(_ notification: SendNotification) -> Bool {
    let isTold = notification.count > 0 && !isOrphan
    return withRare { rare in
      guard isTold else {
        rare.optionMemory -= Self.notificationByteCount
        return false
      }
      if let last = rare.errorQueue.indices.last, rare.errorQueue[last].extend(by: notification) {
        rare.optionMemory -= Self.notificationByteCount
      } else {
        rare.errorQueue.append(ExtendedError(notification))
      }
      return true
    }
  }

  /// Takes the first notification off the error queue, past other entries.
  ///
  /// - Throws: EAGAIN when there is none.
  public mutating func takeCompletion() throws(Errno) -> SendCompletion {
    guard let rare, let place = rare.errorQueue.firstIndex(where: { $0.origin == .zeroCopy }) else {
      throw .EAGAIN
    }
    let entry = rare.errorQueue.remove(at: place)
    discharge(entry)
    return SendCompletion(first: entry.info, last: entry.data, isCopied: entry.code != 0)
  }
}

/// Which sends with `MSG_ZEROCOPY` read their memory no more. They are numbered from 0 on, as 32 bits do, for each socket.
public struct SendCompletion: Sendable, Equatable {
  public let first: UInt32
  public let last: UInt32
  /// Some of the bytes were copied after all: no time was saved. Linux: `SO_EE_CODE_ZEROCOPY_COPIED`.
  public let isCopied: Bool

  public init(first: UInt32, last: UInt32, isCopied: Bool) {
    self.first = first
    self.last = last
    self.isCopied = isCopied
  }
}

extension ExtendedError {
  /// Linux: `SO_EE_CODE_ZEROCOPY_COPIED`.
  static let copiedCode: UInt8 = 1

  init(_ notification: SendNotification) {
    self.init(
      errno: Errno(rawValue: 0), origin: .zeroCopy, kind: 0,
      code: notification.isCopied ? Self.copiedCode : 0, info: notification.first, offender: nil,
      destination: nil)
    data = notification.last
  }

  /// Makes this the entry of later sends too, if they follow. What it says of copies is that of the first.
  /// Linux: `skb_zerocopy_notify_extend()`.
  mutating func extend(by notification: SendNotification) -> Bool {
    guard origin == .zeroCopy, notification.first == data &+ 1,
      UInt64(data &- info) + 1 + UInt64(notification.count) < 1 << 32
    else { return false }
    data = notification.last
    return true
  }
}
