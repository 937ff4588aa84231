import Digests
import Wire

/// How TCP-AO makes traffic keys and codes (RFC 5926 section 3).
enum AuthenticationAlgorithm: Sendable {
  /// KDF_HMAC_SHA1 and HMAC-SHA-1-96.
  case hmacSHA1
  /// KDF_AES_128_CMAC and AES-128-CMAC-96.
  case cmacAES128

  /// Bytes of a traffic key, and of a code that is not cut.
  var byteCount: Int {
    switch self {
    case .hmacSHA1: 20
    case .cmacAES128: 16
    }
  }

  /// As Linux's crypto layer calls it.
  var name: String {
    switch self {
    case .hmacSHA1: "hmac(sha1)"
    case .cmacAES128: "cmac(aes)"
    }
  }
}

/// A key of one direction of one connection (RFC 5925 section 5.2).
struct TrafficKey: Hashable, Sendable {
  var algorithm: AuthenticationAlgorithm
  private var words: InlineArray<20, UInt8>

  init(_ algorithm: AuthenticationAlgorithm, _ code: AuthenticationCode) {
    self.algorithm = algorithm
    words = code
  }

  var bytes: [UInt8] { (0..<algorithm.byteCount).map { words[$0] } }
  var block: AES128.Block {
    var block = AES128.Block(repeating: 0)
    for index in 0..<16 { block[index] = words[index] }
    return block
  }

  static func == (left: TrafficKey, right: TrafficKey) -> Bool { left.bytes == right.bytes }
  func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}

/// The ends of a connection as one of them sends, with the numbers that both began at (RFC 5925 section 5.2).
struct KeyContext {
  var source: IPv4Address
  var destination: IPv4Address
  var sourcePort: UInt16
  var destinationPort: UInt16
  var sourceInitial: SequenceNumber
  /// 0 for a SYN that is not an answer.
  var destinationInitial: SequenceNumber
}

/// A master key tuple (RFC 5925 section 3.1). Linux: `struct tcp_ao_key`.
struct MasterKey: Sendable {
  /// Never that of another key of the same socket.
  var serial = 0
  /// Whom it is for; 0.0.0.0/0 is everybody.
  var peers: IPv4Prefix
  /// What stands in segments that we sign with it.
  var sendID: UInt8
  /// What stands in segments that the peer signs with it.
  var receiveID: UInt8
  var algorithm: AuthenticationAlgorithm
  /// As traffic keys are made of it.
  private(set) var key: [UInt8]
  /// Bytes of a code on the wire.
  var codeByteCount: UInt8
  /// The code covers no other option (RFC 5925 section 5.1). Linux: `TCP_AO_KEYF_EXCLUDE_OPT`.
  var excludesOptions: Bool
  /// As they were set.
  var flags: UInt8
  var good: UInt64 = 0
  var bad: UInt64 = 0
  /// Of the connection that there is.
  var sending: TrafficKey?
  var receiving: TrafficKey?

  init(
    peers: IPv4Prefix, sendID: UInt8, receiveID: UInt8, algorithm: AuthenticationAlgorithm, key: [UInt8],
    codeByteCount: UInt8, flags: UInt8 = 0
  ) {
    self.peers = peers
    self.sendID = sendID
    self.receiveID = receiveID
    self.algorithm = algorithm
    self.codeByteCount = codeByteCount
    self.flags = flags
    excludesOptions = flags & 2 != 0
    self.key = key
    if algorithm == .cmacAES128 && key.count != 16 {
      // RFC 5926 3.1.1.2: a key of another length is its code under a key of zeros.
      var mac = AESCMAC(key: AES128.Block(repeating: 0))
      mac.update(key)
      let block = mac.finalize()
      self.key = (0..<16).map { block[$0] }
    }
  }

  /// Whether it is for an address, or prefixes overlap. Linux: `__tcp_ao_key_cmp()`.
  func matches(_ address: IPv4Address, length: Int = 32) -> Bool {
    if peers.address == .any || address == .any { return true }
    guard let common = IPv4Prefix(address, length: min(length, peers.length)) else { return false }
    return common.contains(peers.address)
  }

  /// RFC 5926 3.1.1. Linux: `tcp_v4_ao_calc_key()`.
  func trafficKey(_ context: KeyContext) -> TrafficKey {
    switch algorithm {
    case .hmacSHA1: return trafficKey(context, HMACSHA1(key: key))
    case .cmacAES128:
      var block = AES128.Block(repeating: 0)
      for index in 0..<16 { block[index] = key[index] }
      return trafficKey(context, AESCMAC(key: block))
    }
  }

  private func trafficKey(_ context: KeyContext, _ function: some MessageAuthentication) -> TrafficKey {
    var function = function
    function.update(1)
    function.update(Array("TCP-AO".utf8))
    function.update(bigEndian: context.source.rawValue)
    function.update(bigEndian: context.destination.rawValue)
    function.update(bigEndian: UInt32(context.sourcePort) << 16 | UInt32(context.destinationPort))
    function.update(bigEndian: context.sourceInitial.rawValue)
    function.update(bigEndian: context.destinationInitial.rawValue)
    let bitCount = UInt16(algorithm.byteCount * 8)
    function.update(UInt8(bitCount >> 8))
    function.update(UInt8(truncatingIfNeeded: bitCount))
    return TrafficKey(algorithm, function.finalizeCode())
  }
}
