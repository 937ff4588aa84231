import Testing
import Timers

@testable import IPv4

@Suite struct IGMPQueryTests {
  private func query(code: UInt8, interval: UInt8) -> IGMPQuery? {
    let bytes: [UInt8] = [0x11, code, 0, 0, 239, 1, 1, 1, 0x0A, interval, 0, 0]
    // Safe: a byte has no padding.
    return IGMPQuery(unsafe bytes.span.bytes)
  }

  @Test("RFC 3376 4.1.1, 4.1.7 times are tenths and seconds, from 128 on numbers with an exponent")
  func times() throws {
    let small = try #require(query(code: 127, interval: 127))
    #expect(small.responseTime == .milliseconds(12_700) && small.interval == .seconds(127))
    // The least with an exponent; mantissa 9, exponent 2; the greatest.
    for (code, value) in [(0x80, 128), (0xA9, 800), (0xFF, 31_744)] as [(UInt8, Int64)] {
      let large = try #require(query(code: code, interval: code))
      #expect(large.responseTime == .milliseconds(100 * value) && large.interval == .seconds(value))
    }
    #expect(small.robustness == 2 && small.version == 3)
  }
}
