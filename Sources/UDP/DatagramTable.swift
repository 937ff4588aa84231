import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Tables
import Wire

/// The sockets of one datagram protocol: slots, ports and the demultiplexing hash.
public struct DatagramTable: ~Copyable {
  let kind: SocketID.Kind
  var sockets = Slab<DatagramSocket>()
  var ports = PortTable()
  var demux: DemuxTable

  init(kind: SocketID.Kind, secret: (UInt64, UInt64)) {
    self.kind = kind
    demux = DemuxTable(secret: secret)
  }

  /// - Throws: EBADF when `id` names no socket here.
  func slot(_ id: SocketID) throws(Errno) -> Int {
    guard id.kind == kind, sockets.holds(id) else { throw .EBADF }
    return id.index
  }

  /// The socket that has the number of `id` now, whichever of those it names.
  public func holder(of id: SocketID) -> SocketID {
    guard id.kind == kind, sockets.isLive(id.index) else { return .none }
    return sockets[id.index].id
  }

  /// Runs `body` on what the socket has in common with all others.
  ///
  /// - Throws: EBADF.
  public mutating func withCore<Result>(
    _ id: SocketID, _ body: (inout SocketCore) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    try body(&sockets[slot(id)].core)
  }

  /// - Throws: EAFNOSUPPORT; ENOBUFS at the most sockets.
  public mutating func create(family: AddressFamily, net: inout Net) throws(Errno) -> SocketID {
    guard family == .inet else { throw .EAFNOSUPPORT }
    guard sockets.count < net.settings.maximumSockets else { throw .ENOBUFS }
    let index = sockets.reserve()
    let id = SocketID(kind, index: index, generation: sockets.generation(index))
    var socket = DatagramSocket(id, net: net)
    // Linux: INET_PROTOSW_REUSE of `inetsw_array`.
    socket.core.options.reuseAddress = kind == .ping
    sockets.insert(socket)
    return id
  }

  /// Linux: `inet_bind()`.
  ///
  /// - Throws: EADDRNOTAVAIL; EINVAL when bound already; EADDRINUSE.
  public mutating func bind(_ id: SocketID, to address: SocketAddress, host: inout Host) throws(Errno) {
    let index = try slot(id)
    guard let v4 = address.address.v4 else { throw .EAFNOSUPPORT }
    // A ping socket has an address of one host, or any. Linux: `ping_check_bind_addr()`.
    let isGroup = kind != .ping && (v4.isMulticast || Self.isBroadcast(v4, ip: host.internet))
    guard v4.isAny || isGroup || host.internet.isLocal(v4) || sockets[index].core.bindingOptions.freeBind
    else {
      throw .EADDRNOTAVAIL
    }
    guard !sockets[index].core.isBound else { throw .EINVAL }
    // Linux: `ping_bind()`, which does not ask.
    if kind != .ping && address.port == 0 && sockets[index].core.bindingOptions.addressAlone {
      sockets[index].core.tuple.local = address
      sockets[index].core.boundTo.address = address.address
    } else {
      try claim(index, address: address.address, port: address.port, net: &host.net)
    }
    sockets[index].core.boundTo.port = address.port
    sockets[index].isGroupBound = isGroup
  }

  private static func isBroadcast(_ address: IPv4Address, ip: borrowing IPv4Layer) -> Bool {
    if address.isBroadcast { return true }
    for own in ip.addresses where own.prefix.broadcast == address { return true }
    return false
  }

  /// Takes the port; 0: an ephemeral one. Linux: `udp_lib_get_port()`.
  private mutating func claim(
    _ index: Int, address: IPAddress, port: UInt16, net: inout Net
  ) throws(Errno) {
    let options = sockets[index].core.options
    let taken = try ports.bind(
      &sockets[index].core.binding, address: address, port: port, reuseAddress: options.reuseAddress,
      reusePort: options.reusePort, device: kind == .ping ? .none : options.boundDevice,
      range: kind == .ping ? nil : sockets[index].core.bindingOptions.localPorts(of: net.settings.localPorts),
      net: &net)
    sockets[index].core.tuple.local = SocketAddress(address, port: taken)
    sockets[index].core.boundTo.address = address
    rehash(index)
  }

  /// The first send of an unbound socket takes a port.
  ///
  /// - Throws: EAGAIN when none is left. Linux: `inet_autobind()`.
  mutating func autobind(_ index: Int, net: inout Net) throws(Errno) {
    if sockets[index].core.isBound { return }
    do {
      try claim(index, address: sockets[index].core.boundTo.address, port: 0, net: &net)
    } catch { throw .EAGAIN }
  }

  mutating func rehash(_ index: Int) {
    // Ping replies are found by identifier alone. Linux: ping_lookup().
    demux.insert(
      index, local: sockets[index].core.tuple.local, remote: kind == .ping ? nil : sockets[index].core.peer,
      device: sockets[index].core.options.boundDevice, reusePort: sockets[index].core.options.reusePort)
  }

  /// Sets the peer: the default destination, and for UDP the only source that is received from.
  /// Linux: `__ip4_datagram_connect()`.
  ///
  /// - Throws: ENETUNREACH, EACCES (broadcast without SO_BROADCAST), EAGAIN (no port left).
  public mutating func connect(_ id: SocketID, to remote: SocketAddress, host: inout Host) throws(Errno) {
    let index = try slot(id)
    var remote = remote
    if let programs = sockets[index].core.programs { try programs.run(connect: id, to: &remote) }
    guard let wanted = remote.address.v4 else { throw .EAFNOSUPPORT }
    try autobind(index, net: &host.net)
    // Also one that an earlier connect chose, until the association ends. Linux: `inet_saddr`.
    let source = sockets[index].source(for: wanted)
    let device = sockets[index].device(for: wanted)
    let destination = wanted.isAny ? host.internet.ownAddress(source, by: device) : wanted
    sockets[index].core.route = nil
    sockets[index].core.labelFlow(
      to: SocketAddress(destination, port: remote.port), from: IPAddress(source), by: device)
    sockets[index].usesCachedRoute = true
    let onLink = sockets[index].core.options.dontRoute
    try sockets[index].findRoute(
      to: destination, port: remote.port, from: source, by: device, onLink: onLink, host: &host)
    if host.routesByFlow, source.isAny, let chosen = sockets[index].core.route?.source {
      // The way may depend on the source that was chosen. Linux: `ip_route_connect()`.
      try sockets[index].findRoute(
        to: destination, port: remote.port, from: chosen, by: device, onLink: onLink, host: &host)
    }
    if let route = sockets[index].core.route, sockets[index].core.boundTo.address.isAny {
      let local = sockets[index].core.tuple.local
      ports.move(
        sockets[index].core.binding, from: local.address, to: IPAddress(route.source), port: local.port)
      sockets[index].core.tuple.local.address = IPAddress(route.source)
      // The cache is keyed by the source that sends will ask for.
      sockets[index].ownRouteKey.source = route.source
    }
    sockets[index].core.peer = SocketAddress(destination, port: remote.port)
    sockets[index].identification = UInt16(truncatingIfNeeded: host.net.random.next())
    if sockets[index].pending != nil {
      // What is collected goes to the new peer. Linux: `cork.fl`, in which `__ip4_datagram_connect()` looks the way up.
      sockets[index].pendingTarget.destination = destination
      sockets[index].pendingTarget.hop = sockets[index].pendingTarget.options.firstHop ?? destination
      sockets[index].pendingTarget.port = remote.port
      sockets[index].pendingTarget.source = sockets[index].source(for: destination)
    }
    rehash(index)
  }

  /// Ends an association: `connect()` with AF_UNSPEC. A port that nobody asked for is given back with it.
  /// Linux: `__udp_disconnect()`.
  public mutating func disconnect(_ id: SocketID) throws(Errno) {
    let index = try slot(id)
    sockets[index].core.peer = nil
    sockets[index].core.route = nil
    let (local, bound) = (sockets[index].core.tuple.local, sockets[index].core.boundTo.address)
    ports.move(sockets[index].core.binding, from: local.address, to: bound, port: local.port)
    sockets[index].core.tuple.local.address = bound
    guard sockets[index].core.isBound else { return }
    if sockets[index].core.boundTo.port == 0 {
      demux.remove(index)
      releasePort(index)
      sockets[index].core.tuple.local.port = 0
    } else {
      rehash(index)
    }
  }

  private mutating func releasePort(_ index: Int) {
    let local = sockets[index].core.tuple.local
    ports.release(&sockets[index].core.binding, address: local.address, port: local.port)
  }

  /// Linux: `inet_shutdown()`: ENOTCONN on a socket without a peer, which is shut down all the same.
  public mutating func shutdown(_ id: SocketID, read: Bool, write: Bool, net: inout Net) throws(Errno) {
    let index = try slot(id)
    if read { sockets[index].core.receiveShutdown = true }
    if write { sockets[index].core.sendShutdown = true }
    net.wake(id)
    if sockets[index].core.peer == nil { throw .ENOTCONN }
  }

  /// Ends the socket. A corked datagram that was not sent is gone; Linux sends it in `udp_destroy_sock()`'s flush as
  /// little.
  public mutating func close(_ id: SocketID, net: inout Net) {
    guard let index = try? slot(id) else { return }
    if sockets[index].options.receiveOffload { net.datagramOffloadUsers -= 1 }
    demux.remove(index)
    releasePort(index)
    _ = sockets.remove(index)
  }

  /// `SO_REUSEADDR`, `SO_REUSEPORT` or `SO_BINDTODEVICE` was set: a port that the socket has already is shared on the new
  /// terms, and datagrams find the socket by them.
  public mutating func bindingChanged(_ id: SocketID) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].core.isBound else { return }
    let options = sockets[index].core.options
    ports.setTerms(
      &sockets[index].core.binding, address: sockets[index].core.tuple.local.address,
      port: sockets[index].core.tuple.local.port, reuseAddress: options.reuseAddress,
      reusePort: options.reusePort, device: kind == .ping ? .none : options.boundDevice)
    rehash(index)
  }

  /// A router names a nearer one for what a socket sent. Linux: `ipv4_sk_redirect()`.
  mutating func learnNextHop(
    _ gateway: IPv4Address, from error: TransportError, by index: Int, host: inout Host
  ) {
    let flow = sockets[index].core.routingFlow(to: error.remote.port, if: host.routesByFlow)
    host.learnNextHop(gateway, from: error, flow: flow)
  }

  /// Believes a router's word about the way of what a socket sent, which looks its way up anew: IP_MTU tells at once.
  /// Linux: `ipv4_sk_update_pmtu()`.
  mutating func learnPathMTU(_ mtu: Int, from error: TransportError, by index: Int, host: inout Host) {
    let flow = sockets[index].core.routingFlow(to: error.remote.port, if: host.routesByFlow)
    host.learnPathMTU(destination: error.remote.address, from: error.local.address, flow: flow, mtu: mtu)
    guard let old = sockets[index].core.route, !host.internet.isCurrent(old),
      IPAddress(old.destination) == error.remote.address
    else { return }
    let key = sockets[index].ownRouteKey
    guard
      let found = try? host.route(
        to: old.destination, from: key.source.isAny ? nil : key.source,
        by: sockets[index].device(for: old.destination), flow: key.flow)
    else { return }
    sockets[index].core.route = found
  }

  /// Gives an ICMP error to the socket that caused it. Linux: `__udp4_lib_err()`, `ping_err()`.
  mutating func report(_ error: TransportError, to index: Int, extended: ExtendedError, net: inout Net) {
    let receiveErrors = sockets[index].core.options.receiveErrors
    if receiveErrors {
      sockets[index].core.queueError(extended)
    } else if sockets[index].core.peer == nil || !(error.isHard || error.mtu != nil) {
      return
    }
    sockets[index].core.pendingError = error.errno
    net.wake(sockets[index].id)
  }
}
