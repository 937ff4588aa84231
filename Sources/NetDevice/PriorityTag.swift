import SkBuff
import Wire

extension EtherType {
  /// A tag of four bytes stands between the addresses and what the frame carries. Linux: `eth_type_vlan()`.
  public var isVLAN: Bool { self == .vlan || self == .serviceVLAN }
}

extension SkBuff {
  /// Takes the tags of VLAN 0 off a packet whose type is a tag's: VLAN 0 is no VLAN, the tag carries a priority only
  /// (IEEE 802.1Q section 9.6). Linux: `skb_vlan_untag()` and the end of `vlan_do_receive()`.
  ///
  /// - Returns: false when a tag names a VLAN, none of which is ours, or the packet is cut short.
  public mutating func removePriorityTags() -> Bool {
    while etherType.isVLAN {
      guard mayPull(4), linear.load16(0) & 0x0FFF == 0 else { return false }
      etherType = EtherType(rawValue: linear.load16(2))
      pull(4)
      setNetworkHeader()
    }
    return true
  }
}
