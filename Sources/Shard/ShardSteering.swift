import IPv4
import NetDevice
import SkBuff
import Sockets

/// Several shards behind one address: Linux spreads frames over the TAP's queues by flow, and a packet that arrives at
/// the wrong one finds its way here, onto the other shard's backlog above the device. With one queue none of this runs.
///
/// - Datagrams, ICMP and fragments are the first shard's, so that reassembly and the small sockets see everything.
/// - A TCP segment is taken in by IP where it came in, or where it was put together, and then goes to the shard that has
///   its local port. Of several that have it (listeners of one service) the flow's hash names the first to be asked, so
///   that every segment of a flow finds its connection there; the others are asked in turn only when it is not.
/// - What ARP tells and ICMP errors about TCP are for all.
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
      if let packet = HandedPacket(skb, networkHeader: 0) {
        for peer in peers.indices where peer != queue { hand(.overheard(packet), to: peer) }
      }
    case .ipv4 where queue != 0 && !isWholeSegment(skb):
      if let packet = HandedPacket(skb, networkHeader: 0) { hand(.packet(packet), to: 0) }
      return
    default: break
    }
    receiveSteered(host.receive(skb))
  }

  private func isWholeSegment(_ skb: borrowing SkBuff) -> Bool {
    // What has no valid header is dropped and counted where it came in.
    guard skb.mayPull(IPv4Header.minimumByteCount), let header = IPv4Header(parsing: skb.linear) else {
      return true
    }
    return header.protocol == .tcp && !header.isFragment
  }

  /// IP's answer, with what other shards must know of it passed on.
  private mutating func receiveSteered(_ input: consuming IPv4Layer.Input) {
    switch consume input {
    case .tcp(let skb, let header): receiveSegment(skb, header, turn: 0)
    case .error(let report):
      if report.protocol == .tcp {
        let owners = portOwners?.shards(of: report.local.port) ?? 0
        for peer in peers.indices where peer != queue && owners >> UInt64(peer) & 1 == 1 {
          hand(.error(report), to: peer)
        }
      }
      sockets.error(report, host: &host)
    case .consumed: break
    case .udp(let skb, let header): sockets.receive(.udp(skb, header), host: &host)
    case .icmp(let skb, let header): sockets.receive(.icmp(skb, header), host: &host)
    }
  }

  /// Takes a segment in here, or hands it to the next shard that may have its connection. Whoever is asked last answers
  /// a segment that is nobody's.
  private mutating func receiveSegment(_ skb: consuming SkBuff, _ header: IPv4Header, turn first: Int) {
    guard let portOwners, skb.mayPull(14) else {
      return sockets.receive(.tcp(skb, header), host: &host)
    }
    let local = SocketAddress(header.destination, port: skb.linear.load16(2))
    let remote = SocketAddress(header.source, port: skb.linear.load16(0))
    let owners = portOwners.shards(of: local.port)
    let isOthers = owners & ~(1 << UInt64(queue)) != 0
    if isOthers && !sockets.tcp.hasConnection(local: local, remote: remote) {
      let isOpening = skb.linear.load8(13) & 0x12 == 0x02
      for turn in first..<max(first, owners.nonzeroBitCount) {
        let shard = portOwners.candidate(turn, of: owners, remote: remote)
        if shard == queue {
          if isOpening && sockets.tcp.hasListener(at: local) { break }
        } else {
          if let packet = HandedPacket(skb, networkHeader: skb.networkHeaderOffset ?? 0) {
            hand(.segment(packet, turn: turn), to: shard)
          }
          return
        }
      }
    }
    sockets.receive(.tcp(skb, header), host: &host)
  }

  private mutating func hand(_ item: Handover, to peer: Int) {
    if peers[peer].put(item) {
      packetsHandedOver &+= 1
    } else {
      handoversLost &+= 1
    }
  }

  /// Tells the other shards which TCP ports came into use here, before any segment of theirs can be answered.
  package mutating func publishPorts() {
    guard let portOwners else { return }
    while let change = sockets.tcp.takePortChange() {
      portOwners.set(change.port, shard: queue, isInUse: change.isInUse)
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
      case .error(let report): sockets.error(report, host: &host)
      case .packet(let packet):
        if let skb = packet.makePacket(in: host.net.pool) {
          receiveSteered(host.receive(skb))
        }
      case .overheard(let packet):
        if let skb = packet.makePacket(in: host.net.pool) { host.overhearARP(skb) }
      case .segment(let packet, let turn): takeSegment(packet, turn: turn)
      }
      taken += 1
      if taken % Self.handoverBatch == 0 { drain() }
    }
    if taken > 0 { drain() }
  }

  private mutating func takeSegment(_ packet: HandedPacket, turn: Int) {
    if let skb = packet.makePacket(in: host.net.pool) { takeSegment(skb, turn: turn) }
  }

  /// - Parameter skb: data at its IP header, which was checked where it came in.
  private mutating func takeSegment(_ skb: consuming SkBuff, turn: Int) {
    guard let header = IPv4Header(parsing: skb.linear) else {
      skb.drop(.ipHeader)
      return
    }
    skb.setNetworkHeader()
    skb.pull(header.headerByteCount)
    skb.setTransportHeader()
    receiveSegment(skb, header, turn: turn)
  }
}
