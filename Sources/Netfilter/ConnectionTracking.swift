import NetNamespace
import SkBuff
import Timers
import Wire

/// The connections of all shards of a stack. Who makes the shards brings them, and their lock.
public protocol SharedConnections: AnyObject, Sendable {
  func withConnections<Result>(_ body: (inout ConnectionTracking) -> Result) -> Result
}

/// Which connection each packet is of, and what becomes of that. Linux: `net/netfilter/nf_conntrack_core.c`.
public struct ConnectionTracking: ~Copyable {
  var table = ConnectionTable()

  public init() {}

  /// What was counted.
  public var statistics: ConnectionStatistics { table.statistics }
  /// Connections that are kept.
  public var count: Int { table.confirmedCount }
  /// As `conntrack -L` lists them.
  public func snapshot(now: Instant) -> [ConnectionSnapshot] { table.snapshot(now: now) }
  /// Forgets all, or those that are named. Linux: `conntrack -F`, `conntrack -D`.
  public mutating func removeAll(net: inout Net, where isDoomed: (Connection) -> Bool = { _ in true }) {
    table.removeAll(net: &net, where: isDoomed)
  }
  /// When a connection's time may be over.
  var nextDeadline: Instant? { table.nextDeadline }
  mutating func expire(net: inout Net) { table.expire(net: &net) }

  /// The connection of a packet, and what the packet is to it; `nil`: none.
  func reference(of skb: borrowing SkBuff) -> ConnectionReference? { reference(skb.connection) }

  private func reference(_ name: UInt32) -> ConnectionReference? {
    guard let reference = ConnectionReference(rawValue: name), table.holds(reference) else { return nil }
    return reference
  }

  /// What clients are told about a packet's connection.
  struct Facts {
    var state = ConnectionState.invalid
    /// Linux: `ct->mark`.
    var mark: UInt32?
    /// The packet is the first one, and this kind of translation has not been decided.
    var begins = false
  }

  /// - Parameter name: what a packet has in `SkBuff.connection`.
  func facts(of name: UInt32, isSource: Bool) -> Facts {
    guard let reference = reference(name) else { return Facts() }
    let isFirst = reference.state == .new && reference.direction == .original
    return Facts(
      state: reference.state, mark: table[reference.slot].mark,
      begins: isFirst && !table[reference.slot].status.contains(.decided(isSource)))
  }

  mutating func setMark(_ mark: UInt32, of name: UInt32) {
    if let reference = reference(name) { table[reference.slot].mark = mark }
  }

  private mutating func attach(
    _ slot: Int, _ state: ConnectionState, _ direction: ConnectionDirection, to skb: inout SkBuff
  ) {
    skb.connection =
      ConnectionReference(
        slot: slot, generation: table.generation(of: slot), state: state, direction: direction
      ).rawValue
  }

  // MARK: A packet comes

  /// Finds or makes the connection of a packet, data at its IP header, whole. Linux: `nf_conntrack_in()`.
  ///
  /// - Parameter shard: who has the packet.
  /// - Returns: false when it has to be dropped.
  mutating func track(
    _ skb: inout SkBuff, _ header: IPv4Header, at hook: Hook, by shard: Int, net: inout Net
  ) -> Bool {
    // Seen before, on its way out to ourselves.
    if reference(of: skb) != nil { return true }
    skb.connection = 0
    guard skb.mayPull(min(skb.length, header.headerByteCount + Self.transportByteCount(header))),
      let tuple = ConnectionTuple(header, bytes: skb.linear), isIntact(skb, header, at: hook, net: net)
    else {
      table.statistics.invalid &+= 1
      return true
    }
    if header.protocol == .icmp && Self.isError(tuple.icmpType) {
      relate(&skb, header, net: &net)
      return true
    }
    var segment: TrackedSegment?
    if header.protocol == .tcp {
      segment = TrackedSegment(header, bytes: skb.linear)
      guard segment != nil else {
        table.statistics.invalid &+= 1
        return true
      }
    }
    return classify(&skb, tuple, segment, mayRepeat: true, by: shard, net: &net)
  }

  private static func transportByteCount(_ header: IPv4Header) -> Int {
    switch header.protocol {
    case .tcp: TCPHeader.maximumByteCount
    case .udp, .udpLite: UDPHeader.byteCount
    case .icmp: ICMPHeader.byteCount
    default: 0
    }
  }

  /// What a packet of our own that answers another is of: the same connection, the other way, also when that is not in the
  /// table yet. Linux: `nf_ct_attach()`.
  func answer(to name: UInt32, isError: Bool) -> UInt32 {
    guard let asked = reference(name), asked.state != .related else { return 0 }
    return ConnectionReference(
      slot: asked.slot, generation: asked.generation, state: isError ? .related : .established,
      direction: asked.direction.other
    ).rawValue
  }

  static func isError(_ type: UInt8) -> Bool { ICMPHeader.Kind(rawValue: type).isError }

  /// Whether a packet's checksum is right, as far as it was not looked at. Linux: `nf_checksum()`.
  private func isIntact(
    _ skb: borrowing SkBuff, _ header: IPv4Header, at hook: Hook, net: borrowing Net
  ) -> Bool {
    let start = header.headerByteCount
    let count = skb.length - start
    if hook == .prerouting && header.protocol == .udp {
      // Linux: `udp_error()`, whatever is known of the checksum.
      guard count >= UDPHeader.byteCount, skb.headLength >= start + UDPHeader.byteCount else { return false }
      let stated = Int(skb.linear.load16(start + UDPHeader.Offset.length))
      // A GSO packet's length is that of all its datagrams or of one.
      guard stated >= UDPHeader.byteCount || skb.isGSO, stated <= count else { return false }
    }
    if header.protocol == .udpLite {
      guard hook == .prerouting else { return true }
      return skb.isLiteDatagramValid(
        header, verifies: net.settings.connections.verifiesChecksums && skb.checksumStatus == .none)
    }
    guard hook == .prerouting, net.settings.connections.verifiesChecksums else { return true }
    switch header.protocol {
    case .icmp, .tcp, .udp: return skb.isSumValid(header)
    default: return true
    }
  }

  /// Linux: `resolve_normal_ct()`, `nf_conntrack_handle_packet()`.
  private mutating func classify(
    _ skb: inout SkBuff, _ tuple: ConnectionTuple, _ segment: TrackedSegment?, mayRepeat: Bool, by shard: Int,
    net: inout Net
  ) -> Bool {
    let slot: Int
    var direction = ConnectionDirection.original
    if let found = table.find(tuple, net: &net) {
      slot = found.slot
      direction = found.direction
    } else {
      guard mayBegin(tuple, segment, net: net), let reply = tuple.inverted else {
        table.statistics.invalid &+= 1
        return true
      }
      guard let made = table.make(tuple, reply, by: shard, net: &net) else { return false }
      slot = made
      if let segment { table[slot].tcp.begin(segment) }
    }
    let isAnswered = direction == .reply || table[slot].status.contains(.seenReply)
    attach(slot, isAnswered ? .established : .new, direction, to: &skb)
    var verdict = TrackedTCP.Verdict.accept
    switch tuple.protocol {
    case .tcp:
      if let segment { verdict = takeSegment(segment, direction, slot, net: &net) }
    case .udp, .udpLite: takeDatagram(slot, net: &net)
    case .icmp: table.refresh(slot, net.settings.connections.icmp, net: &net)
    default: table.refresh(slot, net.settings.connections.generic, net: &net)
    }
    switch verdict {
    case .accept:
      if direction == .reply { table[slot].status.insert(.seenReply) }
      return true
    case .invalid:
      skb.connection = 0
      table.statistics.invalid &+= 1
      return true
    case .ignore: return true
    case .again:
      // The connection is over, and its ends meet again.
      skb.connection = 0
      table.remove(slot, net: &net)
      return mayRepeat ? classify(&skb, tuple, segment, mayRepeat: false, by: shard, net: &net) : true
    }
  }

  /// Linux: `tcp_new()`, `icmp_new()`.
  private func mayBegin(
    _ tuple: ConnectionTuple, _ segment: TrackedSegment?, net: borrowing Net
  ) -> Bool {
    switch tuple.protocol {
    case .tcp:
      guard let segment,
        case .to(let state) = TrackedTCP.step(.none, TrackedTCP.Segment(segment.flags), .original)
      else { return false }
      return state == .synSent || net.settings.connections.tcpLoose
    case .icmp: return ConnectionTuple.isQuestion(tuple.icmpType)
    default: return true
    }
  }

  /// What follows an answer over UDP-Lite makes a stream. Linux: `nf_conntrack_udp_packet()`, `nf_conntrack_udplite_packet()`.
  private mutating func takeDatagram(_ slot: Int, net: inout Net) {
    if !table[slot].status.contains(.confirmed) {
      table[slot].streamsFrom =
        table[slot].original.protocol == .udpLite ? .origin : net.now + .seconds(2)
    }
    guard table[slot].status.contains(.seenReply) else {
      return table.refresh(slot, net.settings.connections.udp, net: &net)
    }
    let isStream = net.now > table[slot].streamsFrom
    table.refresh(
      slot, isStream ? net.settings.connections.udpStream : net.settings.connections.udp, net: &net)
    if isStream { table[slot].status.insert(.assured) }
  }

  /// An ICMP error belongs to the connection of what it quotes. Linux: `nf_conntrack_inet_error()`.
  private mutating func relate(_ skb: inout SkBuff, _ header: IPv4Header, net: inout Net) {
    let start = header.headerByteCount + ICMPHeader.byteCount
    let most = start + IPv4Header.maximumByteCount + ICMPHeader.byteCount
    guard skb.mayPull(min(skb.length, most)), skb.linear.byteCount > start,
      let inner = IPv4Header(quoted: skb.linear.extracting(droppingFirst: start)),
      let tuple = ConnectionTuple(inner, bytes: skb.linear.extracting(droppingFirst: start)),
      // Whoever sent the quoted packet is whom an error about it is for: nobody else gets one in by quoting it.
      let inverted = tuple.inverted, inverted.destination == header.destination,
      let found = table.find(inverted, net: &net)
    else {
      table.statistics.invalid &+= 1
      return
    }
    // It goes the way of what would answer the packet that it quotes.
    attach(found.slot, .related, found.direction, to: &skb)
  }

  // MARK: It got through

  /// Linux: `nf_conntrack_confirm()`.
  ///
  /// - Returns: false when it has to be dropped.
  mutating func confirm(_ skb: borrowing SkBuff, net: inout Net) -> Bool {
    guard let reference = reference(of: skb), reference.direction == .original else { return true }
    return table.confirm(reference.slot, net: &net)
  }
}
