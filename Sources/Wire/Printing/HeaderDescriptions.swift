/// Headers in tcpdump's words (`tcpdump -n -S -e`), for traces and for the messages of failed tests.

extension IPProtocol: CustomStringConvertible {
  /// `TCP`, `UDP`, `ICMP`, `IGMP`; of others the number.
  public var description: String {
    switch self {
    case .tcp: "TCP"
    case .udp: "UDP"
    case .icmp: "ICMP"
    case .igmp: "IGMP"
    default: "\(rawValue)"
    }
  }
}

extension EtherType: CustomStringConvertible {
  /// A name and the number: `IPv4 (0x0800)`.
  public var description: String {
    let name =
      switch self {
      case .ipv4: "IPv4"
      case .ipv6: "IPv6"
      case .arp: "ARP"
      case .vlan: "802.1Q"
      case .serviceVLAN: "802.1Q-QinQ"
      default: "Unknown"
      }
    return "\(name) (0x\(Hexadecimal.digits(UInt64(rawValue), count: 4)))"
  }
}

extension EthernetHeader: CustomStringConvertible {
  /// `02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800)`.
  public var description: String { "\(source) > \(destination), ethertype \(type)" }
}

extension ARPPacket: CustomStringConvertible {
  /// `Request who-has 10.0.0.2 tell 10.0.0.1`, `Reply 10.0.0.1 is-at 02:00:00:00:00:01`.
  public var description: String {
    switch operation {
    case .request: "Request who-has \(targetAddress) tell \(senderAddress)"
    case .reply: "Reply \(senderAddress) is-at \(senderMAC)"
    }
  }
}

extension IPv4Header: CustomStringConvertible {
  /// As `tcpdump -v` has it: `10.0.0.1 > 10.0.0.2: tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 60`.
  public var description: String {
    let flags = dontFragment ? (moreFragments ? "+, DF" : "DF") : (moreFragments ? "+" : "none")
    return "\(source) > \(destination): tos 0x\(String(typeOfService, radix: 16)), ttl \(timeToLive), "
      + "id \(identification), offset \(fragmentOffset), flags [\(flags)], "
      + "proto \(self.protocol) (\(self.protocol.rawValue)), length \(totalByteCount)"
  }
}

extension UDPHeader: CustomStringConvertible {
  /// `41000 > 9: UDP, length 5`, where the length is the payload's.
  public var description: String { "\(sourcePort) > \(destinationPort): \(body)" }
  var body: String { "UDP, length \(totalByteCount - Self.byteCount)" }
}

extension TCPFlags: CustomStringConvertible {
  /// `S`, `S.`, `P.`, `F.`, `R`, and `E` and `W` for ECE and CWR; `none`.
  public var description: String {
    if isEmpty { return "none" }
    let names: [(TCPFlags, String)] = [
      (.fin, "F"), (.syn, "S"), (.rst, "R"), (.psh, "P"), (.ack, "."), (.urg, "U"), (.ece, "E"), (.cwr, "W"),
    ]
    return names.filter { contains($0.0) }.map(\.1).joined()
  }
}

extension TCPHeader: CustomStringConvertible {
  /// `41000 > 7: Flags [S], seq 1000, win 64240`. Sequence numbers as on the wire, the window not scaled.
  public var description: String { "\(sourcePort) > \(destinationPort): \(body(payloadByteCount: 0))" }

  /// From the flags on; a segment without payload, SYN, FIN or RST shows no sequence number.
  func body(payloadByteCount: Int) -> String {
    var text = "Flags [\(flags)]"
    if payloadByteCount > 0 || !flags.isDisjoint(with: [.syn, .fin, .rst]) { text += ", seq \(sequence)" }
    if payloadByteCount > 0 { text += ":\(sequence + payloadByteCount)" }
    if flags.contains(.ack) { text += ", ack \(acknowledgment)" }
    text += ", win \(window)"
    if flags.contains(.urg) { text += ", urg \(urgentPointer)" }
    return text
  }
}

enum Hexadecimal {
  static func digits(_ value: UInt64, count: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
  }
}
