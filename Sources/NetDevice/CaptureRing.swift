import SkBuff
import Timers
import Wire

/// Which way a captured frame went.
@frozen
public enum CaptureDirection: UInt8, Sendable {
  case incoming
  case outgoing
}

/// A frame as a packet tap saw it.
public struct CapturedFrame: Sendable {
  /// Frames are numbered from 0 as they are seen.
  public var number: UInt64
  public var time: Instant
  public var direction: CaptureDirection
  /// Bytes of the frame, of which `bytes` may be the first only.
  public var originalByteCount: Int
  /// The packet's number in traces.
  public var serial: UInt32
  /// Payload of each segment when the frame stands for several; 0 when it does not.
  public var gsoSize: Int
  /// The transport checksum is still to be finished by the device.
  public var isChecksumPartial: Bool
  public var bytes: [UInt8]
}

extension PcapngEncoder {
  /// Enhanced Packet Block of a captured frame. Its comment names the sk_buff that it came from and what was left to the
  /// device.
  ///
  /// - Parameter timestamp: nanoseconds since 1970 UTC.
  public mutating func append(_ frame: CapturedFrame, timestamp: UInt64) {
    var comment = "skb \(frame.serial)"
    if frame.gsoSize > 0 { comment += ", to be cut into segments of \(frame.gsoSize) bytes" }
    if frame.isChecksumPartial { comment += ", checksum left to the device" }
    // Safe: a byte has no padding that could be uninitialized.
    appendPacket(
      unsafe frame.bytes.span.bytes, timestamp: timestamp,
      direction: frame.direction == .outgoing ? .outbound : .inbound,
      originalByteCount: frame.originalByteCount, comment: comment)
  }
}

/// The last frames that went by, in memory taken once. Linux: a packet socket's ring, `tpacket_rcv()`.
///
/// Safety: `bytes` is `slots * snapByteCount` long and lives as long as the ring; slot numbers are taken modulo `slots`.
@safe
struct CaptureRing: ~Copyable {
  private struct Entry {
    var time: Instant
    var direction: CaptureDirection
    var isChecksumPartial: Bool
    var gsoSize: UInt16
    var serial: UInt32
    var original: UInt32
    var captured: UInt32
  }
  private let slots: Int
  private let snapByteCount: Int
  private let entries: UnsafeMutablePointer<Entry>
  private let bytes: UnsafeMutableRawPointer
  /// How many frames were ever recorded.
  private(set) var written: UInt64 = 0

  init(slots: Int, snapByteCount: Int) {
    precondition(slots > 0 && snapByteCount > 0, "a capture ring holds at least a byte of one frame")
    self.slots = slots
    self.snapByteCount = snapByteCount
    unsafe entries = .allocate(capacity: slots)
    unsafe bytes = .allocate(byteCount: slots * snapByteCount, alignment: 64)
  }
  deinit {
    unsafe entries.deallocate()
    unsafe bytes.deallocate()
  }

  /// Copies the frame's first bytes into the next slot.
  mutating func record(_ skb: borrowing SkBuff, _ direction: CaptureDirection, now: Instant) {
    let slot = Int(written % UInt64(slots))
    let captured = min(skb.isUnreadable ? skb.headLength : skb.length, snapByteCount)
    // Safe: a slot has snapByteCount bytes, and this value owns them.
    var target = unsafe MutableRawSpan(_unsafeStart: bytes + slot * snapByteCount, byteCount: captured)
    guard skb.copyBits(from: 0, into: &target) else { return }
    let entry = Entry(
      time: now, direction: direction, isChecksumPartial: skb.checksumStatus == .partial,
      gsoSize: UInt16(truncatingIfNeeded: skb.gsoSize), serial: skb.serial,
      original: UInt32(truncatingIfNeeded: skb.length), captured: UInt32(truncatingIfNeeded: captured))
    unsafe (entries + slot).initialize(to: entry)
    written += 1
  }

  /// Takes the newest frame back: the driver did not take it.
  mutating func retract() { if written > 0 { written -= 1 } }

  /// The frames from number `first` on that are still there, oldest first, at most `limit`, and the number to go on from.
  func frames(from first: UInt64, limit: Int) -> (frames: [CapturedFrame], next: UInt64) {
    let oldest = written > UInt64(slots) ? written - UInt64(slots) : 0
    let start = max(first, oldest)
    guard start < written, limit > 0 else { return ([], max(first, written)) }
    let end = start + min(written - start, UInt64(limit))
    let frames = (start..<end).map { number in
      let slot = Int(number % UInt64(slots))
      let entry = unsafe entries[slot]
      let content = unsafe UnsafeRawBufferPointer(
        start: bytes + slot * snapByteCount, count: Int(entry.captured))
      return unsafe CapturedFrame(
        number: number, time: entry.time, direction: entry.direction,
        originalByteCount: Int(entry.original), serial: entry.serial, gsoSize: Int(entry.gsoSize),
        isChecksumPartial: entry.isChecksumPartial, bytes: [UInt8](content))
    }
    return (frames, end)
  }
}

extension NetDevice {
  /// Turns the packet taps on: from now on every frame to the driver and from it is recorded.
  /// Linux: `dev_add_pack()`.
  ///
  /// - Parameters:
  ///   - slots: frames kept; older ones are overwritten.
  ///   - snapByteCount: bytes kept of each.
  public mutating func startCapture(slots: Int = 4096, snapByteCount: Int = 256) {
    capture = CaptureRing(slots: slots, snapByteCount: snapByteCount)
    isCapturing = true
  }

  /// Turns the taps off and gives their memory back.
  public mutating func stopCapture() {
    isCapturing = false
    capture = nil
  }

  /// How many frames have been recorded since the taps were turned on: the number of the next.
  public var capturedCount: UInt64 {
    switch capture {
    case .some(let ring): ring.written
    case .none: 0
    }
  }

  /// Recorded frames from number `first` on, oldest first, and the number to ask for next; frames that were overwritten
  /// in between are missing from the numbers.
  public func capturedFrames(from first: UInt64, limit: Int = .max) -> (frames: [CapturedFrame], next: UInt64)
  {
    // The optional is matched in place; the ring is not copied.
    switch capture {
    case .some(let ring): return ring.frames(from: first, limit: limit)
    case .none: return ([], first)
    }
  }

  @inline(never)
  mutating func captureFrame(_ skb: borrowing SkBuff, _ direction: CaptureDirection, now: Instant) {
    capture?.record(skb, direction, now: now)
  }
  mutating func retractCapture() { capture?.retract() }
}
