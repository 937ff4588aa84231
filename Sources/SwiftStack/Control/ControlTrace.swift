import IceHardware
import LinuxHost
import Neighbour
import SkBuff
import TCP
import Trace
import Wire

/// Tracepoints on behalf of a client.
extension ControlConversation {
  /// A trace without `--follow` watches so long.
  private static let watchTime = Nanoseconds.seconds(1)
  /// Nothing was there: how long to wait before looking again.
  private static let lookMilliseconds: Int32 = 5
  /// Records in one answer.
  private static let recordsPerAnswer = 256

  func trace(_ request: TraceRequest) throws {
    let shards = stack.shards
    var places = shards.map { shard in
      shard.inspect { state in
        state.traceUsers += 1
        state.host.net.tracer.isEnabled = true
        return state.host.net.tracer.written
      }
    }
    defer {
      for shard in shards {
        shard.inspect { state in
          state.traceUsers -= 1
          state.host.net.tracer.isEnabled = state.traceUsers > 0
        }
      }
    }
    try send(.started)
    let end = request.follow ? Instant.distantFuture : MonotonicClock.now() + Self.watchTime
    var isLast = false
    while true {
      // Asked to end, what was recorded until then is still read.
      isLast = isLast || MonotonicClock.now() >= end
      var isMore = false
      for (queue, shard) in shards.enumerated() {
        let (records, lost) = readTrace(shard, &places[queue])
        if records.isEmpty && lost == 0 { continue }
        isMore = true
        try sendRecords(records, queue: queue, lost: lost)
      }
      if isLast { return try send(.done) }
      isLast = isAskedToEnd(milliseconds: isMore ? 0 : Self.lookMilliseconds)
    }
  }

  /// The records from a place on, and how many between were overwritten. One hold of the lock copies the ring at most.
  private func readTrace(_ shard: Shard, _ place: inout UInt64) -> (records: [TraceRecord], lost: UInt64) {
    let start = place
    let (records, next) = shard.inspect { $0.host.net.tracer.records(from: start) }
    place = next
    return (records, Self.missing(between: start, and: next, read: records.count))
  }

  /// How many numbers from `start` up to `next` are not among the `read` ones.
  static func missing(between start: UInt64, and next: UInt64, read: Int) -> UInt64 {
    next > start ? next - start - min(next - start, UInt64(read)) : 0
  }

  private func sendRecords(_ records: [TraceRecord], queue: Int, lost: UInt64) throws {
    if records.isEmpty { return try send(.trace([], lost: lost)) }
    for start in stride(from: 0, to: records.count, by: Self.recordsPerAnswer) {
      let piece = records[start..<min(start + Self.recordsPerAnswer, records.count)]
      try send(.trace(piece.map { TraceReport($0, queue: queue) }, lost: start == 0 ? lost : 0))
    }
  }
}

extension TraceReport {
  init(_ record: TraceRecord, queue: Int) {
    let names = record.point.argumentNames
    let arguments = [(names.0, record.a), (names.1, record.b), (names.2, record.c)]
      .filter { !$0.0.isEmpty }.map {
        TraceArgument($0.0, $0.1, text: Self.text($0.0, $0.1, at: record.point))
      }
    self.init(
      time: record.nanoseconds, queue: queue, point: record.point.name, skb: record.skb,
      socket: record.socket, arguments: arguments)
  }

  /// What a number stands for, in the words of tcpdump, `ss` and `ip neigh`; `nil`: it is a number.
  private static func text(_ name: String, _ value: UInt64, at point: TracePoint) -> String? {
    let code = UInt8(truncatingIfNeeded: value)
    return switch (point, name) {
    case (.kfree_skb, "reason"): DropReason(rawValue: code)?.name
    case (.device_malicious_driver, "event"): MaliciousDriverEvent(rawValue: code).map { "\($0)" }
    case (.tcp_set_state, _): TCPState(rawValue: code)?.name
    case (_, "address"): "\(IPv4Address(UInt32(truncatingIfNeeded: value)))"
    case (.sock_sendmsg, _), (.sock_recvmsg, _): nil
    case (_, "flags"): "\(TCPFlags(rawValue: code))"
    case (.neigh_update, _), (.neigh_event_send, _): "\(NeighbourState(rawValue: code))"
    case (_, "protocol") where code != 0: "\(IPProtocol(rawValue: code))"
    case (_, "operation"): ARPPacket.Operation(rawValue: UInt16(code)).map { "\($0)" }
    case (_, "type"): "\(ICMPHeader.Kind(rawValue: code))"
    default: nil
    }
  }
}
