import NetNamespace
import SkBuff
import Wire

/// Other addresses for the packets of a connection (RFC 3022). Linux: `net/netfilter/nf_nat_core.c`.
extension ConnectionTracking {
  /// What is known of a packet's way, for a translation to this host's addresses.
  struct Place {
    var hook: Hook
    /// An address of the device that the packet comes in or leaves by; `nil`: it has none.
    var address: IPv4Address?
    var interface: InterfaceIndex
    var isSource: Bool { hook == .postrouting || hook == .input }
  }

  /// Decides, once, what becomes of a connection's addresses, and translates the packet. Linux: `nf_nat_inet_fn()`.
  ///
  /// - Parameter wanted: what a rule says; `nil`: nothing, so that only what would be another connection's is changed.
  /// - Returns: false when the packet has to be dropped.
  mutating func translate(
    _ skb: inout SkBuff, _ header: IPv4Header, _ wanted: Translation?, at place: Place, net: inout Net
  ) -> Bool {
    // It has been forgotten meanwhile, by another shard: what its packets are to look like nobody knows any more.
    guard let reference = reference(of: skb) else { return false }
    let isSource = place.isSource
    let slot = reference.slot
    if reference.state == .related { return translateError(&skb, header, reference, isSource: isSource) }
    if reference.state == .new && !table[slot].status.contains(.decided(isSource)) {
      guard decide(slot, wanted, at: place, net: &net) else { return false }
    } else if table[slot].masquerade != .none && place.hook == .postrouting
      && reference.direction == .original
      && table[slot].masquerade != place.interface
    {
      // The way has changed, and with it the address. Linux: `nf_nat_oif_changed()`.
      table.remove(slot, net: &net)
      return false
    }
    // A reply is translated back at the other kind of hook.
    let isOriginal = reference.direction == .original
    guard table[slot].status.contains(.translated(isSource == isOriginal)),
      let target = table[slot][reference.direction.other].inverted
    else { return true }
    return PacketRewriting.rewrite(&skb, header, to: target, isSource: isSource)
  }

  /// Linux: `nf_nat_setup_info()`, `nf_nat_alloc_null_binding()`.
  private mutating func decide(
    _ slot: Int, _ wanted: Translation?, at place: Place, net: inout Net
  ) -> Bool {
    let isSource = place.isSource
    let translation = wanted.flatMap { $0.kind.isSource == isSource ? $0 : nil }
    // As the packets of the original direction are now.
    guard let current = table[slot].reply.inverted else { return true }
    var addresses: ClosedRange<IPv4Address>
    switch translation?.kind {
    case nil:
      addresses = isSource ? current.source...current.source : current.destination...current.destination
    case .source, .destination:
      addresses =
        translation?.addresses
        ?? (isSource ? current.source...current.source : current.destination...current.destination)
    case .masquerade:
      guard let own = place.address else { return false }
      addresses = own...own
      table[slot].masquerade = place.interface
    case .redirect:
      guard let own = place.hook == .output ? .loopback : place.address else { return false }
      addresses = own...own
    }
    guard
      let new = free(
        current, slot, addresses, translation?.ports, isSource: isSource, isPlain: translation == nil,
        net: &net)
    else { return false }
    if new != current, let reply = new.inverted {
      table[slot].reply = reply
      if isSource {
        table.translateSource(slot, net: &net)
      } else {
        table[slot].status.insert(.destinationTranslated)
      }
    }
    table[slot].status.insert(.decided(isSource))
    return true
  }

  /// The tuple that a connection's packets get: none of another connection's. Linux: `get_unique_tuple()`.
  ///
  /// - Parameter isPlain: no rule wants another one.
  /// - Returns: `nil` when all are taken.
  private mutating func free(
    _ current: ConnectionTuple, _ slot: Int, _ addresses: ClosedRange<IPv4Address>,
    _ ports: ClosedRange<UInt16>?,
    isSource: Bool, isPlain: Bool, net: inout Net
  ) -> ConnectionTuple? {
    if isSource, let same = keepSource(current, slot, addresses, ports, net: &net) { return same }
    var tuple = current
    if isSource {
      tuple.source = choose(addresses, for: current, net: &net)
    } else {
      tuple.destination = choose(addresses, for: current, net: &net)
    }
    let port = PacketRewriting.port(of: tuple, isSource: isSource)
    if let ports {
      guard tuple.protocol.hasPorts || tuple.protocol == .icmp else { return tuple }
      if ports.contains(port) && !isUsed(tuple, slot, net: &net) { return tuple }
      if ports.count == 1 {
        tuple = PacketRewriting.tuple(tuple, isSource: isSource, port: ports.lowerBound)
        return isSource && isUsed(tuple, slot, net: &net) ? nil : tuple
      }
      return search(tuple, slot, ports, isSource: isSource, startsAnywhere: isSource, net: &net)
        ?? (isSource ? nil : tuple)
    }
    if !isUsed(tuple, slot, net: &net) { return tuple }
    // Another destination port would be another service; when the source is decided on, that gives way.
    guard isSource, tuple.protocol.hasPorts || tuple.protocol == .icmp else {
      return isPlain || !isSource ? tuple : nil
    }
    return search(
      tuple, slot, Self.alike(port, tuple.protocol), isSource: true, startsAnywhere: true, net: &net)
  }

  /// The source that it has, or that this sender's packets to others were given, if a rule would give it and nobody else has
  /// it: to all its peers a sender is the same (RFC 4787 section 4.1). Linux: the first step of `get_unique_tuple()`.
  private mutating func keepSource(
    _ current: ConnectionTuple, _ slot: Int, _ addresses: ClosedRange<IPv4Address>,
    _ ports: ClosedRange<UInt16>?, net: inout Net
  ) -> ConnectionTuple? {
    func mayBe(_ tuple: ConnectionTuple) -> Bool {
      let hasPorts = tuple.protocol.hasPorts || tuple.protocol == .icmp
      return addresses.contains(tuple.source) && (!hasPorts || ports?.contains(tuple.sourcePort) ?? true)
    }
    var tuple = current
    if !mayBe(current) {
      guard let known = table.knownSource(of: table[slot].original, net: &net, where: mayBe) else {
        return nil
      }
      (tuple.source, tuple.sourcePort) = (known.source, known.sourcePort)
    }
    return isUsed(tuple, slot, net: &net) ? nil : tuple
  }

  /// Ports of the same privilege. Linux: `nf_nat_l4proto_unique_tuple()`.
  private static func alike(_ port: UInt16, _ number: IPProtocol) -> ClosedRange<UInt16> {
    if number == .icmp { return 0...UInt16.max }
    if port < 512 { return 1...511 }
    return port < 1024 ? 600...1023 : 1024...UInt16.max
  }

  /// Tries ports in a row from some place on, fewer each time: how long it takes has a bound.
  private mutating func search(
    _ tuple: ConnectionTuple, _ slot: Int, _ ports: ClosedRange<UInt16>, isSource: Bool, startsAnywhere: Bool,
    net: inout Net
  ) -> ConnectionTuple? {
    let count = ports.count
    var attempts = min(count, Self.mostAttempts)
    var start = startsAnywhere ? Int(net.random.next(below: UInt32(count))) : 0
    while true {
      for step in 0..<attempts {
        let port = ports.lowerBound + UInt16((start + step) % count)
        let candidate = PacketRewriting.tuple(tuple, isSource: isSource, port: port)
        if !isUsed(candidate, slot, net: &net) { return candidate }
      }
      if attempts >= count || attempts < 16 { return nil }
      attempts /= 2
      start = Int(net.random.next(below: UInt32(count)))
    }
  }
  private static let mostAttempts = 128

  private mutating func isUsed(_ tuple: ConnectionTuple, _ slot: Int, net: inout Net) -> Bool {
    guard let reply = tuple.inverted else { return false }
    return table.isTaken(reply, besides: slot, net: &net)
  }

  /// One of several, the same for a sender and receiver each time. Linux: `find_best_ips_proto()`.
  private mutating func choose(
    _ addresses: ClosedRange<IPv4Address>, for tuple: ConnectionTuple, net: inout Net
  ) -> IPv4Address {
    let count = UInt64(addresses.upperBound.rawValue - addresses.lowerBound.rawValue) + 1
    if count == 1 { return addresses.lowerBound }
    let hash = table.hash(tuple.source, tuple.destination, net: &net)
    return IPv4Address(addresses.lowerBound.rawValue + UInt32(((hash >> 32) * count) >> 32))
  }

  // MARK: Errors

  /// An ICMP error about a translated connection: what it quotes gets the addresses that its receiver knows, and so does the
  /// message. Linux: `nf_nat_icmp_reply_translation()`.
  private mutating func translateError(
    _ skb: inout SkBuff, _ header: IPv4Header, _ reference: ConnectionReference, isSource: Bool
  ) -> Bool {
    let connection = table[reference.slot]
    let bits: Connection.Status = [.sourceTranslated, .destinationTranslated]
    guard skb.mayPull(header.headerByteCount + ICMPHeader.byteCount) else { return false }
    let kind = ICMPHeader.Kind(rawValue: skb.linear.load8(header.headerByteCount))
    // A better way for another's packets says nothing about these.
    if kind == .redirect && !connection.status.isDisjoint(with: bits) { return false }
    let isOriginal = reference.direction == .original
    guard connection.status.contains(.translated(isSource == isOriginal)) else { return true }
    // Inside is a packet of the other direction, so that its other end is meant.
    guard
      PacketRewriting.rewriteQuoted(
        &skb, header, from: connection[reference.direction.other], isSource: !isSource)
    else { return false }
    guard var target = connection[reference.direction.other].inverted else { return true }
    target.protocol = .icmp
    return PacketRewriting.rewriteAddress(
      &skb, header, isSource ? target.source : target.destination, isSource: isSource)
  }
}
