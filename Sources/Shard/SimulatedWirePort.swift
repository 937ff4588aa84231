import IceModel

/// The frames a stack has sent and its caller has not taken yet, one behind the other in one piece of memory. Used by whoever
/// holds the shard only.
package final class SimulatedWirePort: Wire {
  private struct Place {
    var start: Int
    var count: Int
    var metadata: WireFrameMetadata
  }
  /// Reused: it grows to the largest burst.
  private var storage: [UInt8] = []
  private var places: [Place] = []
  private var used = 0
  package var hasCarrier = true

  package override func transmit(
    _ frame: borrowing FrameVector, _ metadata: WireFrameMetadata
  ) -> WireOutcome {
    // As a TAP whose interface is down.
    guard hasCarrier else { return .failed(WireOutcome.noCarrier) }
    let count = frame.byteCount
    if storage.count < used + count {
      storage.append(contentsOf: repeatElement(0, count: max(used + count - storage.count, storage.count)))
    }
    // Safe: the room has `count` bytes.
    unsafe storage.withUnsafeMutableBytes { room in
      _ = unsafe frame.copyBytes(to: UnsafeMutableRawBufferPointer(rebasing: room[used..<used + count]))
    }
    places.append(Place(start: used, count: count, metadata: metadata))
    used += count
    return .done(0)
  }

  /// Gives every frame to `body`, in order; the spans are good during the call.
  package func takeAll(_ body: (Span<UInt8>, WireFrameMetadata) -> Void) {
    for place in places {
      body(storage.span.extracting(place.start..<place.start + place.count), place.metadata)
    }
    places.removeAll(keepingCapacity: true)
    used = 0
  }

  package func takeAll() -> [SimulatedFrame] {
    var frames: [SimulatedFrame] = []
    takeAll { frames.append(SimulatedFrame(copying: $0, $1)) }
    return frames
  }
}
