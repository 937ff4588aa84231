import IPv4
import Internet
import NetNamespace
import SkBuff
import Wire

/// The sockets of one datagram protocol: slots, ports and the demultiplexing hash.
struct DatagramTable: ~Copyable {
  let kind: SocketID.Kind
  var sockets = SocketSlab<DatagramSocket>()
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

  mutating func create(family: AddressFamily, net: inout Net) throws(Errno) -> SocketID {
    guard family == .inet else { throw .EAFNOSUPPORT }
    guard sockets.count < net.settings.maximumSockets else { throw .ENOBUFS }
    let index = sockets.reserve()
    let id = SocketID(kind, index: index, generation: sockets.generation(index))
    sockets.insert(DatagramSocket(id, net: net))
    return id
  }

  /// Linux: `inet_bind()`.
  mutating func bind(_ id: SocketID, to address: SocketAddress, host: inout Host) throws(Errno) {
    let index = try slot(id)
    guard let v4 = address.address.v4 else { throw .EAFNOSUPPORT }
    guard !sockets[index].isBound else { throw .EINVAL }
    let isGroup = v4.isMulticast || Self.isBroadcast(v4, ip: host.internet)
    guard v4.isAny || isGroup || host.internet.isLocal(v4) else { throw .EADDRNOTAVAIL }
    try claim(index, address: address.address, port: address.port, net: &host.net)
    sockets[index].isPortChosen = address.port == 0
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
    let options = sockets[index].options
    let taken = try ports.bind(
      sockets[index].id, address: address, port: port, reuseAddress: options.reuseAddress,
      reusePort: options.reusePort, net: &net)
    sockets[index].local = SocketAddress(address, port: taken)
    sockets[index].boundAddress = address
    sockets[index].isPortChosen = true
    rehash(index)
  }

  /// The first send of an unbound socket takes a port.
  ///
  /// - Throws: EAGAIN when none is left. Linux: `inet_autobind()`.
  mutating func autobind(_ index: Int, net: inout Net) throws(Errno) {
    if sockets[index].isBound { return }
    do {
      try claim(index, address: sockets[index].boundAddress, port: 0, net: &net)
    } catch { throw .EAGAIN }
  }

  mutating func rehash(_ index: Int) {
    let options = sockets[index].options
    // Ping replies are found by identifier alone. Linux: ping_lookup().
    demux.insert(
      index, local: sockets[index].local, remote: kind == .ping ? nil : sockets[index].remote,
      reusePort: options.reusePort)
  }

  /// Linux: `__ip4_datagram_connect()`.
  mutating func connect(_ id: SocketID, to remote: SocketAddress, host: inout Host) throws(Errno) {
    let index = try slot(id)
    guard var destination = remote.address.v4 else { throw .EAFNOSUPPORT }
    try autobind(index, net: &host.net)
    let source = sockets[index].isGroupBound ? .any : sockets[index].boundAddress.v4 ?? .any
    if destination.isAny { destination = source.isAny ? .loopback : source }
    sockets[index].route = nil
    try sockets[index].findRoute(
      to: destination, from: source, onLink: sockets[index].options.dontRoute, host: &host)
    if let route = sockets[index].route, sockets[index].boundAddress.isAny {
      sockets[index].local.address = IPAddress(route.source)
      // The cache is keyed by the source that sends will ask for.
      sockets[index].routeSource = route.source
    }
    sockets[index].remote = SocketAddress(destination, port: remote.port)
    rehash(index)
  }

  /// Ends an association: `connect()` with AF_UNSPEC. A port that nobody asked for is given back with it.
  /// Linux: `__udp_disconnect()`.
  mutating func disconnect(_ id: SocketID) throws(Errno) {
    let index = try slot(id)
    sockets[index].remote = nil
    sockets[index].route = nil
    sockets[index].local.address = sockets[index].boundAddress
    guard sockets[index].isBound else { return }
    if sockets[index].isPortChosen {
      demux.remove(index)
      ports.release(id, address: sockets[index].boundAddress, port: sockets[index].local.port)
      sockets[index].local.port = 0
    } else {
      rehash(index)
    }
  }

  /// Linux: `inet_shutdown()`: ENOTCONN on a socket without a peer, which is shut down all the same.
  mutating func shutdown(_ id: SocketID, read: Bool, write: Bool, net: inout Net) throws(Errno) {
    let index = try slot(id)
    if read { sockets[index].isReadShutdown = true }
    if write { sockets[index].isWriteShutdown = true }
    net.wake(id)
    if sockets[index].remote == nil { throw .ENOTCONN }
  }

  mutating func close(_ id: SocketID) {
    guard let index = try? slot(id) else { return }
    demux.remove(index)
    ports.release(id, address: sockets[index].boundAddress, port: sockets[index].local.port)
    _ = sockets.remove(index)
  }

  mutating func setOptions(_ id: SocketID, _ options: DatagramOptions) throws(Errno) {
    let index = try slot(id)
    let old = sockets[index].options
    sockets[index].options = options
    guard old.reuseAddress != options.reuseAddress || old.reusePort != options.reusePort,
      sockets[index].isBound
    else { return }
    ports.setReuse(
      id, address: sockets[index].boundAddress, port: sockets[index].local.port,
      reuseAddress: options.reuseAddress, reusePort: options.reusePort)
    rehash(index)
  }

  /// Gives an ICMP error to the socket that caused it. Linux: `__udp4_lib_err()`, `ping_err()`.
  mutating func report(_ error: TransportError, to index: Int, extended: ExtendedError, net: inout Net) {
    let receiveErrors = sockets[index].options.receiveErrors
    if receiveErrors {
      sockets[index].queueError(extended)
    } else if sockets[index].remote == nil || !(error.isHard || error.mtu != nil) {
      return
    }
    sockets[index].pendingError = error.errno
    net.wake(sockets[index].id)
  }
}
