import SkBuff
import Wire

/// Somebody who looks at packets on their way and decides about them. Linux: `struct nf_hook_ops`.
///
/// A client belongs to one shard, and is asked under the shard's lock: it needs no lock of its own, must not call the
/// stack, and costs what it does for every packet.
public protocol HookClient: AnyObject {
  func verdict(on packet: borrowing HookPacket) -> HookVerdict
}

/// Somebody who is asked about every packet of our own before it is cut and leaves. Linux: `BPF_CGROUP_INET_EGRESS`.
public protocol EgressClient: AnyObject {
  func egress(on packet: borrowing HookPacket) -> EgressVerdict
}

/// What an egress program says of a packet. Linux: what `BPF_CGROUP_RUN_PROG_INET_EGRESS()` returns.
@frozen
public enum EgressVerdict: UInt8, Sendable {
  case pass
  /// It goes, and its sender hears of congestion: TCP reduces. Linux: `NET_XMIT_CN`.
  case passCongested
  /// It is thrown away, and its sender gets EPERM.
  case drop
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
  /// Of an ICMP message; `nil` for other protocols.
  public let icmpType: UInt8?
  /// Where the packet came in, on the way in and on; where it goes out, on the way out and on.
  public let inputInterface: String?
  public let outputInterface: String?
  /// IP header and payload of the whole packet.
  public let byteCount: Int
  /// What was given it by a rule before, or by its socket (SO_MARK).
  public let mark: UInt32
  /// What the packet is to its connection; `nil` where connections are not tracked.
  public let connectionState: ConnectionState?
  /// Its connection's mark; `nil`: it is of none, or connections are not tracked. Linux: `ct->mark`.
  public let connectionMark: UInt32?
  /// It is the first packet of its connection, and a translation can still be chosen here.
  public let beginsConnection: Bool
  /// The first bytes of the packet from its IP header on, with at least the ports; the rest of it may lie elsewhere.
  public let bytes: RawSpan

  /// - Parameter bytes: from an IPv4 header that was checked.
  @_lifetime(copy bytes)
  init(
    _ hook: Hook, _ header: IPv4Header, bytes: RawSpan, byteCount: Int, input: String?, output: String?,
    mark: UInt32, state: ConnectionState?, connectionMark: UInt32?, beginsConnection: Bool
  ) {
    self.hook = hook
    self.protocol = header.protocol
    source = IPAddress(header.source)
    destination = IPAddress(header.destination)
    let start = header.headerByteCount
    let hasTransport = header.fragmentOffset == 0 && bytes.byteCount >= start + 4
    if header.protocol == .tcp || header.protocol == .udp, hasTransport {
      sourcePort = bytes.load16(start)
      destinationPort = bytes.load16(start + 2)
    } else {
      sourcePort = nil
      destinationPort = nil
    }
    icmpType = header.protocol == .icmp && hasTransport ? bytes.load8(start) : nil
    inputInterface = input
    outputInterface = output
    self.byteCount = byteCount
    self.mark = mark
    connectionState = state
    self.connectionMark = connectionMark
    self.beginsConnection = beginsConnection
    self.bytes = bytes
  }
}
