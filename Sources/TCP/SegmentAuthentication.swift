import Digests
import SkBuff
import Wire

/// What signs a segment, or nothing.
enum SegmentSigning {
  case none
  /// RFC 2385.
  case signature([UInt8])
  /// RFC 5925.
  case authentication(SegmentAuthentication)

  init(_ key: [UInt8]?) {
    self = key.map { .signature($0) } ?? .none
  }

  /// Bytes of options that it takes.
  var optionByteCount: Int {
    switch self {
    case .none: 0
    case .signature: SegmentSignature.optionByteCount
    case .authentication(let authentication): authentication.option.optionByteCount
    }
  }
}

/// What TCP-AO needs for the code of one segment.
struct SegmentAuthentication {
  var option: AuthenticationOption
  var key: TrafficKey
  /// How often the sequence number had wrapped by then (RFC 5925 section 6.2).
  var extension32: UInt32
  var excludesOptions: Bool
}

extension SkBuff {
  /// The code of a segment that begins with its header: over the sequence number's extension, the addresses, the header with
  /// a checksum and a code of zero, and the data (RFC 5925 section 5.1). Linux: `tcp_ao_hash_skb()`.
  func code(
    from source: IPv4Address, to destination: IPv4Address, headerByteCount: Int, _ with: SegmentAuthentication
  ) -> AuthenticationCode {
    switch with.key.algorithm {
    case .hmacSHA1:
      code(
        HMACSHA1(key: with.key.bytes), from: source, to: destination, headerByteCount: headerByteCount, with)
    case .cmacAES128:
      code(
        AESCMAC(key: with.key.block), from: source, to: destination, headerByteCount: headerByteCount, with)
    }
  }

  private func code(
    _ function: some MessageAuthentication, from source: IPv4Address, to destination: IPv4Address,
    headerByteCount: Int, _ with: SegmentAuthentication
  ) -> AuthenticationCode {
    var function = function
    function.update(bigEndian: with.extension32)
    function.update(bigEndian: source.rawValue)
    function.update(bigEndian: destination.rawValue)
    function.update(bigEndian: UInt32(IPProtocol.tcp.rawValue) << 16 | UInt32(truncatingIfNeeded: length))
    let bytes = linear
    let codeStart = Int(with.option.offset)
    let codeEnd = codeStart + Int(with.option.codeByteCount)
    for offset in 0..<headerByteCount {
      let isChecksum = offset / 2 * 2 == TCPHeader.Offset.checksum
      let isCode = (codeStart..<codeEnd).contains(offset)
      let isOther = offset >= TCPHeader.minimumByteCount && !(codeStart - 4..<codeEnd).contains(offset)
      if with.excludesOptions && isOther { continue }
      function.update(isChecksum || isCode ? 0 : bytes.load8(offset))
    }
    forEachSpan(from: headerByteCount, count: length - headerByteCount) { function.update($0) }
    return function.finalizeCode()
  }

  /// Whether the code in the header is the right one; how long it takes does not tell which byte is wrong.
  func hasCode(
    from source: IPv4Address, to destination: IPv4Address, headerByteCount: Int, _ with: SegmentAuthentication
  ) -> Bool {
    let right = code(from: source, to: destination, headerByteCount: headerByteCount, with)
    let bytes = linear
    var difference: UInt8 = 0
    for index in 0..<Int(with.option.codeByteCount) {
      difference |= bytes.load8(Int(with.option.offset) + index) ^ right[index]
    }
    return difference == 0
  }
}
