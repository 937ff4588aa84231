import IceModel
import LinuxHost
import Shard

/// One queue of a TAP, with or without virtio-net headers.
final class TapWire: Wire {
  private let queue: TapQueue
  /// Frames travel behind a virtio-net header (`IFF_VNET_HDR`).
  private let hasHeader: Bool

  init(queue: consuming TapQueue, hasHeader: Bool) {
    self.queue = queue
    self.hasHeader = hasHeader
  }

  override func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    let result = hasHeader ? queue.write(VirtioNetHeader(metadata), frame) : queue.write(frame)
    switch result {
    case .bytes: return .done(0)
    case .wouldBlock: return .wouldBlock
    case .error(let code): return .failed(code)
    }
  }

  override func receive(
    into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata
  ) -> WireOutcome {
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
