import Timers
import Wire

/// How much of the checksum work is done. Linux: `CHECKSUM_NONE` and so on.
@frozen
public enum ChecksumStatus: UInt8, Sendable {
  /// Received: not verified. To send: complete in the packet.
  case none
  /// Received: verified by the device or by GRO.
  case unnecessary
  /// Received: `checksum` holds the sum over the whole payload.
  case complete
  /// To send: the sum from `checksumStart` to the end is to be stored at `checksumStart + checksumOffset`, where the
  /// pseudo-header sum already stands.
  case partial
}

/// What the packet's segments are. Linux: `SKB_GSO_TCPV4`, `SKB_GSO_UDP_L4`.
@frozen
public enum SegmentationType: UInt8, Sendable {
  case none
  case tcpv4
  /// With CWR as a bit of Accurate ECN's counter (RFC 9768), which every segment is to have, where a device leaves it on the
  /// first alone. Linux: `SKB_GSO_TCP_ACCECN`.
  case tcpv4AccurateECN
  case udpL4

  @inlinable public var isTCP: Bool { self == .tcpv4 || self == .tcpv4AccurateECN }
}

/// Whom the frame was sent to. Linux: `PACKET_HOST` and so on.
@frozen
public enum PacketType: UInt8, Sendable {
  case host
  case broadcast
  case multicast
  case otherHost
  /// It comes from ourselves. Linux: `PACKET_LOOPBACK`.
  case loopback
}

/// The part of a packet's state that clones share: data, fragment table, segmentation. Linux: `struct skb_shared_info`.
@safe
@frozen
@usableFromInline
struct SharedInfo {
  /// While the block is free: the next free one.
  @usableFromInline var nextFree: UnsafeMutableRawPointer?
  @usableFromInline var references: Int32
  /// Of those, packets that have released their headers. Linux: the upper half of `dataref`.
  @usableFromInline var payloadReferences: Int32
  /// Where their bytes begin in the linear area, which nobody else may write. Counts while there are such packets.
  @usableFromInline var payloadStart: Int32
  @usableFromInline var fragmentCount: UInt8
  @usableFromInline var gsoType: SegmentationType
  @usableFromInline var gsoSize: UInt16
  @usableFromInline var gsoSegments: UInt16
  /// Every segment has the same IP identification.
  @usableFromInline var hasFixedIdentification: Bool
  /// All of the payload is memory that was lent, and nobody pays for it. Linux: `SKBFL_PURE_ZEROCOPY`.
  @usableFromInline var isPureZeroCopy: Bool
  /// Bytes of lent memory that count in the pool as if they were its own. Linux: `sk_mem_charge()`.
  @usableFromInline var lentCharge: Int32
  /// Where the linear area begins and how long it is.
  @usableFromInline var head: UnsafeMutableRawPointer
  @usableFromInline var headCapacity: Int32
  /// The page the linear area lies in, when it is not the block's own.
  @usableFromInline var headPage: UnsafeMutablePointer<PageHeader>?
  @usableFromInline var pool: UnsafeMutablePointer<PoolBlock>
  @usableFromInline var slab: UnsafeMutablePointer<PoolSlab>
  @usableFromInline var fragments: InlineArray<17, Fragment>

  /// Bytes of linear area that lie behind the block itself.
  @usableFromInline static let ownHeadByteCount = 672
  @usableFromInline static let stride = 1024
  @usableFromInline static let headOffset = stride - ownHeadByteCount
}

/// A packet's own state. Linux: `struct sk_buff`.
@safe
@frozen
@usableFromInline
struct SkBuffHeader {
  /// First, so that the header's address is its address: `ControlBlock` reads and writes it through that.
  @usableFromInline var controlBlock: InlineArray<6, UInt64> = .init(repeating: 0)
  @usableFromInline var next: UnsafeMutablePointer<SkBuffHeader>? = nil
  @usableFromInline var previous: UnsafeMutablePointer<SkBuffHeader>? = nil
  // `SentOrder`'s.
  @usableFromInline var sentAfter: UnsafeMutablePointer<SkBuffHeader>? = nil
  @usableFromInline var sentBefore: UnsafeMutablePointer<SkBuffHeader>? = nil
  @usableFromInline var shared: UnsafeMutablePointer<SharedInfo>
  /// The slab that the header is a piece of, and through it the pool.
  @usableFromInline var slab: UnsafeMutablePointer<PoolSlab>
  @usableFromInline var writeOwner: UnsafeMutablePointer<AccountBlock>? = nil
  @usableFromInline var receiveOwner: UnsafeMutablePointer<AccountBlock>? = nil
  @usableFromInline var data: Int32
  @usableFromInline var tail: Int32
  @usableFromInline var length: Int32 = 0
  @usableFromInline var dataLength: Int32 = 0
  @usableFromInline var truesize: Int32
  @usableFromInline var chargedTruesize: Int32 = 0
  @usableFromInline var serial: UInt32
  // Offsets from the head of the linear area; -1: not set.
  @usableFromInline var macHeader: Int32 = -1
  @usableFromInline var networkHeader: Int32 = -1
  @usableFromInline var transportHeader: Int32 = -1
  @usableFromInline var checksumStart: Int32 = 0
  @usableFromInline var checksumOffset: UInt16 = 0
  @usableFromInline var checksumStatus: ChecksumStatus = .none
  @usableFromInline var packetType: PacketType = .host
  @usableFromInline var etherType: EtherType = EtherType(rawValue: 0)
  @usableFromInline var queueMapping: UInt16 = 0
  @usableFromInline var interface = InterfaceIndex.none
  @usableFromInline var routeInterface = InterfaceIndex.none
  @usableFromInline var confirmsNeighbour = false
  @usableFromInline var isInSentOrder = false
  /// Counts in `payloadReferences`. Linux: `skb->nohdr`.
  @usableFromInline var hasReleasedHeader = false
  @usableFromInline var stamps: StampRequest = []
  @usableFromInline var priority: UInt32 = 0
  @usableFromInline var mark: UInt32 = 0
  @usableFromInline var hash: UInt32 = 0
  @usableFromInline var socket: UInt32 = 0
  @usableFromInline var connection: UInt32 = 0
  @usableFromInline var stampKey: UInt32 = 0
  @usableFromInline var timestamp: Instant = .origin

  @usableFromInline
  init(
    shared: UnsafeMutablePointer<SharedInfo>, slab: UnsafeMutablePointer<PoolSlab>, data: Int32,
    truesize: Int32, serial: UInt32
  ) {
    unsafe self.shared = shared
    unsafe self.slab = slab
    self.data = data
    self.tail = data
    self.truesize = truesize
    self.serial = serial
  }
}
