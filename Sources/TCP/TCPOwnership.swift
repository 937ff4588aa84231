import InetSocket
import Internet
import NetNamespace
import Wire

/// What a stack of several shards asks, to find the one that a segment belongs to.
extension TCPLayer {
  /// Whether a connection, a handshake or a TIME-WAIT between these ends lives here.
  ///
  /// - Parameter interface: the device that the segment came in by.
  public func hasConnection(_ flow: FourTuple, by interface: InterfaceIndex) -> Bool {
    findConnection(flow, by: interface) != nil
  }

  /// Whether a socket here listens at this address, for what comes in by this device.
  public func hasListener(at local: SocketAddress, by interface: InterfaceIndex) -> Bool {
    listening[local.port]?.contains { listener in
      let bound = listeners[listener].local.address
      return (bound == local.address || bound.isAny) && device(ofListener: listener).takes(interface)
    } ?? false
  }

  /// Tells other shards of ports, and has the table of connections keep what `takeConnectionChange()` gives.
  public mutating func share(_ shared: SharedPorts) {
    ports.shared = shared
    connections.recordsChanges = true
  }

  /// Whom the cookies of Fast Open come from when nobody has set a key: a client may come back to another shard.
  public var ownFastOpenKeys: FastOpenKeys {
    get { fastOpenKeys.own }
    set { fastOpenKeys.own = newValue }
  }

  /// What a socket wants of other shards; `nil`: nothing. As `PortTable.wish(of:_:)`.
  public func portWish(_ id: SocketID, _ asked: SocketAddress?) throws(Errno) -> PortWish? {
    ports.wish(of: sockets[try slot(id)].core, asked)
  }

  /// Whether sockets here are in the way of another shard's.
  public func refuses(_ wish: PortWish) -> Bool { ports.refuses(wish) }

  /// What `connect()` of a socket that was bound to a port asks of other shards with the port; `nil`: nothing. Ports that
  /// `connect()` itself picks are no other shard's.
  public mutating func connectionWish(
    _ id: SocketID, to remote: SocketAddress, host: inout Host
  ) -> ConnectionWish? {
    guard let shared = ports.shared, let index = try? slot(id), sockets[index].core.isBound,
      sockets[index].state == .close, sockets[index].connectPhase == .unconnected
    else { return nil }
    var local = sockets[index].core.tuple.local
    let others = shared.others(on: local.port)
    let device = sockets[index].core.options.boundDevice
    guard others != 0,
      let route = try? host.route(
        to: remote.address, from: local.address, by: device,
        flow: sockets[index].core.routingFlow(to: remote.port, if: host.routesByFlow))
    else { return nil }
    local.address = IPAddress(route.source)
    let far = SocketAddress(IPAddress(route.destination), port: remote.port)
    return ConnectionWish(flow: FourTuple(local: local, remote: far), device: device, others: others)
  }

  /// Whether a connection or a handshake here has the ends of such a wish. What is in TIME-WAIT is in nobody's way.
  /// Linux: `__inet_check_established()`.
  public func refuses(_ wish: ConnectionWish) -> Bool {
    switch findConnection(wish.flow, by: wish.device) {
    case .socket, .request: true
    case .timeWait, nil: false
    }
  }

  /// Whether `takeConnectionChange` has one.
  public var hasConnectionChanges: Bool { !connections.changes.isEmpty }

  /// A connection that came into being here or ended, and which of the two; `nil`: none. Each is told of, the latest first: what
  /// takes a connection's place is there before that one goes.
  public mutating func takeConnectionChange() -> (flow: FourTuple, isThere: Bool)? {
    connections.changes.popLast()
  }
}
