import Internet
import NetNamespace
import TCP
import Wire

/// Options of RFC 2385, which can only be set. Linux: `tcp_v4_parse_md5_keys()`.
extension OptionTable {
  mutating func addSignatures() {
    add(
      TCPOptionName.signatureKey, "TCP_MD5SIG", .signatureKey, get: nil,
      set: { (request, id, layer, host) throws(Errno) in
        try request.set(id, &layer, isExtended: false, host: host)
      })
    add(
      TCPOptionName.signatureKeyForPrefix, "TCP_MD5SIG_EXT", .signatureKey, get: nil,
      set: { (request, id, layer, host) throws(Errno) in
        try request.set(id, &layer, isExtended: true, host: host)
      })
  }
}

/// `struct tcp_md5sig`:
/// ```
///  | sockaddr_storage, 128 bytes | flags | prefix length | key length, 2 | interface, 4 | key, 80 |
/// ```
struct SignatureKeyRequest: Sendable {
  static let byteCount = 216
  /// Linux: `TCP_MD5SIG_FLAG_PREFIX`, `TCP_MD5SIG_FLAG_IFINDEX`.
  static let hasPrefix: UInt8 = 1
  static let hasInterface: UInt8 = 2

  var family: UInt16
  var address: IPv4Address
  var flags: UInt8
  var prefixLength: UInt8
  var keyLength: UInt16
  var interface: Int32
  var key: [UInt8]

  func set(
    _ id: SocketID, _ layer: inout SocketLayer, isExtended: Bool, host: borrowing Host
  ) throws(Errno) {
    guard family == AddressFamily.inet.rawValue else { throw .EINVAL }
    var length = 32
    if isExtended && flags & Self.hasPrefix != 0 {
      length = Int(prefixLength)
      guard length <= 32 else { throw .EINVAL }
    }
    // It has to be a device that routes for others (VRF), of which there are none.
    if isExtended && flags & Self.hasInterface != 0 && interface != 0 { throw .EINVAL }
    guard Int(keyLength) <= TCPLayer.longestSignatureKey, let peers = IPv4Prefix(address, length: length)
    else { throw .EINVAL }
    try layer.tcp.setSignatureKey(id, for: peers, Array(key[..<Int(keyLength)]))
  }
}

extension OptionType<SignatureKeyRequest> {
  fileprivate static let signatureKey = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= SignatureKeyRequest.byteCount else { throw .EINVAL }
      return SignatureKeyRequest(
        family: HostOrder.load16(bytes, 0), address: bytes.loadIPv4(4), flags: bytes.load8(128),
        prefixLength: bytes.load8(129), keyLength: HostOrder.load16(bytes, 130),
        interface: HostOrder.loadInt(bytes, 132), key: (0..<80).map { bytes.load8(136 + $0) })
    },
    encode: { (_) in [] })
}
