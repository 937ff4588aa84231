/// A code that only who has the key can make of a message, fed piece by piece: those that TCP's authentication option
/// prescribes (RFC 5926).
public protocol MessageAuthentication {
  mutating func update(_ byte: UInt8)
  mutating func update(_ bytes: RawSpan)
  /// The code of all that was fed; bytes behind its length are zero.
  consuming func finalizeCode() -> AuthenticationCode
}

/// Room for the longest code.
public typealias AuthenticationCode = InlineArray<20, UInt8>

extension MessageAuthentication {
  public mutating func update(_ bytes: [UInt8]) { for byte in bytes { update(byte) } }

  public mutating func update(bigEndian word: UInt32) {
    for index in 0..<4 as Range<UInt32> { update(UInt8(truncatingIfNeeded: word >> (24 - index * 8))) }
  }
}

/// HMAC (RFC 2104) with SHA-1.
public struct HMACSHA1: MessageAuthentication, Sendable {
  private var inner = SHA1()
  private var outer = SHA1()

  /// - Parameter key: any length; over 64 bytes its digest stands for it.
  public init(key: [UInt8]) {
    var padded = InlineArray<64, UInt8>(repeating: 0)
    if key.count > 64 {
      var hash = SHA1()
      for byte in key { hash.update(byte) }
      let digest = hash.finalize()
      for index in 0..<20 { padded[index] = digest[index] }
    } else {
      for index in key.indices { padded[index] = key[index] }
    }
    for index in 0..<64 {
      inner.update(padded[index] ^ 0x36)
      outer.update(padded[index] ^ 0x5c)
    }
  }

  public mutating func update(_ byte: UInt8) { inner.update(byte) }

  public mutating func update(_ bytes: RawSpan) {
    // Safe: any byte is a valid `UInt8`.
    for index in 0..<bytes.byteCount {
      inner.update(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
    }
  }

  public consuming func finalizeCode() -> AuthenticationCode { finalize() }

  public consuming func finalize() -> SHA1.Digest {
    let digest = inner.finalize()
    for index in 0..<20 { outer.update(digest[index]) }
    return outer.finalize()
  }
}

/// AES-CMAC (RFC 4493).
public struct AESCMAC: MessageAuthentication, Sendable {
  private let cipher: AES128
  private var chain = AES128.Block(repeating: 0)
  /// The last bytes: a full block waits, for the last one is treated otherwise.
  private var block = AES128.Block(repeating: 0)
  private var used = 0

  public init(key: AES128.Block) { cipher = AES128(key: key) }

  public mutating func update(_ byte: UInt8) {
    if used == 16 {
      for index in 0..<16 { chain[index] ^= block[index] }
      chain = cipher.encrypt(chain)
      used = 0
    }
    block[used] = byte
    used += 1
  }

  public mutating func update(_ bytes: RawSpan) {
    // Safe: any byte is a valid `UInt8`.
    for index in 0..<bytes.byteCount {
      update(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
    }
  }

  public consuming func finalizeCode() -> AuthenticationCode {
    let block = finalize()
    var code = AuthenticationCode(repeating: 0)
    for index in 0..<16 { code[index] = block[index] }
    return code
  }

  public consuming func finalize() -> AES128.Block {
    var subkey = Self.doubled(cipher.encrypt(AES128.Block(repeating: 0)))
    if used < 16 {
      subkey = Self.doubled(subkey)
      for index in used..<16 { block[index] = index == used ? 0x80 : 0 }
    }
    for index in 0..<16 { chain[index] ^= block[index] ^ subkey[index] }
    return cipher.encrypt(chain)
  }

  /// Times x in GF(2^128) (RFC 4493 2.3).
  private static func doubled(_ block: AES128.Block) -> AES128.Block {
    var result = AES128.Block(repeating: 0)
    for index in 0..<16 {
      result[index] = block[index] << 1 | (index < 15 ? block[index + 1] >> 7 : 0)
    }
    if block[0] & 0x80 != 0 { result[15] ^= 0x87 }
    return result
  }
}
