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

extension TCPSocket {
  func snapshot(now: Instant) -> TCPInfo {
    var info = TCPInfo()
    info.state = state
    info.congestionState = recovery.state
    info.local = tuple.local
    info.remote = state == .listen || tuple.remote.port == 0 ? nil : tuple.remote
    info.congestionControl = congestion.kind.name
    info.retransmits = retransmits
    info.probes = probesOut
    info.backoff = rtt.backoff
    info.hasTimestamps = hasTimestamps
    info.hasSACK = hasSACK
    info.hasWindowScale = hasWindowScale
    info.sendWindowScale = sndWscale
    info.receiveWindowScale = rcvWscale
    info.retransmissionTimeout = rtt.timeout
    info.delayedAckTimeout = ack.timeout
    info.sendMSS = mssCache - (hasTimestamps ? 12 : 0)
    info.receiveMSS = rcvMSS
    info.advertisedMSS = advertisedMSS
    info.pathMTU = mssPathMTU
    info.unacknowledged = packetsOut
    info.sacked = sackedOut
    info.lost = lostOut
    info.retransmitted = retransOut
    info.smoothedRTT = rtt.smoothed
    info.rttVariation = rtt.meanDeviation
    info.minimumRTT = rtt.minimum
    info.congestionWindow = window.segments
    info.slowStartThreshold = window.threshold
    info.reordering = recovery.reordering
    info.reorderingSeen = Int(recovery.reorderSeen)
    info.receiveSlowStartThreshold = rcvSsthresh
    info.receiveSpace = readSpace.space
    info.totalRetransmissions = statistics.totalRetransmissions
    info.pacingBytesPerSecond = rtt.hasSample ? pacingBytesPerSecond : 0
    info.deliveryBytesPerSecond = rate.bytesPerSecond
    info.isApplicationLimited = rate.isAppLimited
    info.bytesAcknowledged = statistics.bytesAcknowledged
    info.bytesReceived = statistics.bytesReceived
    info.bytesSent = statistics.bytesSent
    info.bytesRetransmitted = statistics.bytesRetransmitted
    info.segmentsOut = statistics.segmentsOut
    info.segmentsIn = statistics.segmentsIn
    info.dataSegmentsOut = statistics.dataSegmentsOut
    info.dataSegmentsIn = statistics.dataSegmentsIn
    info.notSentByteCount = max(0, unsentByteCount)
    info.delivered = UInt64(delivered)
    info.dsackDuplicates = statistics.duplicateSACKs
    info.outOfOrderPackets = statistics.outOfOrderPackets
    info.sendWindow = sndWnd
    info.receiveWindow = receiveWindow
    info.receiveQueue = readableByteCount
    info.sendQueue = max(0, writeSeq.offset(from: sndUna))
    var accounted = statistics
    accounted.note(.none, now: now)
    info.busyTime = accounted.busy + accounted.windowLimited + accounted.bufferLimited
    info.receiveWindowLimitedTime = accounted.windowLimited
    info.sendBufferLimitedTime = accounted.bufferLimited
    info.lastDataSent = lastSent == .origin ? nil : now - lastSent
    info.lastDataReceived = lastReceived == .origin ? nil : now - lastReceived
    info.sendBuffer = core.sendBuffer
    info.receiveBuffer = core.receiveBuffer
    info.writeQueuedMemory = writeQueuedMemory
    info.writeAllocatedMemory = core.account.writeAllocated
    info.receiveAllocatedMemory = core.account.receiveAllocated
    if retransmitKind != .none {
      info.timer = (retransmitKind == .probe ? "persist" : "on", retransmitDeadline - now)
    } else if keepAliveDeadline != .distantFuture {
      info.timer = ("keepalive", keepAliveDeadline - now)
    }
    return info
  }
}
