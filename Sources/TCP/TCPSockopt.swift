import IPv4
import InetSocket
import Internet
import NetNamespace
import Timers

// What setting an option does beside keeping its value. Linux: `do_tcp_setsockopt()`.
extension TCPLayer {
  public func options(_ id: SocketID) throws(Errno) -> TCPSocketOptions { sockets[try slot(id)].options }

  /// Sets options that are looked at when they matter, and do nothing at once.
  public mutating func withOptions(
    _ id: SocketID, _ body: (inout TCPSocketOptions) throws(Errno) -> Void
  ) throws(Errno) {
    try body(&sockets[slot(id)].options)
  }

  /// `SO_REUSEADDR`, `SO_REUSEPORT` or `SO_BINDTODEVICE` was set: a port that the socket has already is shared on the new
  /// terms.
  public mutating func bindingChanged(_ id: SocketID) throws(Errno) {
    let index = try slot(id)
    let (options, local) = (sockets[index].core.options, sockets[index].core.tuple.local)
    ports.setTerms(
      &sockets[index].core.binding, address: local.address, port: local.port,
      reuseAddress: options.reuseAddress, reusePort: options.reusePort, device: options.boundDevice)
  }

  /// `IP_OPTIONS`: segments are as much shorter. Linux: `icsk_sync_mss()` in `do_ip_setsockopt()`.
  public mutating func setIPOptions(_ id: SocketID, _ options: SocketIPOptions?) throws(Errno) {
    let index = try slot(id)
    sockets[index].core.ipOptions = options
    sockets[index].sender.networkOptionByteCount = UInt8(options?.list.byteCount ?? 0)
    let mtu = sockets[index].sender.mssPathMTU
    if mtu > 0 { sockets[index].sender.syncMSS(mtu: mtu) }
  }

  /// `TCP_TX_DELAY`: the round trips to come are as much longer, or each flight would be taken for lost.
  public mutating func setTransmitDelay(_ id: SocketID, microseconds: UInt32) throws(Errno) {
    let index = try slot(id)
    let change = Int64(microseconds) - Int64(sockets[index].options.transmitDelay)
    sockets[index].options.transmitDelay = microseconds
    if change != 0 && sockets[index].state == .established && sockets[index].sender.rtt.hasSample {
      sockets[index].sender.rtt.shift(by: change)
    }
  }

  /// `SO_KEEPALIVE` was switched on or off. Linux: `tcp_set_keepalive()`.
  public mutating func keepAliveChanged(_ id: SocketID, net: inout Net) throws(Errno) {
    let index = try slot(id)
    sockets[index].applyKeepAlive(net: net)
    settle(index, net: &net)
  }

  /// `TCP_RTO_MAX_MS`, `TCP_RTO_MIN_US`, `TCP_DELACK_MAX_US`.
  public func timeoutLimits(_ id: SocketID) throws(Errno) -> TimeoutLimits {
    sockets[try slot(id)].sender.rtt.limits
  }
  public mutating func setTimeoutLimits(_ id: SocketID, _ limits: TimeoutLimits) throws(Errno) {
    sockets[try slot(id)].sender.rtt.limit(limits)
  }

  /// `TCP_SAVED_SYN`: can be taken once.
  ///
  /// - Parameter room: the caller's.
  /// - Returns: nothing where nothing was kept.
  /// - Throws: EINVAL where there is too little room; it stays.
  public mutating func takeSavedSyn(_ id: SocketID, room: Int) throws(Errno) -> [UInt8] {
    let index = try slot(id)
    let saved = sockets[index].core.savedSyn
    guard saved.count <= room else { throw .EINVAL }
    if !saved.isEmpty { sockets[index].core.savedSyn = [] }
    return saved
  }

  /// `TCP_CM_INQ`: bytes that a receive has left; 1 when only the end of the stream is there. Linux: `tcp_inq_hint()`.
  public func unreadByteCount(_ id: SocketID) throws(Errno) -> Int {
    let index = try slot(id)
    let left = sockets[index].receiver.rcvNxt.offset(from: sockets[index].receiver.copiedSeq)
    return max(left, sockets[index].receiver.peerFinSeen ? 1 : 0)
  }

  /// Whether an urgent byte waits to be read apart.
  public func hasUrgentByte(_ id: SocketID) throws(Errno) -> Bool {
    guard case .waiting = sockets[try slot(id)].receiver.urgent?.byte else { return false }
    return true
  }

  /// `SO_MAX_PACING_RATE` was set.
  public mutating func maximumPacingRateChanged(_ id: SocketID) throws(Errno) {
    sockets[try slot(id)].maximumPacingRateChanged()
  }

  /// `TCP_KEEPIDLE`. Linux: `tcp_sock_set_keepidle_locked()`.
  public mutating func setKeepAliveIdle(
    _ id: SocketID, _ idle: Nanoseconds, net: inout Net
  ) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].options.keepAliveIdle != idle else { return }
    sockets[index].options.keepAliveIdle = idle
    sockets[index].applyKeepAlive(idleChanged: true, net: net)
    settle(index, net: &net)
  }

  /// `TCP_CORK`; what waits goes each time it is cleared, held by a cork or not. Linux: `__tcp_sock_set_cork()`.
  public mutating func setCork(_ id: SocketID, _ isOn: Bool, host: inout Host) throws(Errno) {
    let index = try slot(id)
    sockets[index].options.cork = isOn
    guard !isOn, sockets[index].state.isConnected, sockets[index].state != .synSent else { return }
    if sockets[index].options.noDelay { sockets[index].sender.isPushForced = true }
    sockets[index].sendPending(host: &host)
    settle(index, net: &host.net)
  }

  /// `TCP_NODELAY`; each time it is set, what waits goes, cork or not. Linux: `__tcp_sock_set_nodelay()`.
  public mutating func setNoDelay(_ id: SocketID, _ isOn: Bool, host: inout Host) throws(Errno) {
    let index = try slot(id)
    sockets[index].options.noDelay = isOn
    guard isOn, sockets[index].state.isConnected, sockets[index].state != .synSent else { return }
    sockets[index].sender.isPushForced = true
    sockets[index].sendPending(host: &host)
    settle(index, net: &host.net)
  }

  /// `TCP_WINDOW_CLAMP`. Linux: `tcp_set_window_clamp()`.
  ///
  /// - Parameter clamp: in bytes; 0 takes the limit away.
  /// - Throws: `EINVAL` for 0 on a socket that is not closed.
  public mutating func setWindowClamp(_ id: SocketID, _ clamp: Int) throws(Errno) {
    let index = try slot(id)
    guard clamp != 0 || sockets[index].state == .close else { throw .EINVAL }
    guard sockets[index].options.windowClamp != clamp else { return }
    sockets[index].options.windowClamp = clamp
    sockets[index].applyWindowClamp()
  }

  /// What `TCP_WINDOW_CLAMP` reads: of a connection the largest window that it would offer now.
  public func windowClamp(_ id: SocketID) throws(Errno) -> Int {
    let index = try slot(id)
    let isOpen = sockets[index].state.isConnected && sockets[index].state != .synSent
    return isOpen ? sockets[index].receiver.windowClamp : sockets[index].options.windowClamp
  }

  /// `SO_RCVLOWAT`: no more than half of a buffer that is fixed or of the largest there can be, and a buffer that is not
  /// fixed grows until the window reaches it, or it could never be there. Linux: `tcp_set_rcvlowat()`.
  ///
  /// - Parameter count: bytes that have to be there before a reader is woken.
  public mutating func setReceiveLowWater(_ id: SocketID, _ count: Int, net: inout Net) throws(Errno) {
    let index = try slot(id)
    let most = sockets[index].core.fixedReceiveBuffer ?? net.settings.tcpReadMemory.most
    let wanted = max(1, min(count, most / 2))
    sockets[index].core.options.receiveLowWater = wanted
    net.wake(id)
    let space = sockets[index].spaceFrom(window: wanted)
    guard !sockets[index].core.isReceiveBufferFixed, space > sockets[index].core.receiveBuffer else { return }
    sockets[index].core.receiveBuffer = space
    sockets[index].receiver.windowClamp = max(sockets[index].receiver.windowClamp, wanted)
  }

  /// `TCP_CONGESTION`. Linux: `tcp_set_congestion_control()`.
  public mutating func setCongestionControl(
    _ id: SocketID, _ kind: CongestionControlKind, net: borrowing Net
  ) throws(Errno) {
    let index = try slot(id)
    sockets[index].options.congestionControl = kind
    guard sockets[index].sender.congestion.kind != kind else { return }
    sockets[index].sender.congestion = CongestionControl(kind)
    if sockets[index].state.isConnected { sockets[index].beginCongestionControl(now: net.now) }
  }

  /// `TCP_CC_INFO`: `struct tcp_bbr_info` or `struct tcp_dctcp_info` in words of the machine; the others have nothing to tell. Linux: `get_info()`.
  public func congestionInfo(_ id: SocketID) throws(Errno) -> [UInt32] {
    let index = try slot(id)
    return sockets[index].sender.congestion.info(
      mss: sockets[index].sender.mssCache, arrived: sockets[index].sender.delivered,
      marked: sockets[index].sender.deliveredMarked)
  }

  /// What `TCP_QUICKACK` does each time it is set: the socket leaves a conversation, in which ACKs wait for an answer to
  /// ride on, and sends one that is owed for what was read; or it enters one. Traffic changes it again. Linux:
  /// `__tcp_sock_set_quickack()`.
  ///
  /// - Parameter value: 0 to enter; even: only for the ACK that is owed now.
  public mutating func setQuickAck(_ id: SocketID, _ value: Int32, host: inout Host) throws(Errno) {
    let index = try slot(id)
    sockets[index].receiver.ack.pingpong = value == 0 ? DelayedAck.conversation : 0
    let state = sockets[index].state
    guard value != 0, state == .established || state == .closeWait, sockets[index].receiver.ack.isScheduled
    else {
      return
    }
    sockets[index].receiver.ack.isPushed = true
    sockets[index].cleanReceiveBuffer(copied: 1, host: &host)
    if value & 1 == 0 { sockets[index].receiver.ack.pingpong = DelayedAck.conversation }
    settle(index, net: &host.net)
  }

  /// What `TCP_QUICKACK` reads: not in a conversation.
  public func quickAck(_ id: SocketID) throws(Errno) -> Bool {
    !sockets[try slot(id)].receiver.ack.isInteractive
  }
}
