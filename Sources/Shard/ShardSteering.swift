import IPv4
import InetSocket
import NetDevice
import SkBuff
import Sockets
import UDP

/// Several shards behind one address: Linux spreads frames over the TAP's queues by flow, and a packet that arrives at
/// the wrong one finds its way here, onto the other shard's backlog above the device. With one queue none of this runs.
///
/// - The fragments of a datagram meet in one shard, which a hash names; the whole goes on from there.
/// - A TCP segment is taken in by IP where it came in, or where it was put together. A table that all shards share names
///   the shard that has its connection, or those whose flows have one place there.
/// - A SYN of a new flow stays where it came in if somebody listens there: Linux sends the flow to the queue that
///   answered. Else it goes to a listener of another shard, or is answered at once. Before that it is shown to the shards with
///   flows in its place, as it may meet a connection there, and stays with the last of them that listens.
/// - Datagrams, echo replies and ICMP errors about them: see `receiveDatagram`. Echo requests are answered where they are.
/// - An ICMP error about a TCP connection goes where a segment of the connection would. What ARP tells is for all.
extension Shard {
  /// A packet from the device or from ourselves, in a stack of several shards.
  package mutating func receiveShared(_ skb: consuming SkBuff) {
    guard !skb.etherType.isVLAN || skb.removePriorityTags() else {
      skb.drop(.unknownEtherType)
      return
    }
    switch skb.etherType {
    case .arp:
      // Which of the shards waits for this neighbour, only that one knows.
      if let packet = HandedPacket(&skb, networkHeader: 0) {
        for peer in peers.indices where peer != queue { hand(.overheard(packet), to: peer) }
      }
    case .ipv4:
      if let shard = shardOfFragment(&skb), shard != queue {
        if let packet = HandedPacket(&skb, networkHeader: 0) { hand(.fragment(packet), to: shard) }
        return
      }
    default: break
    }
    receiveSteered(host.receive(skb))
  }

  /// Where a fragment's datagram is put together; `nil` for anything but a fragment.
  @inline(__always)
  private mutating func shardOfFragment(_ skb: inout SkBuff) -> Int? {
    // Offset and MF. What has no valid header is dropped and counted where it came in.
    guard steering != nil, skb.mayPull(IPv4Header.minimumByteCount),
      skb.linear.load16(IPv4Header.Offset.fragment) & 0x3FFF != 0,
      let header = IPv4Header(parsing: skb.linear)
    else { return nil }
    return steering?.shard(ofFragment: header, count: peers.count)
  }

  /// IP's answer, with what other shards must know of it passed on.
  private mutating func receiveSteered(_ input: consuming IPv4Layer.Input) {
    switch consume input {
    case .tcp(let skb, let header): receiveSegment(skb, header, SegmentSearch())
    case .consumed: break
    case .udp(let skb, let header): receiveDatagram(skb, header)
    case .icmp(let skb, let header): receiveDatagram(skb, header, DatagramSearch())
    }
  }

  /// Gives an error to the socket whose packet it is about. IP's own finding is about a packet of this shard's.
  mutating func receiveError(_ report: TransportError) {
    guard !peers.isEmpty && !report.isLocal else { return sockets.error(report, host: &host) }
    guard report.protocol == .tcp else { return receiveDatagramError(report, DatagramSearch()) }
    receiveConnectionError(report, asked: 0)
  }

  /// Takes an error about a TCP connection in here, or hands it to a shard that may have the connection. Whoever is asked
  /// last counts one that is about nobody's.
  private mutating func receiveConnectionError(_ report: TransportError, asked: UInt64) {
    let tried = asked | 1 << UInt64(queue)
    let flow = FourTuple(local: report.local, remote: report.remote)
    if let shard = shard(of: flow, by: report.interface, asked: tried) {
      hand(.error(report, asked: tried), to: shard)
    } else {
      sockets.error(report, host: &host)
    }
  }

  /// Takes a segment in here, or hands it to a shard that may have its connection. Whoever is asked last answers a segment
  /// that is nobody's.
  ///
  /// - Parameter search: who has been asked.
  private mutating func receiveSegment(
    _ skb: consuming SkBuff, _ header: IPv4Header, _ search: SegmentSearch
  ) {
    // The table is not bound to a name here or below: each packet of each shard would count its references.
    if steering != nil, skb.mayPull(14) {
      let flow = FourTuple(
        local: SocketAddress(header.destination, port: skb.linear.load16(TCPHeader.Offset.destinationPort)),
        remote: SocketAddress(header.source, port: skb.linear.load16(TCPHeader.Offset.sourcePort)))
      var search = search
      search.asked |= 1 << UInt64(queue)
      let isOpening = skb.linear.load8(TCPHeader.Offset.flags) & 0x12 == 0x02
      let interface = skb.interface
      if let shard = isOpening
        ? shard(forOpening: flow, by: interface, &search)
        : shard(of: flow, by: interface, asked: search.asked)
      {
        if let packet = HandedPacket(&skb, networkHeader: skb.networkHeaderOffset ?? 0) {
          hand(.segment(packet, search), to: shard)
        }
        return
      }
    }
    sockets.receive(.tcp(skb, header), host: &host)
  }

  /// Who else is to be asked for a segment's connection; `nil`: it is here, or nobody's.
  private mutating func shard(
    of flow: FourTuple, by interface: InterfaceIndex, asked: UInt64
  ) -> Int? {
    let left = (steering?.users(of: flow.local.port) ?? 0) & ~asked
    guard left != 0, !sockets.tcp.hasConnection(flow, by: interface) else { return nil }
    let owners = left & (steering?.shards(of: flow) ?? 0)
    // Where none has it, a listener may know the segment by its cookie.
    return owners != 0 ? owners.trailingZeroBitCount : left.trailingZeroBitCount
  }

  /// Who else a SYN is for; `nil`: it stays. Those that may have its flow are asked first: it may have been sent again, or meet
  /// a connection of old.
  private mutating func shard(
    forOpening flow: FourTuple, by interface: InterfaceIndex, _ search: inout SegmentSearch
  ) -> Int? {
    guard !sockets.tcp.hasConnection(flow, by: interface) else { return nil }
    let owners = (steering?.shards(of: flow) ?? 0) & ~search.asked
    if owners != 0 { return owners.trailingZeroBitCount }
    guard !sockets.tcp.hasListener(at: flow.local, by: interface) else { return nil }
    search.deaf |= 1 << UInt64(queue)
    let others = (steering?.listeners(on: flow.local.port) ?? 0) & ~search.deaf
    return others == 0 ? nil : steering?.choice(among: others, for: flow)
  }

  mutating func hand(_ item: Handover, to peer: Int) {
    if peers[peer].put(item) {
      packetsHandedOver &+= 1
    } else {
      handoversLost &+= 1
    }
  }

  /// Tells the other shards which TCP connections came here, before any segment of theirs can be answered.
  @inline(__always)
  package mutating func publish() {
    if sockets.tcp.hasConnectionChanges { publishChanges() }
  }

  private mutating func publishChanges() {
    guard steering != nil else { return }
    while let change = sockets.tcp.takeConnectionChange() {
      steering?.set(change.flow, shard: queue, isThere: change.isThere)
    }
  }

  /// Packets taken in from other shards before what follows from them is sent.
  private static let handoverBatch = 32

  /// Takes in what other shards have handed over.
  package mutating func takeHandovers() {
    guard peers.count > 1 else { return }
    var taken = 0
    for item in peers[queue].takeAll() {
      switch item {
      case .error(let report, let asked): receiveConnectionError(report, asked: asked)
      case .datagramError(let report, let search): receiveDatagramError(report, search)
      case .fragment(let packet):
        if let skb = packet.makePacket(in: host.net.pool) {
          receiveSteered(host.receive(skb))
        }
      case .datagram(let packet, let search): takeDatagram(packet, search)
      case .copy(let packet): takeCopy(packet)
      case .overheard(let packet):
        if let skb = packet.makePacket(in: host.net.pool) { host.overhearARP(skb) }
        if hasConflictToReport { reportConflicts() }
      case .segment(let packet, let search): takeSegment(packet, search)
      }
      taken += 1
      if taken % Self.handoverBatch == 0 { drain() }
    }
    if taken > 0 { drain() }
  }

  private mutating func takeSegment(_ packet: HandedPacket, _ search: SegmentSearch) {
    guard var skb = packet.makePacket(in: host.net.pool), let header = Self.open(&skb) else { return }
    receiveSegment(skb, header, search)
  }

  private mutating func takeDatagram(_ packet: HandedPacket, _ search: DatagramSearch) {
    guard var skb = packet.makePacket(in: host.net.pool), let header = Self.open(&skb) else { return }
    receiveDatagram(skb, header, search)
  }

  private mutating func takeCopy(_ packet: HandedPacket) {
    guard var skb = packet.makePacket(in: host.net.pool), let header = Self.open(&skb) else { return }
    sockets.receive(.udp(skb, header), host: &host)
  }

  /// Takes the IP header, which was checked where the packet came in, off one that was handed over.
  ///
  /// - Parameter skb: data at its IP header, then at its transport header.
  private static func open(_ skb: inout SkBuff) -> IPv4Header? {
    guard let header = IPv4Header(parsing: skb.linear) else { return nil }
    skb.setNetworkHeader()
    skb.pull(header.headerByteCount)
    skb.setTransportHeader()
    return header
  }
}
