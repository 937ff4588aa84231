/// A range of sequence space that a SACK block reports: `start` inclusive, `end` exclusive (RFC 2018).
@frozen
public struct SACKBlock: Hashable, Sendable {
  public var start: SequenceNumber
  public var end: SequenceNumber
  @inlinable public init(start: SequenceNumber, end: SequenceNumber) {
    self.start = start
    self.end = end
  }
}

/// The TCP options this stack understands (RFC 9293 3.2, RFC 7323, RFC 2018).
@frozen
public struct TCPOptions: Sendable {
  /// Option kinds as assigned by IANA.
  public enum Kind {
    public static let endOfList: UInt8 = 0
    public static let noOperation: UInt8 = 1
    public static let maximumSegmentSize: UInt8 = 2
    public static let windowScale: UInt8 = 3
    public static let sackPermitted: UInt8 = 4
    public static let sack: UInt8 = 5
    public static let timestamps: UInt8 = 8
    public static let signature: UInt8 = 19
    public static let authentication: UInt8 = 29
    public static let fastOpen: UInt8 = 34
    /// RFC 9768, ECT(0) and ECT(1) first.
    public static let accurateECN0: UInt8 = 172
    public static let accurateECN1: UInt8 = 174
    /// Shared by experiments, each with a magic number (RFC 6994).
    public static let experiment: UInt8 = 254
  }

  /// Linux: `TCPOLEN_MD5SIG`.
  private static let signatureLength = 18

  /// Room for all of them in a header (RFC 9293 section 3.1).
  public static let maximumByteCount = 40

  public var maximumSegmentSize: UInt16?
  /// Shift count, at most 14 (RFC 7323 section 2.3).
  public var windowScale: UInt8?
  public var sackPermitted = false
  public var hasTimestamps = false
  public var timestampValue: UInt32 = 0
  public var timestampEcho: UInt32 = 0
  public var sackBlockCount = 0
  public var sackBlocks: InlineArray<4, SACKBlock> = .init(
    repeating: SACKBlock(start: SequenceNumber(0), end: SequenceNumber(0)))
  /// RFC 2385.
  public var signature: SegmentSignature?
  /// RFC 5925.
  public var authentication: AuthenticationOption?
  /// More than one option says who has signed: none is believed. Linux: `tcp_parse_auth_options()`.
  public private(set) var isSignedTwice = false
  /// An option cannot have its length, and a signature could still stand behind it: such a segment is nobody's. Linux:
  /// `tcp_do_parse_auth_options()`, without CONFIG_TCP_AO.
  public private(set) var isMalformed = false
  /// Bytes behind all others that somebody else fills, a multiple of 4; written as no-operations.
  public var extraByteCount: UInt8 = 0
  /// Of a SYN (RFC 7413).
  public var fastOpen: FastOpenCookie?
  /// RFC 9768.
  public var accurateECN: AccurateECNOption?

  @inlinable public init() {}

  /// Reads the options between the fixed header and the data. Any bytes are taken: a length under 2 or past the end
  /// ends the list, and may make it malformed; an option of unexpected length is skipped.
  ///
  /// - Parameter bytes: the whole TCP header of `headerByteCount` bytes.
  @inlinable public init(parsing bytes: RawSpan, headerByteCount: Int) {
    self.init()
    // The layout Linux and this stack send on every established segment: NOP NOP TS, and nothing else.
    if headerByteCount == 32, bytes.load32(TCPHeader.Offset.options) == 0x0101_080A {
      hasTimestamps = true
      timestampValue = bytes.load32(TCPHeader.Offset.options + 4)
      timestampEcho = bytes.load32(TCPHeader.Offset.options + 8)
      return
    }
    parseSlowly(bytes, headerByteCount)
  }

  @usableFromInline mutating func parseSlowly(_ bytes: RawSpan, _ end: Int) {
    var offset = TCPHeader.minimumByteCount
    while offset < end {
      let kind = bytes.load8(offset)
      if kind == Kind.endOfList { return }
      if kind == Kind.noOperation {
        offset += 1
        continue
      }
      guard offset + 1 < end else { return }
      let length = Int(bytes.load8(offset + 1))
      let isLong = end - offset >= Self.signatureLength
      guard length >= 2, offset + length <= end else {
        isMalformed = isMalformed || isLong
        return
      }
      switch (kind, length) {
      case (Kind.maximumSegmentSize, 4): maximumSegmentSize = bytes.load16(offset + 2)
      case (Kind.windowScale, 3): windowScale = min(bytes.load8(offset + 2), 14)
      case (Kind.sackPermitted, 2): sackPermitted = true
      case (Kind.timestamps, 10):
        hasTimestamps = true
        timestampValue = bytes.load32(offset + 2)
        timestampEcho = bytes.load32(offset + 6)
      case (Kind.sack, let length) where length >= 10 && (length - 2) % 8 == 0:
        sackBlockCount = min((length - 2) / 8, 4)
        for index in 0..<sackBlockCount {
          let at = offset + 2 + index * 8
          sackBlocks[index] = SACKBlock(
            start: SequenceNumber(bytes.load32(at)), end: SequenceNumber(bytes.load32(at + 4)))
        }
      case (Kind.signature, Self.signatureLength):
        if isSigned { isSignedTwice = true }
        signature = SegmentSignature(parsing: bytes, at: offset + 2)
      case (Kind.signature, _) where isLong: isMalformed = true
      case (Kind.authentication, 4...):
        if isSigned { isSignedTwice = true }
        authentication = AuthenticationOption(parsing: bytes, at: offset, length: length)
      case (Kind.fastOpen, _):
        fastOpen = FastOpenCookie(parsing: bytes, at: offset + 2, count: length - 2, isExperimental: false)
      case (Kind.accurateECN0, _), (Kind.accurateECN1, _):
        accurateECN = AccurateECNOption(parsing: bytes, at: offset, length: length)
      case (Kind.experiment, 4...) where bytes.load16(offset + 2) == FastOpenCookie.magic:
        fastOpen = FastOpenCookie(parsing: bytes, at: offset + 4, count: length - 4, isExperimental: true)
      default: break
      }
      offset += length
    }
  }

  /// Somebody says who sent the segment.
  @inlinable public var isSigned: Bool { signature != nil || authentication != nil }

  /// Bytes that it takes to say so. Of two that a stranger sent `write` writes the signature, and it is counted.
  @inlinable var signedByteCount: Int {
    if signature != nil { return SegmentSignature.optionByteCount }
    return authentication?.optionByteCount ?? 0
  }

  /// How many bytes `write` takes: a multiple of 4, at most 40.
  @inlinable public var byteCount: Int {
    var count = signedByteCount + Int(extraByteCount)
    if maximumSegmentSize != nil { count += 4 }
    if hasTimestamps { count += 12 } else if sackPermitted { count += 4 }
    if windowScale != nil { count += 4 }
    if writtenBlockCount > 0 { count += 4 + 8 * writtenBlockCount }
    if let fastOpen { count += fastOpen.optionByteCount }
    if let accurateECN { count += accurateECN.byteCount(freeBytes: accurateRoom(of: writtenBlockCount)) }
    return count
  }
  /// Beside timestamps three blocks fit (RFC 2018 section 3), beside a signature two; more are not written.
  @inlinable var writtenBlockCount: Int {
    if sackBlockCount == 0 { return 0 }
    var room = Self.maximumByteCount - 4 - signedByteCount - Int(extraByteCount) - (hasTimestamps ? 12 : 0)
    if let accurateECN { room -= accurateECN.byteCount(freeBytes: 2) }
    return min(sackBlockCount, max(0, room) / 8)
  }

  /// No-operations behind it, in front of another option, that the end of the AccECN option may stand in instead.
  @inlinable func accurateRoom(of blocks: Int) -> Int {
    if blocks > 0 || sackPermitted && !hasTimestamps { return 2 }
    return windowScale == nil ? 0 : 1
  }

  /// Adds the AccECN option with as many counters as there is room for. Where not even `least` have it a block of three or
  /// more SACK blocks makes way, as other segments tell of it, too (RFC 9768 section 3.2.3.3).
  /// Linux: `tcp_options_fit_accecn()`.
  ///
  /// - Parameters:
  ///   - least: how many counters it is to have.
  ///   - reserved: bytes that are somebody else's.
  /// - Returns: whether it fits.
  @discardableResult
  public mutating func fit(_ option: AccurateECNOption, least: Int, reserving reserved: Int) -> Bool {
    let blocks = sackBlockCount
    while true {
      let room = Self.maximumByteCount - reserved - byteCount
      for count in stride(from: AccurateECNOption.fieldCount, through: least, by: -1) {
        var shorter = option
        shorter.count = UInt8(count)
        if shorter.byteCount(freeBytes: accurateRoom(of: sackBlockCount)) <= room {
          accurateECN = shorter
          return true
        }
      }
      guard least > 0, sackBlockCount > 2 else { break }
      sackBlockCount -= 1
    }
    sackBlockCount = blocks
    return false
  }

  /// Writes the options in the order Linux writes them, each padded to 4 bytes. Linux: `tcp_options_write()`.
  ///
  /// - Parameter offset: where in `bytes` the options begin.
  @inlinable public func write(to bytes: inout MutableRawSpan, at offset: Int) {
    var at = offset
    if let signature {
      bytes.store32(0x0101_1312, at)
      signature.writeDigest(to: &bytes, at: at + 4)
      at += SegmentSignature.optionByteCount
    } else if let authentication {
      authentication.write(to: &bytes, at: at)
      at += authentication.optionByteCount
    }
    if let maximumSegmentSize {
      bytes.store32(0x0204_0000 | UInt32(maximumSegmentSize), at)
      at += 4
    }
    if hasTimestamps {
      // SACK-permitted takes the place of the two no-operations on a SYN.
      bytes.store32(sackPermitted ? 0x0402_080A : 0x0101_080A, at)
      bytes.store32(timestampValue, at + 4)
      bytes.store32(timestampEcho, at + 8)
      at += 12
    }
    var padding: UInt32 = 0x0101
    if let accurateECN { at += accurateECN.write(to: &bytes, at: at, ending: &padding) }
    if sackPermitted && !hasTimestamps {
      bytes.store32(padding << 16 | 0x0402, at)
      padding = 0x0101
      at += 4
    }
    if let windowScale {
      // One byte alone may stand here, two may not be torn apart.
      let isOne = padding & 0xFF == 0x01
      bytes.store32((isOne ? padding >> 8 : 0x01) << 24 | 0x0003_0300 | UInt32(windowScale), at)
      if isOne { padding = 0x0101 }
      at += 4
    }
    if writtenBlockCount > 0 {
      bytes.store32(padding << 16 | 0x0500 | UInt32(2 + 8 * writtenBlockCount), at)
      padding = 0x0101
      at += 4
      for index in 0..<writtenBlockCount {
        bytes.store32(sackBlocks[index].start.rawValue, at)
        bytes.store32(sackBlocks[index].end.rawValue, at + 4)
        at += 8
      }
    }
    if let fastOpen {
      fastOpen.write(to: &bytes, at: at)
      at += fastOpen.optionByteCount
    }
    if padding != 0x0101 {
      bytes.store32(padding << 16 | 0x0101, at)
      at += 4
    }
    for _ in 0..<extraByteCount / 4 {
      bytes.store32(0x0101_0101, at)
      at += 4
    }
  }
}
