/// An ARP packet for IPv4 over Ethernet (RFC 826).
/// ```
///  0      2      4    5    6      8            14      18           24      28
///  | htype| ptype|hlen|plen| oper | sender MAC | sender | target MAC | target |
/// ```
@frozen
public struct ARPPacket: Sendable {
  public static let byteCount = 28

  /// Request or reply (RFC 826).
  @frozen public enum Operation: UInt16, Sendable {
    case request = 1
    case reply = 2
  }
  public var operation: Operation
  public var senderMAC: MACAddress
  public var senderAddress: IPv4Address
  public var targetMAC: MACAddress
  public var targetAddress: IPv4Address

  public init(
    operation: Operation, senderMAC: MACAddress, senderAddress: IPv4Address, targetMAC: MACAddress,
    targetAddress: IPv4Address
  ) {
    self.operation = operation
    self.senderMAC = senderMAC
    self.senderAddress = senderAddress
    self.targetMAC = targetMAC
    self.targetAddress = targetAddress
  }

  /// `nil` when short, of another hardware or protocol type, or neither a request nor a reply. Ethernet's hosts also
  /// take the type of IEEE 802 networks, 6 (RFC 1122 section 2.3.3 and Linux).
  public init?(parsing bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount, bytes.load16(0) == 1 || bytes.load16(0) == 6,
      bytes.load16(2) == EtherType.ipv4.rawValue, bytes.load8(4) == 6, bytes.load8(5) == 4,
      let operation = Operation(rawValue: bytes.load16(6))
    else { return nil }
    self.operation = operation
    senderMAC = bytes.loadMAC(8)
    senderAddress = bytes.loadIPv4(14)
    targetMAC = bytes.loadMAC(18)
    targetAddress = bytes.loadIPv4(24)
  }

  public func write(to bytes: inout MutableRawSpan) {
    bytes.store16(1, 0)
    bytes.store16(EtherType.ipv4.rawValue, 2)
    bytes.store8(6, 4)
    bytes.store8(4, 5)
    bytes.store16(operation.rawValue, 6)
    bytes.storeMAC(senderMAC, 8)
    bytes.store32(senderAddress.rawValue, 14)
    bytes.storeMAC(targetMAC, 18)
    bytes.store32(targetAddress.rawValue, 24)
  }
}
