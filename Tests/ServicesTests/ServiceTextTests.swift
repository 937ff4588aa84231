import Testing

@testable import Services

/// What the services say.
@Suite struct ServiceTextTests {
  @Test("RFC 864: the first lines of the pattern")
  func characterGenerator() {
    let bytes = (0..<148).map(CharacterGenerator.byte)
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(
      text == " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n"
        + "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n")
  }

  @Test(
    "RFC 867: dates",
    arguments: [
      (0, "Thursday, January 1, 1970 00:00:00-UTC\r\n"),
      (951_827_696, "Tuesday, February 29, 2000 12:34:56-UTC\r\n"),
      (4_102_444_799, "Thursday, December 31, 2099 23:59:59-UTC\r\n"),
    ])
  func daytime(seconds: UInt64, text: String) {
    #expect(DaytimeText(nanosecondsSinceEpoch: seconds * 1_000_000_000).text == text)
  }
}
