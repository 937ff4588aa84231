import NetNamespace
import SkBuff
import Timers
import Wire

extension TCPLayer {
  /// What `TCP_INFO` and `ss -ti` show. Linux: `tcp_get_info()`.
  public func info(_ id: SocketID, now: Instant) throws(Errno) -> TCPInfo {
    guard id.kind == .tcp, sockets.isLive(id.index) else { throw .EBADF }
    var info = sockets[id.index].snapshot(now: now)
    if let listener = sockets[id.index].listener {
      info.receiveQueue = listeners[listener].acceptCount
      info.sendQueue = listeners[listener].backlog
    }
    return info
  }
}

extension TCPConnection {
  func snapshot(now: Instant) -> TCPInfo {
    var info = TCPInfo()
    info.state = state
    info.congestionState = sender.recovery.state
    info.local = tuple.local
    info.remote = state == .listen || tuple.remote.port == 0 ? nil : tuple.remote
    info.congestionControl = sender.congestion.name
    info.retransmits = sender.retransmits
    info.probes = timers.probesOut
    info.backoff = sender.rtt.backoff
    info.hasTimestamps = hasTimestamps
    info.hasECN = !sender.ecn.isDisjoint(with: [.isOn, .isAccurate, .isPending])
    info.hasSeenECN = sender.ecn.contains(.hasSeenMark)
    info.hasSACK = sender.hasSACK
    info.hasWindowScale = hasWindowScale
    info.isSynDataAcknowledged = fastOpen.contains(.synDataAcked)
    info.isFastOpenChild = fastOpen.contains(.isChild)
    info.fastOpenFailure = fastOpenFailure
    info.sendWindowScale = sender.sndWscale
    info.receiveWindowScale = hasWindowScale ? receiver.rcvWscale : 0
    info.retransmissionTimeout = sender.rtt.timeout
    info.delayedAckTimeout = receiver.ack.timeout
    info.sendMSS = sender.mssCache
    info.receiveMSS = receiver.rcvMSS
    info.advertisedMSS = receiver.advertisedMSS
    info.pathMTU = sender.mssPathMTU
    info.unacknowledged = sender.packetsOut - (fastOpen.contains(.isPassive) ? 1 : 0)
    info.sacked = sender.sackedOut
    info.lost = sender.lostOut
    info.retransmitted = sender.retransOut
    info.smoothedRTT = sender.rtt.smoothed
    info.rttVariation = sender.rtt.hasSample ? sender.rtt.meanDeviation : RTTEstimator.initialTimeout / 4
    info.minimumRTT = sender.rtt.minimum
    info.congestionWindow = sender.window.segments
    info.slowStartThreshold = sender.window.threshold
    info.reordering = sender.recovery.reordering
    info.reorderingSeen = Int(sender.recovery.reorderSeen)
    info.receiveSlowStartThreshold = receiver.rcvSsthresh
    info.receiveSpace = receiver.readSpace.space
    info.receiveRTT = .microseconds(receiver.readSpace.rtt)
    info.totalRetransmissions = sender.totalRetransmissions
    info.pacingBytesPerSecond = sender.pacingRate
    info.maximumPacingBytesPerSecond = core.options.maximumPacingRate
    info.deliveryBytesPerSecond = sender.rate.bytesPerSecond
    info.isApplicationLimited = sender.rate.isAppLimited
    info.bytesAcknowledged = sender.bytesAcknowledged
    info.bytesReceived = statistics.bytesReceived
    info.bytesSent = statistics.bytesSent
    info.bytesRetransmitted = statistics.bytesRetransmitted
    info.segmentsOut = statistics.segmentsOut
    info.segmentsIn = statistics.segmentsIn
    info.dataSegmentsOut = statistics.dataSegmentsOut
    info.dataSegmentsIn = statistics.dataSegmentsIn
    info.notSentByteCount = max(0, sender.unsentByteCount)
    info.delivered = UInt64(sender.delivered)
    info.deliveredMarked = UInt64(sender.deliveredMarked)
    if let accurate = accurateState { info.accurateECN = TCPInfo.AccurateECN(accurate) }
    info.dsackDuplicates = sender.duplicateSACKs
    info.outOfOrderPackets = statistics.outOfOrderPackets
    info.sendWindow = sender.sndWnd
    info.receiveWindow = receiver.receiveWindow
    info.receiveQueue = receiver.readableByteCount
    info.sendQueue = max(0, sender.writeSeq.offset(from: sender.sndUna))
    var accounted = statistics
    accounted.note(.none, now: now)
    info.busyTime = accounted.busy + accounted.windowLimited + accounted.bufferLimited
    info.receiveWindowLimitedTime = accounted.windowLimited
    info.sendBufferLimitedTime = accounted.bufferLimited
    info.lastDataSent = sender.lastSent == .origin ? nil : now - sender.lastSent
    info.lastDataReceived = receiver.ack.lastDataAt == .origin ? nil : now - receiver.ack.lastDataAt
    info.lastAckReceived = receiver.lastReceived == .origin ? nil : now - receiver.lastReceived
    info.timeouts = Int(statistics.timeouts)
    info.timeoutRecoveries = Int(statistics.timeoutEpisodes)
    info.timeoutTime = statistics.timeoutTime(now: now)
    info.sendBuffer = core.sendBuffer
    info.receiveBuffer = core.receiveBuffer
    info.writeQueuedMemory = sender.writeQueuedMemory
    info.writeAllocatedMemory = core.account.writeAllocated
    info.receiveAllocatedMemory = core.account.receiveAllocated
    if timers.retransmitKind != .none {
      info.timer = (timers.retransmitKind == .probe ? "persist" : "on", timers.retransmitDeadline - now)
    } else if timers.keepAliveDeadline != .distantFuture {
      info.timer = ("keepalive", timers.keepAliveDeadline - now)
    }
    return info
  }
}
