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

  /// How many frames `carry` takes now. A wire that puts every frame out at once has no use for it.
  open var carryingRoom: Int { 0 }

  /// Takes a frame to put it out soon, on a thread of the wire's own, behind those it has taken before. Its memory is read
  /// until `takeOutcome` tells of it, but for a first piece of up to `headerByteCount` bytes, which is copied.
  open func carry(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) {}

  /// What became of the first of the carried frames; `nil`: nothing yet.
  open func takeOutcome() -> WireOutcome? { nil }

  /// Has whoever runs the shard woken when half of the frames that are being carried are out.
  ///
  /// - Returns: false if that is so already.
  open func announceOutcomes() -> Bool { true }

  /// Returns when every carried frame is out, or given up.
  open func finishCarrying() {}

  /// Longest first piece of a carried frame that is copied.
  package static var headerByteCount: Int { 512 }

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

  package var carryingRoom: Int { unsafe reference._withUnsafeGuaranteedRef { $0.carryingRoom } }

  @inline(__always)
  package func carry(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) {
    unsafe reference._withUnsafeGuaranteedRef { $0.carry(frame, metadata) }
  }

  package func takeOutcome() -> WireOutcome? {
    unsafe reference._withUnsafeGuaranteedRef { $0.takeOutcome() }
  }

  package func announceOutcomes() -> Bool {
    unsafe reference._withUnsafeGuaranteedRef { $0.announceOutcomes() }
  }

  @inline(__always)
  package func receive(into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata) -> WireOutcome
  {
    unsafe reference._withUnsafeGuaranteedRef { $0.receive(into: frame, &metadata) }
  }
}
