import SkBuff
import Wire

/// What all packets of one direction of a connection have in common. Linux: `struct nf_conntrack_tuple`.
public struct ConnectionTuple: Hashable, Sendable {
  /// Where its packets come from.
  public var source: IPv4Address
  /// Where they go.
  public var destination: IPv4Address
  /// A port, or an echo's identifier; 0 for protocols that have neither.
  public var sourcePort: UInt16
  /// A port, or an ICMP message's type and code.
  public var destinationPort: UInt16
  /// The number in the IP header.
  public var `protocol`: IPProtocol

  init(
    source: IPv4Address, destination: IPv4Address, sourcePort: UInt16, destinationPort: UInt16,
    protocol number: IPProtocol
  ) {
    self.source = source
    self.destination = destination
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.protocol = number
  }

  /// That of a packet. Linux: `nf_ct_get_tuple()`.
  ///
  /// - Parameter bytes: from the IP header on, at least what it quotes of the transport's.
  /// - Returns: `nil` when ports are not there.
  init?(_ header: IPv4Header, bytes: RawSpan) {
    source = header.source
    destination = header.destination
    self.protocol = header.protocol
    let start = header.headerByteCount
    guard header.fragmentOffset == 0, start <= bytes.byteCount else { return nil }
    switch header.protocol {
    case .tcp, .udp, .udpLite:
      guard bytes.byteCount >= start + 4 else { return nil }
      sourcePort = bytes.load16(start)
      destinationPort = bytes.load16(start + 2)
    case .icmp:
      guard bytes.byteCount >= start + ICMPHeader.byteCount else { return nil }
      sourcePort = bytes.load16(start + ICMPHeader.Offset.rest)
      destinationPort = bytes.load16(start)
    default:
      sourcePort = 0
      destinationPort = 0
    }
  }

  /// Of an ICMP message.
  var icmpType: UInt8 { UInt8(truncatingIfNeeded: destinationPort >> 8) }
  var icmpCode: UInt8 { UInt8(truncatingIfNeeded: destinationPort) }

  /// Questions of ICMP and what answers them. Linux: `invmap[]`.
  private static let answers: [UInt8: UInt8] = [8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17]
  /// Whether an ICMP message may begin a connection.
  static func isQuestion(_ type: UInt8) -> Bool { type == 8 || type == 13 || type == 15 || type == 17 }

  /// That of the other direction. Linux: `nf_ct_invert_tuple()`.
  ///
  /// - Returns: `nil` for an ICMP message that nothing answers.
  var inverted: ConnectionTuple? {
    var other = self
    other.source = destination
    other.destination = source
    if self.protocol == .icmp {
      guard let answer = Self.answers[icmpType] else { return nil }
      other.destinationPort = UInt16(answer) << 8 | UInt16(icmpCode)
    } else {
      other.sourcePort = destinationPort
      other.destinationPort = sourcePort
    }
    return other
  }
}

extension IPProtocol {
  /// Whether its header begins with two ports. Linux: `nf_ct_get_tuple()`, of what is here.
  var hasPorts: Bool { self == .tcp || self == .udp || self == .udpLite }
}

/// The way a packet of a connection goes. Linux: `enum ip_conntrack_dir`.
public enum ConnectionDirection: Int, Sendable {
  case original = 0
  case reply = 1
  var other: ConnectionDirection { self == .original ? .reply : .original }
}

/// What a packet is to its connection. Linux: `enum ip_conntrack_info`.
public enum ConnectionState: UInt8, Sendable, CaseIterable {
  /// Of none, or of what cannot be.
  case invalid = 0
  case new = 1
  /// Packets have gone both ways.
  case established = 2
  /// An ICMP error about a connection.
  case related = 3

  /// As nft(8) names it.
  public var name: String { "\(self)" }
}

/// Which connection a packet is of: what it carries between the hooks.
struct ConnectionReference {
  /// Slots that can be named, less those that are on their way between the hooks when the last is taken.
  static let slotLimit = 1 << 20 - 16
  var slot: Int
  var generation: UInt32
  var state: ConnectionState
  var direction: ConnectionDirection

  init(slot: Int, generation: UInt32, state: ConnectionState, direction: ConnectionDirection) {
    self.slot = slot
    self.generation = generation & 0x1FF
    self.state = state
    self.direction = direction
  }
  init?(rawValue: UInt32) {
    guard rawValue != 0 else { return nil }
    slot = Int(rawValue & 0xF_FFFF) - 1
    generation = rawValue >> 20 & 0x1FF
    state = ConnectionState(rawValue: UInt8(truncatingIfNeeded: rawValue >> 29 & 3)) ?? .invalid
    direction = rawValue >> 31 == 1 ? .reply : .original
  }
  var rawValue: UInt32 {
    UInt32(slot + 1) | generation << 20 | UInt32(state.rawValue) << 29 | UInt32(direction.rawValue) << 31
  }
}
