import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Opening a connection, and giving it up so that the socket may open another.
extension TCPLayer {
  /// Begins to open a connection. Readiness tells the outcome: writable, or error. Linux: `tcp_v4_connect()`.
  ///
  /// Called again, it tells how the first call ended: success once, or its error, after which the socket may connect anew.
  ///
  /// - Throws: `EISCONN`, also after the connection has ended; `EALREADY`; `EINVAL` after an attempt that failed was shut down;
  ///   `ECONNABORTED` when the first call failed and its
  ///   error was taken already; `ENETUNREACH` and what else routing says; `EADDRNOTAVAIL` without free ports;
  ///   also when the bound port already has this very connection.
  public mutating func connect(_ id: SocketID, to remote: SocketAddress, host: inout Host) throws(Errno) {
    let index = try slot(id)
    switch sockets[index].connectPhase {
    case .unconnected:
      guard sockets[index].state == .close else { throw .EISCONN }
    case .connecting:
      if sockets[index].fastOpen.contains(.isDeferred) { throw .EISCONN }
      if sockets[index].isOpening { throw .EALREADY }
      if let error = connectOutcome(index, net: host.net) { throw error }
      return
    case .connected: throw .EISCONN
    case .disconnecting: throw .EINVAL
    }
    let repaired = repairedNumbers(index)
    try prepareToConnect(index, to: remote, host: &host)
    defer { settle(index, net: &host.net) }
    if let repaired { return sockets[index].connectInRepair(repaired, host: &host) }
    var offer = FastOpenOffer.none
    if sockets[index].options.fastOpenConnect {
      offer = fastOpenOffer(index, net: host.net)
      if case .data = offer {
        sockets[index].fastOpen.insert(.isDeferred)
        return
      }
    }
    var nothing = IovIter(discarding: 0)
    sockets[index].sendSyn(offer, &nothing, host: &host)
  }

  /// Everything about a connection but its SYN: route, port and numbers.
  mutating func prepareToConnect(
    _ index: Int, to asked: SocketAddress, host: inout Host
  ) throws(Errno) {
    var remote = asked
    if let programs = sockets[index].core.programs {
      try programs.run(connect: sockets[index].id, to: &remote)
    }
    sockets[index].prepareAnew(net: host.net)
    let device = sockets[index].core.options.boundDevice
    let bound = sockets[index].core.tuple.local
    // A socket that is bound to an address of many sends from the device's. Linux: `inet_saddr` in `__inet_bind()`.
    let asking = host.isForMany(bound.address) ? IPAddress.any(bound.address.family) : bound.address
    sockets[index].sender.networkOptionByteCount = UInt8(sockets[index].core.ipOptions?.list.byteCount ?? 0)
    let hop = sockets[index].core.firstHop
    if hop != nil && remote.address.isAny { throw .EINVAL }
    sockets[index].core.labelFlow(to: remote, from: asking, by: device)
    let onLink = sockets[index].core.options.dontRoute || sockets[index].core.isStrictRoute
    var flow = sockets[index].core.routingFlow(to: remote.port, if: host.routesByFlow)
    var route = try host.route(
      to: hop ?? remote.address, from: asking, onLink: onLink, by: device, flow: flow)
    // TCP is between two hosts (RFC 1122 4.2.3.10).
    guard route.kind == .unicast || route.kind == .local else { throw .ENETUNREACH }
    let far = hop == nil ? SocketAddress(IPAddress(route.destination), port: remote.port) : remote
    try chooseSigning(index, far.address.v4)
    let source = asking.isAny ? IPAddress(route.source) : asking
    var near = SocketAddress(source, port: bound.port)
    if sockets[index].core.isBound {
      guard isFree(FourTuple(local: near, remote: far), isBound: true, by: device, net: host.net) else {
        throw .EADDRNOTAVAIL
      }
      if asking.isAny {
        ports.move(sockets[index].core.binding, from: bound.address, to: source, port: bound.port)
      }
    } else {
      let range = sockets[index].core.bindingOptions.localPorts(of: host.net.settings.localPorts)
      var walk = ports.search(address: source, remote: far, range: range, net: &host.net)
      var found = false
      while let candidate = ports.next(&walk) {
        near.port = candidate.port
        if candidate.isShared && !isFree(FourTuple(local: near, remote: far), by: device, net: host.net) {
          continue
        }
        let options = sockets[index].core.options
        ports.claim(
          &sockets[index].core.binding, port: candidate.port, search: walk,
          reuseAddress: options.reuseAddress, reusePort: options.reusePort, device: device)
        found = true
        break
      }
      guard found else { throw .EADDRNOTAVAIL }
    }
    let tuple = FourTuple(local: near, remote: far)
    if host.routesByFlow {
      // The way may depend on the source and the port that were chosen. Linux: `ip_route_connect()`, `ip_route_newports()`.
      flow.sourcePort = near.port
      do {
        route = try host.route(
          to: hop ?? remote.address, from: near.address, onLink: onLink, by: device, flow: flow)
      } catch {
        sockets[index].core.tuple.local = near
        releaseChosenPort(index)
        forgetConnection(index, net: host.net)
        throw error
      }
    }
    var initial = initialSequence(tuple, net: host.net)
    if case .timeWait(let slot) = findConnection(tuple, by: device) {
      // RFC 6191: the new connection's numbers and timestamps begin beyond the old one's.
      initial = timeWaits[slot].nextInitialSequence
      sockets[index].receiver.recent.value = timeWaits[slot].timestampRecent
      endTimeWait(slot, net: &host.net)
    }
    sockets[index].core.tuple = tuple
    if authenticates, let peer = far.address.v4 {
      sockets[index].authentication?.value.connect(to: peer, initial: initial)
    }
    takeSignatureKey(index)
    sockets[index].core.route = route
    insert(tuple, socket: index)
    // Not earlier: a connect that is refused here leaves the error that was. Linux: `tcp_connect_init()`.
    sockets[index].core.pendingError = nil
    sockets[index].connectPhase = .connecting
    sockets[index].prepareToConnect(initial: initial, timestampOffset: timestampOffset(tuple), net: &host.net)
  }

  /// Ends a connection, or an attempt at one, with a reset, and listening too: the socket is as it was after `bind()`,
  /// may connect or listen anew, and has ECONNRESET as its pending error. `connect()` with AF_UNSPEC.
  /// Linux: `tcp_disconnect()`.
  public mutating func disconnect(_ id: SocketID, host: inout Host) throws(Errno) {
    let index = try slot(id)
    let state = sockets[index].state
    switch state {
    case .close: break
    case .listen:
      stopListening(index, host: &host)
      sockets[index].setState(.close, net: &host.net)
    case .synSent: sockets[index].fail(.ECONNRESET, net: &host.net)
    case .closing, .lastAck:
      // Both sides have said their last: a reset tells only that some of it never comes.
      let isCut = sockets[index].sender.unsentByteCount > 0
      if isCut { sockets[index].sendReset(host: &host) }
      sockets[index].fail(isCut ? .ECONNRESET : nil, net: &host.net)
    case _ where sockets[index].isInRepair: sockets[index].fail(.ECONNABORTED, net: &host.net)
    default:
      sockets[index].sendReset(host: &host)
      sockets[index].fail(.ECONNRESET, net: &host.net)
    }
    if state != .close { settle(index, net: &host.net) }
    // The next connection's numbers begin beyond the old one's window, and until then the distance counts as unsent: who set
    // TCP_NOTSENT_LOWAT sees it.
    let left = sockets[index].sender.unsentByteCount + sockets[index].sender.maxWindow + 2
    forgetConnection(index, net: host.net)
    sockets[index].sender.writeSeq += left
    host.net.wake(id)
  }

  /// How the connection that a call waits for came out: what a blocking `connect()` returns.
  ///
  /// - Throws: `EAGAIN` while it is on its way, its error when it failed. Linux: `__inet_stream_connect()`.
  public mutating func finishConnect(_ id: SocketID, net: borrowing Net) throws(Errno) {
    let index = try slot(id)
    if sockets[index].fastOpen.contains(.isDeferred) { return }
    if sockets[index].isOpening { throw .EAGAIN }
    if let error = connectOutcome(index, net: net) { throw error }
  }

  mutating func connectOutcome(_ index: Int, net: borrowing Net) -> Errno? {
    if sockets[index].state != .close {
      sockets[index].connectPhase = .connected
      return nil
    }
    let error = sockets[index].core.pendingError ?? .ECONNABORTED
    sockets[index].core.pendingError = nil
    forgetConnection(index, net: net)
    return error
  }

  /// A tuple nobody has, or one whose TIME-WAIT is a second old and protected by timestamps (RFC 6191, `tcp_tw_reuse`).
  ///
  /// - Parameter isBound: the caller has asked for this port by `bind()`: timestamps protect it without the second.
  /// - Parameter device: the caller's; connections of other devices are not in its way.
  private func isFree(
    _ tuple: FourTuple, isBound: Bool = false, by device: InterfaceIndex, net: borrowing Net
  ) -> Bool {
    switch findConnection(tuple, by: device) {
    case nil: return true
    case .timeWait(let slot):
      return timeWaits[slot].hasTimestamps
        && (isBound || net.now - timeWaits[slot].timestampRecentAt > .seconds(1))
    default: return false
    }
  }
}
