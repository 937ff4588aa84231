import IPv4
import Ice
import IceHardware
import IceModel
import NetDevice
import Shard

/// Changes to the interface and the NIC of a running stack.
extension Stack {
  /// Changes the interface. What of it belongs to Linux's side of a TAP stays as it is. Linux: `ip link set`.
  ///
  /// Down: what waits is dropped, routes over the link and neighbours are forgotten, nothing comes or goes. Up: the routes to
  /// the addresses' networks come back, and the addresses are announced, if the stack announces itself.
  ///
  /// - Parameter device: `lo`, a further interface, or `nil` for the stack's own. What is sent by `lo` while that is down is
  ///   dropped. A further interface keeps its MAC address, and has no larger MTU than it began with.
  /// - Throws: `StackError` with EINVAL for an MTU that the NIC cannot have, EADDRNOTAVAIL for a MAC address that is zero or a
  ///   group's, EOPNOTSUPP for that of a further interface. Nothing is changed then. ENODEV.
  public func setLink(_ link: LinkChange, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    if device == .loopback { return try setLoopback(link) }
    if let mtu = link.mtu, !StackConfiguration.mtuRange.contains(mtu) {
      throw StackError("link set mtu \(mtu): \(Errno.EINVAL): the NIC takes 68 to 9702 bytes", code: .EINVAL)
    }
    if let address = link.macAddress, !address.isValidStation {
      throw StackError("link set address \(address): \(Errno.EADDRNOTAVAIL)", code: .EADDRNOTAVAIL)
    }
    let announces = configuration.announcesAddress
    let notifies = administered.withLock { $0.arpNotify } && !announces
    try change("link set") { (state) throws(Errno) in
      let interface = device ?? state.ethernet
      let isOwn = interface == state.ethernet
      let most = state.host.link.devices[interface].driver.ice.configuration.mtu
      guard isOwn || link.macAddress == nil else { throw .EOPNOTSUPP }
      guard isOwn || (link.mtu ?? 0) <= most else { throw .EINVAL }
      if let isOn = link.resolvesAddresses { state.host.setResolving(isOn, of: interface) }
      if let mtu = link.mtu {
        if mtu > most { state.reopenNIC(mtu: mtu) }
        try state.host.setMTU(mtu, of: interface)
      }
      if let address = link.macAddress {
        try state.host.setMACAddress(address, of: state.ethernet)
        state.nic.setMACAddress(address)
      }
      let wasUp = state.host.link.devices[interface].isUp
      if let isUp = link.isUp { state.host.setLink(interface, up: isUp) }
      let isNews = link.macAddress != nil || !wasUp
      if announces && isNews && state.host.link.devices[interface].isUp && state.queue == 0 {
        state.host.announceAddresses()
      } else if notifies && isNews && state.host.link.devices[interface].isUp && state.queue == 0 {
        state.host.notifyPeers(of: interface)
      }
    }
  }

  private func setLoopback(_ link: LinkChange) throws(StackError) {
    if let address = link.macAddress, !address.isValidStation {
      throw StackError("link set address \(address): \(Errno.EADDRNOTAVAIL)", code: .EADDRNOTAVAIL)
    }
    try change("link set") { (state) throws(Errno) in
      if let mtu = link.mtu { try state.host.setMTU(mtu, of: .loopback) }
      if let address = link.macAddress { try state.host.setMACAddress(address, of: .loopback) }
      // `lo` does without ARP whatever its flag says.
      if let isUp = link.isUp { state.host.setLink(.loopback, up: isUp) }
    }
  }

  /// Has the NIC, or software, do something from the next packet on. What does not work without something that is off comes
  /// on with that. Linux: `ethtool -K`.
  ///
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func setFeature(_ feature: NICFeature, on isOn: Bool) throws(StackError) {
    try change("nic set \(feature.rawValue) \(isOn ? "on" : "off")") { (state) throws(Errno) in
      try state.host.link.devices[state.ethernet].setFeatures(feature.bit, on: isOn)
    }
  }

  /// Gives the NIC of every queue rings of other sizes; what is on the old ones is lost. Linux: `ethtool -G`.
  ///
  /// - Parameters:
  ///   - receive: descriptors, 64 to 8160, rounded up to a multiple of 32; `nil`: as it is.
  ///   - transmit: the same of the ring that sends.
  /// - Throws: `StackError` with EINVAL for a size that cannot be.
  public func setRings(receive: Int? = nil, transmit: Int? = nil) throws(StackError) {
    for count in [receive, transmit].compactMap(\.self) where !StackConfiguration.ringRange.contains(count) {
      throw StackError(
        "nic set ring \(count): \(Errno.EINVAL): the NIC has 64 to 8160 descriptors", code: .EINVAL)
    }
    func rounded(_ count: Int) -> Int {
      (count + RingParameters.multiple - 1) / RingParameters.multiple * RingParameters.multiple
    }
    let (receive, transmit) = (receive.map(rounded), transmit.map(rounded))
    try change("nic set ring") { (state) throws(Errno) in
      let now = state.host.link.devices[state.ethernet].driver.ice.ringParameters
      let new = RingParameters(tx: transmit ?? now.tx, rx: receive ?? now.rx)
      if new != now { state.reopenNIC(rings: new) }
    }
  }

  /// Has the NIC of every queue commit a fault, or none any more.
  ///
  /// - Throws: `StackError` with EINVAL for a number out of range.
  public func commit(_ fault: NICFault) throws(StackError) {
    try change("nic fault") { (state) throws(Errno) in
      switch fault {
      case .stall: state.nic.faults.isTransmitStalled = true
      case .drop(let percent):
        guard (0...100).contains(percent) else { throw .EINVAL }
        state.nic.faults.dropPercent = percent
      case .lateWriteBack(let milliseconds):
        guard (0...60_000).contains(milliseconds) else { throw .EINVAL }
        state.nic.faults.writeBackDelay = .milliseconds(Int64(milliseconds))
      case .mapFail(let count):
        guard (0...1_000_000).contains(count) else { throw .EINVAL }
        state.nic.injectMappingFailures(count)
      case .off:
        state.nic.faults = FaultInjection()
        state.nic.injectMappingFailures(0)
      }
    }
  }
}
