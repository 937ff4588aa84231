import Ice
import NetNamespace
import SkBuff
import Timers
import Trace

extension NetDevice {
  /// What the device's interrupt leads to: gives sent packets back, lets waiting ones go, and takes received ones in.
  /// Linux: `napi_poll()`, `netdev_tx_completed_queue()`, `netif_receive_skb()`.
  ///
  /// - Parameters:
  ///   - budget: most packets to receive.
  ///   - queue: where received packets are added; their data begins at the network header.
  /// - Returns: whether there is more to do, without waiting for an interrupt.
  public mutating func poll(
    budget: Int = IceDriver.rxBudget, into queue: inout SkBuffQueue, net: inout Net
  ) -> Bool {
    var fresh = SkBuffQueue()
    let result = driver.poll(budget: budget, into: &fresh, net: &net)
    if result.hasFailed { stopByDriver(net: &net) }
    if result.completion.packetCount > 0 { completed(result.completion, net: &net) }
    guard isUp else {
      while let skb = fresh.popFirst() { skb.drop(.deviceDown) }
      return !result.isComplete
    }
    received(&fresh, now: net.now)
    if ingress.isActive {
      pollHeldBack(&fresh, into: &queue, net: &net)
    } else {
      merge(&fresh, into: &queue, mergesDatagrams: net.datagramOffloadUsers > 0)
    }
    return !result.isComplete
  }

  @inline(never)
  private mutating func pollHeldBack(
    _ fresh: inout SkBuffQueue, into queue: inout SkBuffQueue, net: inout Net
  ) {
    var merged = SkBuffQueue()
    merge(&fresh, into: &merged, mergesDatagrams: net.datagramOffloadUsers > 0)
    holdBack(&merged, net: &net)
    runIngress(into: &queue, net: &net)
  }

  /// Makes few packets of many, and of what a sender's kernel handed over in one the datagrams that it stands for.
  @inline(__always)
  private func merge(
    _ fresh: inout SkBuffQueue, into queue: inout SkBuffQueue, mergesDatagrams: Bool
  ) {
    let before = queue.count
    while let skb = fresh.popFirst() {
      if skb.gsoType == .udpL4 {
        DatagramSegmentation.receive(skb, into: &queue, keepsWhole: mergesDatagrams)
        continue
      }
      guard features.contains(.gro) else {
        queue.append(skb)
        continue
      }
      if mergesDatagrams && DatagramReceiveOffload.isCandidate(skb) {
        DatagramReceiveOffload.receive(skb, into: &queue, newest: queue.count - before)
        continue
      }
      GenericReceiveOffload.receive(skb, into: &queue, newest: queue.count - before)
    }
  }

  /// Linux: `netdev_tx_completed_queue()`, then `netif_tx_wake_queue()`.
  mutating func completed(_ completion: TxCompletion, net: inout Net) {
    limits.completed(completion.byteCount, now: net.now)
    lastProgress = net.now
    if completion.restarted { isStoppedByDriver = false }
    if isStoppedByLimits && limits.available >= 0 {
      isStoppedByLimits = false
      net.tracer.record(.dql_wake, UInt64(limits.inFlight), UInt64(limits.limit))
    }
    if queueLength > 0 && !isStopped { runQdisc(net: &net) }
  }

  /// Counts new packets and shows them to the taps.
  private mutating func received(_ queue: inout SkBuffQueue, now: Instant) {
    var place = queue.first
    while let here = place {
      queue.withMutablePacket(at: here) { skb in
        skb.interface = interface
        let header = -(skb.macHeaderOffset ?? 0)
        statistics.receivedPackets &+= 1
        statistics.receivedBytes &+= UInt64(truncatingIfNeeded: skb.length + header)
        if isCapturing && header >= 0 {
          skb.push(header)
          captureFrame(skb, .incoming, now: now)
          skb.pull(header)
        }
      }
      place = queue.position(after: here)
    }
  }
}
