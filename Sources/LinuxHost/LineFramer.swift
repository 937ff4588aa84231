/// Cuts a byte stream into newline-terminated messages of bounded size. A message that is too long
/// is skipped to its newline and reported once, so the stream lives on; memory stays within the
/// limit whatever arrives.
public struct LineFramer: Sendable {
  /// One step of the stream.
  public enum Frame: Equatable, Sendable {
    /// A message without its newline.
    case message([UInt8])
    /// A message longer than the limit; its bytes are gone.
    case oversized
  }

  /// The longest message, bytes without newline.
  public let limit: Int
  /// Bytes received and not yet given out.
  private var pending: [UInt8] = []
  /// Everything in `pending` before this holds no newline.
  private var searched = 0
  private var isSkipping = false

  public init(limit: Int) {
    precondition(limit > 0, "A message limit is at least one byte.")
    self.limit = limit
  }

  /// Whether a message has begun and not ended: end of stream now means it was cut off.
  public var isInsideMessage: Bool { isSkipping || !pending.isEmpty }

  /// Bytes received and not yet given out. Above `limit` there is at least one frame to take out first.
  public var byteCount: Int { pending.count }

  /// Takes received bytes. Take out all frames (`next`) before the next append, or memory grows.
  public mutating func append(_ bytes: some Sequence<UInt8>) {
    pending.append(contentsOf: bytes)
  }

  /// The next complete message; `nil` until more bytes have come.
  public mutating func next() -> Frame? {
    while true {
      guard let newline = pending[searched...].firstIndex(of: 0x0A) else {
        searched = pending.count
        if isSkipping || pending.count > limit {
          isSkipping = true
          pending.removeAll(keepingCapacity: true)
          searched = 0
        }
        return nil
      }
      let wasTooLong = isSkipping || newline > limit
      let message = wasTooLong ? [] : Array(pending[..<newline])
      pending.removeSubrange(...newline)
      searched = 0
      isSkipping = false
      return wasTooLong ? .oversized : .message(message)
    }
  }
}
