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
  /// AE, CWR and ECE as Accurate ECN has them; `nil`: as `flags` has them.
  var ace: UInt8?
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

  /// Linux: `IPV4_MIN_MTU`.
  private static let leastMTU = 68

  /// What its way may depend on.
  private var flow: RoutingFlow {
    RoutingFlow(
      .tcp, mark: sendOptions.mark, typeOfService: sendOptions.typeOfService, sourcePort: tuple.local.port,
      destinationPort: tuple.remote.port, user: user)
  }

  /// Sends it; a reply that cannot be sent is dropped, the peer will ask again.
  @discardableResult
  func send(host: inout Host) -> XmitResult {
    guard let source = tuple.local.address.v4, let destination = tuple.remote.address.v4,
      var route = try? host.route(
        to: networkOptions.firstHop ?? destination, from: source, onLink: networkOptions.isStrictRoute,
        by: device, flow: host.routesByFlow ? flow : RoutingFlow(), counts: flags.contains(.syn))
    else {
      // Linux: `tcp_v4_send_reset()` counts what it has tried to send.
      if !flags.contains(.syn) { countSent(&host.net) }
      return .dropped
    }
    guard var packet = host.net.pool.allocate(headroom: TCPConnection.headroom, linear: 0, use: .transit)
    else {
      return .dropped
    }
    var header = TCPHeader(
      sourcePort: tuple.local.port, destinationPort: tuple.remote.port, sequence: sequence,
      acknowledgment: acknowledgment, headerByteCount: TCPHeader.minimumByteCount, flags: flags,
      window: window)
    if let ace { header.write(ace: ace) }
    guard packet.pushSegment(header, options, extra, from: source, to: destination, signedWith: signing)
    else {
      return .dropped
    }
    countSent(&host.net)
    var sendOptions = sendOptions
    sendOptions.optionByteCount = networkOptions.byteCount
    sendOptions.device = device
    guard
      IPv4Layer.push(networkOptions, onto: &packet, route: route, destination: destination, net: host.net)
    else {
      packet.drop(.noMemory)
      return .dropped
    }
    // What no socket is the sender of is never cut, and a SYN-ACK is too short to be (RFC 791: 68 bytes pass whole). Linux:
    // `ip_send_unicast_reply()`, `ip_build_and_send_pkt()`.
    if !flags.contains(.syn) || packet.length + IPv4Header.minimumByteCount <= Self.leastMTU {
      sendOptions.pmtuDiscovery = .do
    }
    sendOptions.isZeroBesideDF = true
    return host.output(packet, route: &route, options: sendOptions)
  }

  private func countSent(_ net: inout Net) {
    net.counters.count(.TcpOutSegs)
    if flags.contains(.rst) { net.counters.count(.TcpOutRsts) }
  }

  /// The reset that answers a segment nobody wants (RFC 9293 3.10.7.1).
  ///
  /// - Parameters:
  ///   - typeOfService: of what it answers, which is its own. Linux: `tcp_v4_send_reset()`.
  ///   - device: that of the socket that it was for; `.none`: nobody's.
  static func reset(
    for segment: IncomingSegment, typeOfService: UInt8, tuple: FourTuple, by device: InterfaceIndex = .none,
    signing: SegmentSigning = .none
  ) -> ControlReply {
    var reset = ControlReply(
      tuple: tuple, sequence: SequenceNumber(0), flags: .rst, device: device, signing: signing)
    if segment.flags.contains(.ack) {
      reset.sequence = segment.acknowledgment
    } else {
      reset.acknowledgment = segment.endSequence
      reset.flags.insert(.ack)
    }
    // Not its mark: control packets are not fit for ECN (RFC 3168 section 6.1.5), and nobody marked this one.
    reset.sendOptions.typeOfService = typeOfService & ~ECNCodepoint.mask
    return reset
  }
}
