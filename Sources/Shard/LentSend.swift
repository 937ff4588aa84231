import InetSocket
import SkBuff
import Sockets

/// A send call that lends its memory, over all attempts that it takes.
///
/// Safety: everything is touched by the holder of the shard only.
package final class LentSend: @unchecked Sendable {
  let slices: [MemorySlice]
  package let byteCount: Int
  /// The caller's own, or the call's number.
  private var notification: SendNotification?
  private let isCallers: Bool
  private let mayWait: Bool
  private var hasBegun = false
  private var sent = 0

  /// - Parameter mayWait: there may be several attempts, and `end` follows the last.
  package init(_ slices: [MemorySlice], notifying owner: SendNotification?, mayWait: Bool) {
    self.slices = slices
    byteCount = slices.reduce(0) { $0 + $1.byteCount }
    notification = owner
    isCallers = owner != nil
    self.mayWait = mayWait
  }

  package func attempt(
    _ state: inout Shard, _ id: SocketID, _ header: MessageHeader
  ) throws(Errno) -> Int {
    if !hasBegun && mayWait && !isCallers {
      hasBegun = true
      notification = try state.sockets.beginZeroCopy(
        id, byteCount: byteCount, flags: header.flags, net: state.host.net)
    }
    let notification = notification
    let sent = sent
    let count = unsafe try slices.withUnsafeBufferPointer { (slices) throws(Errno) in
      var iter = unsafe IovIter(slices)
      iter.advance(min(sent, iter.count))
      // Safe: held here until the call ends.
      if let notification { unsafe iter.notification = .passUnretained(notification) }
      return try state.sockets.sendmsg(id, header: header, iter: &iter, host: &state.host)
    }
    self.sent += count
    if self.sent >= byteCount { end(&state, id) }
    return count
  }

  /// The call is over.
  package func end(_ state: inout Shard, _ id: SocketID) {
    guard !isCallers, let notification else { return }
    self.notification = nil
    state.sockets.endZeroCopy(id, notification, isAborted: sent == 0 && byteCount > 0, net: state.host.net)
  }
  /// Whether `end` has something to do.
  package var isUnended: Bool { !isCallers && notification != nil }
}

extension Shard {
  /// Sends memory that packets may carry, what there is room for. With `MSG_ZEROCOPY` on a socket with `SO_ZEROCOPY` nothing
  /// is copied that need not be, and `completion(of:)` tells when the memory is free; else the bytes are copied.
  ///
  /// - Returns: bytes taken.
  @discardableResult
  public mutating func send(
    _ id: SocketID, lending slice: MemorySlice, to address: SocketAddress? = nil,
    flags: MessageFlags = .zeroCopy
  ) throws(Errno) -> Int {
    let call = LentSend([slice], notifying: nil, mayWait: false)
    let count = try call.attempt(&self, id, MessageHeader(address: address, flags: flags.union(.dontWait)))
    bytesMoved &+= count
    return count
  }

  /// Which sends are done with their memory.
  ///
  /// - Throws: EAGAIN when none has become so.
  public mutating func completion(of id: SocketID) throws(Errno) -> SendCompletion {
    try sockets.takeCompletion(id)
  }
}
