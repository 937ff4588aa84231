import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Wire

/// What became of a datagram from the network.
public enum UDPInput: ~Copyable {
  case consumed
  /// Nobody has the port: the sender is owed an ICMP port unreachable (RFC 1122 section 4.1.3.1). The data is at the
  /// UDP header, as it came.
  case noSocket(SkBuff)
}

extension UDPLayer {
  /// Takes a datagram whose data is at the UDP header. Linux: `udp_rcv()`.
  ///
  /// - Parameter own: for a destination that is a group or a broadcast address, the address of ours that it was for; `nil`:
  ///   it is for one socket. What kind of frame brought it does not matter here, and ourselves may have sent it.
  public mutating func receive(
    _ skb: consuming SkBuff, header: IPv4Header, forManyAt own: IPv4Address?, net: inout Net
  ) -> UDPInput {
    var coverage = 0
    guard let udp = isLite ? Self.wholeLite(&skb, &coverage) : Self.whole(&skb),
      isLite || skb.trim(to: udp.totalByteCount)
    else {
      net.counters.count(counters.inErrors)
      skb.drop(.packetTooSmall)
      return .consumed
    }
    net.tracer.record(.udp_rcv, skb: skb.serial, UInt64(udp.totalByteCount), UInt64(udp.destinationPort))
    guard isLite ? Self.isIntactLite(skb, coverage, header) : Self.isIntact(skb, udp, header) else {
      net.counters.count(counters.inCsumErrors)
      net.counters.count(counters.inErrors)
      skb.drop(.udpChecksum)
      return .consumed
    }
    let local = SocketAddress(header.destination, port: udp.destinationPort)
    let remote = SocketAddress(header.source, port: udp.sourcePort)
    skb.datagram = DatagramControlBlock(
      source: header.source, destination: header.destination,
      specificDestination: own ?? header.destination, sourcePort: udp.sourcePort,
      timeToLive: header.timeToLive, typeOfService: header.typeOfService,
      coverage: coverage == skb.length ? 0 : UInt16(truncatingIfNeeded: coverage),
      largestFragment: skb.largestFragment, destinationPort: udp.destinationPort)
    if own != nil {
      deliverToAll(skb, local: local, remote: remote, net: &net)
      return .consumed
    }
    guard let index = table.demux.lookup(local: local, remote: remote, by: skb.interface) else {
      net.counters.count(counters.noPorts)
      return .noSocket(skb)
    }
    skb.pull(UDPHeader.byteCount)
    enqueue(skb, to: index, net: &net)
    return .consumed
  }

  /// The header of a datagram that is there to its end.
  @inline(__always)
  private static func whole(_ skb: inout SkBuff) -> UDPHeader? {
    guard skb.mayPull(UDPHeader.byteCount), let udp = UDPHeader(parsing: skb.linear),
      udp.totalByteCount <= skb.length
    else { return nil }
    return udp
  }

  /// The header of a datagram of UDP-Lite, whose end is that of the packet.
  ///
  /// - Parameter coverage: bytes from its header on that the checksum covers; one that cannot be stays as it is.
  private static func wholeLite(_ skb: inout SkBuff, _ coverage: inout Int) -> UDPHeader? {
    guard skb.mayPull(UDPHeader.byteCount) else { return nil }
    let bytes = skb.linear
    let field = Int(bytes.load16(UDPHeader.Offset.length))
    guard field <= skb.length else { return nil }
    coverage = field == 0 ? skb.length : field
    return UDPHeader(
      sourcePort: bytes.load16(UDPHeader.Offset.sourcePort),
      destinationPort: bytes.load16(UDPHeader.Offset.destinationPort), totalByteCount: skb.length,
      checksum: bytes.load16(UDPHeader.Offset.checksum))
  }

  /// RFC 3828 section 3.1: there is a checksum, over the header at least. Linux: `udplite_checksum_init()`.
  private static func isIntactLite(
    _ skb: borrowing SkBuff, _ coverage: Int, _ header: IPv4Header
  ) -> Bool {
    guard skb.linear.load16(UDPHeader.Offset.checksum) != 0, coverage >= UDPHeader.byteCount else {
      return false
    }
    if skb.checksumStatus == .unnecessary { return true }
    var sum = InternetChecksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: .udpLite, byteCount: skb.length)
    sum.add(skb.checksum(from: 0, count: coverage), at: 0)
    return sum.isValid
  }

  @inline(__always)
  private static func isIntact(_ skb: borrowing SkBuff, _ udp: UDPHeader, _ header: IPv4Header) -> Bool {
    // A datagram of our own, looped back, may still have its checksum to be filled in: it was never on a wire.
    if udp.checksum == 0 || skb.checksumStatus == .unnecessary || skb.checksumStatus == .partial {
      return true
    }
    var sum = InternetChecksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: .udp,
      byteCount: udp.totalByteCount)
    sum.add(skb.checksum(from: 0, count: udp.totalByteCount), at: 0)
    return sum.isValid
  }

  /// Whether `receive` would take a datagram in. Its checksum needs no second look then.
  public static func isIntact(_ skb: inout SkBuff, header: IPv4Header) -> Bool {
    if header.protocol == .udpLite {
      var coverage = 0
      guard wholeLite(&skb, &coverage) != nil, isIntactLite(skb, coverage, header) else { return false }
      skb.checksumStatus = .unnecessary
      return true
    }
    guard let udp = whole(&skb), isIntact(skb, udp, header) else { return false }
    if skb.checksumStatus != .partial { skb.checksumStatus = .unnecessary }
    return true
  }

  private mutating func enqueue(_ skb: consuming SkBuff, to index: Int, net: inout Net) {
    if isLite, let least = table.sockets[index].options.receiveCoverage, skb.datagram.coverage != 0,
      least == 0 || skb.datagram.coverage < least
    {
      // The receiver wants more of it covered. Linux: `udp_queue_rcv_one_skb()`.
      net.counters.count(counters.inErrors)
      table.sockets[index].dropCount += 1
      skb.drop(.udpChecksum)
      return
    }
    if skb.gsoSize > 0 && !table.sockets[index].options.receiveOffload {
      return enqueueSegments(skb, to: index, net: &net)
    }
    queue(skb, to: index, net: &net)
  }

  private mutating func queue(_ skb: consuming SkBuff, to index: Int, net: inout Net) {
    if !table.sockets[index].enqueue(skb, net: &net) {
      net.counters.count(counters.rcvbufErrors)
      net.counters.count(counters.inErrors)
    }
  }

  /// What came as one goes to a socket without `UDP_GRO` as the datagrams that were sent. Linux: `udp_rcv_segment()`.
  @inline(never)
  private mutating func enqueueSegments(_ skb: consuming SkBuff, to index: Int, net: inout Net) {
    let (size, block) = (skb.gsoSize, skb.datagram)
    var offset = 0
    while offset < skb.length {
      let count = min(size, skb.length - offset)
      guard let segment = skb.segment(from: offset, count: count) else {
        net.counters.count(counters.memErrors)
        return
      }
      var datagram = segment
      datagram.datagram = block
      queue(datagram, to: index, net: &net)
      offset += count
    }
  }

  /// Every socket on the port gets a copy. Linux: `__udp4_lib_mcast_deliver()`.
  private mutating func deliverToAll(
    _ skb: consuming SkBuff, local: SocketAddress, remote: SocketAddress, net: inout Net
  ) {
    let interface = skb.interface
    skb.pull(UDPHeader.byteCount)
    guard var index = nextReceiver(after: nil, local: local, remote: remote, by: interface) else {
      net.counters.count(counters.ignoredMulti)
      skb.drop(.noSocket)
      return
    }
    while let following = nextReceiver(after: index, local: local, remote: remote, by: interface) {
      if let copy = skb.clone() {
        enqueue(copy, to: index, net: &net)
      } else {
        net.counters.count(counters.memErrors)
      }
      index = following
    }
    enqueue(skb, to: index, net: &net)
  }

  /// The next socket on the port that wants the datagram. Linux: `__udp_is_mcast_sock()`.
  private func nextReceiver(
    after slot: Int?, local: SocketAddress, remote: SocketAddress, by interface: InterfaceIndex
  ) -> Int? {
    var place = slot
    while let found = table.demux.next(after: place, local: local, remote: remote, by: interface) {
      if let group = local.address.v4, let source = remote.address.v4,
        table.sockets[found].core.accepts(group, from: source, by: interface)
      {
        return found
      }
      place = found
    }
    return nil
  }

  /// Takes an ICMP error, or a failure of our own, about a datagram that was sent. Linux: `__udp4_lib_err()`.
  public mutating func error(_ error: TransportError, host: inout Host) {
    let found = table.demux.lookup(local: error.local, remote: error.remote, by: error.interface)
    guard let index = found else {
      if !error.isLocal { host.net.counters.count(.IcmpInErrors) }
      return
    }
    if let gateway = error.gateway {
      return table.learnNextHop(gateway, from: error, by: index, host: &host)
    }
    let discovery = table.sockets[index].core.options.pathMTUDiscovery
    if let mtu = error.mtu {
      // A socket did send there: the report is believed, though this one may not care.
      if discovery.acceptsPathMTU {
        table.learnPathMTU(mtu, from: error, by: index, host: &host)
      }
      if discovery == .dont { return }
    }
    table.report(error, to: index, extended: ExtendedError(error), net: &host.net)
  }
}
