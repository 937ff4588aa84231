import IceModel

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

  /// A frame with bytes of its own.
  package init(copying bytes: Span<UInt8>, _ metadata: WireFrameMetadata) {
    // Safe: the span's elements are bytes.
    self.init(bytes: unsafe bytes.withUnsafeBufferPointer { unsafe [UInt8]($0) }, metadata: metadata)
  }
}

extension Shard {
  /// A frame arrives from a wire whose frames are pushed.
  package mutating func receive(_ frame: Span<UInt8>, _ metadata: WireFrameMetadata = WireFrameMetadata()) {
    guard !isClosed else { return }
    runTimers()
    unsafe frame.withUnsafeBytes { unsafe receiveFrame($0, metadata) }
  }

  /// As above, with its bytes in an array.
  package mutating func receive(_ frame: SimulatedFrame) {
    receive(frame.bytes.span, frame.metadata)
  }

  /// The frames that were sent into a simulated wire and not taken yet.
  package func takeFrames() -> [SimulatedFrame] { (port.wire as? SimulatedWirePort)?.takeAll() ?? [] }

  /// Plugs a simulated wire in or out.
  package func setCarrier(_ isUp: Bool) { (port.wire as? SimulatedWirePort)?.hasCarrier = isUp }
}
