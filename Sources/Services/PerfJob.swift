import Shard

/// One run of `perf` on one shard: what its connections have moved, and when it is over.
package struct PerfJob: Sendable {
  package var isSender = false
  /// Bytes of one write or read.
  var length = 0
  var time = Nanoseconds.zero
  /// Connections that are still to come.
  package var awaited = 0
  package var bytes: UInt64 = 0
  package var retransmits: UInt64 = 0
  /// First byte, or first connection; `nil` before that.
  package var started: Instant? = nil
  package var finished: Instant? = nil
  /// The time is up: senders have sent their FIN and wait for the peer's.
  var isEnding = false
  package var error: Errno? = nil
}
