import NetNamespace
import SkBuff
import Timers

// How a connection is when a packet of it is stamped, for `SOF_TIMESTAMPING_OPT_STATS`.
// Linux: `tcp_get_timestamping_opt_stats()`.
extension TCPConnection {
  /// Packets of it may just have been stamped.
  ///
  /// - Parameter timeToLive: of the ACK that they were stamped for; `nil`: there was none.
  @inline(never)
  mutating func describeStamps(timeToLive: UInt8? = nil, net: borrowing Net) {
    guard core.timestamping.contains(.statistics) else { return }
    let info = snapshot(now: net.now)
    net.pool.describeStamps(of: id.rawValue) { stamp in
      Self.stampStatistics(info, departure: stamp.departure, timeToLive: timeToLive)
    }
  }

  static func stampStatistics(_ info: TCPInfo, departure: Instant, timeToLive: UInt8?) -> [UInt8] {
    var out = StampAttributes()
    let timeouts = UInt64(UInt16(truncatingIfNeeded: info.timeouts))
    out.add(.busyTime, micros(info.busyTime), 8)
    out.add(.receiveWindowLimitedTime, micros(info.receiveWindowLimitedTime), 8)
    out.add(.sendBufferLimitedTime, micros(info.sendBufferLimitedTime), 8)
    out.add(.dataSegmentsOut, info.dataSegmentsOut, 8)
    out.add(.totalRetransmissions, UInt64(info.totalRetransmissions), 8)
    out.add(.pacingRate, info.pacingBytesPerSecond, 8)
    out.add(.deliveryRate, info.deliveryBytesPerSecond, 8)
    out.add(.congestionWindow, UInt64(info.congestionWindow), 4)
    out.add(.reordering, UInt64(info.reordering), 4)
    out.add(.minimumRTT, info.minimumRTT.map(micros) ?? UInt64(UInt32.max), 4)
    out.add(.retransmits, UInt64(UInt8(truncatingIfNeeded: info.retransmits)), 1)
    out.add(.isApplicationLimited, info.isApplicationLimited ? 1 : 0, 1)
    // Linux: TCP_INFINITE_SSTHRESH.
    out.add(.slowStartThreshold, info.slowStartThreshold.map { UInt64($0) } ?? 0x7fff_ffff, 4)
    out.add(.delivered, info.delivered, 4)
    out.add(.deliveredMarked, info.deliveredMarked, 4)
    out.add(.sendQueue, UInt64(info.sendQueue), 4)
    out.add(.congestionState, UInt64(info.congestionState.rawValue), 1)
    out.add(.bytesSent, info.bytesSent, 8)
    out.add(.bytesRetransmitted, info.bytesRetransmitted, 8)
    out.add(.needlessSegments, UInt64(info.dsackDuplicates), 4)
    out.add(.reorderingSeen, UInt64(info.reorderingSeen), 4)
    out.add(.smoothedRTT, micros(info.smoothedRTT), 4)
    // Each timeout chooses another hash for the flow. Linux: `timeout_rehash`.
    out.add(.timeoutRehashes, timeouts, 2)
    out.add(.notSent, UInt64(info.notSentByteCount), 4)
    out.add(.departure, departure.nanoseconds, 8)
    if let timeToLive { out.add(.timeToLive, UInt64(timeToLive), 1) }
    out.add(.rehashes, timeouts, 4)
    return out.bytes
  }

  private static func micros(_ time: Nanoseconds) -> UInt64 { UInt64(max(0, time.microseconds)) }
}

/// Netlink attributes: length with its own four bytes, number, value, padding to 4; in the host's order.
private struct StampAttributes {
  /// Linux: `TCP_NLA_*`.
  enum Name: UInt16 {
    case busyTime = 1
    case receiveWindowLimitedTime = 2
    case sendBufferLimitedTime = 3
    case dataSegmentsOut = 4
    case totalRetransmissions = 5
    case pacingRate = 6
    case deliveryRate = 7
    case congestionWindow = 8
    case reordering = 9
    case minimumRTT = 10
    case retransmits = 11
    case isApplicationLimited = 12
    case sendQueue = 13
    case congestionState = 14
    case slowStartThreshold = 15
    case delivered = 16
    case deliveredMarked = 17
    case bytesSent = 18
    case bytesRetransmitted = 19
    case needlessSegments = 20
    case reorderingSeen = 21
    case smoothedRTT = 22
    case timeoutRehashes = 23
    case notSent = 24
    case departure = 25
    case timeToLive = 26
    case rehashes = 27
  }
  private(set) var bytes: [UInt8] = []

  mutating func add(_ name: Name, _ value: UInt64, _ byteCount: Int) {
    append(UInt64(4 + byteCount), 2)
    append(UInt64(name.rawValue), 2)
    append(value, byteCount)
    while bytes.count % 4 != 0 { bytes.append(0) }
  }

  private mutating func append(_ value: UInt64, _ byteCount: Int) {
    for index in 0..<byteCount { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }
}

extension TCPLayer {
  /// How a connection is now, for a stamp of which nobody has said it yet.
  public func stampStatistics(of stamp: TransmitStamp, _ id: SocketID, now: Instant) -> [UInt8] {
    guard let info = try? info(id, now: now) else { return [] }
    return TCPConnection.stampStatistics(info, departure: stamp.departure, timeToLive: nil)
  }
}
