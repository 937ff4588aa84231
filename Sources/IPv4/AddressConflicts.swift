import Neighbour
import NetDevice
import NetNamespace
import Timers
import Wire

/// Addresses are probed for before they are used, announced, and defended (RFC 5227).
extension IPv4Layer {
  /// Announces all addresses, twice each, 2 s apart, so that neighbours forget who had them before
  /// (RFC 5227 section 2.3).
  public mutating func announceAddresses(link: inout LinkLayer, net: inout Net) {
    for own in addresses { conflicts.claim(own.address, at: net.now) }
    serveConflicts(link: &link, net: &net)
  }

  /// As `announceAddresses`, one of them.
  public mutating func announceAddress(_ address: IPv4Address, link: inout LinkLayer, net: inout Net) {
    conflicts.claim(address, at: net.now)
    serveConflicts(link: &link, net: &net)
  }

  /// Announces the addresses of an interface, each once. Linux: `inetdev_send_gratuitous_arp()`.
  public mutating func notifyPeers(of interface: InterfaceIndex, link: inout LinkLayer, net: inout Net) {
    for own in addresses where own.interface == interface {
      announceOnce(own.address, on: interface, link: &link, net: &net)
    }
  }

  /// Asks the link whether anybody has an address, three times, before it is made ours (RFC 5227 section 2.1). The outcome is
  /// `takeClaimedAddress()`'s, or a conflict.
  ///
  /// - Throws: EINVAL for an address that no host may have, EEXIST when it is ours, or is being asked for, ENODEV for a device
  ///   where nobody can be asked, ENOBUFS for too many at a time.
  public mutating func probeAddress(
    _ prefix: IPv4Prefix, on interface: InterfaceIndex, link: inout LinkLayer, net: inout Net
  ) throws(Errno) {
    try checkHost(prefix)
    guard link.devices.contains(interface), link.devices[interface].resolvesAddresses else { throw .ENODEV }
    guard !addresses.contains(where: { $0.address == prefix.address }) else { throw .EEXIST }
    try conflicts.probe(
      InterfaceAddress(prefix: prefix, interface: interface), now: net.now, random: &net.random)
    serveConflicts(link: &link, net: &net)
  }

  /// Gives up asking for an address. False: nobody asks.
  public mutating func stopProbing(_ address: IPv4Address) -> Bool { conflicts.stopProbing(address) }

  mutating func conflictTimer(due: Instant, link: inout LinkLayer, net: inout Net) {
    if conflicts.timer.expire(at: due) { serveConflicts(link: &link, net: &net) }
  }

  private mutating func serveConflicts(link: inout LinkLayer, net: inout Net) {
    while let due = conflicts.takeDue(now: net.now, random: &net.random) {
      switch due {
      case .announcement(let address):
        if let interface = interface(of: address) {
          announceOnce(address, on: interface, link: &link, net: &net)
        }
      case .probe(let own):
        sendARP(
          .request, to: .broadcast, sender: .any, target: .zero, own.address, on: own.interface, link: &link,
          net: &net)
      }
    }
    if let next = conflicts.next {
      conflicts.timer.arm(
        TimerKey(kind: .neighbour, id: Self.conflictTimerID), at: next, in: &net.timers)
    }
  }

  private mutating func announceOnce(
    _ address: IPv4Address, on interface: InterfaceIndex, link: inout LinkLayer, net: inout Net
  ) {
    sendARP(
      .request, to: .broadcast, sender: address, target: .zero, address, on: interface, link: &link, net: &net
    )
  }

  /// Looks whether another station uses an address of ours, or one that we ask for, or asks for it, too (RFC 5227 sections
  /// 2.1.1 and 2.4).
  ///
  /// - Parameter isOverheard: another shard defends our address.
  mutating func noteConflict(
    with packet: ARPPacket, on interface: InterfaceIndex, link: inout LinkLayer, net: inout Net,
    isOverheard: Bool = false
  ) {
    let sender = packet.senderAddress
    let claimed = sender.isAny && packet.operation == .request ? packet.targetAddress : sender
    if conflicts.isProbing(claimed, on: interface) {
      net.counters.count(.ArpConflicts)
      conflicts.lose(claimed, to: packet.senderMAC, now: net.now)
      return
    }
    // A link that the address is not of has nothing to do with it.
    guard !isOverheard, addresses.contains(where: { $0.address == sender && $0.interface == interface })
    else { return }
    net.counters.count(.ArpConflicts)
    if conflicts.conflict(sender, with: packet.senderMAC, now: net.now) {
      announceOnce(sender, on: interface, link: &link, net: &net)
    }
  }

  /// Whether `takeAddressConflict()` or `takeClaimedAddress()` has something to tell.
  public var hasAddressNews: Bool { conflicts.hasNews }

  /// An address of ours that another station was found to use, each pair of them once; or one that we wanted. `nil`: none.
  public mutating func takeAddressConflict() -> AddressConflict? { conflicts.takeNews() }

  /// An address that nobody was found to have; it is still to be made ours. `nil`: none.
  public mutating func takeClaimedAddress() -> InterfaceAddress? { conflicts.takeClaimed() }
}
