import NetNamespace
import Wire

/// The packet that an ICMP error came in: what the control messages of a receive from the error queue tell.
public struct ReportBearer: Sendable, Equatable {
  public var destination: IPv4Address
  public var interface: InterfaceIndex
  public var timeToLive: UInt8
  public var typeOfService: UInt8

  public init(
    destination: IPv4Address, interface: InterfaceIndex, timeToLive: UInt8, typeOfService: UInt8
  ) {
    self.destination = destination
    self.interface = interface
    self.timeToLive = timeToLive
    self.typeOfService = typeOfService
  }
}

/// News about a packet that was sent earlier: an ICMP error, or a failure of our own. Linux: what an
/// `err_handler` is given.
public struct TransportError: Sendable {
  public var `protocol`: IPProtocol
  /// Ends of the packet that failed; for ICMP echo the local port is the identifier. Ports of other protocols are 0.
  public var local: SocketAddress
  public var remote: SocketAddress
  /// The device that the news came in by, or that the packet was to leave by.
  public var interface: InterfaceIndex
  /// TCP sequence number of the packet that failed; the transport checks that it was outstanding (RFC 5927).
  public var sequence: UInt32
  /// The time to live that the packet had when it failed.
  public var timeToLive: UInt8
  public var errno: Errno
  /// A condition that will not pass by itself. Linux: `icmp_err_convert[].fatal`.
  public var isHard: Bool
  /// Fragmentation needed: the MTU of the next hop, 0 when the router did not say. After checking that the packet
  /// was its own, the transport calls `IPv4Layer.learnPathMTU(destination:mtu:net:)`.
  public var mtu: Int?
  /// A redirect: who is said to be nearer. After the same check the transport calls `IPv4Layer.learnNextHop`; TCP and UDP do
  /// nothing else.
  public var gateway: IPv4Address?
  public var kind: ICMPHeader.Kind
  public var code: UInt8
  /// Who reported it.
  public var offender: IPv4Address
  /// What the report quotes of the packet behind a UDP header, or from a TCP or ICMP header on.
  /// Linux: the payload that `ip_icmp_error()` is given.
  public var payload: [UInt8] = []
  /// What brought the report; `nil` when nothing did.
  public var bearer: ReportBearer? = nil
  /// Found by this stack itself, so it needs no checking: neighbour failed, packet too large for DF.
  public var isLocal: Bool

  /// From the packet that failed: its IP header and at least 8 bytes of payload (RFC 792).
  ///
  /// - Returns: `nil` when those are not there, or the packet was not a first fragment.
  init?(
    about packet: RawSpan, kind: ICMPHeader.Kind, code: UInt8, mtu: Int?, offender: IPv4Address,
    by interface: InterfaceIndex, isLocal: Bool
  ) {
    guard let header = IPv4Header(quoted: packet), header.fragmentOffset == 0 else { return nil }
    let start = header.headerByteCount
    guard packet.byteCount >= start + 8 else { return nil }
    var localPort: UInt16 = 0
    var remotePort: UInt16 = 0
    sequence = 0
    timeToLive = header.timeToLive
    switch header.protocol {
    case .tcp:
      localPort = packet.load16(start)
      remotePort = packet.load16(start + 2)
      sequence = packet.load32(start + 4)
      payload = Self.bytes(packet, from: start, header)
    case .udp, .udpLite:
      localPort = packet.load16(start)
      remotePort = packet.load16(start + 2)
      payload = Self.bytes(packet, from: start + 8, header)
    case .icmp:
      localPort = packet.load16(start + 4)
      payload = Self.bytes(packet, from: start, header)
    default:
      break
    }
    self.protocol = header.protocol
    self.interface = interface
    local = SocketAddress(header.source, port: localPort)
    remote = SocketAddress(header.destination, port: remotePort)
    (errno, isHard) = Self.meaning(kind, code: code)
    self.mtu = mtu
    self.kind = kind
    self.code = code
    self.offender = offender
    self.isLocal = isLocal
  }

  /// Most bytes of a quotation that are looked at: what a message of 576 bytes has room for (RFC 1812 section 4.3.2.3).
  static let quotedByteCount = 576 - IPv4Header.minimumByteCount - ICMPHeader.byteCount

  private static func bytes(_ packet: RawSpan, from start: Int, _ header: IPv4Header) -> [UInt8] {
    // A length that cannot be says nothing.
    let total = header.totalByteCount < header.headerByteCount ? packet.byteCount : header.totalByteCount
    let end = min(packet.byteCount, total, quotedByteCount)
    return start < end ? (start..<end).map { packet.load8($0) } : []
  }

  /// Linux: `icmp_err_convert[]` and the switch in `__udp4_lib_err()`.
  static func meaning(_ kind: ICMPHeader.Kind, code: UInt8) -> (Errno, Bool) {
    switch kind {
    case .destinationUnreachable:
      switch code {
      case 0: (.ENETUNREACH, false)
      case 1: (.EHOSTUNREACH, false)
      case 2: (.ENOPROTOOPT, true)
      case 3: (.ECONNREFUSED, true)
      case 4: (.EMSGSIZE, false)
      case 5: (.EOPNOTSUPP, false)
      case 6: (.ENETUNREACH, true)
      case 7: (.EHOSTDOWN, true)
      // ENONET, which only this code gives.
      case 8: (Errno(rawValue: 64), true)
      case 9: (.ENETUNREACH, true)
      case 10: (.EHOSTUNREACH, true)
      case 11: (.ENETUNREACH, false)
      case 12: (.EHOSTUNREACH, false)
      case 13, 14, 15: (.EHOSTUNREACH, true)
      default: (.EHOSTUNREACH, false)
      }
    case .parameterProblem: (.EPROTO, true)
    // EREMOTEIO, of which Linux says itself that it is made up; only ping sockets see it.
    case .redirect: (Errno(rawValue: 121), false)
    default: (.EHOSTUNREACH, false)
    }
  }
}
