/// What an Ethernet frame carries.
@frozen
public struct EtherType: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  @inlinable public static var ipv4: EtherType { EtherType(rawValue: 0x0800) }
  @inlinable public static var arp: EtherType { EtherType(rawValue: 0x0806) }
  @inlinable public static var vlan: EtherType { EtherType(rawValue: 0x8100) }
  /// The tag of a provider's network (IEEE 802.1ad).
  @inlinable public static var serviceVLAN: EtherType { EtherType(rawValue: 0x88A8) }
  @inlinable public static var ipv6: EtherType { EtherType(rawValue: 0x86DD) }
}

/// An Ethernet II header.
/// ```
///  0                   6                  12      14
///  | destination       | source            | type  | payload
/// ```
@frozen
public struct EthernetHeader: Sendable {
  public static let byteCount = 14

  /// Where each field begins.
  @frozen public enum Offset {
    @inlinable public static var destination: Int { 0 }
    @inlinable public static var source: Int { 6 }
    @inlinable public static var type: Int { 12 }
  }

  public var destination: MACAddress
  public var source: MACAddress
  public var type: EtherType

  @inlinable public init(destination: MACAddress, source: MACAddress, type: EtherType) {
    self.destination = destination
    self.source = source
    self.type = type
  }
  /// `nil` when fewer than 14 bytes are there.
  @inlinable public init?(parsing bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount else { return nil }
    destination = bytes.loadMAC(Offset.destination)
    source = bytes.loadMAC(Offset.source)
    type = EtherType(rawValue: bytes.load16(Offset.type))
  }
  @inlinable public func write(to bytes: inout MutableRawSpan) {
    bytes.storeMAC(destination, Offset.destination)
    bytes.storeMAC(source, Offset.source)
    bytes.store16(type.rawValue, Offset.type)
  }
}
