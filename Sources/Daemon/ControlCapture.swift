import Control
import Glibc
import LinuxHost
import NetDevice
import SwiftStack
import Wire

/// Frames on behalf of a client: a pcapng file, written into one end of a socket pair whose other end the client has.
extension StackConversation {
  private static let lookMilliseconds: Int32 = 2

  func capture(_ request: CaptureRequest) throws {
    if let count = request.count, count < 1 { throw ControlError("capture: the count is at least 1") }
    let captured = try stack.startCapture(on: request.device)
    defer { captured.end() }
    let (ours, theirs) = try OwnedDescriptor.socketPair().apart()
    var sink = CaptureSink(
      UnixStream(OwnedDescriptor(owning: ours)), interface: request.device ?? daemon.report.interface,
      limit: request.count ?? .max)
    try client.send(.started, passing: OwnedDescriptor(owning: theirs))
    var isLast = false
    repeat {
      // Asked to end, what was captured until then still goes out.
      isLast = sink.isFull || client.isAskedToEnd(milliseconds: sink.isIdle ? Self.lookMilliseconds : 0)
      sink.isIdle = true
      for queue in 0..<stack.queueCount { try drain(captured, queue, into: &sink) }
      try sink.flush()
    } while !isLast
    let report = try sink.finish()
    try client.send(.captured(report))
  }

  private func drain(_ captured: StackCapture, _ queue: Int, into sink: inout CaptureSink) throws {
    while !sink.isFull {
      let (frames, lost) = captured.read(queue: queue, limit: sink.batch)
      sink.lose(lost)
      if frames.isEmpty { return }
      // The clocks are read together, after the frames: a step of the wall clock moves what is captured from then on.
      let offset = WallClock.nanosecondsSinceEpoch() &- MonotonicClock.now().nanoseconds
      for frame in frames { try sink.take(frame, wallClockOffset: offset) }
    }
  }
}

/// The pcapng file of one capture, on its way to the client, and what went into it.
struct CaptureSink: ~Copyable {
  private let stream: UnixStream
  private let limit: Int
  private var encoder = PcapngEncoder()
  private(set) var frames = 0
  private(set) var dropped: UInt64 = 0
  /// Bytes of the last frames, for the size of a batch.
  private var lastByteCount = 0
  /// Nothing came since this was last set.
  var isIdle = true

  init(_ stream: consuming UnixStream, interface: String, limit: Int) {
    self.stream = stream
    self.limit = limit
    encoder.appendSectionHeader(application: "swiftstack")
    encoder.appendInterface(name: interface)
  }

  var isFull: Bool { frames >= limit }
  /// How many frames to copy under the shard's lock at once: about 256 KiB.
  var batch: Int { min(limit - frames, max(4, min(256, (256 << 10) / max(lastByteCount, 64)))) }

  mutating func lose(_ count: UInt64) { dropped += count }

  mutating func take(_ frame: CapturedFrame, wallClockOffset: UInt64) throws(LinuxError) {
    encoder.append(frame, timestamp: frame.time.nanoseconds &+ wallClockOffset)
    frames += 1
    isIdle = false
    lastByteCount = frame.bytes.count
    if encoder.bytes.count >= 256 << 10 { try flush() }
  }

  mutating func flush() throws(LinuxError) {
    defer { encoder.removeAll() }
    let bytes = encoder.bytes.rawBytes
    var offset = 0
    while offset < bytes.byteCount {
      switch stream.send(bytes.extracting(offset..<bytes.byteCount)) {
      case .bytes(let count): offset += count
      case .wouldBlock: try stream.descriptor.waitUntilReady(POLLOUT, subject: "the capture")
      case .error(let code): throw LinuxError(code, "write to", "the capture")
      }
    }
  }

  /// Puts the sums at the end of the file and closes it.
  consuming func finish() throws(LinuxError) -> CaptureReport {
    encoder.appendStatistics(
      timestamp: WallClock.nanosecondsSinceEpoch(), received: UInt64(frames) + dropped, dropped: dropped)
    try flush()
    return CaptureReport(frames: frames, dropped: dropped)
  }
}
