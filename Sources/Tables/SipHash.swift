/// SipHash-2-4 (Aumasson and Bernstein, 2012) of whole words: a keyed hash that a peer who sees results cannot predict or
/// steer, as RFC 6528 section 3 and RFC 6056 section 3.3.3 ask of one. Linux: `siphash_2u64()`.
@frozen
public struct SipHash: Sendable {
  @usableFromInline let key: (UInt64, UInt64)

  @inlinable public init(key: (UInt64, UInt64)) { self.key = key }

  /// A key for another purpose, which tells nothing about this one.
  @inlinable public func derived(_ purpose: UInt64) -> SipHash {
    SipHash(key: (hash(purpose, 0), hash(purpose, 1)))
  }

  /// The hash of 8 bytes: one little-endian word.
  public func hash(_ only: UInt64) -> UInt64 {
    var state = State(key)
    state.absorb(only, rounds: 2)
    state.absorb(8 << 56, rounds: 2)
    return state.finish(rounds: 4)
  }

  /// The hash of 16 bytes: two little-endian words.
  @inlinable public func hash(_ first: UInt64, _ second: UInt64) -> UInt64 {
    var state = State(key)
    state.absorb(first, rounds: 2)
    state.absorb(second, rounds: 2)
    // The last word carries the length in its upper byte.
    state.absorb(16 << 56, rounds: 2)
    return state.finish(rounds: 4)
  }

  /// The hash of 40 bytes: five little-endian words.
  public func hash(
    _ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64, _ fifth: UInt64
  ) -> UInt64 {
    var state = State(key)
    state.absorb(first, rounds: 2)
    state.absorb(second, rounds: 2)
    state.absorb(third, rounds: 2)
    state.absorb(fourth, rounds: 2)
    state.absorb(fifth, rounds: 2)
    state.absorb(40 << 56, rounds: 2)
    return state.finish(rounds: 4)
  }

  /// A hash of two words by one round for each and three at the end, without the length: for tables, where a peer sees
  /// neither the hash nor the place. Linux: `hsiphash()`.
  @inlinable public func tableHash(_ first: UInt64, _ second: UInt64) -> UInt64 {
    var state = State(key)
    state.absorb(first, rounds: 1)
    state.absorb(second, rounds: 1)
    return state.finish(rounds: 3)
  }

  @frozen @usableFromInline
  struct State {
    @usableFromInline var v0: UInt64
    @usableFromInline var v1: UInt64
    @usableFromInline var v2: UInt64
    @usableFromInline var v3: UInt64

    /// "somepseudorandomlygeneratedbytes".
    @inlinable init(_ key: (UInt64, UInt64)) {
      v0 = key.0 ^ 0x736f_6d65_7073_6575
      v1 = key.1 ^ 0x646f_7261_6e64_6f6d
      v2 = key.0 ^ 0x6c79_6765_6e65_7261
      v3 = key.1 ^ 0x7465_6462_7974_6573
    }

    @inlinable @inline(__always) mutating func absorb(_ word: UInt64, rounds: Int) {
      v3 ^= word
      for _ in 0..<rounds { round() }
      v0 ^= word
    }

    @inlinable @inline(__always) mutating func finish(rounds: Int) -> UInt64 {
      v2 ^= 0xff
      for _ in 0..<rounds { round() }
      return v0 ^ v1 ^ v2 ^ v3
    }

    @inlinable @inline(__always) mutating func round() {
      v0 &+= v1
      v1 = Self.rotated(v1, 13) ^ v0
      v0 = Self.rotated(v0, 32)
      v2 &+= v3
      v3 = Self.rotated(v3, 16) ^ v2
      v0 &+= v3
      v3 = Self.rotated(v3, 21) ^ v0
      v2 &+= v1
      v1 = Self.rotated(v1, 17) ^ v2
      v2 = Self.rotated(v2, 32)
    }

    @inlinable static func rotated(_ word: UInt64, _ count: UInt64) -> UInt64 {
      word &<< count | word &>> (64 &- count)
    }
  }
}
