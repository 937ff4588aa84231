/// A TCP segment in a frame, for whoever looks at it on the way and changes it. Its own reading of the formats, from the RFCs:
/// nothing of the code under test.
struct Segment {
  private(set) var bytes: [UInt8]
  /// Where the TCP header and the payload begin, and where the payload ends.
  private let header: Int
  private(set) var start: Int
  private(set) var end: Int

  /// `nil`: no whole TCP segment over IPv4.
  init?(_ frame: [UInt8]) {
    guard frame.count >= 54, frame[12] == 8, frame[13] == 0, frame[14] >> 4 == 4, frame[23] == 6,
      frame[20] & 0x3F == 0, frame[21] == 0
    else { return nil }
    bytes = frame
    header = 14 + Int(frame[14] & 15) * 4
    end = 14 + (Int(frame[16]) << 8 | Int(frame[17]))
    guard header + 20 <= end, end <= frame.count else { return nil }
    start = header + Int(frame[header + 12] >> 4) * 4
    guard start >= header + 20, start <= end else { return nil }
  }

  var payload: ArraySlice<UInt8> { bytes[start..<end] }
  var source: UInt16 {
    get { word(header) }
    set { setWord(newValue, header) }
  }
  var destination: UInt16 {
    get { word(header + 2) }
    set { setWord(newValue, header + 2) }
  }
  var sequence: UInt32 {
    get { long(header + 4) }
    set { setLong(newValue, header + 4) }
  }
  var acknowledgment: UInt32 {
    get { long(header + 8) }
    set { setLong(newValue, header + 8) }
  }
  var flags: UInt8 {
    get { bytes[header + 13] }
    set { bytes[header + 13] = newValue }
  }
  var window: UInt16 {
    get { word(header + 14) }
    set { setWord(newValue, header + 14) }
  }
  var isSYN: Bool { flags & 2 != 0 }
  var isACK: Bool { flags & 0x10 != 0 }
  /// What follows the last number that the segment takes.
  var endSequence: UInt32 {
    sequence &+ UInt32(end - start) &+ (isSYN ? 1 : 0) &+ (flags & 1 != 0 ? 1 : 0)
  }
  var optionByteCount: Int { start - header - 20 }
  /// Nothing but an acknowledgment.
  var isPureACK: Bool { flags & 0x17 == 0x10 && start == end }

  /// Where the options of a kind are, with their lengths.
  func option(_ kind: UInt8) -> Range<Int>? {
    var place = header + 20
    while place < start {
      let found = bytes[place]
      if found == 0 { return nil }
      if found == 1 {
        place += 1
        continue
      }
      guard place + 1 < start, bytes[place + 1] >= 2, place + Int(bytes[place + 1]) <= start else {
        return nil
      }
      if found == kind { return place..<place + Int(bytes[place + 1]) }
      place += Int(bytes[place + 1])
    }
    return nil
  }

  /// Writes no-operations over the options of these kinds.
  mutating func blank(_ kinds: [UInt8]) {
    for kind in kinds {
      while let place = option(kind) { for index in place { bytes[index] = 1 } }
    }
  }

  mutating func setOptionWord(_ value: UInt16, at place: Int) { setWord(value, place) }
  mutating func setOptionLong(_ value: UInt32, at place: Int) { setLong(value, place) }

  /// Keeps so many of the payload's bytes, from one on.
  mutating func keep(from first: Int, count: Int) {
    bytes.removeSubrange(start + first + count..<bytes.count)
    bytes.removeSubrange(start..<start + first)
    end = start + count
    setWord(UInt16(end - 14), 16)
  }

  mutating func append(_ more: ArraySlice<UInt8>) {
    bytes.removeSubrange(end..<bytes.count)
    bytes.append(contentsOf: more)
    end = bytes.count
    setWord(UInt16(end - 14), 16)
  }

  /// The frame, its sums made anew.
  func frame() -> [UInt8] {
    var whole = self
    whole.setWord(0, 24)
    whole.setWord(Self.sum(whole.bytes[14..<header]), 24)
    whole.setWord(0, header + 16)
    var pseudo: UInt64 = UInt64(6 + end - header)
    for place in stride(from: 26, to: 34, by: 2) { pseudo += UInt64(word(place)) }
    whole.setWord(Self.sum(whole.bytes[header..<end], pseudo), header + 16)
    return whole.bytes
  }

  /// RFC 1071.
  static func sum(_ bytes: ArraySlice<UInt8>, _ begin: UInt64 = 0) -> UInt16 {
    var total = begin
    var isHigh = true
    for byte in bytes {
      total += isHigh ? UInt64(byte) << 8 : UInt64(byte)
      isHigh.toggle()
    }
    while total >> 16 != 0 { total = (total & 0xFFFF) + (total >> 16) }
    return ~UInt16(truncatingIfNeeded: total)
  }

  private func word(_ place: Int) -> UInt16 { UInt16(bytes[place]) << 8 | UInt16(bytes[place + 1]) }
  private func long(_ place: Int) -> UInt32 { UInt32(word(place)) << 16 | UInt32(word(place + 2)) }
  private mutating func setWord(_ value: UInt16, _ place: Int) {
    bytes[place] = UInt8(truncatingIfNeeded: value >> 8)
    bytes[place + 1] = UInt8(truncatingIfNeeded: value)
  }
  private mutating func setLong(_ value: UInt32, _ place: Int) {
    setWord(UInt16(truncatingIfNeeded: value >> 16), place)
    setWord(UInt16(truncatingIfNeeded: value), place + 2)
  }
}
