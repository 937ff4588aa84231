import LinuxHost

/// Linux's side of a TAP stack: the interface, its MTU and address, up. All of it or nothing: the interface goes away
/// with its last queue.
struct TapSetup: ~Copyable {
  var device: TapDevice

  /// Frames that wait for the stack: enough for a full receive window of MTU-sized segments.
  private static let transmitQueueLength = 8192

  init(_ parameters: TapParameters, network: IPv4Prefix, mtu: Int) throws {
    try Privileges.requireNetworkAdmin(to: "create the interface", parameters.interface.text)
    if let name = parameters.namespace {
      let namespace = try NetworkNamespace(named: name)
      device = try namespace.run { () throws(LinuxError) in
        try Self.create(parameters, network: network, mtu: mtu)
      }
    } else {
      device = try Self.create(parameters, network: network, mtu: mtu)
    }
  }

  private static func create(
    _ parameters: TapParameters, network: IPv4Prefix, mtu: Int
  ) throws(LinuxError) -> TapDevice {
    let name = parameters.interface
    var netlink = try NetlinkSocket()
    try checkOverlap(parameters, network, &netlink)
    let device = try TapDevice.open(
      TapConfiguration(
        name: name, queueCount: parameters.queues, offloads: parameters.offload ? .undone : nil))
    guard let link = try netlink.link(named: name) else {
      throw LinuxError(19, "find the interface", name.text)
    }
    try netlink.setMTU(mtu, of: link)
    try netlink.setTransmitQueueLength(transmitQueueLength, of: link)
    if let address = parameters.hostAddress { try netlink.replaceAddress(address, on: link) }
    try netlink.setUp(link)
    return device
  }

  /// Two interfaces in one network would make Linux send to whichever it finds first.
  private static func checkOverlap(
    _ parameters: TapParameters, _ network: IPv4Prefix, _ netlink: inout NetlinkSocket
  ) throws(LinuxError) {
    let own = try netlink.link(named: parameters.interface)
    let links = try netlink.links()
    for present in try netlink.addresses() where present.linkIndex != own?.index {
      let wanted = [parameters.hostAddress, network].compactMap(\.self)
      guard let clash = wanted.first(where: { present.prefix.overlaps($0) }) else { continue }
      let owner = links.first { $0.index == present.linkIndex }?.name.text ?? present.label
      throw LinuxError(
        98, "use the network of", "\(clash)",
        reason: "it overlaps \(present.prefix) on \(owner)",
        advice: "Choose another with --address and --host-address, for example --address 10.99.0.2/24 "
          + "--host-address 10.99.0.1/24.")
    }
  }
}
