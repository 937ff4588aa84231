import Netfilter

/// The tracked connections of all shards of a stack.
final class StackConnections: SharedConnections {
  private let tracking = Guarded(ConnectionTracking())

  func withConnections<Result>(_ body: (inout ConnectionTracking) -> Result) -> Result {
    tracking.withLock { body(&$0) }
  }
}
