import IPv4
import IceModel
import SkBuff
import Sockets
import TCP

/// Several shards behind one address: Linux spreads frames over the TAP's queues by flow, and a frame that arrives at
/// the wrong one finds its way here. With one queue none of this runs.
///
/// - Datagrams, ICMP and fragments are the first shard's, so that reassembly and the small sockets see everything.
/// - A TCP segment goes round the shards until one has its connection. If none has, a SYN goes round once more for a
///   listener, and whatever is left is answered where it came in. Each shard is asked once per round, so exactly one
///   answers.
/// - ARP replies and ICMP errors about TCP are for all.
extension ShardState {
  /// Takes a packet that is another shard's business off to it. Returns the packet when it is to be taken in here.
  mutating func steer(_ skb: consuming SkBuff) -> SkBuff? {
    if skb.etherType == .arp {
      // The sender of a reply has been asked by one of the shards: by which, only that one knows.
      if hops == 0, skb.mayPull(ARPPacket.byteCount), let packet = ARPPacket(parsing: skb.linear),
        packet.operation == .reply
      {
        for peer in peers.indices where peer != queue { hand(skb, to: peer, hops: 1) }
      }
      return skb
    }
    guard skb.etherType == .ipv4, skb.mayPull(IPv4Header.minimumByteCount),
      let header = IPv4Header(parsing: skb.linear)
    else { return skb }
    guard header.protocol == .tcp, !header.isFragment else {
      if queue == 0 { return skb }
      hand(skb, to: 0, hops: 1)
      return nil
    }
    guard skb.mayPull(header.headerByteCount + 14) else { return skb }
    let base = header.headerByteCount
    let local = SocketAddress(header.destination, port: skb.linear.load16(base + 2))
    let remote = SocketAddress(header.source, port: skb.linear.load16(base))
    if hops < peers.count {
      if sockets.tcp.hasConnection(local: local, remote: remote) { return skb }
    } else {
      let flags = skb.linear.load8(base + 13)
      let isOpening = flags & 0x12 == 0x02
      if !isOpening || hops == 2 * peers.count || sockets.tcp.hasListener(at: local) { return skb }
    }
    hand(skb, to: (queue + 1) % peers.count, hops: hops + 1)
    return nil
  }

  /// Copies the frame to another shard, which takes it as if it had come from the wire.
  private mutating func hand(_ skb: borrowing SkBuff, to peer: Int, hops: Int) {
    let header = -(skb.macHeaderOffset ?? 0)
    guard header == 14 else { return }
    skb.push(header)
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: skb.length) { buffer, count in
      let isCopied = unsafe skb.copyBits(from: 0, into: UnsafeMutableRawBufferPointer(buffer))
      count = isCopied ? skb.length : 0
    }
    skb.pull(header)
    var metadata = WireFrameMetadata()
    metadata.isDataValid = skb.checksumStatus == .unnecessary
    if skb.isGSO {
      metadata.gsoType = .tcpv4
      metadata.gsoSize = UInt16(truncatingIfNeeded: skb.gsoSize)
    }
    if peers[peer].put(.frame(SimulatedFrame(bytes: bytes, metadata: metadata), hops: hops)) {
      framesHandedOver &+= 1
    } else {
      handoversLost &+= 1
    }
  }

  /// IP's answer, with what other shards must know of it passed on.
  mutating func receiveSteered(_ input: consuming IPv4Layer.Input) {
    switch consume input {
    case .error(let report):
      if report.protocol == .tcp {
        for peer in peers.indices where peer != queue { _ = peers[peer].put(.error(report)) }
      }
      sockets.error(report, ip: &ip, net: &net)
    case .consumed: break
    case .tcp(let skb, let header): sockets.receive(.tcp(skb, header), ip: &ip, net: &net)
    case .udp(let skb, let header): sockets.receive(.udp(skb, header), ip: &ip, net: &net)
    case .icmp(let skb, let header): sockets.receive(.icmp(skb, header), ip: &ip, net: &net)
    }
  }

  /// Takes in what other shards have handed over.
  mutating func takeHandovers() {
    guard peers.count > 1 else { return }
    for item in peers[queue].takeAll() {
      switch item {
      case .error(let report): sockets.error(report, ip: &ip, net: &net)
      case .frame(let frame, let count):
        // Nothing else is on the receive ring now, so that the count is this frame's.
        hops = count
        unsafe frame.bytes.withUnsafeBytes { unsafe receiveFrame($0, frame.metadata) }
        drain()
        hops = 0
      }
    }
  }
}
