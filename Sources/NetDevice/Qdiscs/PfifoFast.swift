import SkBuff

/// Three first-in first-out bands, the lowest number served first, chosen by the packet's priority; one limit for all.
/// Linux: `pfifo_fast`.
public struct PfifoFast: ~Copyable {
  private var bands: InlineArray<3, SkBuffQueue>
  public private(set) var count = 0
  /// Wire bytes of the packets that wait.
  public private(set) var byteCount = 0
  public let limit: Int

  /// - Parameter limit: packets held at most. Linux: `tx_queue_len`.
  public init(limit: Int) {
    bands = InlineArray { _ in SkBuffQueue() }
    self.limit = limit
  }

  /// The band for a priority of 0 to 15: bulk and filler last, interactive and control first.
  /// Linux: `sch_default_prio2band`.
  @inlinable public static func band(priority: UInt32) -> Int {
    // Two bits each, priority 0 lowest: 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1.
    Int(0x5555_09A9 as UInt32 >> (2 * (priority & 15)) & 3)
  }

  /// Takes a packet in, or drops it when the limit is reached.
  public mutating func enqueue(_ skb: consuming SkBuff) -> XmitResult {
    guard count < limit else {
      skb.drop(.qdiscDrop)
      return .dropped
    }
    count += 1
    byteCount += skb.wireSize.byteCount
    let band = Self.band(priority: skb.priority)
    bands[band].append(skb)
    return .success
  }

  public mutating func dequeue() -> SkBuff? {
    for band in 0..<3 where !bands[band].isEmpty {
      if let skb = bands[band].popFirst() {
        count -= 1
        byteCount -= skb.wireSize.byteCount
        return skb
      }
    }
    return nil
  }

  /// Drops every packet. Linux: `qdisc_reset()`.
  public mutating func reset() {
    while let skb = dequeue() { skb.drop(.qdiscReset) }
  }
}
