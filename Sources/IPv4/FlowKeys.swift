import NetNamespace
import SkBuff
import Tables
import Wire

/// What of a flow may decide on its next hop, where there are several. Linux: `struct flow_keys`.
struct FlowKeys {
  /// An IPv4 address in the second word; an IPv6 address in both.
  var source: (UInt64, UInt64) = (0, 0)
  var destination: (UInt64, UInt64) = (0, 0)
  /// Of IPv6.
  var flowLabel: UInt32 = 0
  var `protocol`: UInt8 = 0
  var sourcePort: UInt16 = 0
  var destinationPort: UInt16 = 0
  /// The addresses are IPv6's.
  private(set) var isSix = false
  /// It is a packet in a packet, or that lies inside. Linux: `FLOW_DIS_ENCAPSULATION`.
  private(set) var isEncapsulated = false

  /// Of a packet of our own.
  init(_ key: RouteKey) {
    source.1 = UInt64(key.source.rawValue)
    destination.1 = UInt64(key.destination.rawValue)
    `protocol` = key.flow.protocol.rawValue
    sourcePort = key.flow.sourcePort
    destinationPort = key.flow.destinationPort
  }

  /// A number that only this host can tell, from these fields.
  func hash(_ fields: MultipathHashFields, by key: SipHash) -> UInt64 {
    let from = fields.contains(.source) ? source : (0, 0)
    let to = fields.contains(.destination) ? destination : (0, 0)
    var rest: UInt64 = 0
    if fields.contains(.flowLabel) { rest |= UInt64(flowLabel) << 40 }
    if fields.contains(.protocol) { rest |= UInt64(`protocol`) << 32 }
    if fields.contains(.sourcePort) { rest |= UInt64(sourcePort) << 16 }
    if fields.contains(.destinationPort) { rest |= UInt64(destinationPort) }
    return key.hash(from.0, from.1, to.0, to.1, rest)
  }
}

// What a packet's headers say. Linux: `__skb_flow_dissect()`.
extension FlowKeys {
  /// Headers that are looked at, so that a packet in a packet in a packet costs no more. Linux: `MAX_FLOW_DISSECT_HDRS`.
  private static let mostHeaders = 15
  private enum Layer { case four, six, other }

  /// - Parameters:
  ///   - bytes: from an IPv4 header on; what lies behind them is not looked at.
  ///   - goesInside: what is said of a packet in this one; else of this one. Linux: not `FLOW_DISSECTOR_F_STOP_AT_ENCAP`.
  init(_ bytes: RawSpan, goesInside: Bool) {
    var (layer, place) = (Layer.four, 0)
    for _ in 0..<Self.mostHeaders {
      let next: UInt8?
      switch layer {
      case .four: next = takeFour(bytes, &place)
      case .six: next = takeSix(bytes, &place)
      case .other: return
      }
      guard let number = next else { return }
      `protocol` = number
      switch number {
      case 4: layer = .four
      case 41: layer = .six
      case 47:
        guard let inside = Self.takeGRE(bytes, &place) else { return }
        layer = inside
      default:
        takePorts(bytes, place)
        return
      }
      isEncapsulated = true
      if !goesInside { return }
    }
  }

  /// - Returns: what follows it; `nil`: nothing that is looked at.
  private mutating func takeFour(_ bytes: RawSpan, _ place: inout Int) -> UInt8? {
    guard bytes.byteCount >= place + IPv4Header.minimumByteCount else { return nil }
    let count = Int(bytes.load8(place) & 0xF) * 4
    guard count >= IPv4Header.minimumByteCount else { return nil }
    source = (0, UInt64(bytes.load32(place + IPv4Header.Offset.source)))
    destination = (0, UInt64(bytes.load32(place + IPv4Header.Offset.destination)))
    isSix = false
    `protocol` = bytes.load8(place + IPv4Header.Offset.protocol)
    let fragment = bytes.load16(place + IPv4Header.Offset.fragment)
    place += count
    // Neither of a fragment's ports is known, those of the first one neither.
    return fragment & 0x3FFF == 0 ? `protocol` : nil
  }

  private mutating func takeSix(_ bytes: RawSpan, _ place: inout Int) -> UInt8? {
    guard bytes.byteCount >= place + 40 else { return nil }
    func word(_ offset: Int) -> UInt64 {
      UInt64(bytes.load32(place + offset)) << 32 | UInt64(bytes.load32(place + offset + 4))
    }
    source = (word(8), word(16))
    destination = (word(24), word(32))
    isSix = true
    flowLabel = bytes.load32(place) & 0xF_FFFF
    var number = bytes.load8(place + 6)
    place += 40
    // Hop-by-hop options, routing, destination options; each has at least 8 bytes.
    while number == 0 || number == 43 || number == 60 {
      `protocol` = number
      guard bytes.byteCount >= place + 2 else { return nil }
      number = bytes.load8(place)
      place += 8 + Int(bytes.load8(place + 1)) * 8
    }
    if number == 44 {
      `protocol` = bytes.byteCount >= place + 8 ? bytes.load8(place) : number
      return nil
    }
    return number
  }

  /// RFC 2784, RFC 2890. Linux: `__skb_flow_dissect_gre()`.
  ///
  /// - Returns: what is inside; `nil` for another version, and for one with a route.
  private static func takeGRE(_ bytes: RawSpan, _ place: inout Int) -> Layer? {
    guard bytes.byteCount >= place + 4 else { return nil }
    let flags = bytes.load16(place)
    guard flags & 0x4007 == 0 else { return nil }
    var type = bytes.load16(place + 2)
    // Checksum, key, sequence number: 4 bytes each.
    place += 4 + 4 * (flags & 0xB000).nonzeroBitCount
    // An Ethernet frame.
    if type == 0x6558 {
      guard bytes.byteCount >= place + EthernetHeader.byteCount else { return .other }
      type = bytes.load16(place + EthernetHeader.Offset.type)
      place += EthernetHeader.byteCount
    }
    return type == EtherType.ipv4.rawValue ? .four : type == EtherType.ipv6.rawValue ? .six : .other
  }

  private mutating func takePorts(_ bytes: RawSpan, _ place: Int) {
    guard let offset = RoutingFlow.portOffset(of: IPProtocol(rawValue: `protocol`)),
      bytes.byteCount >= place + offset + 4
    else { return }
    sourcePort = bytes.load16(place + offset)
    destinationPort = bytes.load16(place + offset + 2)
  }
}

// By what of a flow its next hop is chosen. Linux: `fib_multipath_hash()`.
extension IPv4Layer {
  /// Of a packet of our own, inside which nobody looks: there it says the same.
  func pathHash(_ key: RouteKey, net: borrowing Net) -> Int32 {
    let fields: MultipathHashFields
    switch net.settings.multipathHash {
    case .addresses, .inner: fields = .addresses
    case .ports: fields = .fiveTuple
    case .fields: fields = net.settings.multipathHashFields.outer
    }
    return Self.share(FlowKeys(key).hash(fields, by: identifications.pathKey))
  }

  /// Of a packet that is passed on, data at its IP header.
  func pathHash(of skb: borrowing SkBuff, _ header: IPv4Header, net: borrowing Net) -> Int32 {
    let key = identifications.pathKey
    switch net.settings.multipathHash {
    case .addresses: return Self.share(Self.hashedAddresses(of: skb, header).hash(.addresses, by: key))
    case .ports: return Self.share(FlowKeys(skb.linear, goesInside: false).hash(.fiveTuple, by: key))
    case .inner:
      let inside = FlowKeys(skb.linear, goesInside: true)
      return Self.share(inside.hash(inside.isSix ? .sixTuple : .addresses, by: key))
    case .fields:
      let fields = net.settings.multipathHashFields
      let outer = FlowKeys(skb.linear, goesInside: false)
      let first = outer.hash(fields.outer, by: key)
      guard outer.isEncapsulated, !fields.inner.isEmpty else { return Self.share(first) }
      let second = FlowKeys(skb.linear, goesInside: true).hash(fields.inner, by: key)
      return Self.share(key.hash(first, second))
    }
  }

  /// The hash's place among the next hops' shares.
  private static func share(_ hash: UInt64) -> Int32 { Int32(truncatingIfNeeded: hash >> 33) }

  /// A packet's addresses, or for an ICMP error those of the packet that it is about, so that it reaches who is at the other
  /// end of that one's way. Linux: `ip_multipath_l3_keys()`.
  private static func hashedAddresses(of skb: borrowing SkBuff, _ header: IPv4Header) -> FlowKeys {
    let own = FlowKeys(RouteKey(destination: header.destination, source: header.source))
    guard header.protocol == .icmp, header.fragmentOffset == 0, skb.headLength > header.headerByteCount else {
      return own
    }
    let (bytes, place) = (skb.linear, header.headerByteCount)
    let inner = place + ICMPHeader.byteCount
    guard ICMPHeader.Kind(rawValue: bytes.load8(place)).isError,
      skb.headLength >= inner + IPv4Header.minimumByteCount
    else { return own }
    return FlowKeys(
      RouteKey(
        destination: bytes.loadIPv4(inner + IPv4Header.Offset.destination),
        source: bytes.loadIPv4(inner + IPv4Header.Offset.source)))
  }
}
