import IPv4
import Shard

/// What a stack has to tell whoever runs it: sentences, each once, kept until they are taken.
package final class StackNotices: Sendable {
  /// Signalled for every notice; `nil` on a simulated wire.
  package let event: WakeDescriptor?
  private let texts = Guarded<[String]>([])
  private let said = Guarded<Set<String>>([])
  private let conflicts = Guarded<[AddressConflict]>([])
  /// Takes an address that was asked for and is nobody's.
  let claim = Guarded<(@Sendable (IPv4Prefix) -> Void)?>(nil)
  private static let capacity = 64

  init(event: WakeDescriptor?) { self.event = event }

  /// What a shard had to tell.
  func post(_ notices: [ShardNotice]) {
    for notice in notices where !notice.isOnce || said.withLock({ $0.insert(notice.text).inserted }) {
      texts.withLock { list in if list.count < Self.capacity { list.append(notice.text) } }
      if let conflict = notice.conflict {
        conflicts.withLock { list in if list.count < Self.capacity { list.append(conflict) } }
      }
      if let prefix = notice.claimed, let claim = claim.withLock({ $0 }) { claim(prefix) }
      event?.signal()
    }
  }

  func takeConflicts() -> [AddressConflict] {
    conflicts.withLock { list in
      defer { list = [] }
      return list
    }
  }

  func takeAll() -> [String] {
    event?.drain()
    return texts.withLock { list in
      defer { list = [] }
      return list
    }
  }
}
