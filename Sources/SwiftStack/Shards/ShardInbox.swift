import IPv4

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
  /// Wakes the shard's event loop; `nil` on a simulated wire, whose caller drives.
  private let wakeUp: WakeDescriptor?
  /// The descriptor that the event loop watches.
  var wakeUpDescriptor: Int32? { wakeUp?.rawDescriptor }

  init(wakeUp: WakeDescriptor? = nil) { self.wakeUp = wakeUp }

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

  func signal() { wakeUp?.signal() }
  func drainSignal() { wakeUp?.drain() }
  /// After the event loop has ended.
  func close() { wakeUp?.close() }
}
