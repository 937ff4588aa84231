import Timers
import Wire

/// At which points on its way the sender of a packet wants to be told the time. Linux: `tx_flags` of
/// `struct skb_shared_info`, `txstamp_ack` of `struct tcp_skb_cb`.
@frozen
public struct StampRequest: OptionSet, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// The driver has it. Linux: `SKBTX_SW_TSTAMP`.
  @inlinable public static var sent: StampRequest { StampRequest(rawValue: 1) }
  /// It comes to the device's queue. Linux: `SKBTX_SCHED_TSTAMP`.
  @inlinable public static var scheduled: StampRequest { StampRequest(rawValue: 2) }
  /// The peer has acknowledged the byte that it is named after. Linux: `TSTAMP_ACK_SK`.
  @inlinable public static var acknowledged: StampRequest { StampRequest(rawValue: 4) }
  /// The device's own clock is to tell when it leaves. Linux: `SKBTX_HW_TSTAMP`.
  @inlinable public static var hardware: StampRequest { StampRequest(rawValue: 8) }
  /// The time is enough; the packet's bytes are not wanted back. Linux: `SOF_TIMESTAMPING_OPT_TSONLY`.
  @inlinable public static var withoutBytes: StampRequest { StampRequest(rawValue: 16) }
}

/// What a time stamp is of. Linux: `SCM_TSTAMP_SND` and so on.
@frozen
public enum StampEvent: UInt32, Sendable {
  case sent = 0
  case scheduled = 1
  case acknowledged = 2

  @inlinable var request: StampRequest { StampRequest(rawValue: 1 << UInt8(truncatingIfNeeded: rawValue)) }
}

/// The time at which a packet came by, for the socket that asked.
public struct TransmitStamp: Sendable {
  public let socket: UInt32
  /// Which of those that have had the socket's number; 0: the one that has it now.
  public let generation: UInt32
  public let event: StampEvent
  /// Of a datagram its number, of a stream the sequence number of the last byte of the send.
  public let key: UInt32
  public let time: Instant
  /// When the packet was sent, or was to leave. Linux: `skb_mstamp_ns`.
  public let departure: Instant
  /// How its connection was then, for `SOF_TIMESTAMPING_OPT_STATS`; empty: nobody has said it.
  public package(set) var statistics: [UInt8] = []
  /// The device that it leaves by; `.none`: it had come to none.
  public let interface: InterfaceIndex
  /// The packet as it was; empty where the time was enough.
  public let bytes: [UInt8]
  /// Where its network header begins in `bytes`; `nil`: it has none there.
  public let networkHeader: Int?

  package init(
    socket: UInt32, generation: UInt32, event: StampEvent, key: UInt32, time: Instant,
    departure: Instant = .origin, interface: InterfaceIndex = .none, bytes: [UInt8] = [],
    networkHeader: Int? = nil
  ) {
    self.socket = socket
    self.generation = generation
    self.event = event
    self.key = key
    self.time = time
    self.departure = departure
    self.interface = interface
    self.bytes = bytes
    self.networkHeader = networkHeader
  }
}
