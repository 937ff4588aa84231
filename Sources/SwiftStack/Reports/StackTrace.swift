import Control
import IceHardware
import Neighbour
import Shard
import SkBuff
import TCP
import Trace

/// What the tracepoints of all queues record, from its beginning to its end. Linux: `/sys/kernel/tracing/trace_pipe`.
///
/// For one thread at a time. While there is one, packets cost the recording.
public final class StackTrace {
  private let shards: [LockedShard]
  private var places: [UInt64]
  private var isOver = false

  init(_ shards: [LockedShard]) {
    self.shards = shards
    places = shards.map { shard in
      shard.inspect { state in
        state.traceUsers += 1
        state.host.net.tracer.isEnabled = true
        return state.host.net.tracer.written
      }
    }
  }

  deinit { end() }

  /// Reads what one queue has recorded since it was last read. It waits for nothing; a queue's lock is held for a copy of its
  /// ring at most.
  ///
  /// - Returns: the records in their order, and how many before them were overwritten.
  public func read(queue: Int) -> (records: [TraceReport], lost: UInt64) {
    let start = places[queue]
    let (records, next) = shards[queue].inspect { $0.host.net.tracer.records(from: start) }
    places[queue] = next
    return (
      records.map { TraceReport($0, queue: queue) },
      Self.missing(between: start, and: next, read: records.count)
    )
  }

  /// Records no more, unless others do.
  public func end() {
    guard !isOver else { return }
    isOver = true
    shards.inspectEach { _, state in
      state.traceUsers -= 1
      state.host.net.tracer.isEnabled = state.traceUsers > 0
    }
  }

  /// How many numbers from `start` up to `next` are not among the `read` ones.
  static func missing(between start: UInt64, and next: UInt64, read: Int) -> UInt64 {
    next > start ? next - start - min(next - start, UInt64(read)) : 0
  }
}

extension Stack {
  /// Has every queue record what passes its tracepoints.
  public func startTrace() -> StackTrace { StackTrace(shards) }
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
