import InetSocket
import NetNamespace
import Wire

/// The upper half of a sequence number of 64 bits (RFC 5925 section 6.2): every segment is signed, so the numbers that pass by
/// tell when the lower half wraps. Linux: `tcp_ao_compute_sne()`.
struct SequenceExtension: Sendable {
  private(set) var extension32: UInt32 = 0
  /// The highest number that passed by.
  private var highest: SequenceNumber

  init(from initial: SequenceNumber, extension32: UInt32 = 0) {
    highest = initial
    self.extension32 = extension32
  }

  func of(_ sequence: SequenceNumber) -> UInt32 {
    if sequence.isBefore(highest) {
      return sequence.rawValue > highest.rawValue ? extension32 &- 1 : extension32
    }
    return sequence.rawValue < highest.rawValue ? extension32 &+ 1 : extension32
  }

  mutating func pass(_ sequence: SequenceNumber) {
    guard sequence.isAfter(highest) else { return }
    extension32 = of(sequence)
    highest = sequence
  }
}

/// What a socket has of TCP-AO (RFC 5925). Linux: `struct tcp_ao_info`.
struct Authentication: Sendable {
  /// The newest first.
  private(set) var keys: [MasterKey] = []
  private var nextSerial = 1
  /// The key that we sign with: its serial.
  private var current: Int?
  /// The key that we ask the peer to sign with.
  private var next: Int?
  /// Nobody is heard who does not sign, whether or not there is a key for them.
  var isRequired = false
  /// ICMP may end a connection (RFC 5925 section 7.8).
  var acceptsICMP = false
  var counts = Counts()

  /// What became of what came. Linux: `struct tcp_ao_counters`.
  struct Counts: Sendable, Equatable {
    var good: UInt64 = 0
    var bad: UInt64 = 0
    var keyNotFound: UInt64 = 0
    var required: UInt64 = 0
    var droppedICMP: UInt64 = 0
  }

  // Of the connection.
  private(set) var localInitial = SequenceNumber(0)
  private(set) var remoteInitial = SequenceNumber(0)
  private var sent = SequenceExtension(from: SequenceNumber(0))
  private var received = SequenceExtension(from: SequenceNumber(0))

  // MARK: Keys

  private func place(_ serial: Int?) -> Int? {
    guard let serial else { return nil }
    return keys.firstIndex { $0.serial == serial }
  }
  var currentKey: MasterKey? { place(current).map { keys[$0] } }
  var nextKey: MasterKey? { place(next).map { keys[$0] } }

  /// The first key for an address with these numbers; `nil`: with any. Linux: `tcp_ao_do_lookup()`.
  func place(
    for address: IPv4Address, length: Int = 32, sendID: UInt8? = nil, receiveID: UInt8? = nil
  ) -> Int? {
    keys.firstIndex {
      (sendID == nil || $0.sendID == sendID) && (receiveID == nil || $0.receiveID == receiveID)
        && $0.matches(address, length: length)
    }
  }

  /// The first key with one of these numbers, of a socket whose keys are all its peer's.
  /// Linux: `tcp_ao_established_key()`.
  func place(sendID: UInt8? = nil, receiveID: UInt8? = nil) -> Int? {
    keys.firstIndex {
      (sendID == nil || $0.sendID == sendID) && (receiveID == nil || $0.receiveID == receiveID)
    }
  }

  func hasKey(for address: IPv4Address) -> Bool { place(for: address) != nil }

  func key(at place: Int) -> MasterKey { keys[place] }

  /// - Throws: `EEXIST`: one for the same peers has one of its numbers (RFC 5925 section 3.1). Linux: `tcp_ao_add_cmd()`.
  mutating func add(_ key: MasterKey, asCurrent: Bool, asNext: Bool) throws(Errno) {
    let (address, length) = (key.peers.address, key.peers.length)
    guard place(for: address, length: length, receiveID: key.receiveID) == nil,
      place(for: address, length: length, sendID: key.sendID) == nil
    else { throw .EEXIST }
    var key = key
    key.serial = nextSerial
    nextSerial += 1
    keys.insert(key, at: 0)
    if asCurrent { current = key.serial }
    if asNext { next = key.serial }
  }

  /// Which keys are in use from now on, by the numbers that they send and receive with.
  ///
  /// - Throws: `ENOENT`.
  mutating func choose(current sendID: UInt8?, next receiveID: UInt8?) throws(Errno) {
    let chosen = try find(current: sendID, next: receiveID)
    if let place = chosen.current { current = keys[place].serial }
    if let place = chosen.next { next = keys[place].serial }
  }

  private func find(
    current sendID: UInt8?, next receiveID: UInt8?
  ) throws(Errno) -> (current: Int?, next: Int?) {
    let (sending, receiving) = (sendID.map { place(sendID: $0) }, receiveID.map { place(receiveID: $0) })
    if case .some(nil) = sending { throw .ENOENT }
    if case .some(nil) = receiving { throw .ENOENT }
    return (sending ?? nil, receiving ?? nil)
  }

  /// Takes a key away, after others have taken the place of one in use.
  ///
  /// - Throws: `ENOENT`: no such key, or none to take its place. `EBUSY`: it is in use. Linux: `tcp_ao_del_cmd()`.
  mutating func remove(
    _ peers: IPv4Prefix, sendID: UInt8, receiveID: UInt8, current newCurrent: UInt8?, next newNext: UInt8?
  ) throws(Errno) {
    let chosen = try find(current: newCurrent, next: newNext)
    let place = keys.indices.first { index in
      keys[index].sendID == sendID && keys[index].receiveID == receiveID && keys[index].peers == peers
        && index != chosen.current && index != chosen.next
    }
    guard let place else { throw .ENOENT }
    if let other = chosen.current { current = keys[other].serial }
    if let other = chosen.next { next = keys[other].serial }
    let serial = keys[place].serial
    guard current != serial, next != serial else { throw .EBUSY }
    keys.remove(at: place)
  }

  // MARK: A connection

  /// Only keys for the peer are left; where nobody has chosen, the first of them is used. Linux: `tcp_ao_connect_init()`.
  mutating func connect(to peer: IPv4Address, initial: SequenceNumber) {
    keys.removeAll { !$0.matches(peer) }
    if place(current) == nil { current = keys.first?.serial }
    if place(next) == nil { next = keys.first?.serial }
    begin(local: initial)
  }

  private mutating func begin(local initial: SequenceNumber) {
    localInitial = initial
    sent = SequenceExtension(from: initial)
    forgetTrafficKeys()
  }

  /// The peer's SYN names where its stream begins. Linux: `tcp_ao_finish_connect()`.
  mutating func learn(remote initial: SequenceNumber) {
    remoteInitial = initial
    received = SequenceExtension(from: initial)
    forgetTrafficKeys()
  }

  func repair(send: SequenceNumber, receive: SequenceNumber) -> AuthenticationRepair {
    AuthenticationRepair(
      localInitial: localInitial.rawValue, remoteInitial: remoteInitial.rawValue,
      sentExtension: sent.of(send), receivedExtension: received.of(receive))
  }

  mutating func restore(_ repair: AuthenticationRepair, send: SequenceNumber, receive: SequenceNumber) {
    localInitial = SequenceNumber(repair.localInitial)
    remoteInitial = SequenceNumber(repair.remoteInitial)
    sent = SequenceExtension(from: send, extension32: repair.sentExtension)
    received = SequenceExtension(from: receive, extension32: repair.receivedExtension)
    forgetTrafficKeys()
  }

  private mutating func forgetTrafficKeys() {
    for index in keys.indices {
      keys[index].sending = nil
      keys[index].receiving = nil
    }
  }

  /// What a listener's child has of it, the peer having asked for one key and signed with the other; `nil`: there is no key
  /// any more. Linux: `tcp_ao_copy_all_matching()`.
  func child(
    of peer: IPv4Address, asked: RequestAuthentication, local: SequenceNumber, remote: SequenceNumber
  ) -> Authentication? {
    var child = Authentication()
    child.isRequired = isRequired
    for key in keys where key.matches(peer) {
      var copy = key
      copy.good = 0
      copy.bad = 0
      copy.serial = child.nextSerial
      child.nextSerial += 1
      child.keys.insert(copy, at: 0)
    }
    guard let first = child.keys.first else { return nil }
    child.current = (child.place(sendID: asked.keyID).map { child.keys[$0] } ?? first).serial
    child.next = (child.place(receiveID: asked.nextKeyID).map { child.keys[$0] } ?? first).serial
    child.begin(local: local)
    child.learn(remote: remote)
    return child
  }

  // MARK: Sending

  /// What signs a segment of the connection with the current key. Linux: `tcp_ao_transmit_skb()`.
  mutating func sign(_ tuple: FourTuple, _ flags: TCPFlags, _ sequence: SequenceNumber)
    -> SegmentAuthentication?
  {
    guard let place = place(current) else { return nil }
    let isFirst = flags.contains(.syn) && !flags.contains(.ack)
    sent.pass(sequence)
    return sign(tuple, place, sequence, isFirst: isFirst)
  }

  /// What signs an answer that the connection itself does not send, with the key that the peer asks for.
  /// Linux: `tcp_ao_prepare_reset()`.
  mutating func signReply(
    _ tuple: FourTuple, _ sequence: SequenceNumber, to option: AuthenticationOption?
  ) -> SegmentAuthentication? {
    guard let option, let place = place(sendID: option.nextKeyID) else { return nil }
    return sign(tuple, place, sequence, isFirst: false)
  }

  private mutating func sign(
    _ tuple: FourTuple, _ place: Int, _ sequence: SequenceNumber, isFirst: Bool
  ) -> SegmentAuthentication? {
    guard
      let key = isFirst ? context(tuple).map({ keys[place].trafficKey($0.first) }) : sendingKey(place, tuple)
    else { return nil }
    let option = AuthenticationOption(
      keyID: keys[place].sendID, nextKeyID: nextKey?.receiveID ?? keys[place].receiveID,
      codeByteCount: keys[place].codeByteCount)
    return SegmentAuthentication(
      option: option, key: key, extension32: isFirst ? 0 : sent.of(sequence),
      excludesOptions: keys[place].excludesOptions)
  }

  private func context(_ tuple: FourTuple) -> KeyContext? {
    KeyContext(tuple, local: localInitial, remote: remoteInitial)
  }

  private mutating func sendingKey(_ place: Int, _ tuple: FourTuple) -> TrafficKey? {
    if keys[place].sending == nil { keys[place].sending = context(tuple).map { keys[place].trafficKey($0) } }
    return keys[place].sending
  }

  // MARK: Receiving

  /// The traffic key of a segment that the peer signed with a key.
  ///
  /// - Parameter remote: where the peer's stream begins, if it is not known yet.
  mutating func receivingKey(
    _ place: Int, _ tuple: FourTuple, remote: SequenceNumber? = nil
  ) -> TrafficKey? {
    if let remote {
      return KeyContext(tuple, local: localInitial, remote: remote).map { keys[place].trafficKey($0.turned) }
    }
    if keys[place].receiving == nil {
      keys[place].receiving = context(tuple).map { keys[place].trafficKey($0.turned) }
    }
    return keys[place].receiving
  }

  func receivedExtension(of sequence: SequenceNumber) -> UInt32 { received.of(sequence) }

  /// A segment of the connection was signed as it should be: the peer's wish counts. Linux: `tcp_inbound_ao_hash()`.
  mutating func accept(_ option: AuthenticationOption, _ sequence: SequenceNumber) {
    received.pass(sequence)
    guard currentKey?.sendID != option.nextKeyID, let place = place(sendID: option.nextKeyID) else { return }
    current = keys[place].serial
  }

  mutating func count(_ place: Int, isGood: Bool) {
    if isGood {
      counts.good &+= 1
      keys[place].good &+= 1
    } else {
      counts.bad &+= 1
      keys[place].bad &+= 1
    }
  }
}

extension KeyContext {
  /// As the local end sends; `nil` for addresses that are not IPv4's.
  init?(_ tuple: FourTuple, local: SequenceNumber, remote: SequenceNumber) {
    guard let source = tuple.local.address.v4, let destination = tuple.remote.address.v4 else { return nil }
    self.init(
      source: source, destination: destination, sourcePort: tuple.local.port,
      destinationPort: tuple.remote.port, sourceInitial: local, destinationInitial: remote)
  }

  /// As the other end sends.
  var turned: KeyContext {
    KeyContext(
      source: destination, destination: source, sourcePort: destinationPort, destinationPort: sourcePort,
      sourceInitial: destinationInitial, destinationInitial: sourceInitial)
  }

  /// Of a SYN: the other number is not known yet.
  var first: KeyContext {
    var first = self
    first.destinationInitial = SequenceNumber(0)
    return first
  }
}

/// What a SYN said of its keys. Linux: `ao_keyid`, `ao_rcv_next`.
struct RequestAuthentication {
  /// The key that the peer wants the answers signed with.
  var keyID: UInt8
  /// The key that it signed with.
  var nextKeyID: UInt8

  init(asking option: AuthenticationOption) {
    keyID = option.nextKeyID
    nextKeyID = option.keyID
  }
}
