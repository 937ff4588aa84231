import Tables
import Testing

@Suite("SipHash-2-4")
struct SipHashTests {
  @Test("RFC 6528 3 the keyed hash is SipHash-2-4: the authors' test vector of 16 bytes")
  func vector() {
    let hash = SipHash(key: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
    #expect(hash.hash(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908) == 0x3f2a_cc7f_57c2_9bdb)
  }

  @Test("RFC 7413 4.1.2: the authors' test vector of 8 bytes")
  func shortVector() {
    let hash = SipHash(key: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
    #expect(hash.hash(0x0706_0504_0302_0100) == 0x93f5_f579_9a93_2462)
  }

  @Test("Keys for different purposes differ")
  func derived() {
    let hash = SipHash(key: (1, 2))
    #expect(hash.derived(1).hash(0, 0) != hash.derived(2).hash(0, 0))
    #expect(hash.derived(1).hash(0, 0) != hash.hash(0, 0))
  }
}
