import CLinux
import Glibc
import Wire

/// One IPv4 address of one interface (RTM_NEWADDR).
public struct InterfaceAddress: Equatable, Sendable {
  public var linkIndex: Int32
  /// The interface's name, or its alias such as `eth0:1` (IFA_LABEL).
  public var label: String
  /// The address itself with its prefix length.
  public var prefix: IPv4Prefix

  init?(_ message: NetlinkMessage) {
    guard Int(message.type) == RTM_NEWADDR, let fixed = message.fixedPart(as: ifaddrmsg.self),
      Int32(fixed.ifa_family) == AF_INET
    else { return nil }
    let attributes = message.attributes(after: ifaddrmsg.self)
    // IFA_LOCAL is the own address; on point-to-point links IFA_ADDRESS is the peer's.
    guard let value = attributes.u32BigEndian(IFA_LOCAL) ?? attributes.u32BigEndian(IFA_ADDRESS),
      let prefix = IPv4Prefix(IPv4Address(value), length: Int(fixed.ifa_prefixlen))
    else { return nil }
    linkIndex = Int32(bitPattern: fixed.ifa_index)
    label = attributes.string(IFA_LABEL) ?? ""
    self.prefix = prefix
  }
}

/// IPv4 addresses: RTM_GETADDR, RTM_NEWADDR.
extension NetlinkSocket {
  /// The IPv4 addresses of all interfaces of the namespace.
  public mutating func addresses() throws(LinuxError) -> [InterfaceAddress] {
    var request = NetlinkRequest(RTM_GETADDR, flags: NLM_F_DUMP)
    var fixed = ifaddrmsg()
    fixed.ifa_family = UInt8(AF_INET)
    request.putFixedPart(fixed)
    return try transact(request, "list", "the addresses").compactMap(InterfaceAddress.init)
  }

  /// Gives an interface an address with its prefix and broadcast address, or keeps the one it has.
  public mutating func replaceAddress(_ prefix: IPv4Prefix, on link: LinkDescription) throws(LinuxError) {
    var request = NetlinkRequest(RTM_NEWADDR, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
    Self.put(prefix, on: link, into: &request)
    if let broadcast = prefix.broadcast { request.put(IFA_BROADCAST, broadcast.rawValue.byteSwapped) }
    _ = try transact(request, "give the address \(prefix) to", link.name.text)
  }

  /// Takes an address from an interface. EADDRNOTAVAIL when it does not have it.
  public mutating func removeAddress(_ prefix: IPv4Prefix, from link: LinkDescription) throws(LinuxError) {
    var request = NetlinkRequest(RTM_DELADDR, flags: NLM_F_ACK)
    Self.put(prefix, on: link, into: &request)
    _ = try transact(request, "take the address \(prefix) from", link.name.text)
  }

  private static func put(
    _ prefix: IPv4Prefix, on link: LinkDescription, into request: inout NetlinkRequest
  ) {
    var fixed = ifaddrmsg()
    fixed.ifa_family = UInt8(AF_INET)
    fixed.ifa_prefixlen = UInt8(prefix.length)
    fixed.ifa_index = UInt32(bitPattern: link.index)
    request.putFixedPart(fixed)
    request.put(IFA_LOCAL, prefix.address.rawValue.byteSwapped)
    request.put(IFA_ADDRESS, prefix.address.rawValue.byteSwapped)
  }
}
