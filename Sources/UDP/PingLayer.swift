import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Wire

/// ICMP echo sockets: `socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)`. Linux: `net/ipv4/ping.c`.
///
/// A caller sends ICMP echo requests with their 8-byte header in front and receives echo replies the same way. The
/// identifier is the socket's: its "port", chosen by `bind()` or at the first send. The checksum is filled in here.
public struct PingLayer: ~Copyable {
  public var table: DatagramTable

  public init(secret: (UInt64, UInt64)) { table = DatagramTable(kind: .ping, secret: secret) }

  public mutating func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, net: borrowing Net
  ) throws(Errno) -> ReceivedMessage {
    let index = try table.slot(id)
    return try table.sockets[index].receive(into: &iter, flags: flags, net: net)
  }

  /// Sends an echo request of up to 65,515 bytes, header included. Linux: `ping_v4_sendmsg()`.
  ///
  /// - Throws: EINVAL when the bytes are not an echo request with code 0; EMSGSIZE; EDESTADDRREQ; EOPNOTSUPP; EFAULT;
  ///   EACCES; EAGAIN; ENETUNREACH; the pending error.
  public mutating func sendmsg(
    _ id: SocketID, iter: inout IovIter, to: SocketAddress? = nil, control: SendControl = SendControl(),
    flags: MessageFlags = [], refusals: SendRefusals = SendRefusals(), host: inout Host
  ) throws(Errno) -> Int {
    let index = try table.slot(id)
    try table.autobind(index, net: &host.net)
    let length = iter.count
    guard length <= 0xFFFF else { throw .EMSGSIZE }
    guard length >= ICMPHeader.byteCount else { throw .EINVAL }
    guard !flags.contains(.outOfBand) else { throw .EOPNOTSUPP }
    let request = try Self.header(from: &iter)
    guard request.kind == .echoRequest, request.code == 0 else { throw .EINVAL }
    if let error = refusals.name { throw error }
    guard let destination = (to ?? table.sockets[index].core.peer)?.address else { throw .EDESTADDRREQ }
    guard var address = destination.v4 else { throw .EAFNOSUPPORT }
    if let error = refusals.control { throw error }
    let source = table.sockets[index].source(for: address, control)
    let device = table.sockets[index].device(for: address, control)
    let isAnywhere = address.isAny
    if isAnywhere { address = host.internet.ownAddress(source, by: device) }
    let list = control.options ?? table.sockets[index].core.ipOptions?.list ?? IPv4OptionList()
    if list.firstHop != nil && isAnywhere { throw .EINVAL }
    let onLink =
      flags.contains(.dontRoute) || table.sockets[index].core.options.dontRoute || list.isStrictRoute
    table.sockets[index].core.labelFlow(
      to: SocketAddress(address, port: 0), from: IPAddress(source), by: device)
    // Linux: `ping_v4_sendmsg()` asks the routes for each.
    table.sockets[index].usesCachedRoute = false
    try table.sockets[index].findRoute(
      to: list.firstHop ?? address, port: 0, from: source, by: device, onLink: onLink, control: control,
      host: &host)
    table.sockets[index].pendingTarget = DatagramTarget()
    table.sockets[index].pendingTarget.destination = address
    table.sockets[index].pendingTarget.options = list
    table.sockets[index].pendingTarget.control = control
    let interface = table.sockets[index].route?.interface ?? .none
    table.sockets[index].pendingTarget.isConfirming = flags.contains(.confirm)
    if flags.contains(.confirm) && flags.contains(.probe), let route = table.sockets[index].route {
      host.confirmNextHop(route)
    }
    if flags.contains(.probe) { return length }
    table.sockets[index].pending = table.sockets[index].collect(
      options: list.byteCount, header: ICMPHeader.byteCount, segments: false,
      deviceMTU: host.link.mtu(of: interface),
      headroom: NetDevice.neededHeadroom,
      scatterGather: host.link.features(of: interface).contains(.scatterGather))
    try table.sockets[index].appendPending(
      from: &iter, count: length - ICMPHeader.byteCount, isFirst: true, flags: flags,
      deviceMTU: host.link.mtu(of: interface),
      net: &host.net)
    try push(index, sequence: request.sequence, control: control, host: &host)
    return length
  }

  private static func header(from iter: inout IovIter) throws(Errno) -> ICMPHeader {
    var word: UInt64 = 0
    let copied = unsafe withUnsafeMutableBytes(of: &word) { unsafe iter.copyFromFull(into: $0) }
    guard copied else { throw .EFAULT }
    word = word.bigEndian
    return ICMPHeader(
      kind: ICMPHeader.Kind(rawValue: UInt8(word >> 56)), code: UInt8(truncatingIfNeeded: word >> 48),
      rest: UInt32(truncatingIfNeeded: word))
  }

  private mutating func push(
    _ index: Int, sequence: UInt16, control: SendControl, host: inout Host
  ) throws(Errno) {
    guard let data = table.sockets[index].pending.take(), var route = table.sockets[index].route else {
      return
    }
    var datagram = data.finish(
      account: table.sockets[index].core.account, socket: table.sockets[index].id.rawValue, sumsWhole: true)
    guard var first = datagram.packets.popFirst() else { return }
    let header = ICMPHeader(
      kind: .echoRequest, code: 0,
      rest: UInt32(table.sockets[index].core.tuple.local.port) << 16 | UInt32(sequence))
    var sum = datagram.sum
    sum.add(UInt16(header.kind.rawValue) << 8)
    sum.add(header.rest)
    guard first.write(header, checksum: sum.checksum) else { throw .ENOBUFS }
    first.confirmsNeighbour = table.sockets[index].pendingTarget.isConfirming
    if let time = control.transmitTime {
      datagram.setDeparture(of: &first, table.sockets[index].core.departure(time, net: host.net))
    }
    let target = table.sockets[index].pendingTarget
    var options = table.sockets[index].sendOptions(.icmp, control)
    options.optionByteCount = target.options.byteCount
    guard
      IPv4Layer.push(
        target.options, onto: &first, route: route, destination: target.destination, net: host.net)
    else { throw .ENOBUFS }
    host.net.counters.countICMP(sent: ICMPHeader.Kind.echoRequest.rawValue)
    datagram.packets.prepend(first)
    let result = table.sockets[index].output(
      &datagram.packets, control, by: &route, options: options, host: &host)
    if case .failed(let error) = result { throw error }
    if result == .dropped && table.sockets[index].core.options.receiveErrors { throw .ENOBUFS }
  }

  /// Takes an echo reply whose data is at the ICMP header and whose checksum was verified. Linux: `ping_rcv()`.
  public mutating func receive(_ skb: consuming SkBuff, header: IPv4Header, net: inout Net) {
    guard skb.mayPull(ICMPHeader.byteCount), let icmp = ICMPHeader(parsing: skb.linear) else {
      skb.drop(.packetTooSmall)
      return
    }
    guard let index = lookup(header.destination, identifier: icmp.identifier, by: skb.interface)
    else {
      skb.drop(.noSocket)
      return
    }
    skb.datagram = DatagramControlBlock(
      source: header.source, destination: header.destination,
      // Linux: no `ipv4_pktinfo_prepare()` for such a socket.
      specificDestination: .any, sourcePort: 0, timeToLive: header.timeToLive,
      typeOfService: header.typeOfService,
      // Linux reads four bytes as ports whatever the protocol is.
      destinationPort: skb.linear.load16(ICMPHeader.Offset.checksum))
    _ = table.sockets[index].enqueue(skb, net: &net)
  }

  private func lookup(_ local: IPv4Address, identifier: UInt16, by interface: InterfaceIndex) -> Int? {
    table.demux.exact(local: SocketAddress(local, port: identifier), remote: nil, by: interface)
      ?? table.demux.exact(local: SocketAddress(.any, port: identifier), remote: nil, by: interface)
  }

  /// Takes an ICMP error about an echo request; `error.local.port` is the request's identifier. Linux: `ping_err()`.
  public mutating func error(_ error: TransportError, host: inout Host) {
    if error.payload.first == ICMPHeader.Kind.echoReply.rawValue { return learn(from: error, host: &host) }
    // Of what such a socket sends, and of nothing else that has an identifier. Linux: `ping_supported()`.
    guard error.payload.count > 1, error.payload[0] == ICMPHeader.Kind.echoRequest.rawValue,
      error.payload[1] == 0
    else { return }
    guard let local = error.local.address.v4,
      let index = lookup(local, identifier: error.local.port, by: error.interface)
    else { return }
    if let gateway = error.gateway {
      // Whoever asks for errors is told all the same. Linux: `ping_err()`.
      table.learnNextHop(gateway, from: error, by: index, host: &host)
    }
    if let mtu = error.mtu {
      let discovery = table.sockets[index].core.options.pathMTUDiscovery
      if discovery.acceptsPathMTU {
        table.learnPathMTU(mtu, from: error, by: index, host: &host)
      }
      if discovery == .dont { return }
    }
    table.report(error, to: index, extended: ExtendedError(error), net: &host.net)
  }

  /// An ICMP error about an answer, which has no socket: the way is learned from it all the same. Linux: `icmp_err()`.
  private func learn(from error: TransportError, host: inout Host) {
    if let gateway = error.gateway {
      host.learnNextHop(gateway, from: error, flow: RoutingFlow(.icmp))
    }
    if let mtu = error.mtu {
      host.learnPathMTU(
        destination: error.remote.address, from: error.local.address, flow: RoutingFlow(.icmp), mtu: mtu)
    }
  }
}
