import NetNamespace
import Wire

/// What a receive returned beside the bytes. Linux: the `msghdr` as `recvmsg` leaves it.
public struct ReceivedMessage: Sendable {
  /// Bytes copied; with `MSG_TRUNC` asked for, the datagram's length.
  public var byteCount: Int
  /// Who sent it; for an error, where the datagram that failed was going. `nil` on a stream.
  public var source: SocketAddress?
  /// `.truncate` when the datagram was longer than the buffer; `.errorQueue`; `.outOfBand` with the urgent byte.
  public var flags: MessageFlags
  /// What the options asked for. Linux: `msg_control`.
  public var control: ReceivedControl

  public init(
    byteCount: Int, source: SocketAddress? = nil, flags: MessageFlags = [], control: ReceivedControl = .init()
  ) {
    self.byteCount = byteCount
    self.source = source
    self.flags = flags
    self.control = control
  }
}

/// The control messages that came with a datagram; `nil`: not asked for.
public struct ReceivedControl: Sendable, Equatable {
  /// `IP_PKTINFO`: the address in the header's destination field.
  public var destination: IPv4Address? = nil
  /// `IP_PKTINFO`: the address of ours that the datagram was for: an answer's source.
  public var specificDestination: IPv4Address? = nil
  /// `IP_PKTINFO`: the device that the datagram came in by.
  public var interface = InterfaceIndex.none
  /// `IP_TTL`, `IP_TOS`.
  public var timeToLive: UInt8? = nil
  /// The byte of the IP header. Linux: `IP_TOS`, with `IP_RECVTOS`.
  public var typeOfService: UInt8? = nil
  /// `IP_RECVOPTS`: the IP options that came; `nil` also when there were none.
  public var options: [UInt8]? = nil
  /// `IP_RETOPTS`: those that an answer would carry; `nil` also when none came.
  public var returnOptions: [UInt8]? = nil
  /// `IP_RECVORIGDSTADDR`: the header's destination, with the port.
  public var originalDestination: SocketAddress? = nil
  /// `IP_RECVFRAGSIZE`: bytes of the largest fragment, its IP header among them; `nil` also when the packet came whole.
  public var largestFragment: UInt16? = nil
  /// `SO_RXQ_OVFL`: datagrams that the socket had no room for before this one; `nil` also when there were none.
  public var dropCount: UInt32? = nil
  /// `SO_RCVMARK`: the packet's mark.
  public var mark: UInt32? = nil
  /// `SO_TIMESTAMP`, `SO_TIMESTAMPNS`, `SO_TIMESTAMPING`.
  public var times: MessageTimes? = nil
  /// `SCM_TIMESTAMPING_OPT_STATS`: how a connection was when the packet came by, as netlink attributes; `nil` also without a
  /// time. Linux: `TCP_NLA_BUSY` and so on.
  public var stampStatistics: [UInt8]? = nil
  /// `TCP_CM_INQ`, with `TCP_INQ`: bytes of a stream that the receive has left; 1 when only its end is there.
  public var unreadByteCount: Int? = nil
  /// `UDP_GRO`: bytes of payload in each of the datagrams that came as one, but for the last; `nil` also for a single one.
  public var segmentByteCount: Int? = nil
  /// `IP_RECVERR`, from the error queue.
  public var error: ExtendedError? = nil

  public init() {}

  /// Adds what a socket's options ask to be told of a packet. Linux: `ip_cmsg_recv_offset()`.
  public mutating func describe(
    _ destination: IPv4Address, _ interface: InterfaceIndex, timeToLive: UInt8, typeOfService: UInt8,
    by options: borrowing SocketOptions
  ) {
    if options.packetInfo {
      self.destination = destination
      self.interface = interface
    }
    if options.receiveTimeToLive { self.timeToLive = timeToLive }
    if options.receiveTypeOfService { self.typeOfService = typeOfService }
  }
}
