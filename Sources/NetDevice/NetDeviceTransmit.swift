import Ice
import NetNamespace
import Netfilter
import SkBuff
import Timers
import Trace
import Wire

extension NetDevice {
  /// Sends a packet that begins at its Ethernet header. Linux: `dev_queue_xmit()`, `__dev_xmit_skb()`.
  ///
  /// An empty queue is passed by: the packet goes straight to the driver.
  public mutating func queueXmit(_ packet: consuming PassedPacket, net: inout Net) -> XmitResult {
    var skb = packet.take()
    skb.setMACHeader()
    net.tracer.record(
      .dev_queue_xmit, skb: skb.serial, socket: skb.socket, UInt64(skb.length), UInt64(queueLength),
      UInt64(interface.rawValue))
    if !skb.stamps.isEmpty {
      skb.interface = interface
      skb.stamp(.scheduled)
    }
    guard isUp else {
      // Its queueing discipline is gone until it is up again, and what is sent with it. Linux: `noop_enqueue()`.
      _ = refuse(skb, .deviceDown)
      return .congestion
    }
    guard skb.headLength >= EthernetHeader.byteCount || skb.mayPull(EthernetHeader.byteCount) else {
      return refuse(skb, .packetTooSmall)
    }
    let size = skb.wireSize
    guard size.longestFrame <= mtu + EthernetHeader.byteCount || Self.isTaggedFrame(skb, size, mtu: mtu)
    else {
      return refuse(skb, .deviceTooLong)
    }

    if qdisc.canBypass && queueLength == 0 {
      qdiscStatistics.sent(size)
      if isStopped || needsSoftware(skb) {
        validate(skb)
        if directXmit(net: &net) { runQdisc(net: &net) }
        return .success
      }
      switch hardStartXmit(skb, size, more: false, net: &net) {
      case .ok: break
      case .delivered: break
      case .busy(let skb): requeue(skb)
      }
      return .success
    }
    return queueSlowly(skb, net: &net)
  }

  /// A VLAN tag's four bytes do not count towards the MTU.
  @inline(never)
  private static func isTaggedFrame(_ skb: borrowing SkBuff, _ size: WireSize, mtu: Int) -> Bool {
    size.longestFrame <= mtu + EthernetHeader.byteCount + 4
      && skb.linear.load16(EthernetHeader.Offset.type) == EtherType.vlan.rawValue
  }

  @inline(never)
  private mutating func refuse(_ skb: consuming SkBuff, _ reason: DropReason) -> XmitResult {
    statistics.sentDropped += 1
    skb.drop(reason)
    return .dropped
  }

  /// The device's state does not let it take packets.
  @inline(never)
  private mutating func fail(_ skb: consuming SkBuff, _ reason: DropReason) -> XmitResult {
    _ = refuse(skb, reason)
    return .failed(.ENETDOWN)
  }

  private mutating func queueSlowly(_ skb: consuming SkBuff, net: inout Net) -> XmitResult {
    if qdisc.isNoqueue { return xmitWithoutQueue(skb, net: &net) }
    net.tracer.record(
      .qdisc_enqueue, skb: skb.serial, socket: skb.socket, UInt64(skb.length), UInt64(queueLength))
    let result = qdisc.enqueue(skb, now: net.now, statistics: &qdiscStatistics)
    if result == .dropped { statistics.sentDropped += 1 }
    // When a quota ran out, the packets before this one wait for `runQdisc` too.
    if !hasScheduledWork { runQdisc(net: &net) }
    return result
  }

  /// Linux: the end of `__dev_queue_xmit()`, for a device without a queue.
  private mutating func xmitWithoutQueue(_ skb: consuming SkBuff, net: inout Net) -> XmitResult {
    guard !isStopped, qdisc.enterDirect() else {
      qdiscStatistics.dropped += 1
      return fail(skb, .deviceFull)
    }
    qdiscStatistics.sent(skb.wireSize)
    validate(skb)
    let segments = ready.count
    var result = XmitResult.success
    if !directXmit(net: &net) {
      // A sender who is told that a packet has not gone must not find a part of it acknowledged, where Linux says it all the same.
      let isPartlySent = ready.count < segments
      while let left = ready.popFirst() {
        qdiscStatistics.dropped += 1
        result = fail(left, .deviceFull)
      }
      if isPartlySent { result = .congestion }
    }
    qdisc.leaveDirect()
    return result
  }

  /// Takes packets from the queue to the driver until it is empty, the driver stops, or the quota of 64 is used up; then
  /// `hasScheduledWork` asks for another call. When packets wait for their time, a timer makes that call.
  /// Linux: `__qdisc_run()`, `net_tx_action()`.
  public mutating func runQdisc(net: inout Net) {
    hasScheduledWork = false
    guard isUp else { return }
    var quota = Self.transmitQuota - ready.count
    while !isStopped {
      if ready.isEmpty {
        guard qdisc.count > 0 else { return }
        guard quota > 0 else {
          hasScheduledWork = true
          return
        }
        let batch = dequeueBatch(limit: quota, now: net.now)
        quota -= batch.count
        let isSent = batch.count > 0 && directXmit(net: &net)
        if batch.next != .distantFuture {
          qdiscTimer.arm(qdiscKey, at: batch.next, in: &net.timers)
          return
        }
        guard isSent else { return }
        continue
      }
      guard directXmit(net: &net) else { return }
    }
  }

  /// Moves packets from the queueing discipline to `ready`: one, and as many more as the byte limit has room for, so
  /// that they share a doorbell. Linux: `dequeue_skb()`, `try_bulk_dequeue_skb()`.
  ///
  /// - Returns: how many were moved, and when the next one may be; `.distantFuture`: it was not asked, or there is none.
  private mutating func dequeueBatch(limit: Int, now: Instant) -> (count: Int, next: Instant) {
    var room = limits.available
    var count = 0
    repeat {
      switch qdisc.dequeue(now: now, statistics: &qdiscStatistics) {
      case .empty: return (count, .distantFuture)
      case .notBefore(let instant): return (count, instant)
      case .packet(let skb):
        let size = skb.wireSize
        qdiscStatistics.sent(size)
        room -= size.byteCount
        count += 1
        validate(skb)
      }
    } while room > 0 && count < limit
    return (count, .distantFuture)
  }

  /// Hands `ready` to the driver, one doorbell for all. What the driver has no room for stays at the head.
  /// Linux: `sch_direct_xmit()`, `dev_hard_start_xmit()`, `dev_requeue_skb()`.
  ///
  /// - Returns: whether everything went.
  private mutating func directXmit(net: inout Net) -> Bool {
    var sent: UInt64 = 0
    // The byte limit was asked when the batch was made up; it does not cut it short.
    var canSend = !isStopped
    while canSend, let skb = ready.popFirst() {
      let size = skb.wireSize
      switch hardStartXmit(skb, size, more: !ready.isEmpty, net: &net) {
      case .ok: sent += 1
      case .delivered: sent += 1
      case .busy(let skb): ready.prepend(skb)
      }
      canSend = !isStoppedByDriver
    }
    net.tracer.record(.sch_direct_xmit, sent, UInt64(queueLength))
    if ready.isEmpty { return true }
    qdiscStatistics.requeues += UInt64(ready.count)
    return false
  }

  @inline(never)
  private mutating func requeue(_ skb: consuming SkBuff) {
    qdiscStatistics.requeues += 1
    ready.prepend(skb)
  }

  /// Gives one packet to the driver, after the taps have seen it, and accounts for it.
  /// Linux: `xmit_one()`, `netdev_tx_sent_queue()`.
  ///
  /// The doorbell rings at the end of the batch; within one only the driver rings, when it stops its queue.
  private mutating func hardStartXmit(
    _ skb: consuming SkBuff, _ size: WireSize, more: Bool, net: inout Net
  ) -> NetdevTx {
    // What loops is seen once, as it comes in. Linux: libpcap leaves out what `lo` sends.
    if isCapturing { captureFrame(skb, isLoopback ? .incoming : .outgoing, now: net.now) }
    net.tracer.record(
      .dev_hard_start_xmit, skb: skb.serial, socket: skb.socket, UInt64(skb.length),
      UInt64(size.segmentCount), more ? 1 : 0)
    switch driver.startXmit(skb, ringDoorbell: !more, net: &net) {
    case .ok(let byteCount):
      limits.queued(byteCount)
      lastProgress = net.now
      if byteCount > 0 {
        statistics.sentPackets &+= UInt64(size.segmentCount)
        statistics.sentBytes &+= UInt64(byteCount)
      } else {
        statistics.sentDropped &+= 1
      }
      if limits.available < 0 { stopByLimits(net: &net) }
      if driver.isQueueStopped { stopByDriver(net: &net) }
      return .ok(byteCount: byteCount)
    case .delivered(let byteCount):
      countDelivered(byteCount)
      return .delivered(byteCount: byteCount)
    case .busy(let skb):
      if isCapturing { retractCapture() }
      stopByDriver(net: &net)
      return .busy(skb)
    }
  }

  /// A packet has come back already; each way counts it. Linux: `dev_lstats_add()`.
  @inline(never)
  private mutating func countDelivered(_ byteCount: Int) {
    guard byteCount > 0 else {
      statistics.receivedDropped &+= 1
      return
    }
    statistics.sentPackets &+= 1
    statistics.sentBytes &+= UInt64(byteCount)
    statistics.receivedPackets &+= 1
    statistics.receivedBytes &+= UInt64(byteCount)
  }

  @inline(never)
  mutating func stopByDriver(net: inout Net) {
    isStoppedByDriver = true
    armWatchdog(net: &net)
  }

  private mutating func stopByLimits(net: inout Net) {
    isStoppedByLimits = true
    statistics.limitStops &+= 1
    net.tracer.record(.dql_stop, UInt64(limits.inFlight), UInt64(limits.limit))
    armWatchdog(net: &net)
  }
}
