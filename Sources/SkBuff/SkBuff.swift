import Timers
import Trace
import Wire

/// A packet: a linear area with headroom and tailroom, and up to 17 page fragments behind it. Linux: `struct sk_buff`.
///
/// An `SkBuff` has one owner; handing it down is `consuming`, and its end frees it. `clone()` is explicit.
///
/// ```
///   head      data                 tail      end
///    | headroom | linear (headLength) | tailroom |   fragments (dataLength bytes) ...
/// ```
///
/// Safety: `header` comes from the pool and is this value's alone; `shared` is counted; every offset is checked
/// against the lengths before memory is touched.
@safe
@frozen
public struct SkBuff: ~Copyable {
  @usableFromInline let header: UnsafeMutablePointer<SkBuffHeader>

  @usableFromInline init(adopting header: UnsafeMutablePointer<SkBuffHeader>) { unsafe self.header = header }

  @inlinable deinit { unsafe PoolBlock.free(buffer: header) }

  /// The most page fragments one packet may have. Linux: `MAX_SKB_FRAGS`.
  public static let maximumFragments = 17
  /// Memory a packet costs beside its data pages: header, shared info and the small linear area.
  public static let overhead = 1024 + MemoryLayout<SkBuffHeader>.stride
  /// Linear bytes that come with the packet; a larger linear area takes a page.
  public static let smallHeadByteCount = SharedInfo.ownHeadByteCount

  // MARK: Lengths

  /// Bytes in the packet, linear and fragments. Linux: `skb->len`.
  @inlinable public var length: Int { unsafe Int(header.pointee.length) }
  /// Bytes in fragments. Linux: `skb->data_len`.
  @inlinable public var dataLength: Int { unsafe Int(header.pointee.dataLength) }
  /// Bytes in the linear area. Linux: `skb_headlen()`.
  @inlinable public var headLength: Int { length - dataLength }
  @inlinable public var headroom: Int { unsafe Int(header.pointee.data) }
  /// Linear bytes that `put` may still add; 0 when fragments follow.
  @inlinable public var tailroom: Int {
    dataLength > 0 ? 0 : unsafe Int(header.pointee.shared.pointee.headCapacity - header.pointee.tail)
  }
  /// What the packet costs in memory. Linux: `skb->truesize`.
  @inlinable public var truesize: Int {
    get { unsafe Int(header.pointee.truesize) }
    nonmutating set { unsafe header.pointee.truesize = Int32(truncatingIfNeeded: newValue) }
  }
  /// Number that names the packet in traces; clones keep it.
  @inlinable public var serial: UInt32 { unsafe header.pointee.serial }
  /// Whether another packet shares the data.
  @inlinable public var isCloned: Bool { unsafe header.pointee.shared.pointee.references > 1 }

  // MARK: Metadata

  @inlinable public var etherType: EtherType {
    get { unsafe header.pointee.etherType }
    nonmutating set { unsafe header.pointee.etherType = newValue }
  }
  @inlinable public var packetType: PacketType {
    get { unsafe header.pointee.packetType }
    nonmutating set { unsafe header.pointee.packetType = newValue }
  }
  @inlinable public var checksumStatus: ChecksumStatus {
    get { unsafe header.pointee.checksumStatus }
    nonmutating set { unsafe header.pointee.checksumStatus = newValue }
  }
  /// 0 (background) to 15; picks the pfifo_fast band. Linux: `skb->priority`.
  @inlinable public var priority: UInt32 {
    get { unsafe header.pointee.priority }
    nonmutating set { unsafe header.pointee.priority = newValue }
  }
  @inlinable public var mark: UInt32 {
    get { unsafe header.pointee.mark }
    nonmutating set { unsafe header.pointee.mark = newValue }
  }
  /// Flow hash; 0: not computed.
  @inlinable public var hash: UInt32 {
    get { unsafe header.pointee.hash }
    nonmutating set { unsafe header.pointee.hash = newValue }
  }
  /// For a packet to ourselves: the device that it counts as having come in by when its receiver asks, which is the
  /// one that its address belongs to. Linux: `rt_iif` of the route that stays with the packet.
  @inlinable public var routeInterface: InterfaceIndex {
    get { unsafe header.pointee.routeInterface }
    nonmutating set { unsafe header.pointee.routeInterface = newValue }
  }
  /// The device that a received packet came in by. Linux: `skb_iif`.
  @inlinable public var interface: InterfaceIndex {
    get { unsafe header.pointee.interface }
    nonmutating set { unsafe header.pointee.interface = newValue }
  }
  @inlinable public var queueMapping: UInt16 {
    get { unsafe header.pointee.queueMapping }
    nonmutating set { unsafe header.pointee.queueMapping = newValue }
  }
  /// The sender has proof that its packets arrive: whoever takes this one is reachable. Linux: `dst_pending_confirm`.
  @inlinable public var confirmsNeighbour: Bool {
    get { unsafe header.pointee.confirmsNeighbour }
    nonmutating set { unsafe header.pointee.confirmsNeighbour = newValue }
  }
  /// The sending socket's number, for traces and local errors; 0: none.
  @inlinable public var socket: UInt32 {
    get { unsafe header.pointee.socket }
    nonmutating set { unsafe header.pointee.socket = newValue }
  }
  /// Arrival time, or earliest departure time. Linux: `skb->tstamp`.
  @inlinable public var timestamp: Instant {
    get { unsafe header.pointee.timestamp }
    nonmutating set { unsafe header.pointee.timestamp = newValue }
  }
  @inlinable public var gsoSize: Int {
    get { unsafe Int(header.pointee.shared.pointee.gsoSize) }
    nonmutating set { unsafe header.pointee.shared.pointee.gsoSize = UInt16(truncatingIfNeeded: newValue) }
  }
  @inlinable public var gsoSegments: Int {
    get { unsafe Int(header.pointee.shared.pointee.gsoSegments) }
    nonmutating set {
      unsafe header.pointee.shared.pointee.gsoSegments = UInt16(truncatingIfNeeded: newValue)
    }
  }
  @inlinable public var gsoType: SegmentationType {
    get { unsafe header.pointee.shared.pointee.gsoType }
    nonmutating set { unsafe header.pointee.shared.pointee.gsoType = newValue }
  }
  /// The packet's segments all have the IP identification of the first; otherwise it goes up by one.
  /// Linux: `SKB_GSO_TCP_FIXEDID`.
  @inlinable public var hasFixedIdentification: Bool {
    get { unsafe header.pointee.shared.pointee.hasFixedIdentification }
    nonmutating set { unsafe header.pointee.shared.pointee.hasFixedIdentification = newValue }
  }
  /// Linux: `skb_is_gso()`.
  @inlinable public var isGSO: Bool { gsoSize != 0 }

  // MARK: Header offsets, relative to `data`

  /// Where the Ethernet header begins, relative to the data; negative when it was pulled. `nil`: not set.
  @inlinable public var macHeaderOffset: Int? { offset(unsafe header.pointee.macHeader) }
  @inlinable public var networkHeaderOffset: Int? { offset(unsafe header.pointee.networkHeader) }
  @inlinable public var transportHeaderOffset: Int? { offset(unsafe header.pointee.transportHeader) }
  @inlinable func offset(_ stored: Int32) -> Int? { stored < 0 ? nil : Int(stored) - headroom }

  /// Marks the byte `offset` past the data as the header's first. Linux: `skb_reset_mac_header()` and so on.
  @inlinable public func setMACHeader(_ offset: Int = 0) {
    unsafe header.pointee.macHeader = header.pointee.data + Int32(truncatingIfNeeded: offset)
  }
  @inlinable public func setNetworkHeader(_ offset: Int = 0) {
    unsafe header.pointee.networkHeader = header.pointee.data + Int32(truncatingIfNeeded: offset)
  }
  @inlinable public func setTransportHeader(_ offset: Int = 0) {
    unsafe header.pointee.transportHeader = header.pointee.data + Int32(truncatingIfNeeded: offset)
  }
  /// Where a partial checksum's sum begins, relative to the data.
  @inlinable public var checksumStart: Int { unsafe Int(header.pointee.checksumStart) - headroom }
  /// Where the result goes, relative to `checksumStart`.
  @inlinable public var checksumOffset: Int { unsafe Int(header.pointee.checksumOffset) }
  /// Asks for the sum from `start` (relative to the data) to the packet's end, stored `offset` bytes past `start`.
  @inlinable public func setPartialChecksum(start: Int, offset: Int) {
    unsafe header.pointee.checksumStart = header.pointee.data + Int32(truncatingIfNeeded: start)
    unsafe header.pointee.checksumOffset = UInt16(truncatingIfNeeded: offset)
    checksumStatus = .partial
  }

  // MARK: Linear area

  /// The linear bytes.
  @inlinable public var linear: RawSpan {
    @_lifetime(borrow self)
    get {
      let start = unsafe UnsafeRawPointer(linearBase)
      // Safe: `headLength` bytes from `data` lie in the linear area, which lives as long as `self`.
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: headLength)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }
  /// The linear bytes, for writing. Whoever writes to a clone changes its twins too.
  @inlinable public var mutableLinear: MutableRawSpan {
    @_lifetime(&self)
    mutating get {
      // Safe: as `linear`; exclusive through `self`.
      let span = unsafe MutableRawSpan(_unsafeStart: linearBase, byteCount: headLength)
      return unsafe _overrideLifetime(span, mutating: &self)
    }
  }
  /// Address of the first linear byte.
  @inlinable public var linearBase: UnsafeMutableRawPointer {
    unsafe header.pointee.shared.pointee.head + Int(header.pointee.data)
  }

  /// Leaves `count` bytes free in front; only in an empty packet. Linux: `skb_reserve()`.
  @inlinable public func reserve(_ count: Int) {
    precondition(
      length == 0 && count >= 0 && count <= tailroom, "skb_reserve is for an empty packet with room")
    unsafe header.pointee.data += Int32(count)
    unsafe header.pointee.tail += Int32(count)
  }
  /// Makes room for a header of `count` bytes in front of the data. Linux: `skb_push()`.
  @inlinable public func push(_ count: Int) {
    precondition(count >= 0 && count <= headroom, "skb_push needs headroom")
    unsafe header.pointee.data -= Int32(count)
    unsafe header.pointee.length += Int32(count)
  }
  /// Takes `count` linear bytes off the front. Linux: `skb_pull()`.
  @inlinable public func pull(_ count: Int) {
    precondition(count >= 0 && count <= headLength, "skb_pull takes linear bytes only")
    unsafe header.pointee.data += Int32(count)
    unsafe header.pointee.length -= Int32(count)
  }
  /// Adds `count` bytes, not initialised, at the end of the linear area. Linux: `skb_put()`.
  @inlinable public func put(_ count: Int) {
    precondition(count >= 0 && count <= tailroom, "skb_put needs tailroom and no fragments")
    unsafe header.pointee.tail += Int32(count)
    unsafe header.pointee.length += Int32(count)
  }
  /// Adds a copy of `bytes` at the end of the linear area. Linux: `skb_put_data()`.
  public func put(_ bytes: RawSpan) {
    let end = headLength
    put(bytes.byteCount)
    unsafe bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      unsafe (linearBase + end).copyMemory(from: base, byteCount: source.count)
    }
  }
}
