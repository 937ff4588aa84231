import Tables

/// A frame that the wire has taken and not yet put out.
struct FrameInFlight: BitwiseCopyable {
  var byteCount = 0
  var cast = TransmitPacket.Cast.unicast
  /// The descriptor to write back when the frame is out; -1: none, more of the packet follows.
  var lastDescriptor = -1
  /// It never came to the wire, but stands behind frames that did: its packet may be theirs, too.
  var isLost = false
}

/// Frames at the wire, in order. Empty, and free of cost, on a wire that takes every byte at once.
struct FramesInFlight: ~Copyable {
  private var frames = Fifo(capacity: 64, blank: FrameInFlight())
  /// Frames from before a reset, of which the wire will still tell.
  private var forgotten = 0

  /// Nothing that the wire will tell of is waited for.
  var isEmpty: Bool { frames.isEmpty }

  mutating func append(_ frame: FrameInFlight) { frames.append(frame) }

  /// A lost frame that no frame at the wire is in front of any more; `nil`: there is none.
  mutating func popLost() -> FrameInFlight? { frames.first?.isLost == true ? frames.popFirst() : nil }

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
    while let frame = frames.popFirst() { forgotten += frame.isLost ? 0 : 1 }
  }
}
