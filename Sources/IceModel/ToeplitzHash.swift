/// The receive-side-scaling hash over addresses and ports, as the hardware computes it (Microsoft's
/// "RSS hashing types"; the verification suite there is the test).
@frozen public struct ToeplitzHash: Sendable {
  /// The 40-byte key in big-endian words.
  let key: InlineArray<10, UInt32>

  /// The key of Microsoft's verification suite, which drivers use by default.
  public static var standard: ToeplitzHash {
    ToeplitzHash(key: [
      0x6d5a_56da, 0x255b_0ec2, 0x4167_253d, 0x43a3_8fb0, 0xd0ca_2bcb, 0xae7b_30b4, 0x77cb_2da3, 0x8030_f20c,
      0x6a42_b73b, 0xbeac_01fa,
    ])
  }

  public init(key: InlineArray<10, UInt32>) { self.key = key }

  /// - Parameters: in host byte order; `ports` is source << 16 | destination, nil when the packet has none.
  public func hash(source: UInt32, destination: UInt32, ports: UInt32?) -> UInt32 {
    var result = mix(source, 0) ^ mix(destination, 1)
    if let ports { result ^= mix(ports, 2) }
    return result
  }

  /// One input word: for each of its bits, the 32 key bits that begin at the bit's place.
  private func mix(_ word: UInt32, _ index: Int) -> UInt32 {
    var window = UInt64(key[index]) << 32 | UInt64(key[index + 1])
    var rest = word
    var result: UInt32 = 0
    for _ in 0..<32 {
      // All ones when the top bit is set.
      let mask = UInt32(bitPattern: Int32(bitPattern: rest) >> 31)
      result ^= UInt32(truncatingIfNeeded: window >> 32) & mask
      rest <<= 1
      window <<= 1
    }
    return result
  }
}
