import Ice
import NetNamespace
import SkBuff
import Timers
import Wire

/// Where a queueing discipline stands.
public enum QdiscPlace: String, Sendable, Codable, CaseIterable {
  /// Before the driver.
  case root
  /// Behind the driver and GRO, before any floor above sees the packet. Linux: `ingress` with an `ifb` device.
  case ingress
}

/// Received packets that are held back. Linux: the root qdisc of an `ifb` device.
struct IngressQueue: ~Copyable {
  var qdisc = Qdisc.noqueue(NoQueue())
  /// Whether there is one; otherwise packets pass without it.
  var isActive = false
  var handle: UInt16 = 0
  var statistics = QdiscStatistics()
  var timer = TimerSlot()

  mutating func reset(now: Instant) {
    qdisc.reset(now: now)
  }
}

extension NetDevice {
  /// Holds back what comes in, or changes how; as `setQdisc` does with what goes out.
  ///
  /// - Throws: EINVAL for a queueing discipline that holds nothing back.
  public mutating func setIngressQdisc(
    _ configuration: QdiscConfiguration, net: inout Net
  ) throws(Errno) {
    guard configuration.kind.isTimed else { throw .EINVAL }
    if ingress.isActive,
      ingress.qdisc.change(
        to: configuration, now: net.now, statistics: &ingress.statistics)
    {
      hasIngressWork = true
      return
    }
    dropIngress(net: &net)
    ingress.qdisc = Qdisc(
      configuration, limit: transmitQueueLength, now: net.now, random: &net.random)
    ingress.isActive = true
    ingress.handle = takeHandle()
  }

  /// Lets what comes in pass again; what waits is dropped.
  ///
  /// - Throws: ENOENT when nothing is held back.
  public mutating func resetIngressQdisc(net: inout Net) throws(Errno) {
    guard ingress.isActive else { throw .ENOENT }
    dropIngress(net: &net)
  }

  /// Drops what is held back.
  mutating func resetIngress(now: Instant) {
    ingress.statistics.dropped += UInt64(ingress.qdisc.count)
    ingress.reset(now: now)
    hasIngressWork = false
  }

  private mutating func dropIngress(net: inout Net) {
    ingress.reset(now: net.now)
    ingress.timer.cancel(in: &net.timers)
    ingress = IngressQueue()
    hasIngressWork = false
  }

  /// What `tc -s qdisc` shows; `nil` when nothing holds back what comes in.
  public var ingressSnapshot: QdiscSnapshot? {
    guard ingress.isActive else { return nil }
    return QdiscSnapshot(
      configuration: ingress.qdisc.configuration, handle: ingress.handle, statistics: ingress.statistics,
      backlogBytes: ingress.qdisc.byteCount, backlogPackets: ingress.qdisc.count)
  }

  /// Takes received packets in, frame by frame as they were on the wire. Linux: `tcf_mirred_act()`.
  mutating func holdBack(_ packets: inout SkBuffQueue, net: inout Net) {
    while var skb = packets.popFirst() {
      Self.markTransport(of: &skb)
      if skb.macHeaderOffset == -EthernetHeader.byteCount { skb.push(EthernetHeader.byteCount) }
      _ = ingress.qdisc.enqueue(skb, now: net.now, statistics: &ingress.statistics)
    }
    hasIngressWork = true
  }

  /// What segmentation needs to know of a packet that stands for several.
  private static func markTransport(of skb: inout SkBuff) {
    guard skb.isGSO, skb.etherType == .ipv4, skb.mayPull(IPv4Header.minimumByteCount),
      let header = IPv4Header(parsing: skb.linear)
    else { return }
    skb.setTransportHeader(header.headerByteCount)
  }

  /// Adds the packets whose time has come to `queue`; a timer calls for the others. Linux: `ifb_ri_tasklet()`.
  public mutating func runIngress(into queue: inout SkBuffQueue, net: inout Net) {
    hasIngressWork = false
    while true {
      switch ingress.qdisc.dequeue(now: net.now, statistics: &ingress.statistics) {
      case .empty: return
      case .notBefore(let instant):
        ingress.timer.arm(ingressKey, at: instant, in: &net.timers)
        return
      case .packet(var skb):
        ingress.statistics.sent(skb.wireSize)
        if skb.macHeaderOffset == 0 { skb.pull(EthernetHeader.byteCount) }
        // A segment of what the device vouched for.
        if skb.checksumStatus == .partial { skb.checksumStatus = .unnecessary }
        queue.append(skb)
      }
    }
  }
}
