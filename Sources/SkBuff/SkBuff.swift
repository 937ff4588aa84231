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
    set { unsafe header.pointee.truesize = Int32(truncatingIfNeeded: newValue) }
  }
  /// Number that names the packet in traces; clones keep it.
  @inlinable public var serial: UInt32 { unsafe header.pointee.serial }
  /// Whether another packet shares the data.
  @inlinable public var isCloned: Bool { unsafe header.pointee.shared.pointee.references > 1 }
  /// Whether somebody else may look at what this packet has in front of its payload, or this one has given it up.
  /// Linux: `skb_header_cloned()`.
  @inlinable @inline(__always) public var isHeaderCloned: Bool {
    let references = unsafe header.pointee.shared.pointee.references
    if references == 1 { return false }
    return unsafe header.pointee.hasReleasedHeader
      || references - header.pointee.shared.pointee.payloadReferences > 1
  }

  /// Whether somebody else may look at what lies in front of the data: its headers, or payload of its own that this packet has
  /// pulled.
  @inlinable @inline(__always) var isFrontShared: Bool {
    if isHeaderCloned { return true }
    return unsafe isCloned && header.pointee.shared.pointee.payloadStart < header.pointee.data
  }

  // MARK: Metadata

  @inlinable public var etherType: EtherType {
    get { unsafe header.pointee.etherType }
    set { unsafe header.pointee.etherType = newValue }
  }
  @inlinable public var packetType: PacketType {
    get { unsafe header.pointee.packetType }
    set { unsafe header.pointee.packetType = newValue }
  }
  @inlinable public var checksumStatus: ChecksumStatus {
    get { unsafe header.pointee.checksumStatus }
    set { unsafe header.pointee.checksumStatus = newValue }
  }
  /// 0 (background) to 15; picks the pfifo_fast band. Linux: `skb->priority`.
  @inlinable public var priority: UInt32 {
    get { unsafe header.pointee.priority }
    set { unsafe header.pointee.priority = newValue }
  }
  @inlinable public var mark: UInt32 {
    get { unsafe header.pointee.mark }
    set { unsafe header.pointee.mark = newValue }
  }
  /// Flow hash; 0: not computed.
  @inlinable public var hash: UInt32 {
    get { unsafe header.pointee.hash }
    set { unsafe header.pointee.hash = newValue }
  }
  /// For a packet to ourselves: the device that it counts as having come in by when its receiver asks, which is the
  /// one that its address belongs to. Linux: `rt_iif` of the route that stays with the packet.
  @inlinable public var routeInterface: InterfaceIndex {
    get { unsafe header.pointee.routeInterface }
    set { unsafe header.pointee.routeInterface = newValue }
  }
  /// The device that a received packet came in by. Linux: `skb_iif`.
  @inlinable public var interface: InterfaceIndex {
    get { unsafe header.pointee.interface }
    set { unsafe header.pointee.interface = newValue }
  }
  @inlinable public var queueMapping: UInt16 {
    get { unsafe header.pointee.queueMapping }
    set { unsafe header.pointee.queueMapping = newValue }
  }
  /// The sender has proof that its packets arrive: whoever takes this one is reachable. Linux: `dst_pending_confirm`.
  @inlinable public var confirmsNeighbour: Bool {
    get { unsafe header.pointee.confirmsNeighbour }
    set { unsafe header.pointee.confirmsNeighbour = newValue }
  }
  /// The sending socket's number, for traces and local errors; 0: none.
  @inlinable public var socket: UInt32 {
    get { unsafe header.pointee.socket }
    set { unsafe header.pointee.socket = newValue }
  }
  /// The tracked connection that the packet is of, as its table names it; 0: none yet. Linux: `skb->_nfct`.
  @inlinable public var connection: UInt32 {
    get { unsafe header.pointee.connection }
    set { unsafe header.pointee.connection = newValue }
  }
  /// Arrival time, or earliest departure time. Linux: `skb->tstamp`.
  @inlinable public var timestamp: Instant {
    get { unsafe header.pointee.timestamp }
    set { unsafe header.pointee.timestamp = newValue }
  }
  @inlinable public var gsoSize: Int {
    get { unsafe Int(header.pointee.shared.pointee.gsoSize) }
    set { unsafe header.pointee.shared.pointee.gsoSize = UInt16(truncatingIfNeeded: newValue) }
  }
  @inlinable public var gsoSegments: Int {
    get { unsafe Int(header.pointee.shared.pointee.gsoSegments) }
    set {
      unsafe header.pointee.shared.pointee.gsoSegments = UInt16(truncatingIfNeeded: newValue)
    }
  }
  @inlinable public var gsoType: SegmentationType {
    get { unsafe header.pointee.shared.pointee.gsoType }
    set { unsafe header.pointee.shared.pointee.gsoType = newValue }
  }
  /// The packet's segments all have the IP identification of the first; otherwise it goes up by one.
  /// Linux: `SKB_GSO_TCP_FIXEDID`.
  @inlinable public var hasFixedIdentification: Bool {
    get { unsafe header.pointee.shared.pointee.hasFixedIdentification }
    set { unsafe header.pointee.shared.pointee.hasFixedIdentification = newValue }
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
  @inlinable public mutating func setMACHeader(_ offset: Int = 0) {
    unsafe header.pointee.macHeader = header.pointee.data + Int32(truncatingIfNeeded: offset)
  }
  @inlinable public mutating func setNetworkHeader(_ offset: Int = 0) {
    unsafe header.pointee.networkHeader = header.pointee.data + Int32(truncatingIfNeeded: offset)
  }
  @inlinable public mutating func setTransportHeader(_ offset: Int = 0) {
    unsafe header.pointee.transportHeader = header.pointee.data + Int32(truncatingIfNeeded: offset)
  }
  /// Where a partial checksum's sum begins, relative to the data.
  @inlinable public var checksumStart: Int { unsafe Int(header.pointee.checksumStart) - headroom }
  /// Where the result goes, relative to `checksumStart`.
  @inlinable public var checksumOffset: Int { unsafe Int(header.pointee.checksumOffset) }
  /// Asks for the sum from `start` (relative to the data) to the packet's end, stored `offset` bytes past `start`.
  @inlinable public mutating func setPartialChecksum(start: Int, offset: Int) {
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
  /// The linear bytes, for writing: nobody else sees what is written. A packet whose headers are shared gets a linear area of
  /// its own first; of one whose payload is still wanted for another transmission only the headers can be written.
  /// Linux: `skb_ensure_writable()`, `skb_cow_head()`.
  ///
  /// - Returns: `nil` when memory ran out; the packet is as it was.
  @inlinable @inline(__always) @_lifetime(&self)
  public mutating func writable() -> MutableRawSpan? {
    if isHeaderCloned { guard unclone() else { return nil } }
    // Safe: as `linear`; exclusive through `self`, and shared by no packet that may read so far.
    let span = unsafe MutableRawSpan(_unsafeStart: linearBase, byteCount: writableByteCount)
    return unsafe _overrideLifetime(span, mutating: &self)
  }
  @inlinable @inline(__always) var writableByteCount: Int {
    let shared = unsafe header.pointee.shared
    // Nobody else's payload: none was released, or this packet's own alone.
    if unsafe shared.pointee.payloadReferences == 0 || header.pointee.hasReleasedHeader { return headLength }
    return unsafe max(0, min(headLength, Int(shared.pointee.payloadStart - header.pointee.data)))
  }
  /// Address of the first linear byte.
  @inlinable var linearBase: UnsafeMutableRawPointer {
    unsafe header.pointee.shared.pointee.head + Int(header.pointee.data)
  }

  /// Leaves `count` bytes free in front; only in an empty packet. Linux: `skb_reserve()`.
  @inlinable public mutating func reserve(_ count: Int) {
    precondition(
      length == 0 && count >= 0 && count <= tailroom, "skb_reserve is for an empty packet with room")
    unsafe header.pointee.data += Int32(count)
    unsafe header.pointee.tail += Int32(count)
  }
  /// Makes room for a header of `count` bytes in front of the data. Linux: `skb_push()`.
  @inlinable public mutating func push(_ count: Int) {
    precondition(count >= 0 && count <= headroom, "skb_push needs headroom")
    unsafe header.pointee.data -= Int32(count)
    unsafe header.pointee.length += Int32(count)
  }
  /// A copy of what lies between the network header and the front of the data; empty when nothing was taken off there.
  ///
  /// - Parameter fromLink: from the link-layer header on, where there is one.
  public func pulledHeaders(fromLink: Bool = false) -> [UInt8] {
    guard let network = networkHeaderOffset, network < 0, -network <= headroom else { return [] }
    var offset = network
    if fromLink, let link = macHeaderOffset, link < network, -link <= headroom { offset = link }
    // Safe: these bytes of the headroom were linear bytes before they were taken off the front.
    return unsafe Array(UnsafeRawBufferPointer(start: linearBase + offset, count: -offset))
  }

  /// Takes `count` linear bytes off the front. Linux: `skb_pull()`.
  @inlinable public mutating func pull(_ count: Int) {
    precondition(count >= 0 && count <= headLength, "skb_pull takes linear bytes only")
    unsafe header.pointee.data += Int32(count)
    unsafe header.pointee.length -= Int32(count)
  }
  /// Puts a header in front that was made before, with one 16-byte store of which the last `byteCount` bytes count.
  /// Linux: `neigh_hh_output()`.
  ///
  /// - Returns: false, and the packet is as it was, when there is no room for the store, or memory ran out while unsharing.
  @inlinable @inline(__always)
  public mutating func push(cached words: SIMD2<UInt64>, byteCount: Int) -> Bool {
    precondition(byteCount <= 16, "a link-layer header has at most 16 bytes")
    guard headroom >= 16 else { return false }
    if isFrontShared { guard unclone() else { return false } }
    // Safe: 16 bytes of headroom lie in front of the linear area's first byte.
    unsafe (linearBase - 16).storeBytes(of: words, as: SIMD2<UInt64>.self)
    push(byteCount)
    return true
  }
  /// Adds `count` bytes, not initialised, at the end of the linear area. Linux: `skb_put()`.
  @inlinable public mutating func put(_ count: Int) {
    precondition(count >= 0 && count <= tailroom, "skb_put needs tailroom and no fragments")
    precondition(!isCloned, "nothing is added to what another packet shares")
    unsafe header.pointee.tail += Int32(count)
    unsafe header.pointee.length += Int32(count)
  }
  /// Adds a copy of `bytes` at the end of the linear area. Linux: `skb_put_data()`.
  public mutating func put(_ bytes: RawSpan) {
    let end = headLength
    put(bytes.byteCount)
    unsafe bytes.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      unsafe (linearBase + end).copyMemory(from: base, byteCount: source.count)
    }
  }
  /// Adds `count` bytes of 0 at the end of the linear area. Linux: `skb_put_zero()`.
  public mutating func putZeros(_ count: Int) {
    let end = headLength
    put(count)
    // Safe: put made these bytes part of the linear area.
    unsafe (linearBase + end).initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }
  /// Adds a copy of the bytes `offset..<offset + count` of another packet at the end of the linear area.
  public mutating func put(copying other: borrowing SkBuff, from offset: Int, count: Int) {
    let end = headLength
    put(count)
    // Safe: put made these bytes part of the linear area.
    let target = unsafe UnsafeMutableRawBufferPointer(start: linearBase + end, count: count)
    let isInside = unsafe other.copyBits(from: offset, into: target)
    precondition(isInside, "copied bytes lie inside their packet")
    if count > 0 { other.noteCopied() }
  }
}
