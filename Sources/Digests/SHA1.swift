/// SHA-1 (FIPS 180-4), fed piece by piece. Only for TCP's authentication option, which prescribes HMAC-SHA-1 (RFC 5926): as a
/// hash by itself it is broken.
public struct SHA1: Sendable {
  /// In the order of the wire.
  public typealias Digest = InlineArray<20, UInt8>

  private var state: InlineArray<5, UInt32> = [
    0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0,
  ]
  /// Bytes of the message that do not fill a block yet.
  private var block = InlineArray<64, UInt8>(repeating: 0)
  private var used = 0
  private var byteCount: UInt64 = 0

  public init() {}

  public mutating func update(_ byte: UInt8) {
    block[used] = byte
    used += 1
    byteCount &+= 1
    if used == 64 { compress() }
  }

  /// The digest of all that was fed.
  public consuming func finalize() -> Digest {
    let bitCount = byteCount &* 8
    update(0x80)
    while used != 56 { update(0) }
    for index in 0..<8 { update(UInt8(truncatingIfNeeded: bitCount >> UInt64(56 - index * 8))) }
    var digest = Digest(repeating: 0)
    for index in 0..<20 {
      digest[index] = UInt8(truncatingIfNeeded: state[index / 4] >> UInt32(24 - index % 4 * 8))
    }
    return digest
  }

  private mutating func compress() {
    used = 0
    var words = InlineArray<80, UInt32>(repeating: 0)
    for index in 0..<64 { words[index / 4] |= UInt32(block[index]) << UInt32(24 - index % 4 * 8) }
    for index in 16..<80 {
      words[index] = Self.rotated(
        words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], by: 1)
    }
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for step in 0..<80 {
      let (mixed, constant): (UInt32, UInt32) =
        switch step / 20 {
        case 0: (b & c | ~b & d, 0x5a82_7999)
        case 1: (b ^ c ^ d, 0x6ed9_eba1)
        case 2: (b & c | b & d | c & d, 0x8f1b_bcdc)
        default: (b ^ c ^ d, 0xca62_c1d6)
        }
      let next = Self.rotated(a, by: 5) &+ mixed &+ e &+ constant &+ words[step]
      (e, d, c, b, a) = (d, c, Self.rotated(b, by: 30), a, next)
    }
    state = [state[0] &+ a, state[1] &+ b, state[2] &+ c, state[3] &+ d, state[4] &+ e]
  }

  private static func rotated(_ word: UInt32, by count: UInt32) -> UInt32 {
    word << count | word >> (32 - count)
  }
}
