import IPv4
import Sockets
import Wire

/// A sentence for whoever runs the stack.
package struct ShardNotice: Sendable {
  package var text: String
  /// Each shard of a stack finds it out by itself: to be told once.
  package var isOnce = false
  /// What it is about, for a program.
  package var conflict: AddressConflict?
  /// An address that was asked for is nobody's: the stack is to take it.
  package var claimed: IPv4Prefix?
}

extension Shard {
  private mutating func tell(_ text: String, isOnce: Bool = false) {
    notices.append(ShardNotice(text: text, isOnce: isOnce, conflict: nil, claimed: nil))
  }

  @inline(__always) package var hasConflictToReport: Bool {
    host.internet.hasAddressNews
      || host.link.devices[ethernet].driver.ice.ownAddressCount > 0 && !hasToldOwnAddress
  }

  /// Tells about stations that use an address of ours, on the link or above it.
  package mutating func reportConflicts() {
    while let conflict = host.internet.takeAddressConflict() {
      let text =
        conflict.isLost
        ? "the address \(conflict.address) is \(conflict.other)'s, so that this stack does not take it"
        : "the address \(conflict.address) of this stack (\(host.link.devices[ethernet].macAddress)) is also used by "
          + "\(conflict.other)"
      notices.append(ShardNotice(text: text, conflict: conflict))
    }
    while let own = host.internet.takeClaimedAddress() {
      notices.append(
        ShardNotice(text: "nobody else has the address \(own.address)", claimed: own.prefix))
    }
    if !hasToldOwnAddress && host.link.devices[ethernet].driver.ice.ownAddressCount > 0 {
      hasToldOwnAddress = true
      tell(
        "a frame came in from \(host.link.devices[ethernet].macAddress), the link-layer address of this stack: another station has it, "
          + "or a bridge sends frames back", isOnce: true)
    }
  }

  /// A frame could not leave: EIO says that the interface is down.
  package mutating func wireFailed(_ code: Int32) { if code == 5 { hasCarrier = false } }

  /// A frame came or went again: neighbours, and bridges between, are told where the address is (RFC 5227 section 2.3).
  package mutating func carrierFound() {
    hasCarrier = true
    host.announceAddresses()
  }
}
