import Tables

/// A frame that the wire has taken and not yet put out.
struct FrameInFlight: BitwiseCopyable {
  var byteCount = 0
  var cast = TransmitPacket.Cast.unicast
  /// The descriptor to write back when the frame is out; -1: none, more of the packet follows.
  var lastDescriptor = -1
}

/// Frames at the wire, in order. Empty, and free of cost, on a wire that takes every byte at once.
struct FramesInFlight: ~Copyable {
  private var frames = Fifo(capacity: 64, blank: FrameInFlight())
  /// Frames from before a reset, of which the wire will still tell.
  private var forgotten = 0

  mutating func append(_ frame: FrameInFlight) { frames.append(frame) }

  /// The frame that the wire has told of; `nil` for one from before a reset.
  mutating func popFirst() -> FrameInFlight? {
    if forgotten > 0 {
      forgotten -= 1
      return nil
    }
    return frames.popFirst()
  }

  /// Nothing of what is at the wire is written back any more.
  mutating func forget() {
    forgotten += frames.count
    while frames.popFirst() != nil {}
  }
}
