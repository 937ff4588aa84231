import LinuxHost

/// Linux's side of a TAP stack: the interface, its MTU and address, up. All of it or nothing: the interface goes away
/// with its last queue.
struct TapSetup: ~Copyable {
  var device: TapDevice
  /// What to put back on an interface that was there before.
  var restoration: TapRestoration?

  /// Frames that wait for the stack: enough for a full receive window of MTU-sized segments.
  private static let transmitQueueLength = 8192

  private init(device: consuming TapDevice, restoration: consuming TapRestoration?) {
    self.device = device
    self.restoration = restoration
  }

  static func make(_ parameters: TapParameters, network: IPv4Prefix, mtu: Int) throws -> TapSetup {
    try Privileges.requireNetworkAdmin(to: "create the interface", parameters.interface.text)
    guard let name = parameters.namespace else {
      return try create(parameters, network: network, mtu: mtu)
    }
    return try NetworkNamespace(named: name).run { () throws(LinuxError) in
      try create(parameters, network: network, mtu: mtu)
    }
  }

  /// In the interface's own namespace.
  private static func create(
    _ parameters: TapParameters, network: IPv4Prefix, mtu: Int
  ) throws(LinuxError) -> TapSetup {
    let name = parameters.interface
    var netlink = try NetlinkSocket()
    let present = try netlink.addresses()
    let found = try netlink.link(named: name)
    try checkOverlap(parameters, network, present, own: found, &netlink)
    let device = try TapDevice.open(
      TapConfiguration(
        name: name, queueCount: parameters.queues, offloads: parameters.offload ? .undone : nil))
    guard let link = try netlink.link(named: name) else {
      throw LinuxError(19, "find the interface", name.text)
    }
    let restoration = try restoration(of: found, device, parameters.hostAddress, present)
    do {
      try netlink.setMTU(mtu, of: link)
      try netlink.setTransmitQueueLength(transmitQueueLength, of: link)
      if let address = parameters.hostAddress { try netlink.replaceAddress(address, on: link) }
      try netlink.setUp(link)
    } catch {
      undo(device, restoration)
      throw error
    }
    return TapSetup(device: device, restoration: restoration)
  }

  /// The queues go first: an interface takes its old flags only when none is attached.
  private static func undo(_ device: consuming TapDevice, _ restoration: consuming TapRestoration?) {
    _ = consume device
    if let restoration { restoration.apply() }
  }

  /// `nil` for an interface that goes away with its last queue.
  private static func restoration(
    of found: LinkDescription?, _ device: borrowing TapDevice, _ address: IPv4Prefix?,
    _ present: [InterfaceAddress]
  ) throws(LinuxError) -> TapRestoration? {
    guard let found, found.tun?.isPersistent == true else { return nil }
    let isThere = present.contains { $0.linkIndex == found.index && $0.prefix == address }
    return TapRestoration(
      found: found, addedAddress: isThere ? nil : address, headerByteCount: device.foundHeaderByteCount,
      device: try device.duplicateQueue(), spare: try TapDevice.spare(), netlink: try NetlinkSocket())
  }

  /// Two interfaces in one network would make Linux send to whichever it finds first.
  private static func checkOverlap(
    _ parameters: TapParameters, _ network: IPv4Prefix, _ addresses: [InterfaceAddress],
    own: LinkDescription?, _ netlink: inout NetlinkSocket
  ) throws(LinuxError) {
    let links = try netlink.links()
    // Linux would answer for the stack's address itself.
    if let own,
      addresses.contains(where: { $0.linkIndex == own.index && $0.prefix.address == network.address })
    {
      throw LinuxError(
        98, "use the address", "\(network.address)", reason: "it is Linux's own on \(own.name)",
        advice: "Take it away with \"ip addr del\", or choose another with --address.")
    }
    for present in addresses where present.linkIndex != own?.index {
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

/// Puts back what `TapSetup` changed on an interface that was there before it: one made by `ip tuntap add`, which stays when
/// the stack goes.
struct TapRestoration: ~Copyable {
  /// As it was.
  private let found: LinkDescription
  private let addedAddress: IPv4Prefix?
  private let headerByteCount: Int?
  /// Keeps the last queue attached until all is put back.
  private let device: TapQueue
  private let spare: TapSpare
  /// In the interface's namespace, which may be another than the thread's.
  private var netlink: NetlinkSocket

  init(
    found: LinkDescription, addedAddress: IPv4Prefix?, headerByteCount: Int?, device: consuming TapQueue,
    spare: consuming TapSpare, netlink: consuming NetlinkSocket
  ) {
    self.found = found
    self.addedAddress = addedAddress
    self.headerByteCount = headerByteCount
    self.device = device
    self.spare = spare
    self.netlink = netlink
  }

  var descriptors: [Int32] {
    [device.descriptor.rawValue, spare.rawDescriptor, netlink.rawDescriptor]
  }

  /// Each step by itself: what somebody else has changed or removed meanwhile does not keep the rest from its place.
  consuming func apply() {
    if let addedAddress { try? netlink.removeAddress(addedAddress, from: found) }
    if !found.flags.contains(.up) { try? netlink.setDown(found) }
    if found.mtu > 0 { try? netlink.setMTU(found.mtu, of: found) }
    try? netlink.setTransmitQueueLength(found.transmitQueueLength, of: found)
    if let headerByteCount { device.takeBackEngines(headerByteCount: headerByteCount) }
    Self.detach(device)
    try? spare.setFlags(of: found)
  }

  private static func detach(_ queue: consuming TapQueue) {}
}
