import Shard
import Synchronization

/// A shard's mailbox between threads; its event loop takes out what others put in.
final class ShardInbox: Mailbox {
  private static let capacity = 1024
  private let items = Guarded<[Handover]>([])
  /// Whether something may be in `items`, for who would look in vain.
  private let isFilled = Atomic<Bool>(false)
  /// Wakes the shard's event loop; `nil` on a simulated wire, whose caller drives.
  private let wakeUp: WakeDescriptor?
  /// The descriptor that the event loop watches.
  var wakeUpDescriptor: Int32? { wakeUp?.rawDescriptor }

  init(wakeUp: WakeDescriptor? = nil) { self.wakeUp = wakeUp }

  func put(_ item: Handover) -> Bool {
    let isTaken = items.withLock { items in
      guard items.count < Self.capacity else { return false }
      items.append(item)
      isFilled.store(true, ordering: .releasing)
      return true
    }
    if isTaken { signal() }
    return isTaken
  }

  var isEmpty: Bool { items.withLock { $0.isEmpty } }

  func takeAll() -> [Handover] {
    // Whoever puts something in signals afterwards, which is another turn.
    guard isFilled.load(ordering: .acquiring) else { return [] }
    return items.withLock { items in
      isFilled.store(false, ordering: .relaxed)
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
