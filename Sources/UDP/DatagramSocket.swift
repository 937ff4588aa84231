import IPv4
import Internet
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// What UDP and ping sockets have in common. Linux: `struct inet_sock` of a `SOCK_DGRAM` socket.
struct DatagramSocket: ~Copyable {
  private let addressOnly = AddressOnly()
  let id: SocketID
  let account: SocketAccount
  var options: DatagramOptions
  /// Own end; port 0: not bound. A ping socket's port is its ICMP identifier.
  var local: SocketAddress
  /// The address that `bind()` was given, under which the port table has the port.
  var boundAddress: IPAddress
  /// Bound to a group or a broadcast address: its datagrams are received, and what is sent has the device's address.
  /// Linux: `inet_saddr` in `__inet_bind()`.
  var isGroupBound = false
  /// Nobody asked for the port by its number. Linux: without `SOCK_BINDPORT_LOCK`.
  var isPortChosen = false
  var remote: SocketAddress?
  var receiveQueue = SkBuffQueue()
  /// Linux: `sk->sk_err`.
  var pendingError: Errno?
  /// Linux: `sk->sk_error_queue`.
  var errorQueue: [ExtendedError] = []
  var isReadShutdown = false
  var isWriteShutdown = false
  /// Datagrams thrown away because the receive buffer was full. Linux: `sk->sk_drops`.
  var dropCount: UInt64 = 0

  /// The route of the latest send, kept while the table does not change. Linux: `sk->sk_dst_cache`.
  var route: Route?
  var routeSource: IPv4Address = .any

  /// The datagram that is corked. Linux: `inet->cork` and `sk_write_queue`.
  var pending: AppendData?
  var pendingTarget = DatagramTarget()

  /// Most entries that wait on the error queue.
  static let errorQueueLimit = 256

  init(_ id: SocketID, net: borrowing Net) {
    self.id = id
    account = SocketAccount(pool: net.pool, socket: id.rawValue)
    options = DatagramOptions(settings: net.settings)
    local = SocketAddress(.any, port: 0)
    boundAddress = local.address
  }

  var isBound: Bool { local.port != 0 }
  /// The source of what is sent; any: the route says.
  var source: IPv4Address? { isGroupBound ? .any : local.address.v4 }

  // MARK: Errors and readiness

  /// Returns and clears the pending error. Linux: `sock_error()`, SO_ERROR.
  mutating func takeError() -> Errno? {
    defer { pendingError = nil }
    return pendingError
  }

  /// Linux: `datagram_poll()`.
  var readiness: Readiness {
    var ready: Readiness = []
    if pendingError != nil || !errorQueue.isEmpty { ready.insert(.error) }
    if isReadShutdown { ready.insert([.readHangup, .readable]) }
    if isReadShutdown && isWriteShutdown { ready.insert(.hangup) }
    if !receiveQueue.isEmpty { ready.insert(.readable) }
    // Linux: sock_writeable(): under half of the send buffer is in use.
    if account.writeAllocated * 2 < options.sendBuffer {
      ready.insert(.writable)
    } else {
      // Whoever saw the socket not writable is owed a wake-up when packets are freed.
      account.isThrottled = true
    }
    return ready
  }

  /// Linux: `ip_icmp_error()`, `ip_local_error()`.
  mutating func queueError(_ error: ExtendedError) {
    if errorQueue.count < Self.errorQueueLimit { errorQueue.append(error) }
  }

  // MARK: Receiving

  /// Puts a datagram on the receive queue, or drops it when the buffer is full. Linux: `__udp_enqueue_schedule_skb()`.
  ///
  /// - Returns: false when it was dropped.
  mutating func enqueue(_ skb: consuming SkBuff, net: inout Net) -> Bool {
    guard account.receiveAllocated <= options.receiveBuffer else {
      dropCount += 1
      skb.drop(.socketReceiveBuffer)
      return false
    }
    let isLeast = account.receiveAllocated < net.settings.udpReadMemoryLeast
    guard net.pool.admits(isLeast ? .guaranteed : .ordinary) else {
      dropCount += 1
      net.counters.count(.UdpMemErrors)
      skb.drop(.noMemory)
      return false
    }
    skb.chargeReceive(to: account)
    receiveQueue.append(skb)
    net.wake(id)
    return true
  }

  /// Takes the first datagram, or looks at it. Linux: `udp_recvmsg()`, `ping_recvmsg()`.
  ///
  /// - Throws: the pending error; EAGAIN when there is nothing; EFAULT when the buffer cannot be written, and the
  ///   datagram is gone, as Linux has it.
  mutating func receive(into iter: inout IovIter, flags: MessageFlags) throws(Errno) -> ReceivedMessage {
    if flags.contains(.errorQueue) { return try receiveError(into: &iter) }
    // Linux: `ping_recvmsg()`; UDP does not look.
    if flags.contains(.outOfBand) && id.kind == .ping { throw .EOPNOTSUPP }
    if let error = takeError() { throw error }
    guard let first = receiveQueue.first else {
      // Only whoever would wait is told the end. Linux: `__skb_wait_for_more_packets()`.
      if isReadShutdown && !flags.contains(.dontWait) { return ReceivedMessage(byteCount: 0) }
      throw .EAGAIN
    }
    let options = self.options
    if flags.contains(.peek) {
      return try receiveQueue.withPacket(at: first) { skb throws(Errno) in
        try Self.copy(skb, into: &iter, flags: flags, options: options)
      }
    }
    let skb = receiveQueue.remove(at: first)
    return try Self.copy(skb, into: &iter, flags: flags, options: options)
  }

  private static func copy(
    _ skb: borrowing SkBuff, into iter: inout IovIter, flags: MessageFlags, options: DatagramOptions
  ) throws(Errno) -> ReceivedMessage {
    let length = skb.length
    let wanted = min(length, iter.count)
    guard skb.copyDatagram(from: 0, count: wanted, to: &iter) == wanted else { throw .EFAULT }
    let headers = skb.datagram
    var message = ReceivedMessage(
      byteCount: flags.contains(.truncate) ? length : wanted,
      source: SocketAddress(headers.source, port: headers.sourcePort))
    if wanted < length { message.flags.insert(.truncate) }
    if options.packetInfo {
      message.control.destination = headers.destination
      message.control.interface = skb.interface
    }
    if options.receiveTimeToLive { message.control.timeToLive = headers.timeToLive }
    if options.receiveTypeOfService { message.control.typeOfService = headers.typeOfService }
    return message
  }

  /// Linux: `ip_recv_error()`.
  private mutating func receiveError(into iter: inout IovIter) throws(Errno) -> ReceivedMessage {
    guard !errorQueue.isEmpty else { throw .EAGAIN }
    let entry = errorQueue.removeFirst()
    // The next error in line becomes the socket's, when a packet brought it. Linux: sock_dequeue_err_skb().
    if let next = errorQueue.first, next.origin == .icmp {
      pendingError = next.errno
    } else if entry.origin == .icmp {
      pendingError = nil
    }
    let count = min(entry.payload.count, iter.count)
    let copied = unsafe entry.payload.withUnsafeBytes { bytes in
      unsafe iter.copyTo(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    }
    guard copied == count else { throw .EFAULT }
    var message = ReceivedMessage(byteCount: count, source: entry.destination, flags: .errorQueue)
    if count < entry.payload.count { message.flags.insert(.truncate) }
    message.control.error = entry
    return message
  }

  // MARK: Routes

  /// Makes sure that `route` leads to `destination`; a route that is current is kept.
  /// Linux: `sk_dst_check()`, `ip_route_output_flow()`.
  mutating func findRoute(
    to destination: IPv4Address, from source: IPv4Address, onLink: Bool, host: inout Host
  ) throws(Errno) {
    if let route, route.destination == destination, routeSource == source, !onLink,
      host.internet.isCurrent(route)
    {
      return try checkBroadcast(route)
    }
    let found = try host.route(to: destination, from: source.isAny ? nil : source)
    // Link scope: no gateway. Linux: RTO_ONLINK.
    if onLink && found.kind == .unicast && found.nextHop != destination { throw .ENETUNREACH }
    try checkBroadcast(found)
    route = found
    routeSource = source
  }

  private func checkBroadcast(_ route: Route) throws(Errno) {
    if route.kind == .broadcast && !options.broadcast { throw .EACCES }
  }

  /// The bytes one packet may have, and whether more is refused. Linux: `ip_setup_cork()`, `ip_sk_ignore_df()`.
  func fragmentation(device mtu: Int) -> (mtu: Int, refused: Bool) {
    let path = route?.mtu ?? mtu
    switch options.pathMTUDiscovery {
    case .dont, .want: return (path, false)
    case .do: return (path, true)
    case .probe: return (route?.linkMTU ?? mtu, true)
    }
  }

  func sendOptions(_ number: IPProtocol, _ control: SendControl) -> IPv4SendOptions {
    var send = IPv4SendOptions(protocol: number)
    send.typeOfService = control.typeOfService ?? options.typeOfService
    if let timeToLive = control.timeToLive {
      send.timeToLive = timeToLive
    } else if route?.kind == .multicast {
      send.timeToLive = options.multicastTimeToLive
    } else {
      send.timeToLive = options.timeToLive
    }
    send.pmtuDiscovery = options.pathMTUDiscovery
    send.mark = control.mark ?? options.mark
    return send
  }

  func priority(_ control: SendControl) -> UInt32 {
    if let priority = control.priority { return priority }
    if let type = control.typeOfService { return TypeOfServicePriority.priority(of: type) }
    return options.priority
  }
}

/// Where a datagram goes, and on whose terms; kept while it is corked. Linux: `inet->cork.fl` and `cork.base`.
struct DatagramTarget {
  var source = IPv4Address.any
  var destination = IPv4Address.any
  /// The device that the route leads by.
  var interface = InterfaceIndex.none
  var port: UInt16 = 0
  var control = SendControl()
  /// SO_NO_CHECK when the datagram was begun: what is collected is summed or not from the start.
  var noChecksum = false
  /// Bytes of payload in each datagram that the collected one is cut into; 0: it stays whole.
  var segment = 0
  /// `MSG_CONFIRM`.
  var isConfirming = false
}

/// The packet priority that a type of service stands for. Linux: `rt_tos2priority()`, table `ip_tos2prio`.
public enum TypeOfServicePriority {
  public static func priority(of typeOfService: UInt8) -> UInt32 {
    switch (typeOfService & 0x1E) >> 1 {
    case 0...3: 0
    case 4...7: 2
    case 8...11: 6
    default: 4
    }
  }
}
