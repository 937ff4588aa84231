import Digests
import Testing

@Suite("Codes of TCP's authentication option")
struct MessageAuthenticationTests {
  private func bytes(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue ?? 0) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
  private func block(_ bytes: [UInt8]) -> AES128.Block {
    var block = AES128.Block(repeating: 0)
    for index in 0..<16 { block[index] = bytes[index] }
    return block
  }

  @Test("FIPS 180-4 SHA-1: its examples")
  func sha1() {
    func digest(_ text: [UInt8]) -> [UInt8] {
      var hash = SHA1()
      for byte in text { hash.update(byte) }
      let digest = hash.finalize()
      return (0..<20).map { digest[$0] }
    }
    #expect(digest(Array("abc".utf8)) == bytes("a9993e364706816aba3e25717850c26c9cd0d89d"))
    #expect(digest([]) == bytes("da39a3ee5e6b4b0d3255bfef95601890afd80709"))
    #expect(
      digest(Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8))
        == bytes("84983e441c3bd26ebaae4aa1f95129e5e54670f1"))
  }

  @Test("RFC 2202 3 HMAC-SHA-1: short, long and overlong keys")
  func hmac() {
    func code(_ key: [UInt8], _ text: [UInt8]) -> [UInt8] {
      var hmac = HMACSHA1(key: key)
      hmac.update(text)
      let digest = hmac.finalize()
      return (0..<20).map { digest[$0] }
    }
    #expect(
      code([UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8))
        == bytes("b617318655057264e28bc0b6fb378c8ef146be00"))
    #expect(
      code(Array("Jefe".utf8), Array("what do ya want for nothing?".utf8))
        == bytes("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"))
    #expect(
      code(
        [UInt8](repeating: 0xaa, count: 80),
        Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8))
        == bytes("aa4ae5e15272d00e95705637ce8a3b55ed402112"))
  }

  @Test("FIPS 197 appendix B AES-128")
  func aes() {
    let cipher = AES128(key: block(bytes("2b7e151628aed2a6abf7158809cf4f3c")))
    let out = cipher.encrypt(block(bytes("3243f6a8885a308d313198a2e0370734")))
    #expect((0..<16).map { out[$0] } == bytes("3925841d02dc09fbdc118597196a0b32"))
  }

  @Test(
    "RFC 4493 4 AES-CMAC: nothing, a block, a block and a half, four blocks",
    arguments: [
      (0, "bb1d6929e95937287fa37d129b756746"), (16, "070a16b46b4d4144f79bdd9dd04a287c"),
      (40, "dfa66747de9ae63030ca32611497c827"), (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ])
  func cmac(count: Int, expected: String) {
    let message = bytes(
      """
      6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
      30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710
      """)
    var mac = AESCMAC(key: block(bytes("2b7e151628aed2a6abf7158809cf4f3c")))
    mac.update(Array(message[..<count]))
    let code = mac.finalize()
    #expect((0..<16).map { code[$0] } == bytes(expected))
  }
}
