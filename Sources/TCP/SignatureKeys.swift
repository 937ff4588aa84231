import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Wire

/// Keys of RFC 2385 that sockets have for their peers. Linux: `struct tcp_md5sig_info`.
struct SignatureKeys {
  struct Entry {
    var peers: IPv4Prefix
    var key: [UInt8]
  }
  private var bySocket: [Int: [Entry]] = [:]
  /// Of connections in TIME-WAIT. Linux: `tw_md5_key`.
  var byTimeWait: [Int: [UInt8]] = [:]

  /// Somebody has one: every segment has to be looked at. Linux: `tcp_md5_needed`.
  var areInUse: Bool { !bySocket.isEmpty }

  /// That of the longest prefix. Linux: `tcp_md5_do_lookup()`.
  func key(of socket: Int, for peer: IPAddress) -> [UInt8]? {
    guard let entries = bySocket[socket], let peer = peer.v4 else { return nil }
    return entries.filter { $0.peers.contains(peer) }.max { $0.peers.length < $1.peers.length }?.key
  }

  func hasKeys(of socket: Int) -> Bool { bySocket[socket] != nil }

  /// Linux: `tcp_md5_do_add()`.
  mutating func set(_ key: [UInt8], of socket: Int, for peers: IPv4Prefix) {
    bySocket[socket, default: []].removeAll { $0.peers == peers }
    bySocket[socket, default: []].append(Entry(peers: peers, key: key))
  }

  /// Linux: `tcp_md5_do_del()`.
  ///
  /// - Returns: whether there was one.
  mutating func remove(of socket: Int, for peers: IPv4Prefix) -> Bool {
    guard var entries = bySocket[socket], let place = entries.firstIndex(where: { $0.peers == peers }) else {
      return false
    }
    entries.remove(at: place)
    bySocket[socket] = entries.isEmpty ? nil : entries
    return true
  }

  mutating func removeAll(of socket: Int) { bySocket[socket] = nil }
}

extension TCPLayer {
  /// Most bytes of a key. Linux: `TCP_MD5SIG_MAXKEYLEN`.
  public static let longestSignatureKey = 80

  /// `TCP_MD5SIG`: segments to and from these peers are signed with the key, and others are dropped. On a listener it is
  /// its children's too.
  ///
  /// - Parameter key: at most 80 bytes; empty: takes the key away.
  /// - Throws: `ENOENT` when there is none to take away; `EKEYREJECTED`: they sign after RFC 5925.
  public mutating func setSignatureKey(
    _ id: SocketID, for peers: IPv4Prefix, _ key: [UInt8]
  ) throws(Errno) {
    let index = try slot(id)
    if key.isEmpty {
      guard signatures.remove(of: index, for: peers) else { throw .ENOENT }
    } else {
      guard !requiresAuthentication(index, peers.address) else { throw .EKEYREJECTED }
      signatures.set(key, of: index, for: peers)
    }
    takeSignatureKey(index)
  }

  /// A connection's key is the one for its peer.
  mutating func takeSignatureKey(_ index: Int) {
    sockets[index].signatureKey = signatures.key(of: index, for: sockets[index].tuple.remote.address)
    sockets[index].noteSigning()
  }

  /// The key with which a listener's requests from a peer are answered.
  func signatureKey(ofListener listener: Int, for peer: IPAddress) -> [UInt8]? {
    signatures.areInUse ? signatures.key(of: listeners[listener].socket, for: peer) : nil
  }

  /// Whether a segment is signed as whom it is for asks. Linux: `tcp_inbound_hash()`.
  ///
  /// - Parameter skb: begins with the TCP header.
  /// - Returns: why it is to be dropped; `nil`: it is not.
  mutating func refuseSignature(
    _ skb: borrowing SkBuff, _ header: TCPHeader, _ options: TCPOptions, _ tuple: FourTuple,
    by interface: InterfaceIndex, net: inout Net
  ) -> DropReason? {
    if options.isMalformed { return .tcpSignedTwice }
    if options.isSignedTwice { return .tcpSignedTwice }
    guard let owner = keyOwner(header, tuple, by: interface) else { return nil }
    let socket = keySocket(owner)
    if case .request(let slot) = owner,
      (requests[slot].authentication != nil) != (options.authentication != nil)
    {
      net.counters.count(.TcpExtTCPAOBad)
      return .tcpAOFailure
    }
    if let option = options.authentication {
      return refuseAuthentication(skb, header, option, tuple, for: owner, net: &net)
    }
    if options.signature == nil && requiresAuthentication(socket, tuple.remote.address.v4) {
      net.counters.count(.TcpExtTCPAORequired)
      sockets[socket].authentication?.value.counts.required &+= 1
      return .tcpAONotFound
    }
    switch (signatures.key(of: socket, for: tuple.remote.address), options.signature) {
    case (nil, nil): return nil
    case (nil, _?):
      net.counters.count(.TcpExtTCPMD5Unexpected)
      return .tcpMD5Unexpected
    case (_?, nil):
      net.counters.count(.TcpExtTCPMD5NotFound)
      return .tcpMD5NotFound
    case (let key?, let signature?):
      if isSigned(skb, header, signature, tuple, with: key) { return nil }
      net.counters.count(.TcpExtTCPMD5Failure)
      return .tcpMD5Failure
    }
  }

  /// Whose keys a segment is looked at with; `nil`: nobody's, as with all in TIME-WAIT but a SYN for a listener.
  private func keyOwner(
    _ header: TCPHeader, _ tuple: FourTuple, by interface: InterfaceIndex
  ) -> KeyOwner? {
    switch findConnection(tuple, by: interface) {
    case .socket(let index): return .socket(index)
    case .request(let slot): return .request(slot)
    case .timeWait where !header.flags.contains(.syn) || header.flags.contains(.ack): return nil
    case .timeWait, nil: return findListener(tuple, by: interface).map { .listener($0) }
    }
  }

  /// The socket that has them.
  func keySocket(_ owner: KeyOwner) -> Int {
    switch owner {
    case .socket(let index): index
    case .request(let slot): listeners[requests[slot].listener].socket
    case .listener(let listener): listeners[listener].socket
    }
  }

  private func isSigned(
    _ skb: borrowing SkBuff, _ header: TCPHeader, _ signature: SegmentSignature, _ tuple: FourTuple,
    with key: [UInt8]
  ) -> Bool {
    guard let source = tuple.remote.address.v4, let destination = tuple.local.address.v4 else { return false }
    return skb.signature(
      from: source, to: destination, headerByteCount: header.headerByteCount, key: key) == signature
  }

  /// The key to sign a reset with that answers a signed segment of a connection that is gone: that of a listener on the
  /// segment's source port, as with protocols that have one port at both ends. Linux: `tcp_v4_send_reset()`.
  ///
  /// - Returns: `nil`: no reset goes.
  func resetKey(
    for skb: borrowing SkBuff, _ header: TCPHeader, _ signature: SegmentSignature, _ tuple: FourTuple,
    by interface: InterfaceIndex
  ) -> [UInt8]? {
    let turned = FourTuple(
      local: SocketAddress(tuple.local.address, port: tuple.remote.port), remote: tuple.remote)
    guard let listener = findListener(turned, by: interface),
      let key = signatureKey(ofListener: listener, for: tuple.remote.address),
      isSigned(skb, header, signature, tuple, with: key)
    else { return nil }
    return key
  }
}
