import Ice
import IceHardware
import IceModel
import NetDevice

extension Shard {
  /// Sets the NIC and its driver up anew, with other rings or for another MTU.
  package mutating func reopenNIC(rings: RingParameters? = nil, mtu: Int? = nil) {
    let rings = rings ?? host.link.devices[ethernet].driver.ice.ringParameters
    let mtu = mtu ?? host.link.devices[ethernet].driver.ice.configuration.mtu
    let bus = IceBus(txDescriptorCount: rings.tx, rxDescriptorCount: rings.rx)
    stopsTransmit(of: bus)
    host.link.devices[ethernet].reopenDriver(on: bus, mtu: mtu, net: &host.net)
    showDeviceMemory()
    nic.reopen(on: bus, maxFrameByteCount: mtu + 14)
    hasMoreWork = true
  }
}
