import Control
import LinuxHost
import SwiftStack

/// Tracepoints on behalf of a client.
extension StackConversation {
  /// A trace without `--follow` watches so long.
  private static let watchTime = Nanoseconds.seconds(1)
  /// Nothing was there: how long to wait before looking again.
  private static let lookMilliseconds: Int32 = 5
  /// Records in one answer.
  private static let recordsPerAnswer = 256

  func trace(_ request: TraceRequest) throws {
    let trace = stack.startTrace()
    defer { trace.end() }
    try client.send(.started)
    let end = request.follow ? Instant.distantFuture : MonotonicClock.now() + Self.watchTime
    var isLast = false
    while true {
      // Asked to end, what was recorded until then is still read.
      isLast = isLast || MonotonicClock.now() >= end
      var isMore = false
      for queue in 0..<stack.queueCount {
        let (records, lost) = trace.read(queue: queue)
        if records.isEmpty && lost == 0 { continue }
        isMore = true
        try sendRecords(records, lost: lost)
      }
      if isLast { return try client.send(.done) }
      isLast = client.isAskedToEnd(milliseconds: isMore ? 0 : Self.lookMilliseconds)
    }
  }

  private func sendRecords(_ records: [TraceReport], lost: UInt64) throws {
    if records.isEmpty { return try client.send(.trace([], lost: lost)) }
    for start in stride(from: 0, to: records.count, by: Self.recordsPerAnswer) {
      let piece = records[start..<min(start + Self.recordsPerAnswer, records.count)]
      try client.send(.trace(Array(piece), lost: start == 0 ? lost : 0))
    }
  }
}
