import IPv4
import InetSocket
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// One connection, from SYN to TIME-WAIT, or one listener. Linux: `struct tcp_sock`.
///
/// What every socket has is the core's; what only one direction needs is the sender's or the receiver's, and they change by
/// what the connection, which knows both, tells them. All sequence arithmetic is modulo 2^32.
struct TCPConnection: ~Copyable {
  private let addressOnly = AddressOnly()
  var state = TCPState.close
  /// How far `connect()` has come. Linux: `SS_UNCONNECTED`, `SS_CONNECTING`, `SS_CONNECTED`.
  var connectPhase = ConnectPhase.unconnected
  /// Stands in the connection table.
  var isHashed = false
  /// Counts in the layer's orphans.
  var isCountedOrphan = false
  /// Both sides agreed to it (RFC 7323).
  var hasTimestamps = false
  var hasWindowScale = false
  var fastOpen: FastOpenState = []
  /// `TCP_REPAIR`, and the queue that calls are about.
  var isInRepair = false
  var repairQueue = RepairQueue.none
  var fastOpenFailure = FastOpenFailure.none
  /// `SO_MAX_PACING_RATE` has set a limit once: what leaves is paced from then on, without a limit at the congestion control's
  /// rate. Linux: `SK_PACING_NEEDED`.
  var isPacingAsked = false
  /// Every segment is signed with it (RFC 2385); `nil`: none is.
  var signatureKey: [UInt8]?
  /// What it has of RFC 5925.
  var authentication: Box<Authentication>?
  /// What has come marked, and what Accurate ECN keeps; `nil`: nothing has.
  var accurateECN: Box<AccurateECN>?
  /// Bytes of the option that signs; 0: nothing does.
  var signedByteCount: UInt8 = 0

  var core: SocketCore
  var options = TCPSocketOptions()
  var sender: TCPSender
  var timers = ConnectionTimers()
  /// Where the earliest of the timers stands in the shard's queue.
  var timer = TimerSlot()
  var receiver = TCPReceiver()
  /// Slot of what it has as a listener; `nil`: it does not listen.
  @NarrowOptional var listener: Int? = nil
  var statistics = SocketStatistics()

  /// What `connect()` finds. Linux: `sock->state`.
  enum ConnectPhase {
    case unconnected, connecting, connected
    /// Shut down when its connection had failed already, which nobody had been told yet.
    case disconnecting
  }

  init(id: SocketID, family: AddressFamily, net: borrowing Net) {
    core = SocketCore(
      id, family: family, sendBuffer: net.settings.tcpWriteMemory.initial,
      receiveBuffer: net.settings.tcpReadMemory.initial, net: net)
    sender = TCPSender(
      congestion: CongestionControl(net.settings.tcpCongestionControl),
      reordering: net.settings.tcpReordering,
      leastMemory: net.settings.tcpWriteMemory.least)
  }

  // MARK: Derived

  var id: SocketID { core.id }
  var tuple: FourTuple { core.tuple }
  /// Whether a reader is to be woken: `SO_RCVLOWAT` bytes are there, of which an urgent byte at the mark is none, or no more
  /// can come for want of room. Linux: `tcp_stream_is_readable()` with the target of `tcp_poll()`.
  var hasStreamData: Bool {
    let isAtMark =
      receiver.urgent.map { $0.sequence == receiver.copiedSeq && !core.options.outOfBandInline } ?? false
    let available = receiver.readableByteCount - (isAtMark ? 1 : 0)
    return available > 0
      && (available >= core.options.receiveLowWater || receiver.receiveWindow <= receiver.rcvMSS)
  }

  /// Every segment has to be signed after RFC 5925, with traffic keys that are known. Linux: `TCP_AO_ESTABLISHED`.
  var isAuthenticated: Bool {
    switch state {
    case .close, .listen, .synSent, .synReceived, .timeWait: false
    default: authentication != nil
    }
  }

  // MARK: State

  mutating func setState(_ new: TCPState, net: inout Net) {
    let old = state
    guard old != new else { return }
    net.tracer.record(.tcp_set_state, socket: id.rawValue, UInt64(old.rawValue), UInt64(new.rawValue))
    if new == .established { net.counters.count(.TcpCurrEstab) }
    if new == .close && (old == .closeWait || old == .established) { net.counters.count(.TcpEstabResets) }
    let wasCounted = old == .established || old == .closeWait
    let isCounted = new == .established || new == .closeWait
    if wasCounted && !isCounted { net.counters.uncount(.TcpCurrEstab) }
    state = new
  }

  /// Reports a hard error to the owner and ends the connection. Linux: `tcp_done_with_error()`.
  mutating func fail(_ error: Errno?, net: inout Net) {
    if let error, core.pendingError == nil { core.pendingError = error }
    // Linux: `tcp_done()`; a connection that its own side gives up did not fail.
    if error != nil && (state == .synSent || state == .synReceived) { net.counters.count(.TcpAttemptFails) }
    sender.purge()
    purgeOutOfOrder()
    timers.stop()
    setState(.close, net: &net)
    core.receiveShutdown = true
    core.sendShutdown = true
    net.wake(id)
  }

  /// Back to a socket as it was made, with most of its options and what it is bound to: nothing of one connection reaches the
  /// next. Linux: `tcp_disconnect()`.
  mutating func disconnect(net: borrowing Net) {
    let segment = sender.mssCache
    renew(net: net)
    sender.mssCache = segment
    receiver.rcvMSS = Self.leastMSS
    receiver.ack.pingpong = 0
    // Kept with what the peer agreed on, so gone with it. Linux: `rx_opt.user_mss`, `window_clamp`, `sk_set_peek_off()`.
    options.maximumSegment = nil
    options.windowClamp = 0
    core.peekOffset = -1
  }

  private mutating func renew(net: borrowing Net) {
    sender.purge()
    var fresh = TCPConnection(id: id, family: core.family, net: net)
    swap(&fresh.core, &core)
    fresh.core.disconnect()
    fresh.options = options
    fresh.sender.pacingRate = sender.pacingRate
    fresh.isPacingAsked = isPacingAsked
    swap(&fresh.authentication, &authentication)
    fresh.sender.rtt.limit(sender.rtt.limits)
    fresh.prepareCongestionControl(net: net)
    fresh.timer = timer
    fresh.isInRepair = isInRepair
    fresh.repairQueue = repairQueue
    fresh.receiver.ack.pingpong = receiver.ack.pingpong
    receiver.receiveQueue.removeAll()
    receiver.outOfOrder.removeAll()
    self = fresh
  }

  /// Before `connect()` and `listen()`: as `disconnect`, but all options stay, and what `shutdown()` has shut stays so; only
  /// `tcp_disconnect()` clears `sk_shutdown`.
  mutating func prepareAnew(net: borrowing Net) {
    let (isReceiveShut, isSendShut) = (core.receiveShutdown, core.sendShutdown)
    renew(net: net)
    core.receiveShutdown = isReceiveShut
    core.sendShutdown = isSendShut
  }

  // MARK: Timers

  /// Brings the shard's timer queue in line with the earliest deadline.
  @inline(__always)
  mutating func rearm(net: inout Net, generation: UInt32) {
    let deadline = timers.earliest
    if deadline < timer.scheduled {
      timer.arm(TimerKey(kind: .tcp, id: id.rawValue, generation: generation), at: deadline, in: &net.timers)
    }
  }
}
