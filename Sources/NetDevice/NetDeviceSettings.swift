import Ice
import IceHardware
import NetNamespace
import Wire

/// What `ip link set`, `ethtool -K` and `ethtool -G` change.
extension NetDevice {
  /// Linux: `dev_set_mac_address()`, `ice_set_mac_address()`. The hardware's filter is its owner's to change.
  ///
  /// - Throws: EADDRNOTAVAIL for zero and group addresses.
  public mutating func setMACAddress(_ address: MACAddress) throws(Errno) {
    guard address.isValidStation else { throw .EADDRNOTAVAIL }
    macAddress = address
    driver.setMACAddress(address)
  }

  /// Leaves work to the device, or takes it back to software. What does not work without something that is off comes on
  /// with that. Linux: `netdev_update_features()`.
  ///
  /// - Throws: EOPNOTSUPP for what the device cannot do.
  public mutating func setFeatures(_ asked: DeviceFeatures, on isOn: Bool) throws(Errno) {
    guard offered.isSuperset(of: asked) else { throw .EOPNOTSUPP }
    wantedFeatures = isOn ? wantedFeatures.union(asked) : wantedFeatures.subtracting(asked)
    features = wantedFeatures.consistent
  }

  /// Moves the driver to other rings, or opens it for another MTU. Packets on the old rings are lost, those that wait above
  /// them are not. Linux: `ice_set_ringparam()`, `ice_change_mtu()`.
  public mutating func reopenDriver(on bus: IceBus, mtu: Int, net: inout Net) {
    driver.ice.reopen(on: bus, mtu: mtu, net: &net)
    startOver(net: net)
  }

  /// Nothing is on the ring any more, so that nothing stands in the way of what waits.
  mutating func startOver(net: borrowing Net) {
    limits.reset(now: net.now)
    isStoppedByLimits = false
    isStoppedByDriver = false
    lastProgress = net.now
    hasScheduledWork = queueLength > 0
  }
}
