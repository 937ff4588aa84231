import Testing
import Wire

@Suite struct TCPOptionsTests {
  /// Options behind a zeroed fixed header, padded to 4 bytes with end-of-list.
  private func parse(_ options: [UInt8]) -> TCPOptions {
    var bytes = [UInt8](repeating: 0, count: 20) + options
    while bytes.count % 4 != 0 { bytes.append(0) }
    return TCPOptions(parsing: bytes.raw, headerByteCount: bytes.count)
  }

  /// The options of a Linux SYN: MSS 1460, SACK permitted, timestamps, NOP, window scale 7.
  static let linuxSYN: [UInt8] = [
    0x02, 0x04, 0x05, 0xB4, 0x04, 0x02, 0x08, 0x0A, 0x01, 0x02, 0x03, 0x04, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x03,
    0x03, 0x07,
  ]

  @Test(
    "RFC 7413 4.1.1: a cookie, both ways and in both forms; one of another length is none",
    arguments: [0, 4, 6, 8, 16], [false, true])
  func fastOpen(length: Int, isExperimental: Bool) throws {
    let cookie = (0..<length).map { UInt8($0 + 1) }
    let bytes: [UInt8] =
      isExperimental
      ? [254, UInt8(length + 4), 0xF9, 0x89] + cookie : [34, UInt8(length + 2)] + cookie
    let options = parse(bytes)
    let parsed = try #require(options.fastOpen)
    #expect(parsed.byteCount == length && parsed.isExperimental == isExperimental)
    #expect((0..<length).map { parsed[$0] } == cookie)
    var alone = TCPOptions()
    alone.fastOpen = parsed
    let padding = [UInt8](repeating: 1, count: alone.byteCount - bytes.count)
    #expect(alone.byteCount % 4 == 0 && padding.count < 4)
    #expect(Array(written(20 + alone.byteCount) { alone.write(to: &$0, at: 20) }[20...]) == bytes + padding)
    for wrong: UInt8 in [2, 3, 5, 7, 18] {
      let content = [UInt8](repeating: 9, count: Int(wrong))
      #expect(parse([34, wrong + 2] + content).fastOpen == nil, "\(wrong)")
    }
    #expect(parse([254, 4, 0xF9, 0x88]).fastOpen == nil)
  }

  /// Whether a kernel drops a segment for its options without looking on: it looks for a signature as long as there is room
  /// for one. So Linux 6.18 did with 144,000 SYNs.
  private func isRefused(_ list: [UInt8]) -> Bool {
    var rest = list[...]
    while rest.count >= 18, let kind = rest.first, kind != 0 {
      if kind == 1 {
        rest.removeFirst()
        continue
      }
      let length = Int(rest[rest.startIndex + 1])
      if length < 2 || length > rest.count || kind == 19 && length != 18 { return true }
      rest.removeFirst(length)
    }
    return false
  }

  @Test(
    "R every kind with every length at every place: nothing traps, and what is malformed is what Linux drops")
  func everyOption() {
    var wrong = 0
    for kind in UInt8.min...UInt8.max {
      for length in UInt8(0)...44 {
        for place in stride(from: 0, to: 40, by: kind > 40 ? 13 : 1) {
          for rest: UInt8 in [0, 4] {
            let head = [UInt8](repeating: 1, count: place) + [kind, length]
            let list = Array((head + [UInt8](repeating: rest, count: 40)).prefix(40))
            if parse(list).isMalformed != isRefused(list) { wrong += 1 }
          }
        }
      }
    }
    #expect(wrong == 0)
  }

  @Test("RFC 9293 3.2, RFC 7323, RFC 2018: the options of a Linux SYN, both ways")
  func syn() {
    let options = parse(Self.linuxSYN)
    #expect(options.maximumSegmentSize == 1460)
    #expect(options.sackPermitted)
    #expect(options.hasTimestamps && options.timestampValue == 0x0102_0304 && options.timestampEcho == 0)
    #expect(options.windowScale == 7)
    #expect(options.byteCount == 20)
    let bytes = written(40) { options.write(to: &$0, at: 20) }
    #expect(Array(bytes[20...]) == Self.linuxSYN)
  }

  @Test("RFC 7323 appendix A: NOP NOP timestamps")
  func timestamps() {
    let golden: [UInt8] = [0x01, 0x01, 0x08, 0x0A, 0xDE, 0xAD, 0xBE, 0xEF, 0x00, 0x00, 0x00, 0x2A]
    let options = parse(golden)
    #expect(options.hasTimestamps && options.timestampValue == 0xDEAD_BEEF && options.timestampEcho == 42)
    #expect(options.byteCount == 12)
    let bytes = written(12) { options.write(to: &$0, at: 0) }
    #expect(bytes == golden)
  }

  @Test("RFC 2018 section 3: SACK blocks behind timestamps")
  func sack() {
    let golden: [UInt8] =
      [0x01, 0x01, 0x08, 0x0A, 0, 0, 0, 1, 0, 0, 0, 2, 0x01, 0x01, 0x05, 0x12]
      + [0, 0, 0x10, 0, 0, 0, 0x20, 0, 0xFF, 0xFF, 0xFF, 0xF0, 0, 0, 0, 0x10]
    let options = parse(golden)
    #expect(options.sackBlockCount == 2)
    #expect(
      options.sackBlocks[0] == SACKBlock(start: SequenceNumber(0x1000), end: SequenceNumber(0x2000)))
    #expect(options.sackBlocks[1] == SACKBlock(start: SequenceNumber(0xFFFF_FFF0), end: SequenceNumber(0x10)))
    #expect(options.byteCount == 32)
    let bytes = written(32) { options.write(to: &$0, at: 0) }
    #expect(bytes == golden)
  }

  @Test("RFC 2018 section 3: four SACK blocks without timestamps, three with; never over 40 bytes")
  func sackLimit() {
    var options = TCPOptions()
    options.sackBlockCount = 4
    for index in 0..<4 {
      options.sackBlocks[index] = SACKBlock(
        start: SequenceNumber(UInt32(index)), end: SequenceNumber(UInt32(index + 100)))
    }
    #expect(options.byteCount == 36)
    #expect(parse(written(36) { options.write(to: &$0, at: 0) }).sackBlockCount == 4)
    options.hasTimestamps = true
    #expect(options.byteCount == 40)
    let bytes = written(40) { options.write(to: &$0, at: 0) }
    #expect(bytes[15] == 26)
    #expect(parse(bytes).sackBlockCount == 3)
  }

  @Test("RFC 7323 section 2.3: a window scale over 14 is taken as 14")
  func windowScale() {
    #expect(parse([3, 3, 15]).windowScale == 14)
    #expect(parse([3, 3, 255]).windowScale == 14)
  }

  @Test("An option of length 0 or 1 ends the list and does not loop", arguments: [0, 1] as [UInt8])
  func lengthZero(length: UInt8) {
    let options = parse([2, 4, 5, 0xB4, 99, length, 3, 3, 7, 0, 0, 0])
    #expect(options.maximumSegmentSize == 1460)
    #expect(options.windowScale == nil)
    #expect(parse([8, length, 8, length]).hasTimestamps == false)
  }

  @Test("An option that reaches past the header ends the list; one of the wrong length is skipped")
  func malformed() {
    #expect(parse([8, 10, 0, 0]).hasTimestamps == false)
    #expect(parse([1, 1, 1, 2]).maximumSegmentSize == nil)
    let options = parse([2, 3, 9, 3, 3, 5, 0, 0])
    #expect(options.maximumSegmentSize == nil && options.windowScale == 5)
    #expect(parse([5, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).sackBlockCount == 0)
    #expect(parse([5, 2, 0, 0]).sackBlockCount == 0)
    #expect(parse([0, 3, 3, 7]).windowScale == nil)
  }

  @Test("RFC 5925 section 2.2: two signatures: none is believed, and no byte more is counted than is written")
  func signedTwice() {
    let signature: [UInt8] = [19, 18] + [UInt8](repeating: 7, count: 16)
    let options = parse(signature + [29, 4, 5, 6, 1, 1])
    #expect(options.isSigned && options.isSignedTwice)
    #expect(options.byteCount == 20)
    #expect(written(20) { options.write(to: &$0, at: 0) } == [1, 1] + signature)
  }

  @Test("Any bytes are taken: 20,000 random option areas of every length")
  func anyBytes() {
    for seed in 0..<20_000 {
      var bytes = noise(20 + 4 * (seed % 11), seed: UInt64(seed))
      for index in 20..<bytes.count where bytes[index] > 0x20 { bytes[index] &= 0x0F }
      let options = TCPOptions(parsing: bytes.raw, headerByteCount: bytes.count)
      #expect(options.sackBlockCount <= 4)
      #expect((options.windowScale ?? 0) <= 14)
    }
  }
}
