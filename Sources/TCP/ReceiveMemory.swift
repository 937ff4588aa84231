import NetNamespace
import SkBuff
import Wire

// What the receive queues may hold. Linux: `tcp_try_rmem_schedule()`, `tcp_prune_queue()`.
extension TCPConnection {
  /// Whether a packet of `truesize` may be held; squeezes the queues first. Linux: `tcp_try_rmem_schedule()`.
  mutating func makeRoom(for truesize: Int, net: inout Net) -> Bool {
    if !net.pool.admits(receiveUse(net)) {
      dropOutOfOrder(net: &net)
      guard net.pool.admits(receiveUse(net)) else { return false }
    }
    if canHold(truesize) { return true }
    net.counters.count(.TcpExtPruneCalled)
    clampWindow(net: net)
    if canHold(truesize) { return true }
    collapse(net: &net)
    if canHold(truesize) { return true }
    pruneOutOfOrder(net: &net)
    if canHold(truesize) || receiver.receiveQueue.isEmpty { return true }
    net.counters.count(.TcpExtRcvPruned)
    return false
  }

  /// One packet may go beyond the buffer, because the window that was offered is honoured. Linux: `tcp_can_ingest()`.
  private func canHold(_ truesize: Int) -> Bool {
    core.account.receiveAllocated + truesize <= core.receiveBuffer
      || core.account.receiveAllocated <= core.receiveBuffer && truesize <= 2 * 65536 + SkBuff.overhead
  }

  /// Packets take more memory than the window assumed: it grows no further for now, and a buffer that nobody has fixed
  /// becomes as large as what was offered needs. Linux: `tcp_clamp_window()`.
  private mutating func clampWindow(net: borrowing Net) {
    if !core.isReceiveBufferFixed && !net.pool.isUnderPressure {
      core.receiveBuffer = max(
        core.receiveBuffer, min(core.account.receiveAllocated, net.settings.tcpReadMemory.most))
    }
    if core.account.receiveAllocated > core.receiveBuffer {
      receiver.rcvSsthresh = min(receiver.windowClamp, 2 * receiver.advertisedMSS)
    }
  }

  /// What a received packet is kept as: up to `tcp_rmem[0]` a connection always keeps.
  private func receiveUse(_ net: borrowing Net) -> MemoryUse {
    core.account.receiveAllocated < net.settings.tcpReadMemory.least ? .guaranteed : .ordinary
  }

  /// Throws the whole out-of-order queue away because memory is short.
  mutating func dropOutOfOrder(net: inout Net) {
    guard !receiver.outOfOrder.isEmpty else { return }
    net.counters.count(.TcpExtOfoPruned)
    purgeOutOfOrder()
  }

  /// Throws the out-of-order queue away; nobody will read what is missing.
  mutating func purgeOutOfOrder() {
    noteLostData()
    while let skb = receiver.outOfOrder.popLast() { skb.drop(.tcpOutOfOrderMemory) }
    receiver.sack.forgetRanges()
  }

  /// Copies wasteful packets of the receive queue together. Linux: `tcp_collapse()`.
  private mutating func collapse(net: inout Net) {
    var target: SkBuff? = nil
    var done = SkBuffQueue()
    while var skb = receiver.receiveQueue.popFirst() {
      // Packets that use their memory well stay as they are.
      if skb.length * 2 > skb.truesize {
        if let full = target.take() { finishCollapsed(full, into: &done) }
        done.append(skb)
        continue
      }
      var offset = 0
      while offset < skb.length {
        if target == nil {
          target = net.pool.allocate(headroom: 0, linear: SkBuffPool.pageByteCount)
          guard target != nil else { break }
          target?.tcp = skb.tcp
          target?.tcp.sequence = skb.tcp.sequence + offset
          net.counters.count(.TcpExtTCPRcvCollapsed)
        }
        guard var current = target.take() else { break }
        let count = min(current.tailroom, skb.length - offset)
        current.put(copying: skb, from: offset, count: count)
        current.tcp.endSequence = current.tcp.sequence + current.length
        offset += count
        if current.tailroom == 0 { finishCollapsed(current, into: &done) } else { target = consume current }
      }
      if offset < skb.length {
        // No memory to copy into: what is left stays in its old packet.
        guard skb.trimHead(offset) else { continue }
        skb.tcp.sequence += offset
        done.append(skb)
      }
    }
    if let full = target.take() { finishCollapsed(full, into: &done) }
    receiver.receiveQueue.append(contentsOf: &done)
  }

  private func finishCollapsed(_ skb: consuming SkBuff, into queue: inout SkBuffQueue) {
    skb.chargeReceive(to: core.account)
    queue.append(skb)
  }

  /// Throws out-of-order packets away, newest sequence first. Linux: `tcp_prune_ofo_queue()`.
  private mutating func pruneOutOfOrder(net: inout Net) {
    guard !receiver.outOfOrder.isEmpty else { return }
    net.counters.count(.TcpExtOfoPruned)
    while core.account.receiveAllocated > core.receiveBuffer / 2, let skb = receiver.outOfOrder.popLast() {
      skb.drop(.tcpOutOfOrderMemory)
    }
    receiver.sack.forgetRanges()
  }
}
