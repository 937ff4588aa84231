import FoundationEssentials
import LinuxHost
import IceHardware
import NetDevice
import SkBuff
import TCP
import Trace

/// Watching packets on behalf of a client: tracepoints and frames.
extension ControlConversation {
  private static let lookMilliseconds: Int32 = 20
  /// Records, and bytes of frames, in one answer.
  private static let recordsPerAnswer = 256
  private static let bytesPerAnswer = 512 << 10
  /// A trace without `--follow` watches so long.
  private static let watchTime = Nanoseconds.seconds(1)

  func trace(_ request: TraceRequest) throws {
    var places = stack.shards.map { shard in
      shard.inspect { state in
        state.traceUsers += 1
        state.net.tracer.isEnabled = true
        return state.net.tracer.written
      }
    }
    defer {
      for shard in stack.shards {
        shard.inspect { state in
          state.traceUsers -= 1
          state.net.tracer.isEnabled = state.traceUsers > 0
        }
      }
    }
    try send(.started)
    let end = request.follow ? Instant.distantFuture : MonotonicClock.now() + Self.watchTime
    while true {
      let isLast = MonotonicClock.now() >= end
      for (queue, shard) in stack.shards.enumerated() {
        let place = places[queue]
        let (records, next) = shard.inspect { $0.net.tracer.records(from: place) }
        places[queue] = next
        for start in stride(from: 0, to: records.count, by: Self.recordsPerAnswer) {
          let piece = records[start..<min(start + Self.recordsPerAnswer, records.count)]
          try send(.trace(piece.map { TraceReport($0, queue: queue) }))
        }
      }
      if isLast { return try send(.done) }
      if isClientGone(milliseconds: Self.lookMilliseconds) { return }
    }
  }

  func capture() throws {
    var places = stack.shards.map { shard in
      shard.inspect { state in
        state.captureUsers += 1
        if state.captureUsers == 1 { state.ip.device.startCapture(slots: 2048, snapByteCount: 65600) }
        return state.ip.device.capturedFrames(from: .max, limit: 1).next
      }
    }
    places = stack.shards.enumerated().map { index, shard in
      shard.inspect { $0.captureUsers == 1 ? 0 : places[index] }
    }
    defer {
      for shard in stack.shards {
        shard.inspect { state in
          state.captureUsers -= 1
          if state.captureUsers == 0 { state.ip.device.stopCapture() }
        }
      }
    }
    try send(.started)
    while true {
      for (queue, shard) in stack.shards.enumerated() { try sendFrames(of: shard, from: &places[queue]) }
      if isClientGone(milliseconds: Self.lookMilliseconds) { return }
    }
  }

  private func sendFrames(of shard: Shard, from place: inout UInt64) throws {
    while true {
      let start = place
      let (frames, next, offset) = shard.inspect { state in
        let found = state.ip.device.capturedFrames(from: start, limit: 64)
        return (found.frames, found.next, state.wallClockOffset)
      }
      place = next
      if frames.isEmpty { return }
      var pending: [FrameReport] = []
      var byteCount = 0
      for frame in frames {
        pending.append(FrameReport(frame, wallClockOffset: offset))
        byteCount += frame.bytes.count
        if byteCount >= Self.bytesPerAnswer {
          try send(.frames(pending))
          pending = []
          byteCount = 0
        }
      }
      if !pending.isEmpty { try send(.frames(pending)) }
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

  /// What a number stands for; `nil`: it is a number.
  private static func text(_ name: String, _ value: UInt64, at point: TracePoint) -> String? {
    let code = UInt8(truncatingIfNeeded: value)
    return switch (point, name) {
    case (.kfree_skb, "reason"): DropReason(rawValue: code)?.name
    case (.device_malicious_driver, "event"): MaliciousDriverEvent(rawValue: code).map { "\($0)" }
    case (.tcp_set_state, _): TCPState(rawValue: code)?.name
    default: nil
    }
  }
}

extension FrameReport {
  init(_ frame: CapturedFrame, wallClockOffset: UInt64) {
    var comment = "skb \(frame.serial)"
    if frame.gsoSize > 0 { comment += ", to be cut into segments of \(frame.gsoSize) bytes" }
    if frame.isChecksumPartial { comment += ", checksum left to the device" }
    self.init(
      time: frame.time.nanoseconds &+ wallClockOffset, isOutgoing: frame.direction == .outgoing,
      bytes: Data(frame.bytes).base64EncodedString(), originalByteCount: frame.originalByteCount,
      comment: comment)
  }
}
