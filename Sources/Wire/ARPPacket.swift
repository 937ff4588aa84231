/// An ARP packet for IPv4 over Ethernet (RFC 826).
/// ```
///  0      2      4    5    6      8            14      18           24      28
///  | htype| ptype|hlen|plen| oper | sender MAC | sender | target MAC | target |
/// ```
@frozen
public struct ARPPacket: Sendable {
  public static let byteCount = 28

  /// Where each field begins.
  @frozen public enum Offset {
    @inlinable public static var hardwareType: Int { 0 }
    @inlinable public static var protocolType: Int { 2 }
    @inlinable public static var hardwareLength: Int { 4 }
    @inlinable public static var protocolLength: Int { 5 }
    @inlinable public static var operation: Int { 6 }
    @inlinable public static var senderMAC: Int { 8 }
    @inlinable public static var senderAddress: Int { 14 }
    @inlinable public static var targetMAC: Int { 18 }
    @inlinable public static var targetAddress: Int { 24 }
  }

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
    guard bytes.byteCount >= Self.byteCount,
      bytes.load16(Offset.hardwareType) == 1 || bytes.load16(Offset.hardwareType) == 6,
      bytes.load16(Offset.protocolType) == EtherType.ipv4.rawValue, bytes.load8(Offset.hardwareLength) == 6,
      bytes.load8(Offset.protocolLength) == 4,
      let operation = Operation(rawValue: bytes.load16(Offset.operation))
    else { return nil }
    self.operation = operation
    senderMAC = bytes.loadMAC(Offset.senderMAC)
    senderAddress = bytes.loadIPv4(Offset.senderAddress)
    targetMAC = bytes.loadMAC(Offset.targetMAC)
    targetAddress = bytes.loadIPv4(Offset.targetAddress)
  }

  public func write(to bytes: inout MutableRawSpan) {
    bytes.store16(1, Offset.hardwareType)
    bytes.store16(EtherType.ipv4.rawValue, Offset.protocolType)
    bytes.store8(6, Offset.hardwareLength)
    bytes.store8(4, Offset.protocolLength)
    bytes.store16(operation.rawValue, Offset.operation)
    bytes.storeMAC(senderMAC, Offset.senderMAC)
    bytes.store32(senderAddress.rawValue, Offset.senderAddress)
    bytes.storeMAC(targetMAC, Offset.targetMAC)
    bytes.store32(targetAddress.rawValue, Offset.targetAddress)
  }
}
