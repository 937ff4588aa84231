import TCP
import Timers

/// `struct tcp_info` as Linux lays it out in memory (include/uapi/linux/tcp.h), 280 bytes since 6.18.
enum TCPInfoBytes {
  static let byteCount = 280
  /// `tcpi_options`.
  private enum Options {
    static let timestamps: UInt8 = 1
    static let sack: UInt8 = 2
    static let windowScale: UInt8 = 4
    static let ecn: UInt8 = 8
    static let ecnSeen: UInt8 = 16
    static let synData: UInt8 = 32
    static let fastOpenChild: UInt8 = 128
  }

  static func bytes(of all: TCPInfo) -> [UInt8] {
    let info = all.state == .listen ? listening(all) : all
    var out = Writer()
    out.byte(info.state.rawValue)
    out.byte(info.congestionState.rawValue)
    out.byte(clamped(info.retransmits))
    out.byte(clamped(info.probes))
    out.byte(clamped(info.backoff))
    var options: UInt8 = 0
    if info.hasTimestamps { options |= Options.timestamps }
    if info.hasSACK { options |= Options.sack }
    if info.hasWindowScale { options |= Options.windowScale }
    if info.hasECN { options |= Options.ecn }
    if info.hasSeenECN { options |= Options.ecnSeen }
    if info.isSynDataAcknowledged { options |= Options.synData }
    if info.isFastOpenChild { options |= Options.fastOpenChild }
    out.byte(options)
    // Two bit fields of four bits each, the first one low.
    out.byte(
      UInt8(truncatingIfNeeded: info.sendWindowScale & 15 | (info.receiveWindowScale & 15) << 4))
    // One bit, and two behind it.
    out.byte((info.isApplicationLimited ? 1 : 0) | info.fastOpenFailure.rawValue << 1)
    let isListening = info.state == .listen
    out.words([
      microseconds(info.retransmissionTimeout), microseconds(info.delayedAckTimeout), word(info.sendMSS),
      word(info.receiveMSS),
      // A listener shows its queue and the queue's limit here.
      word(isListening ? info.receiveQueue : info.unacknowledged),
      word(isListening ? info.sendQueue : info.sacked), word(info.lost), word(info.retransmitted),
      0,  // tcpi_fackets
    ])
    out.words([
      milliseconds(info.lastDataSent), 0, milliseconds(info.lastDataReceived),
      milliseconds(info.lastAckReceived), word(info.pathMTU),
      word(info.receiveSlowStartThreshold), microseconds(info.smoothedRTT),
      microseconds(info.rttVariation),
      // Linux: TCP_INFINITE_SSTHRESH.
      info.slowStartThreshold.map(word) ?? 0x7fff_ffff, word(info.congestionWindow),
      word(info.advertisedMSS), word(info.reordering), microseconds(info.receiveRTT),
      word(info.receiveSpace),
      word(info.totalRetransmissions),
    ])
    out.longs([
      info.pacingBytesPerSecond, info.maximumPacingBytesPerSecond, info.bytesAcknowledged, info.bytesReceived,
    ])
    out.words([
      UInt32(truncatingIfNeeded: info.segmentsOut), UInt32(truncatingIfNeeded: info.segmentsIn),
      word(info.notSentByteCount),
      // Not measured yet: Linux's ~0U.
      info.minimumRTT.map(microseconds) ?? .max, UInt32(truncatingIfNeeded: info.dataSegmentsIn),
      UInt32(truncatingIfNeeded: info.dataSegmentsOut),
    ])
    out.longs([
      info.deliveryBytesPerSecond, long(info.busyTime), long(info.receiveWindowLimitedTime),
      long(info.sendBufferLimitedTime),
    ])
    out.words([
      UInt32(truncatingIfNeeded: info.delivered), UInt32(truncatingIfNeeded: info.deliveredMarked),
    ])
    out.longs([info.bytesSent, info.bytesRetransmitted])
    out.words([
      word(info.dsackDuplicates), word(info.reorderingSeen), word(info.outOfOrderPackets),
      word(info.sendWindow),
      word(info.receiveWindow), 0,
      // Two of 16 bits, the first one low.
      UInt32(UInt16(clamping: info.timeouts)) | UInt32(UInt16(clamping: info.timeoutRecoveries)) << 16,
      milliseconds(info.timeoutTime),
    ])
    let accurate = info.accurateECN
    out.words([
      accurate.receivedMarked, accurate.deliveredBytes.ect1, accurate.deliveredBytes.ect0,
      accurate.deliveredBytes.marked, accurate.receivedBytes.ect1, accurate.receivedBytes.ect0,
      accurate.receivedBytes.marked,
      // Two of 16 bits, the first one low.
      UInt32(accurate.failures) | UInt32(accurate.seenOption) << 16,
    ])
    precondition(out.bytes.count == byteCount, "struct tcp_info has 280 bytes")
    return out.bytes
  }

  /// What means something of a listener; the rest is 0. Linux: the first part of `tcp_get_info()`.
  private static func listening(_ all: TCPInfo) -> TCPInfo {
    var info = TCPInfo()
    info.state = all.state
    info.receiveQueue = all.receiveQueue
    info.sendQueue = all.sendQueue
    info.pacingBytesPerSecond = all.pacingBytesPerSecond
    info.maximumPacingBytesPerSecond = all.maximumPacingBytesPerSecond
    info.reordering = all.reordering
    info.congestionWindow = all.congestionWindow
    info.slowStartThreshold = 0
    info.minimumRTT = .zero
    return info
  }

  private static func word(_ value: Int) -> UInt32 { UInt32(clamping: value) }
  private static func clamped(_ value: Int) -> UInt8 { UInt8(clamping: value) }
  private static func microseconds(_ span: Nanoseconds) -> UInt32 { UInt32(clamping: span.microseconds) }
  private static func milliseconds(_ span: Nanoseconds?) -> UInt32 {
    UInt32(clamping: span?.milliseconds ?? 0)
  }
  private static func long(_ span: Nanoseconds) -> UInt64 { UInt64(clamping: span.microseconds) }

  private struct Writer {
    var bytes: [UInt8] = []
    init() { bytes.reserveCapacity(TCPInfoBytes.byteCount) }
    mutating func byte(_ value: UInt8) { bytes.append(value) }
    mutating func words(_ values: [UInt32]) {
      for value in values { bytes += SocketOptionValue.bytes(value) }
    }
    mutating func longs(_ values: [UInt64]) {
      for value in values { bytes += SocketOptionValue.bytes(value) }
    }
  }
}
