import IPv4
import Sockets

/// What a stack has to tell whoever runs it: sentences, each once, kept until they are taken.
package final class StackNotices: Sendable {
  /// Signalled for every notice; `nil` on a simulated wire.
  package let event: WakeDescriptor?
  private let texts = Guarded<[String]>([])
  private let said = Guarded<Set<String>>([])
  private static let capacity = 64

  init(event: WakeDescriptor?) { self.event = event }

  func post(_ text: String) {
    texts.withLock { list in if list.count < Self.capacity { list.append(text) } }
    event?.signal()
  }

  /// What each shard of a stack finds out by itself.
  func postOnce(_ text: String) {
    if said.withLock({ $0.insert(text).inserted }) { post(text) }
  }

  func takeAll() -> [String] {
    event?.drain()
    return texts.withLock { list in
      defer { list = [] }
      return list
    }
  }
}

extension ShardState {
  @inline(__always) var hasConflictToReport: Bool {
    host.internet.hasAddressConflict
      || host.link.devices[ethernet].driver.ownAddressCount > 0 && !hasToldOwnAddress
  }

  /// Tells about stations that use an address of ours, on the link or above it.
  mutating func reportConflicts() {
    while let conflict = host.internet.takeAddressConflict() {
      notices?.post(
        "the address \(conflict.address) of this stack (\(host.link.devices[ethernet].macAddress)) is also used by "
          + "\(conflict.other)")
    }
    if !hasToldOwnAddress && host.link.devices[ethernet].driver.ownAddressCount > 0 {
      hasToldOwnAddress = true
      notices?.postOnce(
        "a frame came in from \(host.link.devices[ethernet].macAddress), the link-layer address of this stack: another station has it, "
          + "or a bridge sends frames back")
    }
  }

  /// A frame could not leave: EIO says that the interface is down.
  mutating func wireFailed(_ code: Int32) { if code == 5 { hasCarrier = false } }

  /// A frame came or went again: neighbours, and bridges between, are told where the address is (RFC 5227 section 2.3).
  mutating func carrierFound() {
    hasCarrier = true
    host.announceAddresses()
  }
}
