import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Wire

/// A segment that no full socket sends: a reset for a stranger, a SYN-ACK for a request, an ACK from TIME-WAIT.
/// Linux: `tcp_v4_send_reset()`, `tcp_v4_send_synack()`, `tcp_v4_timewait_ack()`.
struct ControlReply {
  var tuple: FourTuple
  var sequence: SequenceNumber
  var acknowledgment = SequenceNumber(0)
  var flags: TCPFlags
  var window: UInt16 = 0
  var options = TCPOptions()
  /// What its IP header is made by.
  var sendOptions = IPv4SendOptions(protocol: .tcp)
  /// Whose socket answers, for rules about routing tables; 0: nobody's. Linux: `ip_reply_arg.uid`.
  var user: UInt32 = 0
  /// IP options that it has; with a source route it goes to the first hop.
  var networkOptions = IPv4OptionList()
  /// The device to send by, that of the socket; `.none`: as the routes say.
  var device = InterfaceIndex.none
  var signing = SegmentSigning.none
  /// Options behind all others, a multiple of 4 bytes.
  var extra: [UInt8] = []

  /// Sends it; a reply that cannot be sent is dropped, the peer will ask again.
  @discardableResult
  func send(host: inout Host) -> XmitResult {
    guard let source = tuple.local.address.v4, let destination = tuple.remote.address.v4,
      var route = try? host.route(
        to: networkOptions.firstHop ?? destination, from: source, onLink: networkOptions.isStrictRoute,
        by: device,
        flow: RoutingFlow(
          .tcp, mark: sendOptions.mark, typeOfService: sendOptions.typeOfService,
          sourcePort: tuple.local.port, destinationPort: tuple.remote.port, user: user))
    else { return .dropped }
    guard var packet = host.net.pool.allocate(headroom: TCPConnection.headroom, linear: 0, use: .transit)
    else {
      return .dropped
    }
    let header = TCPHeader(
      sourcePort: tuple.local.port, destinationPort: tuple.remote.port, sequence: sequence,
      acknowledgment: acknowledgment, headerByteCount: TCPHeader.minimumByteCount, flags: flags,
      window: window)
    guard packet.pushSegment(header, options, extra, from: source, to: destination, signedWith: signing)
    else {
      return .dropped
    }
    host.net.counters.count(.TcpOutSegs)
    if flags.contains(.rst) { host.net.counters.count(.TcpOutRsts) }
    var sendOptions = sendOptions
    sendOptions.optionByteCount = networkOptions.byteCount
    guard
      IPv4Layer.push(networkOptions, onto: &packet, route: route, destination: destination, net: host.net)
    else {
      packet.drop(.noMemory)
      return .dropped
    }
    return host.output(packet, route: &route, options: sendOptions)
  }

  /// The reset that answers a segment nobody wants (RFC 9293 3.10.7.1).
  ///
  /// - Parameters:
  ///   - device: that of the socket that it was for; `.none`: nobody's.
  static func reset(
    for segment: IncomingSegment, tuple: FourTuple, by device: InterfaceIndex = .none,
    signing: SegmentSigning = .none
  ) -> ControlReply {
    if segment.flags.contains(.ack) {
      return ControlReply(
        tuple: tuple, sequence: segment.acknowledgment, flags: .rst, device: device, signing: signing)
    }
    return ControlReply(
      tuple: tuple, sequence: SequenceNumber(0), acknowledgment: segment.endSequence, flags: [.rst, .ack],
      device: device, signing: signing)
  }
}
