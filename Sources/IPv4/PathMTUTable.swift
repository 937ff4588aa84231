import Timers
import Wire

/// Path MTUs that were learned from routers, each for a limited time. Linux: `struct fib_nh_exception`.
struct PathMTUTable {
  struct Exception {
    var mtu: Int
    var isLocked: Bool
    var expires: Instant
  }
  /// Most destinations that are remembered; the one that would be forgotten soonest makes room.
  static let limit = 4096
  private var exceptions: [IPv4Address: Exception] = [:]

  var isEmpty: Bool { exceptions.isEmpty }
  var all: [(destination: IPv4Address, exception: Exception)] {
    exceptions.map { ($0.key, $0.value) }.sorted { $0.0.rawValue < $1.0.rawValue }
  }

  func find(_ destination: IPv4Address, now: Instant) -> Exception? {
    guard let exception = exceptions[destination], exception.expires > now else { return nil }
    return exception
  }

  mutating func insert(_ destination: IPv4Address, _ exception: Exception) {
    if exceptions.count >= Self.limit, exceptions[destination] == nil,
      let soonest = exceptions.min(by: { $0.value.expires < $1.value.expires })
    {
      exceptions[soonest.key] = nil
    }
    exceptions[destination] = exception
  }

  /// Forgets what has expired. Returns whether anything was, and when the next one will be.
  mutating func expire(now: Instant) -> (changed: Bool, next: Instant?) {
    let before = exceptions.count
    exceptions = exceptions.filter { $0.value.expires > now }
    return (exceptions.count < before, exceptions.values.map(\.expires).min())
  }

  mutating func removeAll() { exceptions = [:] }
}
