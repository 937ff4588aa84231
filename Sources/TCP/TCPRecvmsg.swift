import IPv4
import Internet
import NetNamespace
import SkBuff
import Wire

// The reader's side. Linux: `tcp_recvmsg_locked()`.
extension TCPConnection {
  /// Copies bytes of the stream to the caller.
  ///
  /// - Returns: bytes copied; 0 at the end of the stream.
  /// - Throws: `EAGAIN` when nothing is there, a pending error, `ENOTCONN`, `EFAULT`, `EINVAL` for absent urgent data.
  mutating func recvmsg(_ iter: inout IovIter, flags: MessageFlags, host: inout Host) throws(Errno) -> Int {
    if state == .listen { throw .ENOTCONN }
    if isInRepair {
      guard flags.contains(.peek) else { throw .EPERM }
      switch repairQueue {
      case .send: return try peekSendQueue(&iter)
      case .none: throw .EINVAL
      case .receive: break
      }
    }
    if flags.contains(.outOfBand) { return try receiveUrgent(&iter, peek: flags.contains(.peek)) }
    let requested = iter.count
    var copied = 0
    var sequence = receiver.copiedSeq
    if flags.contains(.peek) { sequence += Int(max(0, core.peekOffset)) }
    var place = receiver.receiveQueue.first
    while let current = place, iter.count > 0 {
      let block = receiver.receiveQueue[tcp: current]
      let offset = sequence.offset(from: block.sequence)
      let length = receiver.receiveQueue.length(at: current)
      // Where a peek begins behind it.
      if offset >= length {
        place = receiver.receiveQueue.position(after: current)
        continue
      }
      var count = min(length - offset, iter.count)
      if let mark = receiver.urgent {
        // Reading stops in front of the urgent byte, which is part of the stream only with SO_OOBINLINE (RFC 6093).
        let distance = mark.sequence.offset(from: sequence)
        if distance == 0 {
          if copied > 0 { break }
          if !core.options.outOfBandInline {
            sequence += 1
            count = min(length - offset - 1, iter.count)
          }
        } else if distance > 0 {
          count = min(count, distance)
        }
      }
      if count > 0 {
        let before = copied
        if flags.contains(.truncate) {
          iter.advance(count)
          copied += count
        } else {
          let from = sequence.offset(from: block.sequence)
          copied += receiver.receiveQueue.withPacket(at: current) { skb in
            skb.copyDatagram(from: from, count: count, to: &iter)
          }
        }
        // Of a segment that does not fit what is there nothing counts. Linux: `__skb_datagram_iter()`, which goes back.
        if copied - before < count {
          guard before > 0 else { throw .EFAULT }
          iter.revert(copied - before)
          copied = before
          break
        }
        if core.tellsArrival {
          core.arrival = receiver.receiveQueue.withPacket(at: current) { $0.timestamp }
        }
        sequence += count
      }
      if flags.contains(.peek) {
        place =
          sequence.offset(from: block.sequence) >= length
          ? receiver.receiveQueue.position(after: current) : current
      } else {
        advanceReader(to: sequence, net: host.net)
        place = receiver.receiveQueue.first
      }
    }
    if copied > 0 {
      core.movePeekOffset(by: copied, isPeek: flags.contains(.peek))
      if !flags.contains(.peek) { cleanReceiveBuffer(copied: copied, host: &host) }
      return copied
    }
    // Asking for nothing tells whether there is something.
    if requested == 0 && receiver.readableByteCount > 0 { return 0 }
    // After the peer's last byte there is its end, whatever came of the connection since. Linux: SOCK_DONE.
    if receiver.peerFinSeen { return 0 }
    if let error = core.pendingError {
      core.pendingError = nil
      throw error
    }
    if core.receiveShutdown { return 0 }
    if state == .close { throw .ENOTCONN }
    throw .EAGAIN
  }

  /// Frees what has been read.
  mutating func advanceReader(to sequence: SequenceNumber, net: borrowing Net) {
    receiver.copiedSeq = sequence
    if let mark = receiver.urgent, sequence.isAfter(mark.sequence) { receiver.urgent = nil }
    while let head = receiver.receiveQueue.first {
      let block = receiver.receiveQueue[tcp: head]
      guard block.sequence.offset(from: sequence) + receiver.receiveQueue.length(at: head) <= 0 else { break }
      _ = receiver.receiveQueue.popFirst()
    }
    adjustReceiveSpace(net: net)
  }

  /// A window update when reading has opened the window enough (RFC 9293 3.8.6.2.2). Linux:
  /// `tcp_cleanup_rbuf()`.
  mutating func cleanReceiveBuffer(copied: Int, host: inout Host) {
    guard state.canReceive || state == .closeWait else { return }
    var due = false
    if receiver.ack.isScheduled {
      // A small segment often ends what the sender had to say; it may wait for its ACK before it says more.
      let isPushed = receiver.ack.isPushedTwice || receiver.ack.isPushed && !receiver.ack.isInteractive
      due =
        receiver.rcvNxt.offset(from: receiver.rcvWup) > receiver.rcvMSS
        || copied > 0 && isPushed && receiver.readableByteCount == 0
    }
    if !due && !core.receiveShutdown {
      let current = receiver.receiveWindow
      if 2 * current <= receiver.windowClamp {
        let new = proposedWindow()
        if new > 0 && new >= 2 * current { due = true }
      }
    }
    if due { sendAck(host: &host) }
  }

  /// Linux: `tcp_recv_urg()`.
  private mutating func receiveUrgent(_ iter: inout IovIter, peek: Bool) throws(Errno) -> Int {
    guard !core.options.outOfBandInline, let mark = receiver.urgent, mark.byte != .taken else {
      throw .EINVAL
    }
    if state == .close && !receiver.peerFinSeen { throw .ENOTCONN }
    guard case .waiting(var value) = mark.byte else {
      if state == .close || core.receiveShutdown { return 0 }
      throw .EAGAIN
    }
    if !peek { receiver.urgent?.byte = .taken }
    return unsafe withUnsafeBytes(of: &value) { bytes in unsafe iter.copyTo(from: bytes) }
  }
}
