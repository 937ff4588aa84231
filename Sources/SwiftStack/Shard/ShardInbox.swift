import IPv4
import IceModel
import LinuxHost

/// What one shard hands another.
enum Handover: Sendable {
  /// A frame that arrived at a queue whose shard has no use for it, and how many shards have looked at it.
  case frame(SimulatedFrame, hops: Int)
  /// An ICMP error about a TCP connection that another shard may have.
  case error(TransportError)
}

/// A shard's mailbox: others put frames in, its event loop takes them out. Bounded, as a NIC's queue is.
final class ShardInbox: Sendable {
  private static let capacity = 1024
  private let items = Guarded<[Handover]>([])
  /// Wakes the shard's event loop; `nil` on a simulated wire.
  private let wakeUp: EventFD?
  /// The descriptor that the event loop watches.
  let wakeUpDescriptor: Int32?

  /// Of a shard with an event loop.
  init(wakeUp: consuming EventFD) {
    wakeUpDescriptor = wakeUp.descriptor.rawValue
    self.wakeUp = consume wakeUp
  }

  /// Of a shard that its caller drives.
  init() {
    wakeUpDescriptor = nil
    wakeUp = nil
  }

  /// Returns false, and takes nothing, when it is full.
  func put(_ item: Handover) -> Bool {
    let isTaken = items.withLock { items in
      guard items.count < Self.capacity else { return false }
      items.append(item)
      return true
    }
    if isTaken { signal() }
    return isTaken
  }

  func takeAll() -> [Handover] {
    items.withLock { items in
      if items.isEmpty { return [] }
      let taken = items
      items = []
      return taken
    }
  }

  @inline(never)
  func signal() {
    switch wakeUp {
    case .some(let event): event.signal()
    case .none: break
    }
  }

  @inline(never)
  func drainSignal() {
    switch wakeUp {
    case .some(let event): event.drain()
    case .none: break
    }
  }
}
