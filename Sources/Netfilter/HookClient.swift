import SkBuff
import Wire

/// Somebody who looks at packets on their way and decides about them. Linux: `struct nf_hook_ops`.
///
/// A client belongs to one shard, and is asked under the shard's lock: it needs no lock of its own, must not call the
/// stack, and costs what it does for every packet.
public protocol HookClient: AnyObject {
  func verdict(on packet: borrowing HookPacket) -> HookVerdict
}

/// A packet at a hook. Linux: `struct sk_buff` with `struct nf_hook_state`.
public struct HookPacket: ~Copyable, ~Escapable {
  public let hook: Hook
  public let `protocol`: IPProtocol
  public let source: IPAddress
  public let destination: IPAddress
  /// TCP's and UDP's; `nil` for other protocols and for a fragment that does not begin with them.
  public let sourcePort: UInt16?
  public let destinationPort: UInt16?
  /// Where the packet came in, on the way in; where it goes out, on the way out.
  public let inputInterface: String?
  public let outputInterface: String?
  /// IP header and payload of the whole packet.
  public let byteCount: Int
  /// The first bytes of the packet from its IP header on, with at least the ports; the rest of it may lie elsewhere.
  public let bytes: RawSpan

  /// - Parameter bytes: from an IPv4 header that was checked.
  @_lifetime(copy bytes)
  init(_ hook: Hook, _ header: IPv4Header, bytes: RawSpan, byteCount: Int, interface: String) {
    self.hook = hook
    self.protocol = header.protocol
    source = IPAddress(header.source)
    destination = IPAddress(header.destination)
    if header.protocol == .tcp || header.protocol == .udp, header.fragmentOffset == 0,
      bytes.byteCount >= header.headerByteCount + 4
    {
      sourcePort = bytes.load16(header.headerByteCount)
      destinationPort = bytes.load16(header.headerByteCount + 2)
    } else {
      sourcePort = nil
      destinationPort = nil
    }
    let isComingIn = hook == .prerouting || hook == .input
    inputInterface = isComingIn ? interface : nil
    outputInterface = isComingIn ? nil : interface
    self.byteCount = byteCount
    self.bytes = bytes
  }
}
