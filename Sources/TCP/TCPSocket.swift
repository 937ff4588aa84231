import IPv4
import InetSocket
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// One connection, from SYN to TIME-WAIT, or one listener. Linux: `struct tcp_sock`.
///
/// Fields are grouped by the file that works on them. All sequence arithmetic is modulo 2^32.
struct TCPSocket: ~Copyable {
  private let addressOnly = AddressOnly()
  var core: SocketCore
  var state = TCPState.close
  var options = TCPSocketOptions()
  /// Counts in the layer's orphans.
  var isCountedOrphan = false
  /// How far `connect()` has come. Linux: `SS_UNCONNECTED`, `SS_CONNECTING`, `SS_CONNECTED`.
  var connectPhase = ConnectPhase.unconnected
  /// Stands in the connection table.
  var isHashed = false
  var timer = TimerSlot()

  // Send sequence space (RFC 9293 3.3.1) and what is queued.
  var sndUna = SequenceNumber(0)
  var sndNxt = SequenceNumber(0)
  var sndUp = SequenceNumber(0)
  var sndWl1 = SequenceNumber(0)
  /// End of the last small segment sent (Minshall's Nagle).
  var sndSml = SequenceNumber(0)
  var writeSeq = SequenceNumber(0)
  /// Last byte marked with PSH.
  var pushedSeq = SequenceNumber(0)
  var initialSend = SequenceNumber(0)
  @Narrow<Int32> var sndWnd = 0
  @Narrow<Int32> var maxWindow = 0
  var writeQueue = SkBuffQueue()
  /// What is sent and not acknowledged, and its counters.
  var scoreboard = Scoreboard()
  /// Memory in both send queues. Linux: `sk_wmem_queued`.
  var writeQueuedMemory = 0
  /// `tcp_wmem[0]`.
  let leastSendMemory: Int
  var noSpace = false
  var urgentMode = false
  /// What is queued goes whatever Nagle and cork say, until more is queued. Linux: `TCP_NAGLE_PUSH`.
  var isPushForced = false

  // MSS.
  @Narrow<Int32> var peerMSS = 536
  @Narrow<Int32> var advertisedMSS = 1460
  @Narrow<Int32> var mssCache = 536
  @Narrow<Int32> var mssPathMTU = 0

  // Receive sequence space.
  var rcvNxt = SequenceNumber(0)
  var rcvWup = SequenceNumber(0)
  var copiedSeq = SequenceNumber(0)
  var initialReceive = SequenceNumber(0)
  var rcvWnd = 0
  var windowClamp = 65535
  var rcvSsthresh = 0
  var receiveQueue = SkBuffQueue()
  var outOfOrder = SkBuffQueue()
  var outOfOrderHint: SkBuffQueue.Position?
  /// Neighbours on the layer's list of sockets with an out-of-order queue.
  var outOfOrderLink = OutOfOrderLink()
  @Narrow<Int32> var rcvMSS = 536
  /// Out of 256: payload bytes per byte of memory in received packets. Linux: `scaling_ratio`.
  @Narrow<UInt16> var scalingRatio = TCPSocket.initialScalingRatio
  var readSpace = ReadSpace()
  /// The newest urgent mark that the reader has not passed. Linux: `urg_seq`, `urg_data`.
  var urgent: UrgentMark?
  var peerFinSeen = false

  // Negotiated options.
  var hasTimestamps = false
  var hasWindowScale = false
  @Narrow<UInt8> var sndWscale = 0
  @Narrow<UInt8> var rcvWscale = 0
  var timestampOffset: UInt32 = 0
  var tsRecent: UInt32 = 0
  var tsRecentAt = Instant.origin
  /// Last timestamp echo the peer sent, for RTT and for undo.
  var receivedEcho: UInt32 = 0
  var sawTimestamp = false

  // SACK to send.
  var sackBlocks: InlineArray<4, SACKBlock> = .init(
    repeating: SACKBlock(start: SequenceNumber(0), end: SequenceNumber(0)))
  @Narrow<UInt8> var sackBlockCount = 0
  var duplicateSACK: SACKBlock?

  // Acknowledgment delay. Linux: `icsk_ack`.
  var ack = DelayedAck()

  // Congestion and recovery.
  var window = CongestionWindow()
  var congestion: CongestionControl
  var recovery = RecoveryState()
  var rtt = RTTEstimator()
  @Narrow<Int32> var maxPacketsOut = 0
  var maxPacketsSeq = SequenceNumber(0)
  var filledWindow = false
  /// When the window was last taken back for a pause.
  var windowRestartedAt = Instant.origin
  var deliveredAt = Instant.origin
  var firstSentAt = Instant.origin
  /// Set to `delivered + in flight` while the application leaves the window unused, as before the first ACK.
  var appLimited = UInt32.max
  var rate = DeliveryRate()

  // Timers; `.distantFuture` when not armed.
  var retransmitDeadline = Instant.distantFuture
  var retransmitKind = RetransmitTimer.none
  /// When the next packet of a paced connection may leave. Linux: `tcp_wstamp_ns`.
  var nextDeparture = Instant.origin
  /// Armed while a packet waits for that. Linux: `pacing_timer`.
  var pacingDeadline = Instant.distantFuture
  var ackDeadline = Instant.distantFuture
  var keepAliveDeadline = Instant.distantFuture
  /// Answers to segments that do not fit. Linux: `last_oow_ack_time`.
  var outOfWindow = AnswerLimit()
  @Narrow<Int32> var retransmits = 0
  /// Probes without an answer, of a closed window or of keep-alive. Linux: `icsk_probes_out`.
  @Narrow<Int32> var probesOut = 0
  var lastSent = Instant.origin
  var lastReceived = Instant.origin
  var retransmitStamp = Instant.origin
  var probeSince = Instant.origin

  /// Slot of what it has as a listener; `nil`: it does not listen.
  @NarrowOptional var listener: Int? = nil

  var statistics = SocketStatistics()

  /// Linux: `TCP_DEFAULT_SCALING_RATIO`.
  static let initialScalingRatio = 128

  enum ConnectPhase { case unconnected, connecting, connected }
  enum RetransmitTimer { case none, retransmission, probe }

  init(id: SocketID, family: AddressFamily, net: borrowing Net) {
    core = SocketCore(
      id, family: family, sendBuffer: net.settings.tcpWriteMemory.initial,
      receiveBuffer: net.settings.tcpReadMemory.initial, net: net)
    leastSendMemory = net.settings.tcpWriteMemory.least
    congestion = CongestionControl(net.settings.tcpCongestionControl)
  }

  // MARK: Derived

  var id: SocketID { core.id }
  var tuple: FourTuple { core.tuple }
  var packetsOut: Int { scoreboard.packetsOut }
  var sackedOut: Int { scoreboard.sackedOut }
  var lostOut: Int { scoreboard.lostOut }
  var retransOut: Int { scoreboard.retransOut }
  var inFlight: Int { scoreboard.inFlight }
  var delivered: UInt32 { scoreboard.delivered }
  var hasSACK: Bool { scoreboard.hasSACK }
  /// One past the highest sequence number the peer is known to have.
  var highestSack: SequenceNumber { scoreboard.highestSack(una: sndUna) }
  var unsentByteCount: Int { writeSeq.offset(from: sndNxt) }
  /// One past the highest sequence number the peer's window allows. Linux: `tcp_wnd_end()`.
  var windowEnd: SequenceNumber { sndUna + sndWnd }
  /// Bytes that arrived in order and were not read, an urgent one among them.
  var readableByteCount: Int {
    let bytes = rcvNxt.offset(from: copiedSeq) - (peerFinSeen ? 1 : 0)
    return max(0, bytes)
  }
  /// Whether a reader is to be woken: `SO_RCVLOWAT` bytes are there, of which an urgent byte at the mark is none, or no more
  /// can come for want of room. Linux: `tcp_stream_is_readable()` with the target of `tcp_poll()`.
  var hasStreamData: Bool {
    let isAtMark = urgent.map { $0.sequence == copiedSeq && !core.options.outOfBandInline } ?? false
    let available = readableByteCount - (isAtMark ? 1 : 0)
    return available > 0 && (available >= core.options.receiveLowWater || receiveWindow <= rcvMSS)
  }
  /// The TCP timestamp clock.
  func timestamp(_ now: Instant) -> UInt32 { now.milliseconds32 &+ timestampOffset }

  // MARK: State

  mutating func setState(_ new: TCPState, net: inout Net) {
    let old = state
    guard old != new else { return }
    net.tracer.record(.tcp_set_state, socket: id.rawValue, UInt64(old.rawValue), UInt64(new.rawValue))
    if new == .established { net.counters.count(.TcpCurrEstab) }
    if new == .close && (old == .closeWait || old == .established) { net.counters.count(.TcpEstabResets) }
    let wasCounted = old == .established || old == .closeWait
    let isCounted = new == .established || new == .closeWait
    if wasCounted && !isCounted { net.counters[.TcpCurrEstab] &-= 1 }
    state = new
  }

  /// Reports a hard error to the owner and ends the connection. Linux: `tcp_done_with_error()`.
  mutating func fail(_ error: Errno?, net: inout Net) {
    if let error, core.pendingError == nil { core.pendingError = error }
    // Linux: `tcp_done()`; a connection that its own side gives up did not fail.
    if error != nil && (state == .synSent || state == .synReceived) { net.counters.count(.TcpAttemptFails) }
    purgeSendQueues()
    purgeOutOfOrder()
    stopTimers()
    setState(.close, net: &net)
    core.receiveShutdown = true
    core.sendShutdown = true
    net.wake(id)
  }

  /// Back to a socket as it was made, with its options and what it is bound to: nothing of one connection reaches the
  /// next. Linux: `tcp_disconnect()`.
  mutating func disconnect(net: borrowing Net) {
    purgeSendQueues()
    var fresh = TCPSocket(id: id, family: core.family, net: net)
    swap(&fresh.core, &core)
    fresh.core.disconnect()
    fresh.options = options
    fresh.prepareBuffers(net: net)
    fresh.timer = timer
    fresh.ack.pingpong = ack.pingpong
    receiveQueue.removeAll()
    outOfOrder.removeAll()
    self = fresh
  }

  /// Before `connect()` and `listen()`: as `disconnect`, but what `shutdown()` has shut stays so, and the error of what
  /// was is gone. Linux: `tcp_connect_init()`; only `tcp_disconnect()` clears `sk_shutdown`.
  mutating func prepareAnew(net: borrowing Net) {
    let (isReceiveShut, isSendShut) = (core.receiveShutdown, core.sendShutdown)
    disconnect(net: net)
    core.receiveShutdown = isReceiveShut
    core.sendShutdown = isSendShut
    core.pendingError = nil
  }

  mutating func purgeSendQueues() {
    writeQueue.removeAll()
    scoreboard.reset()
    writeQueuedMemory = 0
    rtt.backoff = 0
  }

  // MARK: Timers

  mutating func stopTimers() {
    retransmitDeadline = .distantFuture
    retransmitKind = .none
    pacingDeadline = .distantFuture
    ackDeadline = .distantFuture
    keepAliveDeadline = .distantFuture
  }

  /// The socket's earliest deadline.
  var earliestDeadline: Instant {
    min(min(retransmitDeadline, pacingDeadline), min(ackDeadline, keepAliveDeadline))
  }

  /// Brings the shard's timer queue in line with the earliest deadline.
  @inline(__always)
  mutating func rearm(net: inout Net, generation: UInt32) {
    let deadline = earliestDeadline
    if deadline < timer.scheduled {
      timer.arm(TimerKey(kind: .tcp, id: id.rawValue, generation: generation), at: deadline, in: &net.timers)
    }
  }
}

/// Counters that `TCP_INFO` reports.
struct SocketStatistics {
  var bytesAcknowledged: UInt64 = 0
  var bytesReceived: UInt64 = 0
  var bytesSent: UInt64 = 0
  var bytesRetransmitted: UInt64 = 0
  var segmentsOut: UInt64 = 0
  var segmentsIn: UInt64 = 0
  var dataSegmentsOut: UInt64 = 0
  var dataSegmentsIn: UInt64 = 0
  var totalRetransmissions = 0
  var duplicateSACKs = 0
  var outOfOrderPackets = 0
  // Time accounting (`tcp_chrono_start()`).
  var limitSince = Instant.origin
  var busy = Nanoseconds.zero
  var windowLimited = Nanoseconds.zero
  var bufferLimited = Nanoseconds.zero
  var limit = Limit.none

  /// What holds the sender back. Linux: `enum tcp_chrono`.
  enum Limit { case none, busy, receiveWindow, sendBuffer }

  mutating func note(_ new: Limit, now: Instant) {
    if new == limit { return }
    let span = now - limitSince
    switch limit {
    case .none: break
    case .busy: busy = busy + span
    case .receiveWindow: windowLimited = windowLimited + span
    case .sendBuffer: bufferLimited = bufferLimited + span
    }
    limit = new
    limitSince = now
  }
}

/// When to acknowledge. Linux: `icsk_ack`.
struct DelayedAck {
  /// `TCP_DELACK_MIN`, `TCP_DELACK_MAX`, `TCP_ATO_MIN`.
  static let minimum = Nanoseconds.milliseconds(40)
  static let maximum = Nanoseconds.milliseconds(200)
  static let maximumQuick = 16

  /// `pingpong` of a conversation. Linux: `inet_csk_enter_pingpong_mode()`.
  static let conversation = 3

  var timeout = Nanoseconds.zero
  var lastDataAt = Instant.origin
  /// ACKs still to be sent at once.
  @Narrow<Int32> var quick = 0
  /// Length of the last small segment, two of which in a row mean a smaller MSS. Linux: `last_seg_size`.
  @Narrow<Int32> var lastSegmentSize = 0
  /// An ACK is owed.
  var isScheduled = false
  /// A conversation of requests and answers: ACKs ride on data. Linux: `inet_csk_in_pingpong_mode()`.
  @Narrow<UInt8> var pingpong = 0
  /// A small or pushed segment came since the last ACK: a reader that has taken all is owed one at once, because the
  /// sender may be waiting for it. Linux: `ICSK_ACK_PUSHED`.
  var isPushed = false
  /// So did a second one: at once even in a conversation. Linux: `ICSK_ACK_PUSHED2`.
  var isPushedTwice = false
  /// Not to be delayed (RFC 5681 4.2: a gap was filled). Linux: `ICSK_ACK_NOW`.
  var isImmediate = false
  /// Data was refused for want of memory: the window is closed. Linux: `ICSK_ACK_NOMEM`.
  var isOutOfMemory = false

  var isInteractive: Bool { pingpong >= 1 }
}

/// Receive-buffer autotuning state. Linux: `tp->rcvq_space`, `rcv_rtt_est`.
struct ReadSpace {
  var space = 0
  var sequence = SequenceNumber(0)
  var since = Instant.origin
  /// Microseconds; 0: none.
  var rtt: Int64 = 0
  var rttSequence = SequenceNumber(0)
  var rttSince = Instant.origin
}

/// Delivery rate (draft-cheng-iccrg-delivery-rate-estimation). Linux: `struct rate_sample`.
struct DeliveryRate {
  /// As is whatever comes first: the handshake fills no window.
  var isAppLimited = true
  /// Most recent sample that was not held back by the application.
  var bytesPerSecond: UInt64 = 0
}
