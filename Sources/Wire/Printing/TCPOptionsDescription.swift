extension TCPOptions: CustomStringConvertible {
  /// In the order in which `write` writes them: `mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7`.
  public var description: String {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var span = bytes.mutableSpan
    // Safe: any byte is a valid `UInt8`.
    var raw = unsafe span.mutableBytes
    write(to: &raw, at: 0)
    return unsafe Self.describe(bytes.span.bytes)
  }

  /// The options of a segment in tcpdump's words and the order of the wire. Any bytes are taken.
  ///
  /// - Parameter bytes: what lies between the fixed header and the data.
  public static func describe(_ bytes: RawSpan) -> String {
    var words: [String] = []
    var offset = 0
    while offset < bytes.byteCount {
      let kind = bytes.load8(offset)
      if kind == Kind.endOfList {
        words.append("eol")
        break
      }
      if kind == Kind.noOperation {
        words.append("nop")
        offset += 1
        continue
      }
      let length = offset + 1 < bytes.byteCount ? Int(bytes.load8(offset + 1)) : 0
      guard length >= 2, offset + length <= bytes.byteCount else {
        words.append("[bad opt]")
        break
      }
      words.append(describe(kind, bytes.extracting(offset + 2..<offset + length)))
      offset += length
    }
    return words.joined(separator: ",")
  }

  /// One option that has a length, by its value.
  private static func describe(_ kind: UInt8, _ value: RawSpan) -> String {
    switch (kind, value.byteCount) {
    case (Kind.maximumSegmentSize, 2): return "mss \(value.load16(0))"
    case (Kind.windowScale, 1): return "wscale \(value.load8(0))"
    case (Kind.sackPermitted, 0): return "sackOK"
    case (Kind.timestamps, 8): return "TS val \(value.load32(0)) ecr \(value.load32(4))"
    case (Kind.sack, let count) where count > 0 && count % 8 == 0:
      let blocks = stride(from: 0, to: count, by: 8).map { "{\(value.load32($0)):\(value.load32($0 + 4))}" }
      return "sack \(count / 8) " + blocks.joined()
    case (Kind.signature, 16): return "md5 \(digits(value))"
    case (Kind.authentication, 2...):
      let code = value.extracting(2..<value.byteCount)
      return "ao keyid \(value.load8(0)) rnextkeyid \(value.load8(1)) mac 0x\(digits(code))"
    case (Kind.fastOpen, 0): return "tfo cookiereq"
    case (Kind.fastOpen, _): return "tfo cookie \(digits(value))"
    case (Kind.experiment, 2...) where value.load16(0) == FastOpenCookie.magic:
      let rest = value.extracting(2..<value.byteCount)
      return rest.byteCount == 0 ? "exp-tfo cookiereq" : "exp-tfo cookie \(digits(rest))"
    default:
      let name = "unknown-\(kind)"
      return value.byteCount == 0 ? name : "\(name) 0x\(digits(value))"
    }
  }

  private static func digits(_ value: RawSpan) -> String {
    (0..<value.byteCount).map { Hexadecimal.digits(UInt64(value.load8($0)), count: 2) }.joined()
  }
}
