import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// What the socket layer calls. Nothing here blocks: a call that cannot go on says `EAGAIN`.
extension TCPLayer {
  /// The socket that has the number of `id` now, whichever of those it names.
  public func holder(of id: SocketID) -> SocketID {
    guard id.kind == .tcp, sockets.isLive(id.index) else { return .none }
    return sockets[id.index].id
  }

  /// The sequence number that the byte numbers of time stamps count from. Linux: `sock_set_timestamping()`.
  ///
  /// - Throws: EINVAL for a socket without a connection.
  public func stampBase(_ id: SocketID, fromWrite: Bool) throws(Errno) -> UInt32 {
    let index = try slot(id)
    guard sockets[index].state != .close, sockets[index].state != .listen else { throw .EINVAL }
    return fromWrite ? sockets[index].sender.writeSeq.rawValue : sockets[index].sender.sndUna.rawValue
  }

  /// Sets `SO_TIMESTAMPING`'s flags for one message.
  ///
  /// - Returns: those that were there.
  public mutating func exchangeTimestamping(
    _ id: SocketID, _ flags: TimestampingFlags
  ) throws(Errno) -> TimestampingFlags {
    let index = try slot(id)
    let old = sockets[index].core.timestamping
    sockets[index].core.timestamping = flags
    return old
  }

  /// Runs `body` on what the socket has in common with all others.
  ///
  /// - Throws: `EBADF`.
  public mutating func withCore<Result>(
    _ id: SocketID, _ body: (inout SocketCore) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    try body(&sockets[slot(id)].core)
  }

  /// A socket in state CLOSE. Linux: `tcp_v4_init_sock()`.
  ///
  /// - Throws: `EAFNOSUPPORT`, `ENOBUFS` at the limit of sockets.
  public mutating func create(family: AddressFamily, net: inout Net) throws(Errno) -> SocketID {
    guard family == .inet else { throw .EAFNOSUPPORT }
    guard sockets.count < net.settings.maximumSockets else { throw .ENOBUFS }
    let index = sockets.reserve()
    let id = SocketID(.tcp, index: index, generation: sockets.generation(index))
    let taken = sockets.insert(TCPConnection(id: id, family: family, net: net))
    precondition(taken == index, "a reserved slab slot is the next one used")
    return id
  }

  /// Takes a local address and port; port 0 asks for an ephemeral one. Linux: `inet_bind()`.
  ///
  /// - Throws: `EADDRNOTAVAIL` for an address that is not ours, `EADDRINUSE`, `EINVAL` when bound or connected already.
  public mutating func bind(_ id: SocketID, to address: SocketAddress, host: inout Host) throws(Errno) {
    let index = try slot(id)
    guard address.address.family == sockets[index].core.family else { throw .EAFNOSUPPORT }
    // Also one of many, from which nothing will ever be heard. Linux: `__inet_bind()`.
    guard
      address.address.isAny || host.isLocal(address.address) || host.isForMany(address.address)
        || sockets[index].core.bindingOptions.freeBind
    else { throw .EADDRNOTAVAIL }
    guard sockets[index].state == .close, !sockets[index].core.isBound else { throw .EINVAL }
    let options = sockets[index].core.options
    if address.port == 0 && sockets[index].core.bindingOptions.addressAlone {
      sockets[index].core.tuple.local = address
      sockets[index].core.boundTo = address
      return
    }
    let port = try ports.bind(
      &sockets[index].core.binding, address: address.address, port: address.port,
      reuseAddress: options.reuseAddress, reusePort: options.reusePort, device: options.boundDevice,
      range: sockets[index].core.bindingOptions.localPorts(of: host.net.settings.localPorts),
      isForced: sockets[index].isInRepair,
      net: &host.net)
    sockets[index].core.tuple.local = SocketAddress(address.address, port: port)
    sockets[index].core.boundTo = address
  }

  // MARK: Data

  /// Takes bytes to send. See `TCPConnection.sendmsg`; a count below what was offered means that the caller's next call, after
  /// pending input had its turn, may take more or throw `EAGAIN`. With `MSG_FASTOPEN` the count is what went in the SYN.
  ///
  /// - Parameters:
  ///   - remote: what `MSG_FASTOPEN` connects to.
  ///   - controlError: what is wrong with the control messages; thrown where Linux does.
  /// - Throws: in this order, without zero copy, Fast Open or repair where those are not meant: ENOBUFS for zero copy; what
  ///   Fast Open says; of a connection that is not there the pending error, EPIPE, or EAGAIN while it opens; EINVAL in repair
  ///   without a queue; `controlError`; the pending error; EPIPE after shutdown; EFAULT, EAGAIN.
  public mutating func sendmsg(
    _ id: SocketID, iter: inout IovIter, to remote: SocketAddress? = nil, flags: MessageFlags,
    controlError: Errno? = nil, host: inout Host
  ) throws(Errno) -> Int {
    let index = try slot(id)
    if flags.contains(.fastOpen) || sockets[index].fastOpen.contains(.isDeferred),
      !sockets[index].isInRepair
    {
      if flags.contains(.zeroCopy), iter.count > 0,
        iter.hasNotification || sockets[index].core.options.zeroCopy
      {
        return try sendOpeningNotified(
          index, to: remote, &iter, flags: flags, controlError: controlError, host: &host)
      }
      if let count = try sendOpening(index, to: remote, &iter, host: &host) { return count }
    }
    return try sendOpened(index, iter: &iter, flags: flags, controlError: controlError, host: &host)
  }

  /// Takes bytes of a socket that does not open by the call.
  mutating func sendOpened(
    _ index: Int, iter: inout IovIter, flags: MessageFlags, controlError: Errno?, host: inout Host
  ) throws(Errno) -> Int {
    do {
      let count = try sockets[index].sendmsg(
        &iter, flags: flags, controlError: controlError, host: &host)
      settle(index, net: &host.net)
      return count
    } catch {
      settle(index, net: &host.net)
      throw error
    }
  }

  /// Hands out bytes of the stream. 0 is the end of it.
  public mutating func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags, host: inout Host
  ) throws(Errno) -> Int {
    let index = try slot(id)
    let count = try sockets[index].recvmsg(&iter, flags: flags, host: &host)
    // A look changes nothing.
    if !flags.contains(.peek) { settle(index, net: &host.net) }
    return count
  }

  // MARK: Closing

  /// Linux: `inet_shutdown()`.
  public mutating func shutdown(_ id: SocketID, read: Bool, write: Bool, host: inout Host) throws(Errno) {
    let index = try slot(id)
    switch sockets[index].state {
    case .listen:
      // The read side is all that a listener has.
      if read { return try disconnect(id, host: &host) }
      host.net.wake(id)
      return
    case .synSent: return try disconnect(id, host: &host)
    case .close:
      // Stays shut for the connection, or the listener's children, to come.
      if read { sockets[index].core.receiveShutdown = true }
      if write { sockets[index].core.sendShutdown = true }
      if sockets[index].connectPhase == .connecting { sockets[index].connectPhase = .disconnecting }
      host.net.wake(id)
      throw .ENOTCONN
    default: break
    }
    if sockets[index].connectPhase == .connecting { sockets[index].connectPhase = .connected }
    if read { sockets[index].core.receiveShutdown = true }
    if write {
      if sockets[index].state == .synReceived {
        // The FIN follows the ACK of the SYN-ACK. Linux: `tcp_shutdown()`.
        sockets[index].core.sendShutdown = true
      } else {
        closeWrite(index, host: &host)
      }
    }
    host.net.wake(id)
    settle(index, net: &host.net)
  }

  /// The handshake is over, perhaps with the peer's FIN: one that was shut down before sends its own. Linux:
  /// `tcp_rcv_state_process()`, SYN-RECEIVED.
  mutating func sendAwaitedFin(_ index: Int, host: inout Host) {
    let state = sockets[index].state
    guard sockets[index].core.sendShutdown, state == .established || state == .closeWait else { return }
    closeWrite(index, host: &host)
  }

  /// FIN behind the data. Linux: `tcp_close_state()`, `tcp_shutdown()`.
  mutating func closeWrite(_ index: Int, host: inout Host) {
    switch sockets[index].state {
    case .established, .synReceived:
      sockets[index].core.sendShutdown = true
      sockets[index].setState(.finWait1, net: &host.net)
      sockets[index].sendFin(host: &host)
    case .closeWait:
      sockets[index].core.sendShutdown = true
      sockets[index].setState(.lastAck, net: &host.net)
      sockets[index].sendFin(host: &host)
    default:
      sockets[index].core.sendShutdown = true
    }
  }

  /// Orderly end; the number means nothing to the caller afterwards. Linux: `tcp_close()`.
  ///
  /// - Parameter resets: SO_LINGER with 0 seconds. Linux: `tcp_disconnect()` in `__tcp_close()`.
  public mutating func close(_ id: SocketID, resets: Bool = false, host: inout Host) {
    guard let index = try? slot(id) else { return }
    if sockets[index].state == .listen {
      stopListening(index, host: &host)
      sockets[index].setState(.close, net: &host.net)
    }
    let unread = sockets[index].receiver.readableByteCount > 0
    sockets[index].receiver.receiveQueue.removeAll()
    let state = sockets[index].state
    if state.isConnected && state != .synSent {
      if sockets[index].isInRepair {
        // It lives on elsewhere.
        sockets[index].fail(nil, net: &host.net)
      } else if unread {
        // RFC 2525 2.17: closing with unread data tells the peer that it was not read.
        host.net.counters.count(.TcpExtTCPAbortOnClose)
        sockets[index].sendReset(host: &host)
        sockets[index].fail(nil, net: &host.net)
      } else if resets && state != .closing && state != .lastAck {
        host.net.counters.count(.TcpExtTCPAbortOnData)
        sockets[index].sendReset(host: &host)
        sockets[index].fail(nil, net: &host.net)
      } else {
        closeWrite(index, host: &host)
        sockets[index].timers.keepAliveDeadline = .distantFuture
        if sockets[index].state == .finWait2 {
          let wait = sockets[index].options.finTimeout ?? host.net.settings.tcpFinTimeout
          if wait < .zero {
            host.net.counters.count(.TcpExtTCPAbortOnLinger)
            sockets[index].sendReset(host: &host)
            sockets[index].fail(nil, net: &host.net)
          } else {
            sockets[index].timers.keepAliveDeadline = host.net.now + wait
          }
        }
      }
    } else if state == .synSent {
      sockets[index].fail(nil, net: &host.net)
    }
    sockets[index].core.isOrphan = true
    sockets[index].purgeOutOfOrder()
    if sockets[index].state != .close {
      sockets[index].isCountedOrphan = true
      orphanCount += 1
      if isOutOfResources(index, net: host.net) { return abortOnMemory(index, host: &host) }
    }
    settle(index, net: &host.net)
  }

  /// Ends the connection with a reset.
  public mutating func abort(_ id: SocketID, host: inout Host) {
    close(id, resets: true, host: &host)
  }

  /// Resets or closes every connection: the stack is going away.
  public mutating func shutdownAll(host: inout Host) {
    for id in socketIDs() { abort(id, host: &host) }
    for index in 0..<sockets.capacity where sockets.isLive(index) && sockets[index].state.isConnected {
      sockets[index].sendReset(host: &host)
      sockets[index].fail(nil, net: &host.net)
      settle(index, net: &host.net)
    }
  }

  // MARK: State

  /// The path MTU of the route that the socket has, also when its connection has ended.
  ///
  /// - Throws: ENOTCONN when it has none.
  public mutating func pathMTU(_ id: SocketID) throws(Errno) -> Int {
    guard let route = try sockets[slot(id)].core.route else { throw .ENOTCONN }
    return route.mtu
  }

  /// Linux: `tcp_poll()`.
  public func readiness(_ id: SocketID) -> Readiness {
    guard let index = try? slot(id) else { return [.error, .hangup] }
    // A listener tells of connections alone. Linux: `inet_csk_listen_poll()`.
    if sockets[index].state == .listen { return isAcceptable(index) ? .readable : [] }
    var result: Readiness = []
    if sockets[index].core.hasError { result.insert(.error) }
    switch sockets[index].state {
    case .synSent:
      // The first send is what connects.
      if sockets[index].fastOpen.contains(.isDeferred) { result.insert(.writable) }
      return result
    case .synReceived where !sockets[index].fastOpen.contains(.isPassive):
      return result
    default: break
    }
    let done = sockets[index].state == .close
    if sockets[index].core.receiveShutdown || sockets[index].receiver.peerFinSeen {
      result.formUnion([.readable, .readHangup])
    }
    if done
      || sockets[index].core.sendShutdown
        && (sockets[index].core.receiveShutdown || sockets[index].receiver.peerFinSeen)
    {
      result.insert(.hangup)
    }
    if sockets[index].hasStreamData { result.insert(.readable) }
    if case .waiting = sockets[index].receiver.urgent?.byte { result.insert(.priority) }
    if sockets[index].core.sendShutdown || sockets[index].isWritable { result.insert(.writable) }
    return result
  }

  /// - Throws: `ENOTCONN` without a peer.
  public func remoteAddress(_ id: SocketID) throws(Errno) -> SocketAddress {
    let index = try slot(id)
    let state = sockets[index].state
    guard state != .close && state != .listen && state != .synSent else { throw .ENOTCONN }
    return sockets[index].core.tuple.remote
  }

  /// Every socket that an owner or a listener holds, and orphans that still close.
  public func socketIDs() -> [SocketID] {
    (0..<sockets.capacity).filter { sockets.isLive($0) }.map { sockets[$0].id }
  }

  /// The state of whatever has the two ends, a request in SYN-RECEIVED and TIME-WAIT among it; `nil`: nothing has.
  package func state(of tuple: FourTuple) -> TCPState? {
    switch findConnection(tuple, by: nil) {
    case .socket(let index): sockets[index].state
    case .request: .synReceived
    case .timeWait: .timeWait
    case nil: nil
    }
  }

  /// What exists still, once everybody has closed what was theirs; all 0 when nothing is left behind.
  package var remains: (sockets: Int, requests: Int, timeWaits: Int, listeners: Int, orphans: Int) {
    (sockets.count, requests.count, timeWaits.count, listeners.count, orphanCount)
  }

  /// Connections in TIME-WAIT: both ends and what is left of the wait.
  public func timeWaitConnections(now: Instant) -> [(tuple: FourTuple, remaining: Nanoseconds)] {
    (0..<timeWaits.capacity).filter { timeWaits.isLive($0) }.map {
      (timeWaits[$0].tuple, timeWaits[$0].expires - now)
    }
  }
}
