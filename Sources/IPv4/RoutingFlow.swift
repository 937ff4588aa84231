import NetNamespace
import Netfilter
import SkBuff
import Wire

/// What rules about routing tables may ask of a flow beside its addresses and devices. Linux: the rest of `struct flowi4`.
public struct RoutingFlow: Equatable, Sendable {
  public var mark: UInt32
  public var typeOfService: UInt8
  /// 0: not known.
  public var `protocol`: IPProtocol
  /// 0: not known yet, or none. A message of ICMP has its type and code in the second. Linux: `union flowi_uli`.
  public var sourcePort: UInt16
  public var destinationPort: UInt16
  /// Whose socket sends it; 0, root, for what no socket sends. Linux: `flowi4_uid`, `sock_net_uid()`.
  public var user: UInt32

  public init(
    _ number: IPProtocol = IPProtocol(rawValue: 0), mark: UInt32 = 0, typeOfService: UInt8 = 0,
    sourcePort: UInt16 = 0, destinationPort: UInt16 = 0, user: UInt32 = 0
  ) {
    self.mark = mark
    self.typeOfService = typeOfService
    `protocol` = number
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.user = user
  }

  /// That of an ICMP message.
  public static func icmp(
    _ kind: ICMPHeader.Kind, code: UInt8 = 0, mark: UInt32 = 0, typeOfService: UInt8 = 0, user: UInt32 = 0
  ) -> RoutingFlow {
    RoutingFlow(
      .icmp, mark: mark, typeOfService: typeOfService,
      destinationPort: UInt16(kind.rawValue) << 8 | UInt16(code), user: user)
  }

  /// That of the packets back.
  var reversed: RoutingFlow {
    var back = self
    (back.sourcePort, back.destinationPort) = (destinationPort, sourcePort)
    return back
  }

  /// Where a protocol's ports are, or what stands for them. Linux: `proto_ports_offset()`.
  static func portOffset(of number: IPProtocol) -> Int? {
    switch number.rawValue {
    // TCP, UDP, DCCP, ESP, SCTP, UDP-Lite.
    case 6, 17, 33, 50, 132, 136: 0
    // AH.
    case 51: 4
    default: nil
    }
  }
}

extension IPv4Layer {
  /// The flow of a packet that no socket of ours has to do with, data at its IP header, as far as its way depends on it.
  /// Linux: `fib4_rules_early_flow_dissect()`.
  func flow(of skb: borrowing SkBuff, _ header: IPv4Header, mark: UInt32) -> RoutingFlow {
    guard routesByFlow else { return RoutingFlow() }
    var flow = RoutingFlow(mark: mark, typeOfService: header.typeOfService)
    if policy.looksInside { look(inside: skb, header, &flow) }
    return flow
  }

  private func look(inside skb: borrowing SkBuff, _ header: IPv4Header, _ flow: inout RoutingFlow) {
    flow.protocol = header.protocol
    // Neither of a fragment's ports is known, those of the first one neither.
    guard header.fragmentOffset == 0, !header.moreFragments,
      let offset = RoutingFlow.portOffset(of: header.protocol),
      let ports = Self.ports(of: skb, at: header.headerByteCount + offset)
    else { return }
    (flow.sourcePort, flow.destinationPort) = ports
  }

  /// - Parameter place: of the transport header; `nil` when it is not there.
  static func ports(of skb: borrowing SkBuff, at place: Int) -> (source: UInt16, destination: UInt16)? {
    guard skb.headLength >= place + 4 else { return nil }
    let bytes = skb.linear
    return (bytes.load16(place), bytes.load16(place + 2))
  }
}
