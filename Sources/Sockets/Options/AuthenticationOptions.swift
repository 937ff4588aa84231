import Internet
import NetNamespace
import TCP
import Wire

/// Options of TCP-AO (RFC 5925). Linux: `tcp_parse_ao()`, `tcp_ao_copy_mkts_to_user()`, `tcp_ao_get_sock_info()`.
extension OptionTable {
  mutating func addAuthentication() {
    add(
      TCPOptionName.authenticationAddKey, "TCP_AO_ADD_KEY", .authenticationKey, get: nil,
      set: { (request, id, layer, _) throws(Errno) in try layer.tcp.addAuthenticationKey(id, request) })
    add(
      TCPOptionName.authenticationDeleteKey, "TCP_AO_DEL_KEY", .authenticationRemoval, get: nil,
      set: { (removal, id, layer, _) throws(Errno) in
        if removal.isAsynchronous, try layer.tcp.state(id) != .listen { throw .EINVAL }
        try layer.tcp.removeAuthenticationKey(
          id, removal.peers, sendID: removal.sendID, receiveID: removal.receiveID, current: removal.current,
          next: removal.next)
      })
    add(
      SocketOption(
        name: TCPOptionName.authenticationInfo, label: "TCP_AO_INFO", takers: .all, refusal: .ENOPROTOOPT,
        read: { (id, layer, _, _) throws(Errno) in
          OptionType<AuthenticationSettings>.bytes(try layer.tcp.authentication(id))
        },
        set: { (bytes, id, layer, _) throws(Errno) in
          try layer.tcp.setAuthentication(id, OptionType<AuthenticationSettings>.settings(bytes))
        }))
    add(
      SocketOption(
        name: TCPOptionName.authenticationKeys, label: "TCP_AO_GET_KEYS", takers: .all, refusal: .ENOPROTOOPT,
        // Which keys are asked for stands in the caller's bytes, and none are brought along.
        read: { (_, _, _, _) throws(Errno) in throw .EINVAL }, set: nil,
        answer: { (question, id, layer, _, room) throws(Errno) in
          let question = try KeyQuestion(question)
          return question.answer(try layer.tcp.authenticationKeys(id), room: room)
        }))
    add(
      SocketOption(
        name: TCPOptionName.authenticationRepair, label: "TCP_AO_REPAIR", takers: .tcp, refusal: .ENOPROTOOPT,
        read: { (id, layer, _, _) throws(Errno) in
          try layer.checkRepair(id)
          return try layer.tcp.authenticationRepair(id).bytes
        },
        set: { (bytes, id, layer, _) throws(Errno) in
          try layer.checkRepair(id)
          try layer.tcp.setAuthenticationRepair(id, try AuthenticationRepair(bytes))
        }))
  }
}

/// Bytes of a struct that may be shorter than it is, the rest being zeros, or longer, the rest then being zeros.
/// Linux: `copy_struct_from_sockptr()`.
private struct StructBytes {
  let bytes: [UInt8]

  init(_ span: RawSpan, _ byteCount: Int) throws(Errno) {
    var bytes = (0..<min(span.byteCount, byteCount)).map { span.load8($0) }
    for offset in min(span.byteCount, byteCount)..<span.byteCount where span.load8(offset) != 0 {
      throw Errno(rawValue: 7)
    }
    bytes += [UInt8](repeating: 0, count: byteCount - bytes.count)
    self.bytes = bytes
  }

  subscript(offset: Int) -> UInt8 { bytes[offset] }
  func load16(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 }
  func load32(_ offset: Int) -> UInt32 { UInt32(load16(offset)) | UInt32(load16(offset + 2)) << 16 }
  func load64(_ offset: Int) -> UInt64 { UInt64(load32(offset)) | UInt64(load32(offset + 4)) << 32 }

  /// `struct sockaddr_in` at the start.
  var family: UInt16 { load16(0) }
  var port: UInt16 { load16(2) }
  var address: IPv4Address { IPv4Address(bytes[4], bytes[5], bytes[6], bytes[7]) }
}

/// `struct tcp_ao_repair`: the numbers of the SYNs as they are on the wire, the upper halves as the host has numbers.
extension AuthenticationRepair {
  fileprivate init(_ span: RawSpan) throws(Errno) {
    guard span.byteCount >= 16 else { throw .EINVAL }
    let bytes = try StructBytes(span, 16)
    self.init(
      localInitial: bytes.load32(0).byteSwapped, remoteInitial: bytes.load32(4).byteSwapped,
      sentExtension: bytes.load32(8), receivedExtension: bytes.load32(12))
  }

  fileprivate var bytes: [UInt8] {
    [localInitial.byteSwapped, remoteInitial.byteSwapped, sentExtension, receivedExtension].flatMap {
      SocketOptionValue.bytes($0)
    }
  }
}

extension OptionType<AuthenticationKeyRequest> {
  /// `struct tcp_ao_add`:
  /// ```
  ///  | sockaddr_storage, 128 bytes | algorithm's name, 64 | interface, 4 | set current, set rnext, 4 | 0, 2 |
  ///  | prefix | SendID | RecvID | code length | flags | key length | key, 80 |
  /// ```
  fileprivate static let authenticationKey = OptionType(
    decode: { (span) throws(Errno) in
      guard span.byteCount >= 288 else { throw .EINVAL }
      let bytes = try StructBytes(span, 288)
      let bits = bytes.load32(196)
      let (prefix, flags, keyLength) = (Int(bytes[202]), bytes[206], Int(bytes[207]))
      guard keyLength <= 80, bits >> 2 == 0, bytes.load16(200) == 0 else { throw .EINVAL }
      guard bytes.family == AddressFamily.inet.rawValue, bytes.port == 0 else { throw .EINVAL }
      guard let peers = IPv4Prefix(bytes.address, length: prefix), (peers.address == .any) == (prefix == 0),
        peers.network == peers.address
      else { throw .EINVAL }
      // A device would have to be one that routes for others (VRF), of which there are none.
      guard flags & ~3 == 0, bytes.load32(192) == 0 else { throw .EINVAL }
      let usesCMAC = try algorithm(bytes, keyLength: keyLength)
      let codeByteCount = bytes[205] == 0 ? 12 : bytes[205]
      // Beside it time stamps, window scale and SACK-permitted have to find room in a SYN.
      guard AuthenticationOption(keyID: 0, nextKeyID: 0, codeByteCount: codeByteCount).optionByteCount <= 20
      else { throw .EMSGSIZE }
      return AuthenticationKeyRequest(
        peers: peers, sendID: bytes[203], receiveID: bytes[204], usesCMAC: usesCMAC,
        key: Array(bytes.bytes[208..<208 + keyLength]), codeByteCount: codeByteCount, flags: flags,
        asCurrent: bits & 1 != 0, asNext: bits & 2 != 0)
    },
    encode: { (_) in [] })

  /// - Throws: `ENOENT`: the crypto layer has no such one.
  private static func algorithm(_ bytes: StructBytes, keyLength: Int) throws(Errno) -> Bool {
    let name = bytes.bytes[128..<191].prefix { $0 != 0 }
    switch String(decoding: name, as: UTF8.self) {
    case "hmac(sha1)": return false
    case "cmac(aes128)": return true
    case "cmac(aes)":
      guard keyLength == 16 else { throw .EINVAL }
      return true
    default: throw .ENOENT
    }
  }
}

/// `struct tcp_ao_del`.
struct AuthenticationRemoval: Sendable {
  var peers: IPv4Prefix
  var sendID: UInt8
  var receiveID: UInt8
  var current: UInt8?
  var next: UInt8?
  var isAsynchronous: Bool
}

extension OptionType<AuthenticationRemoval> {
  /// ```
  ///  | sockaddr_storage, 128 bytes | interface, 4 | set current, set rnext, asynchronous, 4 | 0, 2 |
  ///  | prefix | SendID | RecvID | current | rnext | flags |
  /// ```
  fileprivate static let authenticationRemoval = OptionType(
    decode: { (span) throws(Errno) in
      guard span.byteCount >= 144 else { throw .EINVAL }
      let bytes = try StructBytes(span, 144)
      let bits = bytes.load32(132)
      guard bits >> 3 == 0, bytes.load16(136) == 0, bytes.port == 0, bytes[143] & ~1 == 0 else {
        throw .EINVAL
      }
      guard bytes.load32(128) == 0 else { throw .EINVAL }
      guard bytes.family == AddressFamily.inet.rawValue,
        let peers = IPv4Prefix(bytes.address, length: Int(bytes[138]))
      else { throw .ENOENT }
      return AuthenticationRemoval(
        peers: peers, sendID: bytes[139], receiveID: bytes[140], current: bits & 1 != 0 ? bytes[141] : nil,
        next: bits & 2 != 0 ? bytes[142] : nil, isAsynchronous: bits & 4 != 0)
    },
    encode: { (_) in [] })
}

extension OptionType<AuthenticationSettings> {
  /// `struct tcp_ao_info_opt`:
  /// ```
  ///  | set current, set rnext, required, set counters, accept ICMP, 4 bytes | 0, 2 | current | rnext |
  ///  | good, 8 | bad, 8 | key not found, 8 | required, 8 | dropped ICMP, 8 |
  /// ```
  fileprivate static func settings(_ span: RawSpan) throws(Errno) -> AuthenticationSettings {
    guard span.byteCount >= 48 else { throw .EINVAL }
    let bytes = try StructBytes(span, 48)
    let bits = bytes.load32(0)
    guard bits >> 5 == 0, bytes.load16(4) == 0 else { throw .EINVAL }
    return AuthenticationSettings(
      current: bits & 1 != 0 ? bytes[6] : nil, next: bits & 2 != 0 ? bytes[7] : nil,
      isRequired: bits & 4 != 0, acceptsICMP: bits & 16 != 0,
      counts: bits & 8 != 0 ? (0..<5).map { bytes.load64(8 + 8 * $0) } : nil)
  }

  fileprivate static func bytes(_ settings: AuthenticationSettings) -> [UInt8] {
    var bits: UInt32 = settings.current == nil ? 0 : 1
    if settings.next != nil { bits |= 2 }
    if settings.isRequired { bits |= 4 }
    if settings.acceptsICMP { bits |= 16 }
    return SocketOptionValue.bytes(bits) + [0, 0, settings.current ?? 0, settings.next ?? 0]
      + (settings.counts ?? []).flatMap { SocketOptionValue.bytes($0) }
  }
}

/// `struct tcp_ao_getsockopt`:
/// ```
///  | sockaddr_storage, 128 bytes | algorithm's name, 64 | key, 80 | number of keys, 4 | current, rnext, all, 2 |
///  | SendID | RecvID | prefix | code length | flags | key length | interface, 4 | good, 8 | bad, 8 |
/// ```
private struct KeyQuestion {
  static let byteCount = 304
  let peer: IPv4Address
  let prefix: Int
  let sendID: UInt8
  let receiveID: UInt8
  let wantsCurrent: Bool
  let wantsNext: Bool
  let wantsAll: Bool
  let most: Int

  init(_ span: RawSpan) throws(Errno) {
    let bytes = try StructBytes(span, Self.byteCount)
    let bits = bytes.load16(276)
    guard bytes.load64(288) == 0, bytes.load64(296) == 0, bits >> 3 == 0 else { throw .EINVAL }
    guard bytes[282] & ~1 == 0, bytes.load32(284) == 0 else { throw .EINVAL }
    wantsCurrent = bits & 1 != 0
    wantsNext = bits & 2 != 0
    wantsAll = bits & 4 != 0
    if wantsAll && (wantsCurrent || wantsNext) { throw .EINVAL }
    let isByAddress = !wantsAll && !wantsCurrent && !wantsNext
    sendID = bytes[278]
    receiveID = bytes[279]
    prefix = Int(bytes[280])
    peer = bytes.address
    most = Int(bytes.load32(272))
    switch bytes.family {
    case AddressFamily.inet.rawValue:
      guard bytes.port == 0, prefix <= 32, isByAddress || (peer == .any && prefix == 0) else { throw .EINVAL }
    case 0:
      if isByAddress { throw .EINVAL }
    default: throw .EAFNOSUPPORT
    }
    if !isByAddress && (sendID != 0 || receiveID != 0) { throw .EINVAL }
  }

  private func asksFor(_ key: AuthenticationKeyReport) -> Bool {
    if wantsAll { return true }
    if wantsCurrent || wantsNext {
      return wantsCurrent && key.request.asCurrent || wantsNext && key.request.asNext
    }
    return key.request.sendID == sendID && key.request.receiveID == receiveID
      && key.matches(peer, length: prefix)
  }

  /// One struct after the other, each cut to the caller's room for one; the first says how many there would be.
  func answer(_ keys: [AuthenticationKeyReport], room: Int) -> [UInt8] {
    let found = keys.filter(asksFor)
    var structs = found.prefix(most).map(Self.bytes)
    if !structs.isEmpty {
      structs[0].replaceSubrange(272..<276, with: SocketOptionValue.bytes(UInt32(found.count)))
    } else {
      structs = [
        [UInt8](repeating: 0, count: 272) + SocketOptionValue.bytes(UInt32(found.count))
          + [UInt8](repeating: 0, count: 28)
      ]
    }
    let each = min(room, Self.byteCount)
    return structs.flatMap { $0[..<each] }
  }

  private static func bytes(_ key: AuthenticationKeyReport) -> [UInt8] {
    let request = key.request
    func padded(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
      bytes + [UInt8](repeating: 0, count: count - bytes.count)
    }
    let address = request.peers.address.rawValue
    let name: [UInt8] =
      [2, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: address >> UInt32(24 - 8 * $0)) }
    let bits: UInt8 = (request.asCurrent ? 1 : 0) | (request.asNext ? 2 : 0)
    var bytes = padded(name, 128) + padded(Array(key.algorithm.utf8), 64) + padded(request.key, 80)
    bytes += [0, 0, 0, 0, bits, 0, request.sendID, request.receiveID, UInt8(request.peers.length)]
    bytes += [request.codeByteCount, request.flags, UInt8(request.key.count), 0, 0, 0, 0]
    return bytes + SocketOptionValue.bytes(key.good) + SocketOptionValue.bytes(key.bad)
  }
}
