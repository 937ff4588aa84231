import CLinux
import Glibc
import Wire

/// Interfaces: RTM_GETLINK, RTM_NEWLINK, RTM_DELLINK.
extension NetlinkSocket {
  /// The interface of that name; `nil` if there is none.
  public mutating func link(named name: InterfaceName) throws(LinuxError) -> LinkDescription? {
    var request = NetlinkRequest(RTM_GETLINK, flags: NLM_F_ACK)
    request.putFixedPart(ifinfomsg())
    request.put(IFLA_IFNAME, name.text)
    return try answer(request, name.text)
  }

  /// The interface with that index; `nil` if there is none.
  public mutating func link(index: Int32) throws(LinuxError) -> LinkDescription? {
    var request = NetlinkRequest(RTM_GETLINK, flags: NLM_F_ACK)
    var fixed = ifinfomsg()
    fixed.ifi_index = index
    request.putFixedPart(fixed)
    return try answer(request, "interface \(index)")
  }

  private mutating func answer(
    _ request: borrowing NetlinkRequest, _ subject: String
  ) throws(LinuxError) -> LinkDescription? {
    do {
      return try transact(request, "look up the interface", subject).first.flatMap(LinkDescription.init)
    } catch {
      if error.code == ENODEV { return nil }
      throw error
    }
  }

  /// Every interface of the namespace.
  public mutating func links() throws(LinuxError) -> [LinkDescription] {
    var request = NetlinkRequest(RTM_GETLINK, flags: NLM_F_DUMP)
    request.putFixedPart(ifinfomsg())
    return try transact(request, "list", "the interfaces").compactMap(LinkDescription.init)
  }

  /// Sets the MTU, bytes.
  public mutating func setMTU(_ mtu: Int, of link: LinkDescription) throws(LinuxError) {
    guard let value = UInt32(exactly: mtu) else {
      throw LinuxError(EINVAL, "set the MTU \(mtu) on", link.name.text)
    }
    try change(link, "set the MTU \(mtu) on") { $0.put(IFLA_MTU, value) }
  }

  /// Sets the MAC address of the kernel's side.
  package mutating func setHardwareAddress(_ address: MACAddress, of link: LinkDescription) throws(LinuxError)
  {
    let octets = (0..<6).map { UInt8(truncatingIfNeeded: address.rawValue >> UInt64(40 - 8 * $0)) }
    try change(link, "set the MAC address \(address) on") { $0.put(IFLA_ADDRESS, octets) }
  }

  /// Sets how many frames the kernel queues towards the TAP's reader before it drops.
  public mutating func setTransmitQueueLength(_ length: Int, of link: LinkDescription) throws(LinuxError) {
    let value = UInt32(clamping: length)
    try change(link, "set the transmit queue length \(length) on") { $0.put(IFLA_TXQLEN, value) }
  }

  public mutating func setUp(_ link: LinkDescription) throws(LinuxError) {
    try change(link, "bring up", flags: LinkFlags.up.rawValue, mask: LinkFlags.up.rawValue)
  }

  public mutating func setDown(_ link: LinkDescription) throws(LinuxError) {
    try change(link, "bring down", flags: 0, mask: LinkFlags.up.rawValue)
  }

  /// Moves the interface to another namespace; it arrives there down and without addresses.
  public mutating func move(
    _ link: LinkDescription, to namespace: borrowing NetworkNamespace
  ) throws(LinuxError) {
    let number = UInt32(namespace.descriptor.rawValue)
    try change(link, "move to the network namespace \(namespace.subject) the interface") {
      $0.put(IFLA_NET_NS_FD, number)
    }
  }

  /// Removes the interface. An interface that is already gone is no error.
  public mutating func delete(_ link: LinkDescription) throws(LinuxError) {
    var request = NetlinkRequest(RTM_DELLINK, flags: NLM_F_ACK)
    var fixed = ifinfomsg()
    fixed.ifi_index = link.index
    request.putFixedPart(fixed)
    do {
      _ = try transact(request, "remove", link.name.text)
    } catch {
      if error.code != ENODEV { throw error }
    }
  }

  private mutating func change(
    _ link: LinkDescription, _ operation: String, flags: UInt32 = 0, mask: UInt32 = 0,
    _ putAttributes: (inout NetlinkRequest) -> Void = { _ in }
  ) throws(LinuxError) {
    var request = NetlinkRequest(RTM_NEWLINK, flags: NLM_F_ACK)
    var fixed = ifinfomsg()
    fixed.ifi_index = link.index
    fixed.ifi_flags = flags
    fixed.ifi_change = mask
    request.putFixedPart(fixed)
    putAttributes(&request)
    _ = try transact(request, operation, link.name.text)
  }
}
