import IPv4
import NetNamespace
import SkBuff
import Timers
import Wire

/// What a socket wants to know of the times of its packets, by Linux's bits. Linux: `SOF_TIMESTAMPING_*`.
@frozen
public struct TimestampingFlags: OptionSet, Sendable, Hashable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable init(bit: UInt32) { rawValue = 1 << bit }
  /// Asks for times of packets that are sent: by the device's clock, by the stack's when the driver takes it, when it comes to
  /// the device's queue, when the peer has acknowledged it.
  @inlinable public static var transmitHardware: Self { Self(bit: 0) }
  @inlinable public static var transmitSoftware: Self { Self(bit: 1) }
  @inlinable public static var transmitScheduled: Self { Self(bit: 8) }
  @inlinable public static var transmitAcknowledged: Self { Self(bit: 9) }
  /// Kept, as no protocol here has what it asks for. Linux: `SOF_TIMESTAMPING_TX_COMPLETION`.
  @inlinable public static var transmitCompletion: Self { Self(bit: 18) }
  /// Asks for times of packets that come.
  @inlinable public static var receiveSoftware: Self { Self(bit: 3) }
  /// The times by the stack's clock are told.
  @inlinable public static var software: Self { Self(bit: 4) }
  /// Stamps have a number: of a datagram how many were stamped before it, of a stream that of the send's last byte.
  @inlinable public static var identifiers: Self { Self(bit: 7) }
  /// A stream's bytes count from what was written, not from what was acknowledged. Linux: `SOF_TIMESTAMPING_OPT_ID_TCP`.
  @inlinable public static var identifiersFromWrite: Self { Self(bit: 16) }
  /// The packet comes with the control messages that the socket's options ask for. Linux: `SOF_TIMESTAMPING_OPT_CMSG`.
  @inlinable public static var controlMessages: Self { Self(bit: 10) }
  /// The time comes without the packet. Linux: `SOF_TIMESTAMPING_OPT_TSONLY`.
  @inlinable public static var timeOnly: Self { Self(bit: 11) }
  /// A stream's stamps come with how the connection was then. Linux: `SOF_TIMESTAMPING_OPT_STATS`.
  @inlinable public static var statistics: Self { Self(bit: 12) }
  @inlinable public static var boundClock: Self { Self(bit: 15) }
  /// Times of packets that came are told to who asks for them only, not because another socket asks.
  /// Linux: `SOF_TIMESTAMPING_OPT_RX_FILTER`.
  @inlinable public static var receiveFilter: Self { Self(bit: 17) }

  /// Linux: `SOF_TIMESTAMPING_MASK`.
  public static let known = Self(rawValue: 0x7_FFFF)
  /// What a control message may change for one send. Linux: `SOF_TIMESTAMPING_TX_RECORD_MASK`.
  public static let transmitRecords: Self = [
    .transmitHardware, .transmitSoftware, .transmitScheduled, .transmitAcknowledged, .transmitCompletion,
  ]
}

/// `SO_TIMESTAMP`, `SO_TIMESTAMPNS`: the time with which a packet came is told, and how. Linux: `SOCK_RCVTSTAMP` ...
@frozen
public struct ArrivalReport: OptionSet, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public static var isOn: ArrivalReport { ArrivalReport(rawValue: 1) }
  @inlinable public static var inNanoseconds: ArrivalReport { ArrivalReport(rawValue: 2) }
  /// By the numbers that are made for 64 bits everywhere. Linux: `SOCK_TSTAMP_NEW`.
  @inlinable public static var isNew: ArrivalReport { ArrivalReport(rawValue: 4) }
}

/// `SO_TXTIME`. Linux: `struct sock_txtime`.
public struct TransmitTimeOptions: Sendable, Equatable {
  /// CLOCK_REALTIME 0, CLOCK_MONOTONIC 1, CLOCK_TAI 11.
  public var clock: Int32
  public var isDeadline: Bool
  public var reportsErrors: Bool

  public init(clock: Int32, isDeadline: Bool, reportsErrors: Bool) {
    self.clock = clock
    self.isDeadline = isDeadline
    self.reportsErrors = reportsErrors
  }
}

/// The times that come with a message, in nanoseconds since 1970 in UT.
public struct MessageTimes: Sendable, Equatable {
  /// `SO_TIMESTAMP`, `SO_TIMESTAMPNS`.
  public var arrival: UInt64?
  /// `SO_TIMESTAMPING`: the stack's own clock.
  public var software: UInt64?
  /// How they are told.
  public var report: ArrivalReport = []

  public init() {}
}

/// What one datagram asks to be told of its times, and the number that it took.
public struct DatagramStamp: Sendable {
  public var request: StampRequest
  public var key: UInt32
  /// The number came from the socket's count, and goes back there if nothing is sent.
  var isCounted: Bool
}

extension SocketCore {
  /// `SO_TIMESTAMPING`.
  public var timestamping: TimestampingFlags {
    get { rare?.timestamping ?? [] }
    set { if !newValue.isEmpty || rare != nil { withRare { $0.timestamping = newValue } } }
  }

  /// `SO_TIMESTAMP`, `SO_TIMESTAMPNS`.
  public var arrivalReport: ArrivalReport {
    get { rare?.arrivalReport ?? [] }
    set { if !newValue.isEmpty || rare != nil { withRare { $0.arrivalReport = newValue } } }
  }

  /// Whether a receive tells when a packet came.
  public var tellsArrival: Bool {
    guard let rare else { return false }
    return rare.arrivalReport.contains(.isOn) || rare.tellsSoftwareTime
  }

  /// `SO_TIMESTAMP` and its kin were switched on, or `SO_TIMESTAMPING` was set: whether the socket asks for the times of
  /// what comes. Linux: `sock_enable_timestamp()`, `sock_disable_timestamp()`.
  public mutating func followArrivals(_ clock: ArrivalClock) {
    withRare { rare in
      rare.arrivalClock = clock
      if rare.arrivalReport.contains(.isOn) { rare.asksForLife = true }
      let asks = rare.asksForLife || rare.timestamping.contains(.receiveSoftware)
      if !asks { rare.clockUser = nil } else if rare.clockUser == nil { rare.clockUser = .init(clock) }
    }
  }

  mutating func inheritArrivalClock(_ parent: borrowing SocketCore) {
    guard let other = parent.rare, let clock = other.arrivalClock else { return }
    withRare { rare in
      rare.arrivalClock = clock
      rare.asksForLife = other.asksForLife
      rare.clockUser = other.clockUser?.another()
    }
  }

  /// When what a stream's reader has last taken came in.
  public var arrival: Instant {
    get { rare?.arrival ?? .origin }
    set { withRare { $0.arrival = newValue } }
  }

  public var transmitTime: TransmitTimeOptions? {
    get { rare?.transmitTime }
    set { withRare { $0.transmitTime = newValue } }
  }

  /// When a packet may leave, on the stack's clock. Linux: `skb_set_delivery_type_by_clockid()`.
  public func departure(_ time: UInt64, net: borrowing Net) -> Instant {
    let isOfDay = (transmitTime?.clock ?? 1) != 1
    let offset = isOfDay ? net.timeOfDayOffset ?? 0 : 0
    return Instant(nanoseconds: time > offset ? time - offset : 0)
  }

  /// `SOF_TIMESTAMPING_OPT_ID` was switched on: numbers count from here. Linux: `sk_tskey`.
  public mutating func startStampKeys(at key: UInt32) { withRare { $0.stampKey = key } }

  /// What a send is to be stamped with. Linux: `sock_tx_timestamp()`.
  ///
  /// - Parameter asked: the records that its control message asks for; `nil`: the socket's.
  public func stampRequest(_ asked: TimestampingFlags?) -> StampRequest {
    let flags = asked ?? timestamping
    var request: StampRequest = []
    if flags.contains(.transmitSoftware) { request.insert(.sent) }
    if flags.contains(.transmitScheduled) { request.insert(.scheduled) }
    if flags.contains(.transmitHardware) { request.insert(.hardware) }
    if !request.isEmpty && timestamping.contains(.timeOnly) { request.insert(.withoutBytes) }
    return request
  }

  /// A datagram begins: only its first fragment is stamped, and it counts once. Linux: `hold_tskey` in
  /// `__ip_append_data()`.
  public mutating func beginStamp(_ asked: TimestampingFlags?, number: UInt32?) -> DatagramStamp? {
    if asked == nil && timestamping.isEmpty { return nil }
    let request = stampRequest(asked)
    guard !request.isEmpty else { return nil }
    guard timestamping.contains(.identifiers) else {
      return DatagramStamp(request: request, key: 0, isCounted: false)
    }
    if let number { return DatagramStamp(request: request, key: number, isCounted: false) }
    return withRare { rare in
      defer { rare.stampKey &+= 1 }
      return DatagramStamp(request: request, key: rare.stampKey, isCounted: true)
    }
  }

  /// A datagram was not sent: the next has its number.
  public mutating func abortStamp(_ stamp: DatagramStamp) {
    if stamp.isCounted { withRare { $0.stampKey &-= 1 } }
  }

  /// Puts a time on the error queue. Linux: `__skb_complete_tx_timestamp()`.
  ///
  /// - Returns: whether the owner is to be told: a full receive buffer takes no more.
  public mutating func queueStamp(_ stamp: TransmitStamp, time: UInt64) -> Bool {
    let flags = timestamping
    var entry = ExtendedError(
      errno: .ENOMSG, origin: .timestamping, kind: 0, code: 0, info: stamp.event.rawValue, offender: nil,
      destination: nil)
    if flags.contains(.identifiers) {
      entry.data = id.kind == .tcp ? stamp.key &- (rare?.stampKey ?? 0) : stamp.key
    }
    entry.time = time
    if flags.contains(.statistics) && id.kind == .tcp {
      entry.payload = stamp.statistics
      entry.isStatistics = true
    }
    if !flags.contains(.timeOnly) {
      entry.payload = stamp.bytes
      if flags.contains(.controlMessages), stamp.interface != .none { describe(stamp, in: &entry) }
    }
    return queueError(entry)
  }

  /// Which device it went by, from where, to whom. Linux: `ipv4_datagram_support_cmsg()`.
  private func describe(_ stamp: TransmitStamp, in entry: inout ExtendedError) {
    guard let start = stamp.networkHeader, start >= 0, start < stamp.bytes.count else { return }
    // Safe: a byte has no padding.
    let bytes = unsafe stamp.bytes.span.bytes
    guard let header = IPv4Header(parsing: bytes.extracting(start..<bytes.byteCount)) else { return }
    entry.offender = header.source
    entry.bearer = ReportBearer(
      destination: header.destination, interface: stamp.interface, timeToLive: header.timeToLive,
      typeOfService: header.typeOfService)
  }

  /// The times that go with what is read of a packet.
  ///
  /// - Parameter arrival: `.origin` for one of our own, which nobody has looked at the clock for.
  public func times(ofReadAt arrival: Instant, net: borrowing Net) -> MessageTimes? {
    let now = net.timeOfDay(at: net.now)
    return times(of: arrival == .origin ? now : net.timeOfDay(at: arrival), now: now)
  }

  /// The times that go with a message of a packet. Linux: `__sock_recv_timestamp()`.
  ///
  /// - Parameters:
  ///   - time: of the packet, in nanoseconds since 1970; 0: it has none.
  ///   - now: what counts instead for `SO_TIMESTAMP`.
  ///   - isReport: from the error queue.
  public func times(of time: UInt64, now: UInt64, isReport: Bool = false) -> MessageTimes? {
    let report = arrivalReport
    let flags = timestamping
    let isTold =
      flags.contains(.software) && (isReport || rare?.tellsSoftwareTime ?? false) && time != 0
    guard report.contains(.isOn) || isTold else { return nil }
    var times = MessageTimes()
    times.report = report
    if report.contains(.isOn) { times.arrival = time == 0 ? now : time }
    if isTold { times.software = time }
    return times
  }
}

extension RareState {
  /// Whether the time is told with which a packet came, by the stack's clock. Linux: `__sock_recv_timestamp()`.
  var tellsSoftwareTime: Bool {
    guard timestamping.contains(.software) else { return false }
    return timestamping.contains(.receiveSoftware)
      || !timestamping.contains(.receiveFilter) && (arrivalClock?.userCount ?? 0) > 0
  }
}
