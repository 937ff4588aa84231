import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// What UDP and ping sockets have in common. Linux: `struct inet_sock` of a `SOCK_DGRAM` socket.
struct DatagramSocket: ~Copyable {
  private let addressOnly = AddressOnly()
  var core: SocketCore
  var options = DatagramOptions()
  /// Bound to a group or a broadcast address: its datagrams are received, and what is sent has the device's address.
  /// Linux: `inet_saddr` in `__inet_bind()`.
  var isGroupBound = false
  var receiveQueue = SkBuffQueue()
  /// Datagrams thrown away because the receive buffer was full. Linux: `sk->sk_drops`.
  var dropCount: UInt64 = 0
  /// What the cached route was looked up for, and the route of the last send that has no part in the cache.
  var ownRouteKey = CachedRouteKey()
  private var otherRoute: Route?
  private var otherRouteKey = CachedRouteKey()
  /// The send that is under way uses and fills the cache: it has neither a name nor control messages other than UDP's own, no
  /// source route, no link scope and no group for its destination. Linux: `connected` in `udp_sendmsg()`.
  var usesCachedRoute = true

  /// The next datagram's identification while there is a peer. Linux: `inet_id`.
  var identification: UInt16 = 0

  /// The datagram that is corked. Linux: `inet->cork` and `sk_write_queue`.
  var pending: AppendData?
  var pendingTarget = DatagramTarget()

  init(_ id: SocketID, net: borrowing Net) {
    core = SocketCore(
      id, family: .inet, sendBuffer: net.settings.defaultWriteMemory,
      receiveBuffer: net.settings.defaultReadMemory, net: net)
  }

  var id: SocketID { core.id }
  /// The way of the send that is under way.
  var route: Route? {
    get { usesCachedRoute ? core.route : otherRoute }
    set { if usesCachedRoute { core.route = newValue } else { otherRoute = newValue } }
  }
  /// The source of what is sent; any: the route says.
  var source: IPv4Address? { isGroupBound ? .any : core.tuple.local.address.v4 }

  // MARK: Readiness

  /// Linux: `datagram_poll()`.
  var readiness: Readiness {
    var ready: Readiness = []
    if core.hasError { ready.insert(core.messageReports.urgentErrors ? [.error, .priority] : .error) }
    if core.receiveShutdown { ready.insert([.readHangup, .readable]) }
    if core.receiveShutdown && core.sendShutdown { ready.insert(.hangup) }
    if !receiveQueue.isEmpty { ready.insert(.readable) }
    // Linux: sock_writeable(): under half of the send buffer is in use.
    if core.account.writeAllocated * 2 < core.sendBuffer {
      ready.insert(.writable)
    } else {
      // Whoever saw the socket not writable is owed a wake-up when packets are freed.
      core.account.isThrottled = true
    }
    return ready
  }

  // MARK: Receiving

  /// Puts a datagram on the receive queue, or drops it when the buffer is full. Linux: `__udp_enqueue_schedule_skb()`.
  ///
  /// - Returns: false when it was dropped.
  mutating func enqueue(_ skb: consuming SkBuff, net: inout Net) -> Bool {
    guard core.account.receiveAllocated <= core.receiveBuffer else {
      dropCount += 1
      skb.drop(.socketReceiveBuffer)
      return false
    }
    let isLeast = core.account.receiveAllocated < net.settings.udpReadMemoryLeast
    guard net.pool.admits(isLeast ? .guaranteed : .ordinary) else {
      dropCount += 1
      net.counters.count(id.kind == .udpLite ? .UdpLiteMemErrors : .UdpMemErrors)
      skb.drop(.noMemory)
      return false
    }
    if core.messageReports.drops { skb.datagram.dropCount = UInt32(truncatingIfNeeded: dropCount) }
    skb.chargeReceive(to: core.account)
    receiveQueue.append(skb)
    net.wake(id)
    return true
  }

  /// Takes the first datagram, or looks at it. Linux: `udp_recvmsg()`, `ping_recvmsg()`.
  ///
  /// - Throws: the pending error; EAGAIN when there is nothing; EFAULT when the buffer cannot be written, and the
  ///   datagram is gone, as Linux has it.
  mutating func receive(
    into iter: inout IovIter, flags: MessageFlags, net: borrowing Net
  ) throws(Errno) -> ReceivedMessage {
    // Linux: `ping_recvmsg()`; UDP does not look.
    if flags.contains(.outOfBand) && id.kind == .ping { throw .EOPNOTSUPP }
    if let error = core.takeError() { throw error }
    var offset = 0
    guard let first = flags.contains(.peek) ? peeked(&offset) : receiveQueue.first else {
      // Only whoever would wait is told the end. Linux: `__skb_wait_for_more_packets()`.
      if core.receiveShutdown && !flags.contains(.dontWait) { return ReceivedMessage(byteCount: 0) }
      throw .EAGAIN
    }
    let options = core.options
    var reports = core.messageReports
    if id.kind == .ping {
      // Linux: `ping_recvmsg()`, which asks for the times alone, not `sock_recv_cmsgs()`.
      reports.drops = false
      reports.mark = false
    }
    var message: ReceivedMessage
    let time: Instant
    let segmentSize = receiveQueue.withPacket(at: first) { $0.gsoSize }
    if flags.contains(.peek) {
      time = receiveQueue.withPacket(at: first) { $0.timestamp }
      message = try receiveQueue.withPacket(at: first) { skb throws(Errno) in
        try Self.copy(skb, from: offset, into: &iter, flags: flags, options: options, reports)
      }
      if receiveQueue.length(at: first) == 0 {
        receiveQueue.withMutablePacket(at: first) { $0.datagram.isPeeked = true }
      }
    } else {
      let skb = receiveQueue.remove(at: first)
      time = skb.timestamp
      message = try Self.copy(skb, into: &iter, flags: flags, options: options, reports)
    }
    if self.options.receiveOffload, segmentSize > 0 { message.control.segmentByteCount = segmentSize }
    if core.tellsArrival { message.control.times = core.times(ofReadAt: time, net: net) }
    core.movePeekOffset(by: message.byteCount, isPeek: flags.contains(.peek))
    return message
  }

  /// The datagram that a peek sees, and where in it: `SO_PEEK_OFF` counts from the first one's beginning.
  /// Linux: `__skb_try_recv_from_queue()`.
  func peeked(_ offset: inout Int) -> SkBuffQueue.Position? {
    offset = Int(max(0, core.peekOffset))
    var place = receiveQueue.first
    guard core.peekOffset >= 0 else { return place }
    while let current = place, offset >= receiveQueue.length(at: current),
      offset > 0 || receiveQueue.withPacket(at: current, { $0.datagram.isPeeked })
    {
      offset -= receiveQueue.length(at: current)
      place = receiveQueue.position(after: current)
    }
    return place
  }

  private static func copy(
    _ skb: borrowing SkBuff, from offset: Int = 0, into iter: inout IovIter, flags: MessageFlags,
    options: SocketOptions, _ reports: MessageReports
  ) throws(Errno) -> ReceivedMessage {
    let length = skb.length
    let room = iter.count
    let wanted = min(length - offset, room)
    guard skb.copyDatagram(from: offset, count: wanted, to: &iter) == wanted else { throw .EFAULT }
    let headers = skb.datagram
    var message = ReceivedMessage(
      byteCount: flags.contains(.truncate) ? length : wanted,
      source: SocketAddress(headers.source, port: headers.sourcePort))
    // Linux looks at the whole length, wherever a peek begins.
    if room <= length - offset && room < length { message.flags.insert(.truncate) }
    message.control.describe(
      headers.destination, skb.interface, timeToLive: headers.timeToLive,
      typeOfService: headers.typeOfService, by: options)
    if options.packetInfo { message.control.specificDestination = headers.specificDestination }
    Self.describe(skb, headers, by: reports, into: &message.control)
    return message
  }

  /// Adds what few sockets ask for. Linux: `sock_recv_cmsgs()`, the end of `ip_cmsg_recv_offset()`.
  private static func describe(
    _ skb: borrowing SkBuff, _ headers: DatagramControlBlock, by reports: MessageReports,
    into control: inout ReceivedControl
  ) {
    if reports.drops && headers.dropCount > 0 { control.dropCount = headers.dropCount }
    if reports.mark { control.mark = skb.mark }
    if reports.originalDestination {
      control.originalDestination = SocketAddress(headers.destination, port: headers.destinationPort)
    }
    if reports.fragmentSize && headers.largestFragment > 0 {
      control.largestFragment = headers.largestFragment
    }
    if reports.receivedOptions || reports.returnedOptions {
      let header = skb.pulledHeaders()
      let end = header.isEmpty ? 0 : Int(header[0] & 0xF) * 4
      if end > IPv4Header.minimumByteCount && end <= header.count {
        if reports.receivedOptions {
          control.options = Array(header[IPv4Header.minimumByteCount..<end])
        }
        if reports.returnedOptions {
          // Safe: a byte has no padding.
          control.returnOptions = IPv4Options.echo(of: unsafe header.span.bytes.extracting(0..<end))
        }
      }
    }
  }

  // MARK: Routes

  /// Makes sure that `route` leads to `destination`; a route that is current is kept.
  /// Linux: `sk_dst_check()`, `ip_route_output_flow()`.
  ///
  /// - Parameters:
  ///   - port: it is sent to. `control`: on which terms.
  mutating func findRoute(
    to destination: IPv4Address, port: UInt16, from source: IPv4Address, by asked: InterfaceIndex = .none,
    onLink: Bool, control: borrowing SendControl = SendControl(), host: inout Host
  ) throws(Errno) {
    // A route that is kept stays when IP_UNICAST_IF names another device. Linux: `sk_dst_check()`.
    var key = CachedRouteKey(source: source, device: usesCachedRoute ? core.options.boundDevice : asked)
    // When it changes whether anything depends on it, no route is current.
    if host.routesByFlow {
      key.flow = core.routingFlow(to: port, if: true)
      if let mark = control.mark { key.flow.mark = mark }
      if let type = control.typeOfService { key.flow.typeOfService = type }
    }
    if let route, route.destination == destination,
      (usesCachedRoute ? ownRouteKey : otherRouteKey).fits(key, byFlow: host.routesByFlow), !onLink,
      host.internet.isCurrent(route)
    {
      // Who is connected was asked when the way was looked up. Linux: `udp_sendmsg()`.
      if !usesCachedRoute { try checkBroadcast(route) }
      return
    }
    let found = try host.route(
      to: destination, from: source.isAny ? nil : source, by: asked, flow: key.flow)
    // Link scope: no gateway. Linux: RTO_ONLINK.
    if onLink && found.kind == .unicast && found.nextHop != destination { throw .ENETUNREACH }
    try checkBroadcast(found)
    route = found
    if usesCachedRoute { ownRouteKey = key } else { otherRouteKey = key }
  }

  /// The device that a send asks for: with its control message, or that of the socket, or with `IP_UNICAST_IF`, which is
  /// not for groups. Linux: `ipc.oif` in `udp_sendmsg()`.
  func device(for destination: IPv4Address, _ control: SendControl = SendControl()) -> InterfaceIndex {
    if control.interface != .none { return control.interface }
    let bound = core.options.boundDevice
    if bound != .none { return bound }
    return destination.isMulticast ? core.multicast.interface : core.bindingOptions.unicastInterface
  }

  /// The source of what is sent to a destination; any: the route says. Linux: `mc_addr` in `udp_sendmsg()`.
  func source(for destination: IPv4Address, _ control: SendControl = SendControl()) -> IPv4Address {
    var source = control.source ?? source ?? .any
    if source.isMulticast || source.isBroadcast { source = .any }
    return source.isAny && destination.isMulticast ? core.multicast.address : source
  }

  private func checkBroadcast(_ route: Route) throws(Errno) {
    if route.kind == .broadcast && !core.options.broadcast { throw .EACCES }
  }

  /// The bytes one packet may have, and whether more is refused. Linux: `ip_setup_cork()`, `ip_sk_ignore_df()`.
  func fragmentation(device mtu: Int) -> (mtu: Int, refused: Bool) {
    let discovery = core.options.pathMTUDiscovery
    let most = (discovery.usesPathMTU ? route?.mtu : route?.linkMTU) ?? mtu
    switch discovery {
    case .dont, .want, .omit: return (most, false)
    case .do, .probe, .interface: return (most, true)
    }
  }

  func sendOptions(_ number: IPProtocol, _ control: SendControl) -> IPv4SendOptions {
    var send = core.options.sendOptions(number)
    if let type = control.typeOfService { send.typeOfService = type }
    if let timeToLive = control.timeToLive {
      send.timeToLive = timeToLive
    } else if route?.kind == .multicast {
      send.timeToLive = core.options.multicastTimeToLive
      send.staysHere = core.options.multicastTimeToLive == 0
    }
    if route?.kind == .multicast { send.multicastLoop = core.multicast.loop }
    if core.peer != nil {
      send.isConnected = true
    } else if send.pmtuDiscovery == .do || send.pmtuDiscovery == .probe {
      // Nobody will put it together again. Linux: `ip_select_ident_segs()`.
      send.identification = 0
    }
    send.mark = control.mark ?? core.packetMark
    return send
  }

  /// What a datagram that is collected keeps from its beginning on, whatever becomes of the options meanwhile.
  /// Linux: `ip_setup_cork()`.
  func beginTerms(_ control: inout SendControl) {
    control.priority = priority(control)
    control.typeOfService = control.typeOfService ?? core.options.typeOfService
    control.mark = control.mark ?? (core.options.mark == core.packetMark ? core.options.mark : nil)
  }

  /// Sends what was collected, with the socket's own identifications where it has a peer, and keeps the route.
  ///
  /// - Parameter packets: emptied.
  @inline(__always)
  mutating func output(
    _ packets: inout SkBuffQueue, _ control: SendControl, by route: inout Route, options: IPv4SendOptions,
    host: inout Host
  ) -> XmitResult {
    let isConnected = core.peer != nil
    if isConnected { route.identification = identification }
    let result = host.outputDatagram(&packets, priority: priority(control), route: &route, options: options)
    if isConnected { identification = route.identification }
    self.route = route
    return result
  }

  func priority(_ control: SendControl) -> UInt32 {
    if let priority = control.priority { return priority }
    if let type = control.typeOfService { return TypeOfServicePriority.priority(of: type) }
    return core.options.priority
  }
}

/// What a route was looked up for beside its destination.
struct CachedRouteKey {
  /// Any: the route says.
  var source = IPv4Address.any
  var device = InterfaceIndex.none
  /// Where the way depends on it.
  var flow = RoutingFlow()

  @inline(__always)
  func fits(_ other: CachedRouteKey, byFlow: Bool) -> Bool {
    source == other.source && device == other.device && (!byFlow || flow == other.flow)
  }
}

/// Where a datagram goes, and on whose terms; kept while it is corked. Linux: `inet->cork.fl` and `cork.base`.
struct DatagramTarget {
  var source = IPv4Address.any
  /// Where the packet goes first, and where it ends: they differ with a source route only.
  var hop = IPv4Address.any
  var destination = IPv4Address.any
  var options = IPv4OptionList()
  /// The device that the route leads by.
  var interface = InterfaceIndex.none
  var port: UInt16 = 0
  var control = SendControl()
  /// Bytes of payload in each datagram that the collected one is cut into; 0: it stays whole.
  var segment = 0
  /// `MSG_CONFIRM`.
  var isConfirming = false
}
