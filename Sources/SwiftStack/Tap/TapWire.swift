import IceModel
import LinuxHost
import Shard

/// One queue of a TAP, with or without virtio-net headers, for whoever puts frames out: two threads never do at the same time.
final class TapLine: Sendable {
  private let queue: TapQueue
  /// Frames travel behind a virtio-net header (`IFF_VNET_HDR`).
  private let hasHeader: Bool

  init(queue: consuming TapQueue, hasHeader: Bool) {
    self.queue = queue
    self.hasHeader = hasHeader
  }

  @inline(__always)
  func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    let result = hasHeader ? queue.write(VirtioNetHeader(metadata), frame) : queue.write(frame)
    switch result {
    case .bytes: return .done(0)
    case .wouldBlock: return .wouldBlock
    case .error(let code): return .failed(code)
    }
  }

  @inline(__always)
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

/// One queue of a TAP as a shard's wire. The thread that carries frames starts with the first of them.
final class TapWire: Wire {
  private let line: TapLine
  private let inbox: ShardInbox
  private var carrier: FrameCarrier?
  private var thread: StackThread?
  private var cannotCarry = false

  init(queue: consuming TapQueue, hasHeader: Bool, inbox: ShardInbox) {
    line = TapLine(queue: queue, hasHeader: hasHeader)
    self.inbox = inbox
  }

  deinit {
    carrier?.stop()
    if let thread = thread.take() { thread.join() }
  }

  override func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    line.transmit(frame, metadata)
  }

  override func receive(
    into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata
  ) -> WireOutcome {
    line.receive(into: frame, &metadata)
  }

  override var carryingRoom: Int {
    if carrier == nil && !cannotCarry { startCarrier() }
    return carrier?.room ?? 0
  }

  private func startCarrier() {
    let carrier = FrameCarrier(line: line, inbox: inbox)
    do {
      thread = try StackThread.startJoinable { carrier.run() }
      self.carrier = carrier
    } catch {
      cannotCarry = true
    }
  }

  override func carry(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) {
    carrier?.give(frame, metadata)
  }

  override func takeOutcome() -> WireOutcome? { carrier?.takeOutcome() }
  override func announceOutcomes() -> Bool { carrier?.announce() ?? true }
  override func finishCarrying() { carrier?.finish() }
}
