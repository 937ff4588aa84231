import IPv4
import Ice
import IceHardware
import IceModel
import Internet
import NetDevice
import Tables
import Timers
import Wire

/// The NIC of a further interface: as the shard's own, but that whoever holds the shard puts its frames out.
package struct Card: ~Copyable {
  private let addressOnly = AddressOnly()
  package var interface = InterfaceIndex.none
  package var nic: IceDevice
  package var port: WirePort
  /// NAPI has more to do, without waiting for an interrupt.
  var isPolling = false
  /// The wire would not take a frame: when to try again.
  var retryAt = Instant.distantFuture
  /// Frames that the wire refused.
  package var carrierErrors: UInt64 = 0

  private init(nic: consuming IceDevice, port: consuming WirePort) {
    self.nic = nic
    self.port = port
  }

  /// The card of an interface, with the device over it in the host's table.
  static func make(
    _ link: LinkConfiguration, wire: Wire, rings: (transmit: Int, receive: Int), lendsEngines: Bool,
    host: inout Host
  ) -> Card {
    let bus = IceBus(txDescriptorCount: rings.transmit, rxDescriptorCount: rings.receive)
    let nic = IceDevice(
      bus: bus,
      configuration: IceDevice.Configuration(
        macAddress: link.macAddress, engines: lendsEngines ? .lent : .own, maxFrameByteCount: link.mtu + 14))
    var driver = IceDriver(
      bus: bus,
      configuration: IceDriver.Configuration(
        macAddress: link.macAddress, mtu: link.mtu, receivesLargeFrames: lendsEngines))
    driver.open(net: &host.net)
    let device = NetDevice(
      configuration: NetDeviceConfiguration(name: link.name, macAddress: link.macAddress, mtu: link.mtu),
      driver: driver, net: &host.net)
    var card = Card(nic: nic, port: WirePort(wire))
    card.interface = host.link.devices.add(device)
    return card
  }

  /// When the shard has to be entered for it.
  var deadline: Instant {
    var due = retryAt
    if let interrupt = nic.nextInterruptDeadline, interrupt < due { due = interrupt }
    return due
  }
}
