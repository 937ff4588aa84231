import SkBuff
import Trace
import Wire

extension NetDevice {
  /// Whether the packet asks for what the device does not do. Linux: `netif_needs_gso()` and the tests of
  /// `validate_xmit_skb()`.
  @inline(__always)
  func needsSoftware(_ skb: borrowing SkBuff) -> Bool {
    if skb.isGSO { return !canSegment(skb) }
    if skb.checksumStatus == .partial && !features.contains(.checksum) { return true }
    return skb.dataLength > 0 && !features.contains(.scatterGather)
  }

  /// Linux: `ndo_features_check`: segment sizes that the hardware does not cut are left to the stack.
  private func canSegment(_ skb: borrowing SkBuff) -> Bool {
    let wanted: DeviceFeatures =
      switch skb.gsoType {
      case .tcpv4: .tsoV4
      case .udpL4: .udpSegmentation
      case .none, .tcpv4AccurateECN: []
      }
    return !wanted.isEmpty && features.contains(wanted) && skb.checksumStatus == .partial
      && driver.segmentByteCounts.contains(skb.gsoSize)
  }

  /// Makes of the packet what the device can send, and puts it, or its segments, on `ready`; a packet that cannot be made
  /// fit is dropped. Linux: `validate_xmit_skb_list()`.
  mutating func validate(_ skb: consuming SkBuff) {
    if !needsSoftware(skb) {
      ready.append(skb)
      return
    }
    // Linux: `validate_xmit_unreadable_skb()`.
    if skb.isUnreadable {
      statistics.sentDropped += 1
      skb.drop(.deviceDMAMapping)
      return
    }
    if skb.isGSO {
      if GenericSegmentation.segment(skb, features: features, into: &ready) {
        statistics.softwareSegmented += 1
      } else {
        statistics.sentDropped += 1
      }
      return
    }
    if skb.dataLength > 0 && !features.contains(.scatterGather) {
      guard skb.linearize() else {
        statistics.sentDropped += 1
        skb.drop(.noMemory)
        return
      }
    }
    if skb.checksumStatus == .partial && !features.contains(.checksum) {
      guard skb.completeChecksum() else {
        statistics.sentDropped += 1
        skb.drop(.noMemory)
        return
      }
      statistics.softwareChecksummed += 1
    }
    ready.append(skb)
  }
}
