import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Data from the peer, in order or not, and when to acknowledge it. Linux: `tcp_data_queue()`.
extension TCPConnection {
  /// Takes the payload of an acceptable segment.
  mutating func queueData(_ skb: consuming SkBuff, host: inout Host) {
    let block = skb.tcp
    let payload = skb.length
    if payload == 0 && !block.flags.contains(.fin) { return }
    if block.sequence == receiver.rcvNxt {
      if receiver.receiveWindow == 0 && payload > 0 { return refuseAtClosedWindow(skb, net: &host.net) }
      // A FIN alone takes no memory, so that a full buffer does not keep the connection from ending.
      guard payload == 0 || makeRoom(for: skb.truesize, net: &host.net) else {
        return refuseForMemory(skb, net: &host.net)
      }
      acceptInOrder(skb, net: &host.net)
      if !receiver.outOfOrder.isEmpty {
        drainOutOfOrder(net: &host.net)
        // RFC 5681 4.2: fill a gap, acknowledge at once.
        if receiver.outOfOrder.isEmpty { receiver.ack.isImmediate = true }
      }
      receiver.trimSACKReport()
      host.net.wake(id)
      return
    }
    if !block.endSequence.isAfter(receiver.rcvNxt) {
      // Wholly old: a retransmission of what we have. Tell the sender which (RFC 2883).
      host.net.counters.count(.TcpExtDelayedACKLost)
      noteDuplicate(block.sequence, block.endSequence, net: &host.net)
      receiver.enterQuickAck()
      receiver.ack.isScheduled = true
      skb.drop(.tcpOldData)
      return
    }
    guard block.sequence.isBefore(receiver.rcvNxt + receiver.receiveWindow) else {
      receiver.enterQuickAck()
      receiver.ack.isScheduled = true
      skb.drop(.tcpOverWindow)
      return
    }
    if block.sequence.isBefore(receiver.rcvNxt) {
      // Its front is old.
      noteDuplicate(block.sequence, receiver.rcvNxt, net: &host.net)
      guard receiver.receiveWindow > 0 else { return refuseAtClosedWindow(skb, net: &host.net) }
      guard makeRoom(for: skb.truesize, net: &host.net) else { return refuseForMemory(skb, net: &host.net) }
      acceptInOrder(skb, net: &host.net)
      drainOutOfOrder(net: &host.net)
      receiver.trimSACKReport()
      host.net.wake(id)
      return
    }
    queueOutOfOrder(skb, net: &host.net)
  }

  /// Data that was offered no room. Linux: `tcp_data_queue()`, `out_of_window`.
  private mutating func refuseAtClosedWindow(_ skb: consuming SkBuff, net: inout Net) {
    net.counters.count(.TcpExtTCPZeroWindowDrop)
    receiver.enterQuickAck()
    receiver.ack.isScheduled = true
    skb.drop(.tcpZeroWindow)
  }

  /// Data that was offered room and gets none: the ACK takes the window back, so that the peer probes instead of sending
  /// the same again until it gives up. Linux: `tcp_data_queue()`, `ICSK_ACK_NOMEM`.
  private mutating func refuseForMemory(_ skb: consuming SkBuff, net: inout Net) {
    net.counters.count(.TcpExtTCPRcvQDrop)
    receiver.ack.isScheduled = true
    receiver.ack.isImmediate = true
    receiver.ack.isOutOfMemory = true
    skb.drop(.socketReceiveBuffer)
    net.wake(id)
  }

  /// The next bytes of the stream: behind the receive queue.
  mutating func acceptInOrder(_ skb: consuming SkBuff, net: inout Net) {
    let block = skb.tcp
    let old = receiver.rcvNxt.offset(from: block.sequence)
    let payload = skb.length - max(0, old)
    if old > 0 {
      guard old <= skb.length, skb.trimHead(old) else {
        skb.drop(.noMemory)
        return
      }
      skb.tcp.sequence = receiver.rcvNxt
    }
    if payload > 0 {
      noteDataReceived(
        payload: payload, truesize: skb.truesize, gsoSize: skb.gsoSize, flags: block.flags, net: &net)
    } else {
      receiver.ack.isScheduled = true
    }
    statistics.bytesReceived += UInt64(block.endSequence.offset(from: receiver.rcvNxt))
    receiver.rcvNxt = block.endSequence
    if payload > 0 { appendToReceiveQueue(skb, net: &net) }
    if block.flags.contains(.fin) {
      receiver.peerFinSeen = true
      // The stream ends here, whatever a peer sent for numbers behind it.
      receiver.outOfOrder.removeAll()
    }
  }

  /// Small packets are copied into the last one's spare room, so that a byte a packet does not cost a page each.
  /// Linux: `tcp_queue_rcv()`, `tcp_try_coalesce()`.
  mutating func appendToReceiveQueue(_ skb: consuming SkBuff, net: inout Net) {
    if let tail = receiver.receiveQueue.last, skb.dataLength == 0,
      receiver.receiveQueue[tcp: tail].endSequence == skb.tcp.sequence
    {
      let merged = receiver.receiveQueue.withMutablePacket(at: tail) { last in
        guard last.dataLength == 0, !last.isCloned, last.tailroom >= skb.length else { return false }
        last.put(skb.linear)
        last.tcp.endSequence = skb.tcp.endSequence
        return true
      }
      if merged {
        net.counters.count(.TcpExtTCPRcvCoalesce)
        return
      }
    }
    skb.chargeReceive(to: core.account)
    receiver.receiveQueue.append(skb)
  }

  /// Linux: `tcp_event_data_recv()`.
  private mutating func noteDataReceived(
    payload: Int, truesize: Int, gsoSize: Int, flags: TCPFlags, net: inout Net
  ) {
    receiver.ack.isScheduled = true
    measureReceive(payload: payload, gsoSize: gsoSize, truesize: truesize, flags: flags)
    measureReceiveRTT(echo: sender.receivedEcho, hasEcho: hasTimestamps, payload: payload, now: net.now)
    let now = net.now
    if receiver.ack.timeout == .zero {
      // First data: the sender may be in slow start, so acknowledge quickly.
      receiver.raiseQuickAcks(DelayedAck.maximumQuick)
      receiver.ack.timeout = DelayedAck.minimum
    } else {
      let gap = now - receiver.ack.lastDataAt
      if gap <= DelayedAck.minimum / 2 {
        receiver.ack.timeout = receiver.ack.timeout / 2 + DelayedAck.minimum / 2
      } else if gap < receiver.ack.timeout {
        receiver.ack.timeout = min(receiver.ack.timeout / 2 + gap, sender.rtt.timeout)
      } else if gap > sender.rtt.timeout {
        // The sender was idle: it may be in slow start again.
        receiver.raiseQuickAcks(DelayedAck.maximumQuick)
      }
    }
    receiver.ack.lastDataAt = now
    receiver.lastReceived = now
    statistics.dataSegmentsIn += gsoSize > 0 ? UInt64((payload + gsoSize - 1) / gsoSize) : 1
    if payload >= 128 { growWindow(payload: payload, truesize: truesize, net: net) }
  }

  // MARK: Acknowledging

  /// Linux: `__tcp_ack_snd_check()`.
  mutating func sendAckIfDue(host: inout Host) {
    guard receiver.ack.isScheduled else { return }
    let unacknowledged = receiver.rcvNxt.offset(from: receiver.rcvWup)
    let isMoreThanOne =
      unacknowledged > receiver.rcvMSS
      && (receiver.readableByteCount == 0 || proposedWindow() >= receiver.rcvWnd)
    if isMoreThanOne || (receiver.ack.quick > 0 && !receiver.ack.isInteractive) || receiver.ack.isImmediate
      || !receiver.outOfOrder.isEmpty || receiver.sack.duplicate != nil
    {
      sendAck(host: &host)
      return
    }
    delayAck(host: &host)
  }

  /// What was asked for, and always less than the peer may take for a loss. Linux: `tcp_delack_max()`.
  private var greatestAckDelay: Nanoseconds {
    let asked = Nanoseconds.milliseconds(Int64(sender.rtt.limits.greatestAckDelay))
    return min(asked, max(sender.rtt.least, .milliseconds(2)) - .milliseconds(1))
  }

  /// Linux: `tcp_send_delayed_ack()`.
  private mutating func delayAck(host: inout Host) {
    // No data came yet: nothing tells how long an answer takes, so the ACK of a FIN alone does not wait.
    var delay = min(receiver.ack.timeout, DelayedAck.maximum)
    if delay > DelayedAck.minimum && sender.rtt.hasSample {
      delay = min(delay, max(sender.rtt.smoothed, DelayedAck.minimum))
    }
    if sender.rtt.limits != TimeoutLimits() { delay = min(delay, greatestAckDelay) }
    // One that is nearly due goes now.
    if timers.ackDeadline <= host.net.now + delay / 4 {
      sendAck(host: &host)
      return
    }
    timers.ackDeadline = min(timers.ackDeadline, host.net.now + delay)
  }
}
