import IPv4
import LinuxHost

/// What one shard hands another.
enum Handover: Sendable {
  /// A packet that IP has not seen: the first shard's business.
  case packet(HandedPacket)
  /// An ARP packet that another shard has taken in; what it tells is for all.
  case overheard(HandedPacket)
  /// A TCP segment that IP has taken in whole, and the receiver's turn among the shards that have its port.
  case segment(HandedPacket, turn: Int)
  /// An ICMP error about a TCP connection that another shard may have.
  case error(TransportError)
}

/// A shard's mailbox: others put packets in, its event loop takes them out. Bounded, as a NIC's queue is.
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

  var isEmpty: Bool { items.withLock { $0.isEmpty } }

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
