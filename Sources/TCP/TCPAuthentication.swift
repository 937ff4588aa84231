import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Tables
import Wire

// TCP-AO where connections, listeners and what is left of them meet segments (RFC 5925). Linux: `net/ipv4/tcp_ao.c`.
extension TCPConnection {
  /// What signs a segment with a key of RFC 2385 or RFC 5925.
  mutating func signing(_ flags: TCPFlags, _ sequence: SequenceNumber) -> SegmentSigning {
    if let signatureKey { return .signature(signatureKey) }
    let tuple = tuple
    guard let signed = authentication?.value.sign(tuple, flags, sequence) else { return .none }
    return .authentication(signed)
  }

  /// What signs a reset that answers a segment; `nil`: none goes, for it could not be signed.
  mutating func resetSigning(_ segment: IncomingSegment) -> SegmentSigning? {
    if let signatureKey { return .signature(signatureKey) }
    guard authentication != nil, signedByteCount > 0 else { return SegmentSigning.none }
    let tuple = tuple
    let sequence = segment.flags.contains(.ack) ? segment.acknowledgment : SequenceNumber(0)
    let signed = authentication?.value.signReply(tuple, sequence, to: segment.options.authentication)
    return signed.map { .authentication($0) }
  }

  /// The options are as long as the key that signs says.
  mutating func noteSigning() {
    if signatureKey != nil {
      signedByteCount = UInt8(SegmentSignature.optionByteCount)
      return
    }
    let code = authentication?.value.currentKey?.codeByteCount
    signedByteCount =
      code.map { UInt8(AuthenticationOption(keyID: 0, nextKeyID: 0, codeByteCount: $0).optionByteCount) } ?? 0
  }
}

extension TCPLayer {
  // MARK: Options

  /// Whether a socket may get keys now: what has begun without TCP-AO goes on without. Linux: `do_tcp_setsockopt()`.
  private func authenticationSlot(_ id: SocketID) throws(Errno) -> Int {
    let index = try slot(id)
    let state = sockets[index].state
    guard
      state == .close || state == .listen || sockets[index].authentication != nil || sockets[index].isInRepair
    else { throw .EISCONN }
    return index
  }

  private mutating func withAuthentication(
    _ index: Int, _ body: (inout Authentication) throws(Errno) -> Void
  ) throws(Errno) {
    var copy = sockets[index].authentication?.value ?? Authentication()
    try body(&copy)
    if sockets[index].authentication == nil {
      sockets[index].authentication = Box(copy)
    } else {
      sockets[index].authentication?.value = copy
    }
    authenticates = true
    if sockets[index].state != .listen { sockets[index].noteSigning() }
  }

  /// `TCP_AO_ADD_KEY`.
  ///
  /// - Parameters:
  ///   - current: signs what is sent from now on.
  ///   - next: is what the peer is asked to sign with.
  /// - Throws: `EINVAL`: a listener has no key in use, or the key is not for the peer. `EKEYREJECTED`: there is one of
  ///   RFC 2385 for the peers. `EEXIST`, `EISCONN`.
  public mutating func addAuthenticationKey(
    _ id: SocketID, _ request: AuthenticationKeyRequest
  ) throws(Errno) {
    let index = try authenticationSlot(id)
    let peer = sockets[index].tuple.remote.address.v4 ?? .any
    guard peer == .any || request.peers.length == 0 || request.peers.contains(peer) else { throw .EINVAL }
    if request.asCurrent || request.asNext {
      guard sockets[index].state != .listen else { throw .EINVAL }
    }
    guard signatures.key(of: index, for: IPAddress(request.peers.address)) == nil else { throw .EKEYREJECTED }
    let key = MasterKey(
      peers: request.peers, sendID: request.sendID, receiveID: request.receiveID,
      algorithm: request.usesCMAC ? .cmacAES128 : .hmacSHA1, key: request.key,
      codeByteCount: request.codeByteCount, flags: request.flags)
    try withAuthentication(index) { (authentication) throws(Errno) in
      try authentication.add(key, asCurrent: request.asCurrent, asNext: request.asNext)
    }
  }

  /// `TCP_AO_DEL_KEY`.
  ///
  /// - Throws: `ENOENT`; `EBUSY`: it is in use; `EINVAL`: a listener has no key in use.
  public mutating func removeAuthenticationKey(
    _ id: SocketID, _ peers: IPv4Prefix, sendID: UInt8, receiveID: UInt8, current: UInt8?, next: UInt8?
  ) throws(Errno) {
    let index = try authenticationSlot(id)
    if current != nil || next != nil { guard sockets[index].state != .listen else { throw .EINVAL } }
    guard sockets[index].authentication != nil else { throw .ENOENT }
    try withAuthentication(index) { (authentication) throws(Errno) in
      try authentication.remove(peers, sendID: sendID, receiveID: receiveID, current: current, next: next)
    }
  }

  /// `TCP_AO_INFO`.
  ///
  /// - Throws: `ENOENT`: no such key; `EINVAL`: a listener has no key in use; `EKEYREJECTED`: there are keys of RFC 2385.
  public mutating func setAuthentication(_ id: SocketID, _ settings: AuthenticationSettings) throws(Errno) {
    let index = try authenticationSlot(id)
    if settings.current != nil || settings.next != nil {
      guard sockets[index].state != .listen else { throw .EINVAL }
    }
    if settings.isRequired && signatures.hasKeys(of: index) { throw .EKEYREJECTED }
    try withAuthentication(index) { (authentication) throws(Errno) in
      try authentication.choose(current: settings.current, next: settings.next)
      authentication.isRequired = settings.isRequired
      authentication.acceptsICMP = settings.acceptsICMP
      if let counts = settings.counts {
        authentication.counts = Authentication.Counts(
          good: counts[0], bad: counts[1], keyNotFound: counts[2], required: counts[3], droppedICMP: counts[4]
        )
      }
    }
  }

  /// - Throws: `ENOENT`: it has nothing of TCP-AO.
  public mutating func authentication(_ id: SocketID) throws(Errno) -> AuthenticationSettings {
    let index = try slot(id)
    guard let state = sockets[index].authentication?.value else { throw .ENOENT }
    let counts = state.counts
    return AuthenticationSettings(
      current: state.currentKey?.sendID, next: state.nextKey?.receiveID, isRequired: state.isRequired,
      acceptsICMP: state.acceptsICMP,
      counts: [counts.good, counts.bad, counts.keyNotFound, counts.required, counts.droppedICMP])
  }

  /// The keys of a socket, the newest first.
  ///
  /// - Throws: `ENOENT`: it has nothing of TCP-AO.
  public mutating func authenticationKeys(_ id: SocketID) throws(Errno) -> [AuthenticationKeyReport] {
    let index = try slot(id)
    guard let state = sockets[index].authentication?.value else { throw .ENOENT }
    return state.keys.map {
      AuthenticationKeyReport(
        request: AuthenticationKeyRequest(
          peers: $0.peers, sendID: $0.sendID, receiveID: $0.receiveID, usesCMAC: $0.algorithm == .cmacAES128,
          key: $0.key, codeByteCount: $0.codeByteCount, flags: $0.flags,
          asCurrent: $0.serial == state.currentKey?.serial, asNext: $0.serial == state.nextKey?.serial),
        algorithm: $0.algorithm.name, good: $0.good, bad: $0.bad)
    }
  }

  /// `TCP_AO_REPAIR`: an authenticated connection is taken from one stack to another. Linux: `tcp_ao_get_repair()`.
  ///
  /// - Throws: `EPERM` when it is not in repair mode; `ENOENT`: it has nothing of TCP-AO.
  public mutating func authenticationRepair(_ id: SocketID) throws(Errno) -> AuthenticationRepair {
    let index = try slot(id)
    guard sockets[index].isInRepair else { throw .EPERM }
    guard let state = sockets[index].authentication?.value else { throw .ENOENT }
    let send = sockets[index].sender.sndUna
    let receive = sockets[index].receiver.rcvNxt
    return state.repair(send: send, receive: receive)
  }

  /// Linux: `tcp_ao_set_repair()`.
  ///
  /// - Throws: as above.
  public mutating func setAuthenticationRepair(
    _ id: SocketID, _ repair: AuthenticationRepair
  ) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].isInRepair else { throw .EPERM }
    guard sockets[index].authentication != nil else { throw .ENOENT }
    let send = sockets[index].sender.sndUna
    let receive = sockets[index].receiver.rcvNxt
    sockets[index].authentication?.value.restore(repair, send: send, receive: receive)
  }

  /// Whether a socket hears a peer only when it signs after RFC 5925. Linux: `tcp_ao_required()`.
  mutating func requiresAuthentication(_ index: Int, _ peer: IPv4Address?) -> Bool {
    guard authenticates, let peer, let state = sockets[index].authentication?.value else { return false }
    return state.isRequired || state.hasKey(for: peer)
  }

  /// Before a connection: which of both ways of signing counts for the peer. Linux: `tcp_connect()`.
  ///
  /// - Throws: `EKEYREJECTED`: both, or TCP-AO without a key.
  mutating func chooseSigning(_ index: Int, _ peer: IPv4Address?) throws(Errno) {
    guard authenticates, let peer, let state = sockets[index].authentication?.value else { return }
    let hasKey = state.hasKey(for: peer)
    let needsSignature = signatures.key(of: index, for: IPAddress(peer)) != nil
    if needsSignature {
      if hasKey || state.isRequired { throw .EKEYREJECTED }
      sockets[index].authentication = nil
      return
    }
    guard hasKey else { throw .EKEYREJECTED }
    signatures.removeAll(of: index)
  }

  // MARK: Segments

  /// Whether a segment that is signed after RFC 5925 is signed as it should be. Linux: `tcp_inbound_ao_hash()`.
  ///
  /// - Returns: why it is to be dropped; `nil`: it is not.
  mutating func refuseAuthentication(
    _ skb: borrowing SkBuff, _ header: TCPHeader, _ option: AuthenticationOption, _ tuple: FourTuple,
    for owner: KeyOwner, net: inout Net
  ) -> DropReason? {
    let socket = keySocket(owner)
    guard sockets[socket].authentication != nil, let peer = tuple.remote.address.v4 else {
      net.counters.count(.TcpExtTCPAOKeyNotFound)
      return .tcpAOUnexpected
    }
    // Without both ends' numbers there is no traffic key.
    let isFirst = header.flags.contains(.syn) && !header.flags.contains(.ack)
    if case .listener = owner, !isFirst { return .tcpFlags }
    let found =
      switch owner {
      case .socket(let index) where !isFirst: expected(index, header, option, tuple)
      case .request(let slot) where !isFirst:
        expected(
          socket, option, peer,
          KeyContext(tuple, local: requests[slot].initialSend, remote: requests[slot].initialReceive),
          SequenceExtension(from: requests[slot].initialReceive).of(header.sequence))
      default:
        expected(
          socket, option, peer, KeyContext(tuple, local: SequenceNumber(0), remote: header.sequence), 0)
      }
    guard let found else {
      net.counters.count(.TcpExtTCPAOKeyNotFound)
      sockets[socket].authentication?.value.counts.keyNotFound &+= 1
      return .tcpAOKeyNotFound
    }
    guard let source = tuple.remote.address.v4, let destination = tuple.local.address.v4,
      let key = sockets[socket].authentication?.value.key(at: found.place)
    else { return .tcpAOFailure }
    let signed = SegmentAuthentication(
      option: option, key: found.key, extension32: found.extension32, excludesOptions: key.excludesOptions)
    let isGood =
      option.codeByteCount == key.codeByteCount
      && skb.hasCode(from: source, to: destination, headerByteCount: header.headerByteCount, signed)
    sockets[socket].authentication?.value.count(found.place, isGood: isGood)
    guard isGood else {
      net.counters.count(.TcpExtTCPAOBad)
      return .tcpAOFailure
    }
    net.counters.count(.TcpExtTCPAOGood)
    if case .socket(let index) = owner, sockets[index].isAuthenticated, !isFirst {
      sockets[index].authentication?.value.accept(option, header.sequence)
      sockets[index].noteSigning()
    }
    return nil
  }

  private typealias Expected = (place: Int, key: TrafficKey, extension32: UInt32)

  /// What a segment is signed with whose numbers are known from elsewhere.
  private mutating func expected(
    _ socket: Int, _ option: AuthenticationOption, _ peer: IPv4Address, _ context: KeyContext?,
    _ extension32: UInt32
  ) -> Expected? {
    guard let context,
      let place = sockets[socket].authentication?.value.place(for: peer, receiveID: option.keyID),
      let key = sockets[socket].authentication?.value.key(at: place)
    else { return nil }
    return (place, key.trafficKey(context.turned), extension32)
  }

  /// The same of a segment for a connection.
  private mutating func expected(
    _ index: Int, _ header: TCPHeader, _ option: AuthenticationOption, _ tuple: FourTuple
  ) -> Expected? {
    guard let place = sockets[index].authentication?.value.place(receiveID: option.keyID),
      let wraps = sockets[index].authentication?.value.receivedExtension(of: header.sequence)
    else { return nil }
    // What answers our SYN names where its stream begins.
    let names = !sockets[index].isAuthenticated && !header.flags.isDisjoint(with: [.syn, .rst])
    let key = sockets[index].authentication?.value.receivingKey(
      place, tuple, remote: names ? header.sequence : nil)
    guard let key else { return nil }
    return (place, key, names ? 0 : wraps)
  }

  /// What signs the answers to a request: the key that its SYN asked for; `nil`: it is there no more, and nothing goes.
  /// Linux: `tcp_make_synack()`.
  mutating func requestSigning(_ slot: Int, _ sequence: SequenceNumber) -> SegmentSigning? {
    guard let asked = requests[slot].authentication else {
      return SegmentSigning(signatureKey(ofRequest: slot))
    }
    let socket = listeners[requests[slot].listener].socket
    let tuple = requests[slot].tuple
    guard let peer = tuple.remote.address.v4,
      let place = sockets[socket].authentication?.value.place(for: peer, sendID: asked.keyID),
      let key = sockets[socket].authentication?.value.key(at: place),
      let context = KeyContext(
        tuple, local: requests[slot].initialSend, remote: requests[slot].initialReceive)
    else { return nil }
    let option = AuthenticationOption(
      keyID: key.sendID, nextKeyID: asked.nextKeyID, codeByteCount: key.codeByteCount)
    let wraps = SequenceExtension(from: requests[slot].initialSend)
    return .authentication(
      SegmentAuthentication(
        option: option, key: key.trafficKey(context), extension32: wraps.of(sequence),
        excludesOptions: key.excludesOptions))
  }

  /// ICMP that would end a connection is not believed of one that is authenticated (RFC 5925 section 7.8).
  /// Linux: `tcp_ao_ignore_icmp()`.
  mutating func ignores(_ report: TransportError, for index: Int, net: inout Net) -> Bool {
    guard sockets[index].isAuthenticated, let accepts = sockets[index].authentication?.value.acceptsICMP,
      !accepts, !report.isLocal, report.kind == .destinationUnreachable, (2...4).contains(report.code)
    else { return false }
    net.counters.count(.TcpExtTCPAODroppedIcmps)
    sockets[index].authentication?.value.counts.droppedICMP &+= 1
    return true
  }
}

/// Whose keys a segment has to be signed with.
enum KeyOwner {
  case socket(Int)
  case request(Int)
  /// Its slot among the listeners.
  case listener(Int)
}

/// A key as `TCP_AO_ADD_KEY` sets it.
public struct AuthenticationKeyRequest: Sendable {
  public var peers: IPv4Prefix
  public var sendID: UInt8
  public var receiveID: UInt8
  public var usesCMAC: Bool
  public var key: [UInt8]
  public var codeByteCount: UInt8
  public var flags: UInt8
  public var asCurrent: Bool
  public var asNext: Bool

  public init(
    peers: IPv4Prefix, sendID: UInt8, receiveID: UInt8, usesCMAC: Bool, key: [UInt8], codeByteCount: UInt8,
    flags: UInt8, asCurrent: Bool, asNext: Bool
  ) {
    self.peers = peers
    self.sendID = sendID
    self.receiveID = receiveID
    self.usesCMAC = usesCMAC
    self.key = key
    self.codeByteCount = codeByteCount
    self.flags = flags
    self.asCurrent = asCurrent
    self.asNext = asNext
  }
}

/// A key as `TCP_AO_GET_KEYS` tells of it.
public struct AuthenticationKeyReport: Sendable {
  public var request: AuthenticationKeyRequest
  public var algorithm: String
  public var good: UInt64
  public var bad: UInt64

  /// Whether it is for an address, or prefixes overlap.
  public func matches(_ address: IPv4Address, length: Int) -> Bool {
    if request.peers.address == .any || address == .any { return true }
    guard let common = IPv4Prefix(address, length: min(length, request.peers.length)) else { return false }
    return common.contains(request.peers.address)
  }
}

/// `TCP_AO_INFO`.
public struct AuthenticationSettings: Sendable {
  /// The number that the key in use sends with; `nil`: it stays.
  public var current: UInt8?
  /// The number that the key which the peer is asked for is received with; `nil`: it stays.
  public var next: UInt8?
  public var isRequired: Bool
  public var acceptsICMP: Bool
  /// Good, bad, without a key, unsigned, ICMP not believed; `nil`: they stay.
  public var counts: [UInt64]?

  public init(current: UInt8?, next: UInt8?, isRequired: Bool, acceptsICMP: Bool, counts: [UInt64]?) {
    self.current = current
    self.next = next
    self.isRequired = isRequired
    self.acceptsICMP = acceptsICMP
    self.counts = counts
  }
}
