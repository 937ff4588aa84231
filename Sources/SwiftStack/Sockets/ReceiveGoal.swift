import Shard
import Sockets

/// How much a receive wants before it returns, and what it has. A datagram, whatever its length; of a stream at least
/// one byte, `SO_RCVLOWAT` bytes, or with `MSG_WAITALL` as much as there is room for, before an error, the end or the
/// time-out. Linux: `sock_rcvlowat()` in `tcp_recvmsg_locked()`.
struct ReceiveGoal: Sendable {
  var patience: Patience
  /// For each attempt.
  let flags: MessageFlags
  private(set) var taken = 0
  private let limit: Int
  /// A stream's bytes, by a call that may wait for more of them.
  private let mayWant: Bool
  private var least = 1
  private var hasEnded = false

  init(_ socket: Socket, _ flags: MessageFlags, upTo limit: Int, _ patience: Patience? = nil) {
    // Linux: `inet_recv_error()`, `tcp_recv_urg()`.
    let neverWaits = flags.contains(.errorQueue) || socket.type == .tcp && flags.contains(.outOfBand)
    let patience = neverWaits ? .none : patience ?? socket.patience(flags, .receiveTimeout)
    var mayWait = true
    if case .none = patience { mayWait = false }
    self.patience = patience
    self.flags = mayWait ? flags : flags.union(.dontWait)
    self.limit = limit
    mayWant = mayWait && socket.type == .tcp && flags.isDisjoint(with: [.outOfBand, .errorQueue])
  }

  /// The least that the whole call is to bring, asked under the lock before an attempt.
  ///
  /// - Throws: `ENOTCONN` when a part is there and an error follows, which is the next call's; `EAGAIN` when the call only
  ///   looks and there is not enough to see.
  func least(_ state: inout Shard, _ id: SocketID) throws(Errno) -> Int {
    guard mayWant else { return 0 }
    let least = flags.contains(.waitAll) ? limit : min(state.sockets.receiveLowWater(id), limit)
    if least <= 1 && taken == 0 { return least }
    let count = state.sockets.receivableByteCount(id)
    let ready = state.sockets.readiness(id)
    let hasError = state.sockets.hasPendingError(id)
    if taken > 0 && count == 0 && hasError { throw .ENOTCONN }
    let isLast = hasError || !ready.isDisjoint(with: [.readHangup, .hangup])
    if flags.contains(.peek) && count > 0 && count < least && !isLast { throw .EAGAIN }
    return least
  }

  mutating func advance(by count: Int, least: Int) {
    taken += count
    self.least = least
    hasEnded = count == 0 || flags.contains(.peek)
  }

  /// Adds what an attempt brought in an array of its own.
  mutating func take(_ part: Received, least: Int, into result: inout Received?) {
    if taken == 0 {
      result = part
    } else {
      result?.bytes += part.bytes
      // MSG_TRUNC counts what a stream has thrown away, too.
      result?.byteCount += part.byteCount
    }
    advance(by: part.bytes.count, least: least)
  }

  /// Whether the call goes on.
  var isUnmet: Bool { mayWant && !hasEnded && taken < least }
  /// A call that only looks sees what there is when its time is over.
  var acceptsLess: Bool { mayWant && flags.contains(.peek) }
}
