import Digests
import Testing

@Suite("MD5")
struct MD5Tests {
  private func digest(_ text: String) -> String {
    var hash = MD5()
    hash.update(Array(text.utf8))
    let digest = hash.finalize()
    return (0..<16).map { String(UInt16(digest[$0]) | 0x100, radix: 16).dropFirst() }.joined()
  }

  @Test(
    "T14 RFC 1321 A.5: the test suite",
    arguments: [
      ("", "d41d8cd98f00b204e9800998ecf8427e"), ("a", "0cc175b9c0f1b6a831c399e269772661"),
      ("abc", "900150983cd24fb0d6963f7d28e17f72"), ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
      ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
      (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"
      ),
      (
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
        "57edf4a22be3c955ac49da2e2107b67a"
      ),
    ])
  func suite(text: String, expected: String) { #expect(digest(text) == expected) }

  @Test("T14 pieces give what the whole gives, whatever their ends")
  func pieces() {
    let bytes = (0..<200).map { UInt8($0) }
    for cut in [0, 1, 55, 56, 63, 64, 65, 127, 128, 200] {
      var whole = MD5()
      whole.update(bytes)
      var parts = MD5()
      parts.update(Array(bytes[..<cut]))
      // Safe: a byte has no padding.
      parts.update(unsafe Array(bytes[cut...]).span.bytes)
      let (one, other) = (whole.finalize(), parts.finalize())
      #expect((0..<16).allSatisfy { one[$0] == other[$0] }, "\(cut)")
    }
  }
}
