import Wire

/// A fuzz input read as frames with instructions: records of one byte of instructions, two of length, the frame.
///
/// Instructions make deep states reachable for random bytes: without right checksums and sequence numbers nearly every
/// changed frame would be refused at the door.
public struct FrameScript: Sequence, IteratorProtocol {
  /// What to do with one frame before it is delivered.
  public struct Step {
    /// Virtual time passes first: nothing, or 2^(n - 1) milliseconds.
    public var milliseconds: UInt64
    /// IP, ICMP, TCP and UDP checksums are made right.
    public var fixesChecksums: Bool
    /// TCP numbers become relative to what the stack expects; the frame's own low bits are the offset.
    public var fixesNumbers: Bool
    /// The frame comes to the stack's address and from one of a few peers.
    public var fixesAddresses: Bool
    public var frame: [UInt8]
  }

  private let bytes: [UInt8]
  private var position = 0

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  public mutating func next() -> Step? {
    guard position + 3 <= bytes.count else { return nil }
    let instructions = bytes[position]
    let wanted = Int(bytes[position + 1]) << 8 | Int(bytes[position + 2])
    let count = Swift.min(wanted, bytes.count - position - 3)
    defer { position += 3 + count }
    let shift = instructions >> 4
    return Step(
      milliseconds: shift == 0 ? 0 : 1 << UInt64(shift - 1), fixesChecksums: instructions & 1 != 0,
      fixesNumbers: instructions & 2 != 0, fixesAddresses: instructions & 4 != 0,
      frame: Array(bytes[(position + 3)..<(position + 3 + count)]))
  }
}
