import NetNamespace
import Neighbour
import SkBuff
import Wire

/// Rules that packets pass on their way in and out: a small fixed part of what netfilter's hooks can do.
/// Linux: `NF_INET_LOCAL_IN`, `NF_INET_LOCAL_OUT`.
public struct PacketFilter: Sendable {
  /// Where packets are asked about: on the way in to a socket, and out of one.
  public enum Hook: UInt8, Sendable { case localIn, localOut }
  /// What becomes of a packet.
  public enum Verdict: UInt8, Sendable {
    case accept
    case drop
    /// Dropped, and its sender told by an ICMP error (administratively prohibited).
    case reject
  }
  /// What is `nil` matches everything.
  public struct Rule: Sendable {
    public var hook: Hook
    public var `protocol`: IPProtocol?
    public var source: IPv4Prefix?
    public var destination: IPv4Prefix?
    public var sourcePorts: ClosedRange<UInt16>?
    public var destinationPorts: ClosedRange<UInt16>?
    public var verdict: Verdict
    /// Packets the rule decided about.
    public internal(set) var packetCount: UInt64 = 0

    public init(_ hook: Hook, _ verdict: Verdict) {
      self.hook = hook
      self.verdict = verdict
    }
  }
  /// The first rule that matches decides; a packet that none matches is accepted.
  public var rules: [Rule] = []
  public init() {}
  var isEmpty: Bool { rules.isEmpty }

  /// - Parameter packet: data at its IP header.
  mutating func verdict(_ hook: Hook, header: IPv4Header, packet: borrowing SkBuff) -> Verdict {
    var ports: (source: UInt16, destination: UInt16)?
    if header.protocol == .tcp || header.protocol == .udp, header.fragmentOffset == 0,
      packet.headLength >= header.headerByteCount + 4
    {
      let bytes = packet.linear
      ports = (bytes.load16(header.headerByteCount), bytes.load16(header.headerByteCount + 2))
    }
    for index in rules.indices where rules[index].matches(hook, header, ports) {
      rules[index].packetCount &+= 1
      return rules[index].verdict
    }
    return .accept
  }
}

extension PacketFilter.Rule {
  func matches(
    _ hook: PacketFilter.Hook, _ header: IPv4Header, _ ports: (source: UInt16, destination: UInt16)?
  ) -> Bool {
    if hook != self.hook { return false }
    if let number = self.protocol, number != header.protocol { return false }
    if let source, !source.contains(header.source) { return false }
    if let destination, !destination.contains(header.destination) { return false }
    if let sourcePorts {
      guard let ports, sourcePorts.contains(ports.source) else { return false }
    }
    if let destinationPorts {
      guard let ports, destinationPorts.contains(ports.destination) else { return false }
    }
    return true
  }
}

extension IPv4Layer {
  /// Ends a packet (data at its IP header) that the filter did not accept.
  mutating func refuse(
    _ skb: consuming SkBuff, verdict: PacketFilter.Verdict, header: IPv4Header, link: inout LinkLayer,
    net: inout Net
  ) {
    guard verdict == .reject else {
      skb.drop(.ipPolicy)
      return
    }
    let kind = ICMPHeader.Kind.destinationUnreachable
    let code = ICMPHeader.Unreachable.administrativelyProhibited
    if isLocal(header.source) {
      post(Self.localError(about: skb, code: code, mtu: nil, offender: header.source))
      skb.drop(.ipPolicy)
    } else {
      skb.setNetworkHeader()
      skb.pull(header.headerByteCount)
      sendICMPError(for: skb, reason: .ipPolicy, kind: kind, code: code, info: 0, link: &link, net: &net)
    }
  }
}
