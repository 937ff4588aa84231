import IceModel
import LinuxHost

/// Where the NIC's cable ends: a queue of a TAP, or a wire that the caller carries frames over.
enum WirePort: ~Copyable {
  case tap(TapPort)
  case simulated(SimulatedWirePort)

  /// Puts a frame on the wire.
  func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    switch self {
    case .tap(let port): return port.transmit(frame, metadata)
    case .simulated(let wire):
      // EIO, as a TAP whose interface is down.
      guard wire.hasCarrier else { return .failed(5) }
      wire.append(SimulatedFrame(bytes: frame.bytes, metadata: metadata))
      return .done(0)
    }
  }

  /// Takes a frame from the wire into posted buffers; a simulated wire has none to give, its frames are pushed.
  func receive(into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata) -> WireOutcome {
    switch self {
    case .tap(let port): port.receive(into: frame, &metadata)
    case .simulated: .wouldBlock
    }
  }

  /// Plugs a simulated wire in or out.
  func setCarrier(_ isUp: Bool) {
    switch self {
    case .tap: break
    case .simulated(let wire): wire.hasCarrier = isUp
    }
  }

  /// The frames that were sent into a simulated wire and not taken yet.
  func takeSimulated() -> [SimulatedFrame] {
    switch self {
    case .tap: []
    case .simulated(let wire): wire.takeAll()
    }
  }
}

/// One queue of a TAP, with or without virtio-net headers.
struct TapPort: ~Copyable {
  let queue: TapQueue
  /// Frames travel behind a virtio-net header (`IFF_VNET_HDR`).
  let hasHeader: Bool

  func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    let result = hasHeader ? queue.write(VirtioNetHeader(metadata), frame) : queue.write(frame)
    switch result {
    case .bytes: return .done(0)
    case .wouldBlock: return .wouldBlock
    case .error(let code): return .failed(code)
    }
  }

  func receive(into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata) -> WireOutcome {
    var header = VirtioNetHeader()
    let result = hasHeader ? queue.read(&header, into: frame) : queue.read(into: frame)
    switch result {
    case .bytes(let count):
      guard hasHeader else { return .done(count) }
      header.store(to: &metadata)
      return .done(max(0, count &- VirtioNetHeader.byteCount))
    case .wouldBlock: return .wouldBlock
    case .error(let code): return .failed(code)
    }
  }
}

/// What became of one frame at the wire.
enum WireOutcome {
  /// Moved; received frames say how many bytes.
  case done(Int)
  /// Later.
  case wouldBlock
  /// This frame is lost: EIO while the interface is down, EINVAL for one the kernel refuses.
  case failed(Int32)
}

/// A frame on a simulated wire.
public struct SimulatedFrame: Sendable {
  /// Ethernet header to the end of the payload, without frame check sequence.
  public var bytes: [UInt8]
  /// What the engines were asked to do; nothing unless the stack lends its engines to the wire.
  public var metadata: WireFrameMetadata

  /// A frame as it is on the wire, without its check sequence.
  public init(bytes: [UInt8], metadata: WireFrameMetadata = WireFrameMetadata()) {
    self.bytes = bytes
    self.metadata = metadata
  }
}

/// The frames a stack has sent and its caller has not taken yet. Used under the shard's lock only.
final class SimulatedWirePort {
  private var frames: [SimulatedFrame] = []
  var hasCarrier = true
  func append(_ frame: SimulatedFrame) { frames.append(frame) }
  func takeAll() -> [SimulatedFrame] {
    let taken = frames
    frames = []
    return taken
  }
}
