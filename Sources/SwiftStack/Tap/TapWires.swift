import LinuxHost
import Shard

/// An interface's wires, one for each shard, with Linux's side set up.
struct TapWires {
  var wires: [TapWire] = []
  /// The queues' descriptors, which the wires keep open.
  var descriptors: [Int32] = []
  let offloads: TapOffloads
  let hasHeader: Bool
  let restoration: HeldRestoration?

  private init(offloads: TapOffloads, hasHeader: Bool, restoration: HeldRestoration?) {
    self.offloads = offloads
    self.hasHeader = hasHeader
    self.restoration = restoration
  }

  static func make(
    _ tap: TapParameters, _ network: IPv4Prefix, mtu: Int, _ inboxes: [ShardInbox]
  ) throws -> TapWires {
    var setup = try TapSetup.make(tap, network: network, mtu: mtu)
    var held: HeldRestoration?
    if let restoration = setup.restoration.take() { held = HeldRestoration(restoration) }
    var made = TapWires(
      offloads: setup.device.offloads ?? [], hasHeader: setup.device.headerByteCount > 0,
      restoration: held)
    for inbox in inboxes {
      guard let queue = setup.device.takeQueue() else { break }
      made.descriptors.append(queue.descriptor.rawValue)
      made.wires.append(TapWire(queue: queue, hasHeader: made.hasHeader, inbox: inbox))
    }
    return made
  }

  /// Those of further interfaces. All of them or none.
  static func make(
    _ links: [LinkConfiguration], beside tap: TapParameters, _ inboxes: [ShardInbox]
  ) throws -> [TapWires] {
    var made: [TapWires] = []
    do {
      for link in links {
        let parameters = TapParameters(
          interface: try InterfaceName(link.name), hostAddress: link.hostAddress,
          namespace: link.namespace ?? tap.namespace, queues: tap.queues, offload: tap.offload)
        made.append(try make(parameters, link.address, mtu: link.mtu, inboxes))
      }
    } catch {
      for wires in made { wires.restoration?.apply() }
      throw error
    }
    return made
  }
}

/// Holds what is put back once.
package final class HeldRestoration: Sendable {
  private let held: Guarded<TapRestoration?>
  /// What it takes.
  package let descriptors: [Int32]

  init(_ restoration: consuming TapRestoration) {
    descriptors = restoration.descriptors
    held = Guarded(restoration)
  }

  package func apply() {
    if let restoration = held.withLock({ $0.take() }) { restoration.apply() }
  }

  /// Another process does it, with descriptors of its own: an interface takes its old flags when nobody else is attached.
  package func leave() { _ = held.withLock { $0.take() } }
}
