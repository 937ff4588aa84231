import IceModel

/// Where the NIC's cable ends. What carries the frames is the rim's: a queue of a TAP, or a caller's memory.
///
/// It is used by whoever holds the shard, and by nobody else at the same time.
open class Wire {
  /// A wire that nothing is connected to.
  public init() {}

  /// Puts a frame on the wire: every byte has been taken when the call returns.
  ///
  /// - Parameters:
  ///   - frame: its pieces, from the Ethernet header on, without frame check sequence.
  ///   - metadata: what is left to the wire, if the NIC lends it its engines.
  open func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    .failed(WireOutcome.noCarrier)
  }

  /// Takes a frame from the wire into posted buffers. A wire whose frames are pushed (`Shard.receiveFrame`) has none to give.
  open func receive(into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata) -> WireOutcome {
    .wouldBlock
  }
}

/// What became of one frame at the wire.
public enum WireOutcome {
  /// Moved; received frames say how many bytes.
  case done(Int)
  /// Later.
  case wouldBlock
  /// This frame is lost: EIO while the interface is down, EINVAL for one the kernel refuses.
  case failed(Int32)

  /// EIO
  package static let noCarrier: Int32 = 5
}

/// A wire as its shard has it.
///
/// Safety: `wire` keeps the object alive as long as this is there, so that a call on it need not count references.
@safe
package struct WirePort: ~Copyable {
  package let wire: Wire
  private let reference: Unmanaged<Wire>

  package init(_ wire: Wire) {
    self.wire = wire
    unsafe reference = .passUnretained(wire)
  }

  @inline(__always)
  package func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    unsafe reference._withUnsafeGuaranteedRef { $0.transmit(frame, metadata) }
  }

  @inline(__always)
  package func receive(into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata) -> WireOutcome
  {
    unsafe reference._withUnsafeGuaranteedRef { $0.receive(into: frame, &metadata) }
  }
}
