import IPv4

/// The multicast groups of all shards of a stack.
final class StackGroups: SharedGroups {
  private let groups = Guarded(HostGroups())

  func withGroups<Result>(_ body: (inout HostGroups) -> Result) -> Result {
    groups.withLock { body(&$0) }
  }
}
