import IPv4
import InetSocket
import SkBuff
import Sockets
import UDP
import Wire

/// Datagrams of several shards behind one address: each goes from where it came in to the shard of its socket, with one
/// handover at most; what is for many goes to every shard that has the port; what is for nobody is answered where it is.
extension Shard {
  /// Takes in a UDP datagram that came in here, data at its UDP header.
  mutating func receiveDatagram(_ skb: consuming SkBuff, _ header: IPv4Header) {
    guard host.internet.isForMany(header.destination) else {
      receiveDatagram(skb, header, DatagramSearch())
      return
    }
    guard skb.mayPull(UDPHeader.byteCount) else {
      sockets.receive(.udp(skb, header), host: &host)
      return
    }
    let port = skb.linear.load16(UDPHeader.Offset.destinationPort)
    let (others, isOwn) =
      header.protocol == .udpLite
      ? sockets.udpLite.table.users(of: port) : sockets.udp.table.users(of: port)
    // One that is damaged is counted once, here.
    if others != 0 && UDPLayer.isIntact(&skb, header: header) {
      if let packet = HandedPacket(&skb, networkHeader: skb.networkHeaderOffset ?? 0) {
        for peer in peers.indices where others >> UInt64(peer) & 1 == 1 { hand(.copy(packet), to: peer) }
      }
      guard isOwn else { return }
    }
    sockets.receive(.udp(skb, header), host: &host)
  }

  /// Takes in a UDP datagram or an echo reply for one socket, or hands it to the shard that has the socket.
  ///
  /// - Parameter skb: data at its transport header.
  mutating func receiveDatagram(_ skb: consuming SkBuff, _ header: IPv4Header, _ search: DatagramSearch) {
    let isEcho = header.protocol == .icmp
    if skb.mayPull(UDPHeader.byteCount) {
      let flow = FourTuple(
        local: SocketAddress(
          header.destination,
          port: skb.linear.load16(isEcho ? ICMPHeader.Offset.rest : UDPHeader.Offset.destinationPort)),
        remote: SocketAddress(
          header.source, port: isEcho ? 0 : skb.linear.load16(UDPHeader.Offset.sourcePort)))
      var search = search
      let shard = shard(of: flow, header.protocol, by: skb.interface, &search)
      if let shard {
        if let packet = HandedPacket(&skb, networkHeader: skb.networkHeaderOffset ?? 0) {
          hand(.datagram(packet, search), to: shard)
        }
        return
      }
    }
    sockets.receive(isEcho ? .icmp(skb, header) : .udp(skb, header), host: &host)
  }

  private mutating func shard(
    of flow: FourTuple, _ number: IPProtocol, by interface: InterfaceIndex, _ search: inout DatagramSearch
  ) -> Int? {
    switch number {
    case .udp: sockets.udp.table.shard(of: flow, by: interface, &search)
    case .udpLite: sockets.udpLite.table.shard(of: flow, by: interface, &search)
    case .icmp: sockets.ping.table.shard(of: flow, by: interface, &search)
    default: nil
    }
  }

  /// Gives an error about a datagram to its socket, or to the shard that has it.
  mutating func receiveDatagramError(_ report: TransportError, _ search: DatagramSearch) {
    let flow = FourTuple(local: report.local, remote: report.remote)
    var search = search
    let shard = shard(of: flow, report.protocol, by: report.interface, &search)
    if let shard {
      hand(.datagramError(report, search), to: shard)
    } else {
      sockets.error(report, host: &host)
    }
  }
}
