/// A packet in tcpdump's words (`tcpdump -n -S -t`), for traces, captures and the messages of failed tests.
///
/// Any bytes are taken. What is cut off says so: `[|tcp]`.
public struct PacketDescription: CustomStringConvertible, Hashable, Sendable {
  public let description: String

  /// A frame from its Ethernet header on, with that header (`-e`).
  public init(frame: RawSpan) {
    guard let header = EthernetHeader(parsing: frame) else {
      description = "[|ether]"
      return
    }
    var text = "\(header), length \(frame.byteCount): "
    var type = header.type
    var payload = frame.extracting(EthernetHeader.byteCount...)
    while type == .vlan || type == .serviceVLAN {
      guard payload.byteCount >= 4 else {
        description = text + "[|vlan]"
        return
      }
      let tag = payload.load16(0)
      type = EtherType(rawValue: payload.load16(2))
      text += "vlan \(tag & 0xFFF), p \(tag >> 13), ethertype \(type), "
      payload = payload.extracting(4...)
    }
    switch type {
    case .ipv4: description = text + Self.ipv4(payload)
    case .arp: description = text + Self.arp(payload)
    default: description = text
    }
  }

  /// An IPv4 packet from its header on.
  public init(ipv4 packet: RawSpan) { description = Self.ipv4(packet) }

  private static func arp(_ bytes: RawSpan) -> String {
    ARPPacket(parsing: bytes).map { "\($0), length \(bytes.byteCount)" } ?? "[|arp]"
  }

  private static func ipv4(_ bytes: RawSpan) -> String {
    guard let header = IPv4Header(parsing: bytes) else { return "[|ip]" }
    let missing = header.totalByteCount - bytes.byteCount
    let cut = missing > 0 ? "truncated-ip - \(missing) bytes missing! " : ""
    let end = min(header.totalByteCount, bytes.byteCount)
    let payload = bytes.extracting(header.headerByteCount..<end)
    let length = header.totalByteCount - header.headerByteCount
    let addresses = "\(header.source) > \(header.destination): "
    if header.fragmentOffset > 0 { return cut + addresses + "ip-proto-\(header.protocol.rawValue)" }
    switch header.protocol {
    case .tcp: return cut + tcp(header, payload, length: length)
    case .udp: return cut + udp(header, payload)
    case .icmp: return cut + addresses + icmp(payload, length: length)
    default: return cut + addresses + "ip-proto-\(header.protocol.rawValue) \(length)"
    }
  }

  private static func addresses(_ header: IPv4Header, _ ports: RawSpan) -> String {
    guard ports.byteCount >= 4 else { return "\(header.source) > \(header.destination): " }
    return "\(header.source).\(ports.load16(0)) > \(header.destination).\(ports.load16(2)): "
  }

  private static func tcp(_ ip: IPv4Header, _ bytes: RawSpan, length: Int) -> String {
    let start = addresses(ip, bytes)
    guard let header = TCPHeader(parsing: bytes) else { return start + "[|tcp]" }
    let payloadByteCount = length - header.headerByteCount
    var text = start + header.body(payloadByteCount: payloadByteCount)
    if header.headerByteCount > TCPHeader.minimumByteCount {
      let options = bytes.extracting(TCPHeader.minimumByteCount..<header.headerByteCount)
      text += ", options [\(TCPOptions.describe(options))]"
    }
    return text + ", length \(payloadByteCount)"
  }

  private static func udp(_ ip: IPv4Header, _ bytes: RawSpan) -> String {
    let start = addresses(ip, bytes)
    guard let header = UDPHeader(parsing: bytes) else { return start + "[|udp]" }
    let payload = header.totalByteCount - UDPHeader.byteCount
    let room = bytes.byteCount - UDPHeader.byteCount
    if payload > room, !ip.isFragment, ip.totalByteCount == ip.headerByteCount + bytes.byteCount {
      return start + "UDP, bad length \(payload) > \(room)"
    }
    return start + header.body
  }

  private static func icmp(_ bytes: RawSpan, length: Int) -> String {
    guard let header = ICMPHeader(parsing: bytes) else { return "[|icmp]" }
    let quote = bytes.extracting(ICMPHeader.byteCount...)
    return "ICMP \(header.describe(quote: quote)), length \(length)"
  }
}
