import Glibc
import Timers

/// Newline-delimited messages both ways over a UNIX stream, with descriptors passed beside them.
/// Memory is bounded in both directions: `LineFramer`'s limit inward, `outgoingLimit` outward.
///
/// On a non-blocking stream use `fill`, `next`, `enqueue` and `flush` from an event loop; a client
/// with nothing else to do uses `send` and `receive`, which wait.
public struct MessageChannel: ~Copyable, Sendable {
  /// A peer that passes more descriptors than it announces in messages has the rest closed.
  private static let mostPassed = 4

  public let stream: UnixStream
  public let outgoingLimit: Int
  private var framer: LineFramer
  private var scratch = [UInt8](repeating: 0, count: 16384)
  /// Owned descriptors that have arrived and were not taken yet.
  private var arrived: [Int32] = []
  /// Bytes not yet sent.
  private var outgoing: [UInt8] = []
  /// Owned descriptors to pass, each with the index in `outgoing` of the byte it travels with.
  private var departing: [(index: Int, number: Int32)] = []

  public init(_ stream: consuming UnixStream, messageLimit: Int = 65536, outgoingLimit: Int = 4 << 20) {
    self.stream = stream
    self.outgoingLimit = outgoingLimit
    framer = LineFramer(limit: messageLimit)
  }

  deinit {
    for number in arrived { _ = Glibc.close(number) }
    for item in departing { _ = Glibc.close(item.number) }
  }

  /// Says that no more messages come this way; the other way stays open.
  public func shutdownWriting() { stream.descriptor.shutdownWriting() }

  /// Closes the stream now; what is queued is dropped.
  public consuming func close() {}

  // MARK: Inward

  /// Whether another `fill` is allowed: no more than one message and one read's worth is kept of a peer that talks
  /// while it is not listened to.
  public var hasRoom: Bool { framer.byteCount <= framer.limit }

  /// Receives once. `.bytes(0)` is end of stream; `.wouldBlock` also while messages wait that fill the room.
  public mutating func fill() -> DescriptorIO {
    guard hasRoom else { return .wouldBlock }
    // Out of `self` while it is lent to the receive, and back with its memory.
    var scratch = exchange(&self.scratch, with: [])
    defer { self.scratch = scratch }
    var span = scratch.mutableSpan
    // Safe: a byte has no padding, and any byte is a valid UInt8.
    var bytes = unsafe span.mutableBytes
    let receipt = stream.receive(into: &bytes)
    let result = receipt.result
    if let passed = receipt.takePassed() {
      if arrived.count < Self.mostPassed { arrived.append(passed.release()) }
    }
    if case .bytes(let count) = result { framer.append(scratch[..<count]) }
    return result
  }

  /// The next complete message among the bytes received.
  public mutating func next() -> LineFramer.Frame? { framer.next() }

  /// Whether end of stream would cut a message off.
  public var isInsideMessage: Bool { framer.isInsideMessage }

  /// The oldest passed descriptor not yet taken. It arrives no later than the first byte of the
  /// message it was sent with.
  public mutating func takePassed() -> OwnedDescriptor? {
    arrived.isEmpty ? nil : OwnedDescriptor(owning: arrived.removeFirst())
  }

  /// Waits for the next message; `nil` at end of stream.
  ///
  /// - Throws: ETIMEDOUT when it has not come by `deadline`.
  public mutating func receive(until deadline: Instant = .distantFuture) throws(LinuxError) -> LineFramer
    .Frame?
  {
    while true {
      if let frame = next() { return frame }
      guard
        try stream.descriptor.waitUntilReady(
          POLLIN, milliseconds: Self.milliseconds(until: deadline), subject: "the control socket")
      else { throw LinuxError(ETIMEDOUT, "read from", "the control socket") }
      switch fill() {
      case .bytes(0): return nil
      case .bytes, .wouldBlock: break
      case .error(let code): throw LinuxError(code, "read from", "the control socket")
      }
    }
  }

  /// For poll(2), rounded up; -1 for ever.
  private static func milliseconds(until deadline: Instant) -> Int32 {
    if deadline == .distantFuture { return -1 }
    let now = MonotonicClock.now()
    return deadline > now ? Int32(clamping: (deadline - now).rawValue / 1_000_000 + 1) : 0
  }

  // MARK: Outward

  /// Bytes waiting to be sent.
  public var outgoingByteCount: Int { outgoing.count }

  /// Queues a message. Returns false, and queues nothing, when the peer reads too slowly and the
  /// limit would be passed.
  public mutating func enqueue(_ message: [UInt8]) -> Bool {
    precondition(!message.contains(0x0A), "A newline inside a message would end it.")
    guard outgoing.count + message.count < outgoingLimit else { return false }
    outgoing.append(contentsOf: message)
    outgoing.append(0x0A)
    return true
  }

  /// Queues a message that brings a descriptor along; closed here once it is sent.
  public mutating func enqueue(_ message: [UInt8], passing passed: consuming OwnedDescriptor) -> Bool {
    let index = outgoing.count
    guard enqueue(message) else { return false }
    departing.append((index, passed.release()))
    return true
  }

  /// Sends as much as the socket takes. `.bytes(0)` means all is sent.
  public mutating func flush() -> DescriptorIO {
    while !outgoing.isEmpty {
      let passes = departing.first?.index == 0
      let result = sendOnce(passes ? departing.first?.number : nil)
      guard case .bytes(let count) = result else { return result }
      if passes { _ = Glibc.close(departing.removeFirst().number) }
      outgoing.removeFirst(count)
      for position in departing.indices { departing[position].index -= count }
    }
    return .bytes(0)
  }

  /// Sends up to the next byte that has a descriptor of its own to take along.
  private func sendOnce(_ passed: Int32?) -> DescriptorIO {
    let next = departing.first { $0.index > 0 }
    let bytes = outgoing.rawBytes
    let piece = bytes.extracting(0..<(next?.index ?? bytes.byteCount))
    guard let passed else { return stream.send(piece) }
    return stream.send(piece, passingNumber: passed)
  }

  /// Sends a message, waiting while the peer's buffer is full.
  public mutating func send(_ message: [UInt8]) throws(LinuxError) {
    guard enqueue(message) else {
      throw LinuxError(EMSGSIZE, "send", "a message of \(message.count) bytes to the control socket")
    }
    while true {
      switch flush() {
      case .bytes: return
      case .wouldBlock: try stream.descriptor.waitUntilReady(POLLOUT, subject: "the control socket")
      case .error(let code): throw LinuxError(code, "write to", "the control socket")
      }
    }
  }
}
