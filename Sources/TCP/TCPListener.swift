import InetSocket
import Internet
import NetNamespace
import Tables
import Timers
import Wire

/// What a socket has while it listens. Linux: `struct request_sock_queue`, `struct inet_listen_hashbucket`.
struct TCPListener: ~Copyable {
  let id: SocketID
  let local: SocketAddress
  /// Connections that may wait to be accepted, less one.
  var backlog: Int
  /// Connections that wait.
  private var acceptQueue = Fifo(capacity: 8, blank: SocketID.none)
  /// Half-open connections, in a list through the requests.
  private(set) var requestCount = 0
  /// Slots of the requests that have waited longest and shortest.
  private(set) var oldestRequest: Int?
  private(set) var newestRequest: Int?
  var fastOpen = FastOpenQueue()

  init(_ id: SocketID, local: SocketAddress, backlog: Int) {
    self.id = id
    self.local = local
    self.backlog = backlog
  }

  var socket: Int { id.index }
  var acceptCount: Int { acceptQueue.count }
  /// Linux: `inet_csk_reqsk_queue_is_full()`.
  var hasFullRequestQueue: Bool { requestCount > backlog }
  /// Linux: `sk_acceptq_is_full()`.
  var isFull: Bool { acceptCount > backlog }

  mutating func append(_ child: SocketID) { acceptQueue.append(child) }

  /// Who has waited longest; `nil`: nobody waits.
  mutating func popFirst() -> SocketID? { acceptQueue.popFirst() }

  /// - Returns: the request that `slot` follows.
  mutating func append(request slot: Int) -> Int? {
    requestCount += 1
    let before = newestRequest
    newestRequest = slot
    if oldestRequest == nil { oldestRequest = slot }
    return before
  }

  mutating func remove(request slot: Int, older: Int?, newer: Int?) {
    requestCount -= 1
    if oldestRequest == slot { oldestRequest = newer }
    if newestRequest == slot { newestRequest = older }
  }
}

extension TCPLayer {
  /// Linux: `inet_listen()`.
  ///
  /// - Parameter backlog: connections that may wait for `accept`; clamped to `somaxconn`.
  public mutating func listen(_ id: SocketID, backlog: Int, net: inout Net) throws(Errno) {
    let index = try slot(id)
    let limit = min(max(backlog, 0), net.settings.maximumBacklog)
    if let listener = sockets[index].listener {
      listeners[listener].backlog = limit
      return
    }
    guard sockets[index].state == .close, sockets[index].connectPhase == .unconnected else { throw .EINVAL }
    sockets[index].prepareAnew(net: net)
    if !sockets[index].core.isBound {
      let address = sockets[index].core.tuple.local.address
      let port = try ports.bind(
        &sockets[index].core.binding, address: address, port: 0, reuseAddress: false, reusePort: false,
        device: sockets[index].core.options.boundDevice,
        range: sockets[index].core.bindingOptions.localPorts(of: net.settings.localPorts), net: &net)
      sockets[index].core.tuple.local = SocketAddress(address, port: port)
    }
    let local = sockets[index].core.tuple.local
    try ports.listen(&sockets[index].core.binding, address: local.address, port: local.port)
    sockets[index].setState(.listen, net: &net)
    if net.settings.tcpFastOpen.isSuperset(of: [.server, .everyListener])
      && sockets[index].options.fastOpenQueue == 0
    {
      sockets[index].options.fastOpenQueue = limit
    }
    let listener = listeners.insert(TCPListener(id, local: local, backlog: limit))
    sockets[index].listener = listener
    listening[local.port, default: []].append(listener)
  }

  /// The next connection that waits. Linux: `inet_csk_accept()`.
  ///
  /// - Throws: `EAGAIN` when none waits, `EINVAL` when the socket does not listen.
  public mutating func accept(_ id: SocketID, net: inout Net) throws(Errno) -> SocketID {
    guard let listener = sockets[try slot(id)].listener else { throw .EINVAL }
    guard let child = listeners[listener].popFirst() else { throw .EAGAIN }
    sockets[child.index].connectPhase = .connected
    return child
  }

  /// Whether somebody waits to be accepted.
  func isAcceptable(_ index: Int) -> Bool {
    sockets[index].listener.map { listeners[$0].acceptCount > 0 } ?? false
  }

  /// Resets everything that waited at a listener. Linux: `inet_csk_listen_stop()`.
  mutating func stopListening(_ index: Int, host: inout Host) {
    guard let listener = sockets[index].listener else { return }
    let local = listeners[listener].local
    listening[local.port]?.removeAll { $0 == listener }
    if listening[local.port]?.isEmpty ?? false {
      listening[local.port] = nil
      lastCookies[local.port] = nil
    }
    ports.stopListening(&sockets[index].core.binding, address: local.address, port: local.port)
    while let child = listeners[listener].popFirst() { abort(child, host: &host) }
    while let slot = listeners[listener].oldestRequest { removeRequest(slot, net: &host.net) }
    sockets[index].listener = nil
    _ = listeners.remove(listener)
    releaseChosenPort(index)
  }

  /// The listener for a connection that comes in by a device: a specific address goes before any, then one that is bound
  /// to the device before one that is bound to none, and those with SO_REUSEPORT share by a hash of both ends.
  /// Linux: `inet_lookup_listener()`, `reuseport_select_sock()`.
  func findListener(_ tuple: FourTuple, by interface: InterfaceIndex) -> Int? {
    guard let candidates = listening[tuple.local.port] else { return nil }
    let (local, any) = (tuple.local.address, IPAddress.any(tuple.local.address.family))
    return pickListener(candidates, at: local, by: interface, tuple)
      ?? pickListener(candidates, at: local, by: .none, tuple)
      ?? pickListener(candidates, at: any, by: interface, tuple)
      ?? pickListener(candidates, at: any, by: .none, tuple)
  }

  /// The device that a listener is bound to.
  func device(ofListener listener: Int) -> InterfaceIndex {
    sockets[listeners[listener].socket].core.options.boundDevice
  }

  private func pickListener(
    _ candidates: [Int], at address: IPAddress, by device: InterfaceIndex, _ tuple: FourTuple
  ) -> Int? {
    func fits(_ listener: Int) -> Bool {
      listeners[listener].local.address == address && self.device(ofListener: listener) == device
    }
    var count = 0
    for listener in candidates where fits(listener) { count += 1 }
    if count == 0 { return nil }
    var chosen = count == 1 ? 0 : Int((UInt64(connections.hash(tuple)) &* UInt64(count)) >> 32)
    for listener in candidates where fits(listener) {
      if chosen == 0 { return listener }
      chosen -= 1
    }
    return nil
  }
}
