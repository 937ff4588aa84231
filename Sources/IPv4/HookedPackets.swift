import NetDevice
import Neighbour
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// What becomes of packets that a hook stopped.
extension IPv4Layer {
  /// Ends a packet (data at its IP header) that a hook did not accept. Linux: `NF_DROP`, `nf_send_unreach()`.
  ///
  /// - Parameter interface: the device it came in by, or was to leave by.
  /// - Returns: what its sender hears: EPERM, whether it is told by an error too or not.
  @discardableResult
  mutating func refuse(
    _ skb: consuming SkBuff, verdict: HookVerdict, by interface: InterfaceIndex, link: inout LinkLayer,
    net: inout Net
  ) -> XmitResult {
    guard verdict == .reject, let header = Self.header(of: skb) else {
      skb.drop(.netfilterDrop)
      return .failed(.EPERM)
    }
    let kind = ICMPHeader.Kind.destinationUnreachable
    let code = ICMPHeader.Unreachable.administrativelyProhibited
    if isLocal(header.source) {
      post(Self.localError(about: skb, code: code, mtu: nil, offender: header.source, by: interface))
      skb.drop(.netfilterDrop)
    } else {
      skb.setNetworkHeader()
      skb.pull(header.headerByteCount)
      sendICMPError(for: skb, reason: .netfilterDrop, kind: kind, code: code, info: 0, link: &link, net: &net)
    }
    return .failed(.EPERM)
  }
}
