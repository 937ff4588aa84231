import IPv4

/// The multicast groups of all shards of a stack, each with how often it was joined.
final class StackGroups: SharedGroups {
  private let counts = Guarded<[IPv4Address: Int]>([:])

  func join(_ group: IPv4Address) {
    counts.withLock { $0[group, default: 0] += 1 }
  }

  func leave(_ group: IPv4Address) {
    counts.withLock { counts in
      let left = counts[group, default: 1] - 1
      counts[group] = left > 0 ? left : nil
    }
  }

  func contains(_ group: IPv4Address) -> Bool {
    counts.withLock { $0[group] != nil }
  }
}
