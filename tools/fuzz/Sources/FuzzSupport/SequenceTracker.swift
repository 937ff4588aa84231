/// What the stack last said on each of its TCP connections, so that a script's segments can be moved to where the stack
/// expects them.
public struct SequenceTracker {
  private struct Flow: Hashable {
    var peer: UInt8
    var stackPort: UInt16
    var peerPort: UInt16
  }
  private struct Numbers {
    /// What the stack will send next, and what it expects.
    var next: UInt32
    var expected: UInt32
  }
  private var flows: [Flow: Numbers] = [:]

  public init() {}

  /// Notes a frame that the stack has sent.
  public mutating func note(_ frame: [UInt8]) {
    guard let tcp = Self.tcp(in: frame) else { return }
    let flow = Flow(
      peer: frame[33], stackPort: Self.load16(frame, tcp), peerPort: Self.load16(frame, tcp + 2))
    let flags = frame[tcp + 13]
    let total = Int(Self.load16(frame, 16)) - Int(frame[14] & 15) * 4 - Int(frame[tcp + 12] >> 4) * 4
    let length =
      UInt32(truncatingIfNeeded: total) &+ (flags & 0x02 != 0 ? 1 : 0) &+ (flags & 0x01 != 0 ? 1 : 0)
    flows[flow] = Numbers(next: Self.load32(frame, tcp + 4) &+ length, expected: Self.load32(frame, tcp + 8))
    if flows.count > 1024 { flows.removeAll() }
  }

  /// Moves a segment to the numbers the stack expects; the low 12 bits of the frame's own numbers stay as an offset.
  public func fix(_ frame: inout [UInt8]) {
    guard let tcp = Self.tcp(in: frame) else { return }
    let flow = Flow(
      peer: frame[29], stackPort: Self.load16(frame, tcp + 2), peerPort: Self.load16(frame, tcp))
    guard let numbers = flows[flow] else { return }
    Self.store32(numbers.expected &+ Self.offset(Self.load32(frame, tcp + 4)), at: tcp + 4, in: &frame)
    Self.store32(numbers.next &- Self.offset(Self.load32(frame, tcp + 8)), at: tcp + 8, in: &frame)
  }

  /// Often nothing, sometimes a little.
  private static func offset(_ value: UInt32) -> UInt32 { value & 0x3000 == 0x3000 ? value & 0xFFF : 0 }

  private static func tcp(in frame: [UInt8]) -> Int? {
    guard let payload = FrameRepair.payload(of: frame), frame[23] == 6, payload.count >= 20 else {
      return nil
    }
    return payload.lowerBound
  }

  private static func load16(_ frame: [UInt8], _ at: Int) -> UInt16 {
    UInt16(frame[at]) << 8 | UInt16(frame[at + 1])
  }
  private static func load32(_ frame: [UInt8], _ at: Int) -> UInt32 {
    UInt32(load16(frame, at)) << 16 | UInt32(load16(frame, at + 2))
  }
  private static func store32(_ value: UInt32, at: Int, in frame: inout [UInt8]) {
    FrameRepair.store(UInt16(truncatingIfNeeded: value >> 16), at: at, in: &frame)
    FrameRepair.store(UInt16(truncatingIfNeeded: value), at: at + 2, in: &frame)
  }
}
