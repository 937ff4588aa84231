import Testing
import Wire

/// RFC 1071 section 4.1, byte by byte in network order: the reference that the fast code is held against.
func referenceSum(_ bytes: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
  while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
  return UInt16(sum)
}

func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 33)
  }
}

@Suite struct InternetChecksumTests {
  @Test("RFC 1071 section 3: the worked example sums to ddf2")
  func example() {
    let bytes: [UInt8] = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]
    var sum = InternetChecksum()
    sum.add(bytes.raw)
    #expect(sum.partial == 0xDDF2)
    #expect(sum.checksum == 0x220D)
    sum.add(UInt16(0x220D))
    #expect(sum.isValid)
  }

  @Test("RFC 1071: every length from 0 to 300, odd ones padded with a zero byte")
  func lengths() {
    for count in 0...300 {
      let bytes = noise(count, seed: UInt64(count + 1))
      var sum = InternetChecksum()
      sum.add(bytes.raw)
      #expect(sum.partial == referenceSum(bytes), "length \(count)")
    }
  }

  @Test("A 64 KiB block of all ones loses no carry")
  func carries() {
    let bytes = [UInt8](repeating: 0xFF, count: 65535)
    var sum = InternetChecksum()
    sum.add(bytes.raw)
    #expect(sum.partial == referenceSum(bytes))
    for _ in 0..<100 { sum.add(bytes.raw.extracting(0..<65534)) }
    #expect(sum.partial == referenceSum(bytes))
  }

  @Test("I5 RFC 1071 section 2(A): block sums combine at even and odd offsets")
  func blocks() {
    let bytes = noise(501)
    for cut in 0...501 {
      var front = InternetChecksum()
      front.add(bytes.raw.extracting(0..<cut))
      var back = InternetChecksum()
      back.add(bytes.raw.extracting(cut..<501))
      var total = InternetChecksum()
      total.add(back, at: cut)
      total.add(front, at: 0)
      #expect(total.partial == referenceSum(bytes), "cut at \(cut)")
    }
  }

  @Test("RFC 9293 section 3.1: pseudo-header of addresses, zero, protocol, length")
  func pseudoHeader() {
    let sum = InternetChecksum.pseudoHeader(
      source: IPv4Address(10, 0, 0, 1), destination: IPv4Address(10, 0, 0, 2), protocol: .tcp, byteCount: 1460
    )
    #expect(sum.partial == referenceSum([10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0x05, 0xB4]))
  }

  @Test("All zero is not a valid checksummed block")
  func zeros() {
    var sum = InternetChecksum()
    sum.add([UInt8](repeating: 0, count: 20).raw)
    #expect(!sum.isValid)
  }
}
