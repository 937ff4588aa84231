import NetNamespace
import SkBuff
import Wire

/// What a receive returned beside the bytes. Linux: the `msghdr` as `recvmsg` leaves it.
public struct ReceivedMessage: Sendable {
  /// Bytes copied; with `MSG_TRUNC` asked for, the datagram's length.
  public var byteCount: Int
  /// Who sent it; for an error, where the datagram that failed was going. `nil` on a stream.
  public var source: SocketAddress?
  /// `.truncate` when the datagram was longer than the buffer; `.errorQueue`.
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
  /// `IP_PKTINFO`: the device that the datagram came in by.
  public var interface = InterfaceIndex.none
  /// `IP_TTL`, `IP_TOS`.
  public var timeToLive: UInt8? = nil
  /// The byte of the IP header. Linux: `IP_TOS`, with `IP_RECVTOS`.
  public var typeOfService: UInt8? = nil
  /// `IP_RECVERR`, from the error queue.
  public var error: ExtendedError? = nil

  public init() {}
}

/// What a datagram on a receive queue keeps of its headers, in the packet's control block. Linux: `struct udp_skb_cb`.
struct DatagramControlBlock {
  var source: IPv4Address
  var destination: IPv4Address
  var sourcePort: UInt16
  var timeToLive: UInt8
  var typeOfService: UInt8
}

extension SkBuff {
  /// The control block is whoever's queue the packet is on; here its fields carry a datagram's.
  var datagram: DatagramControlBlock {
    get {
      DatagramControlBlock(
        source: IPv4Address(tcp.timestampValue), destination: IPv4Address(tcp.timestampEcho),
        sourcePort: tcp.urgentPointer, timeToLive: UInt8(truncatingIfNeeded: tcp.segmentCount >> 8),
        typeOfService: UInt8(truncatingIfNeeded: tcp.segmentCount))
    }
    nonmutating set {
      tcp.timestampValue = newValue.source.rawValue
      tcp.timestampEcho = newValue.destination.rawValue
      tcp.urgentPointer = newValue.sourcePort
      tcp.segmentCount = UInt16(newValue.timeToLive) << 8 | UInt16(newValue.typeOfService)
    }
  }
}
