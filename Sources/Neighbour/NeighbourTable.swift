import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Tables
import Timers
import Wire

/// The neighbours of a host, of both families: who has, at which device's link, which link-layer address, and the packets that
/// wait to learn it. Linux: `arp_tbl`, `nd_tbl`, `net/core/neighbour.c`.
///
/// The table sends packets to the device by itself; ARP and NDP packets it only asks for (`takeSolicitation()`), and packets
/// whose neighbour did not answer come back through `takeFailed()`. Both are to be emptied after every call.
public struct NeighbourTable: ~Copyable {
  private let addressOnly = AddressOnly()
  var entries = UniqueArray<NeighbourEntry>(capacity: 64)
  /// Heads of the hash chains; -1: empty.
  var buckets: [Int32]
  var freeSlots: Int32 = -1
  private let keyed: SipHash
  /// Linux: `struct neigh_parms`.
  public private(set) var parameters: NeighbourParameters
  /// Drawn anew every 300 s. Linux: `reachable_time`.
  var reachableTime: Nanoseconds
  var reachableTimeDrawn: Instant
  /// Entries in use, and those of them that collection may not touch.
  public internal(set) var count = 0
  var permanentCount = 0
  var lastCollection: Instant?
  var collectionTimer = TimerSlot()
  var solicitations: [NeighbourSolicitation] = []
  var failed = SkBuffQueue()
  /// Neighbours that a program is asked for.
  var queries: [NeighbourQuery] = []
  /// Most questions that wait for the program; later ones are asked again anyway.
  static let queryLimit = 64

  /// The collection timer's slot in `TimerKey`.
  static let collectionID = UInt32.max

  public init(net: inout Net) {
    buckets = Array(repeating: -1, count: 256)
    keyed = net.random.nextKey()
    parameters = net.settings.neighbours
    reachableTime = parameters.baseReachableTime
    reachableTimeDrawn = net.now
    solicitations.reserveCapacity(64)
    drawReachableTime(net: &net)
  }

  /// The settings have changed: what begins from now on goes by the new ones. Linux: `neigh_sysctl_register()`'s handlers.
  public mutating func apply(_ new: NeighbourParameters, net: inout Net) {
    let isNewTime = new.baseReachableTime != parameters.baseReachableTime
    parameters = new
    if isNewTime { drawReachableTime(net: &net) }
  }

  // MARK: Output

  /// Sends a packet (data at its network header) to a neighbour, or keeps it until the neighbour's address is known.
  /// Linux: `neigh_output()`.
  ///
  /// - Parameter cache: the route's handle; looked up again, or the entry made, when it names another neighbour.
  /// - Returns: what the device said; `.success` for a packet that waits, `.dropped` when the table is full.
  public mutating func output(
    _ packet: consuming PassedPacket, nextHop: IPAddress, cache: inout NeighbourHandle,
    device: inout NetDevice,
    net: inout Net
  ) -> XmitResult {
    var index = Int(cache.index)
    if index >= entries.count || entries[index].generation != cache.generation
      || entries[index].address != nextHop || entries[index].interface != device.interface
    {
      let interface = device.interface
      guard let found = find(nextHop, interface) ?? construct(nextHop, on: device, net: &net) else {
        packet.take().drop(.neighbourCreateFailed)
        return .failed(.ENOBUFS)
      }
      index = found
      cache = NeighbourHandle(index: UInt32(index), generation: entries[index].generation)
    }
    entries[index].used = net.now
    entries[index].wasUsed = true
    // Linux: sk_confirm_neigh().
    if packet.skb.confirmsNeighbour { entries[index].confirmed = net.now }
    if entries[index].state.isConnected {
      return transmit(packet, header: entries[index].hardwareHeader, device: &device, net: &net)
    }
    return resolveOutput(packet, index: index, device: &device, net: &net)
  }

  /// Sends a packet to a known link-layer address without an entry: broadcast and multicast.
  public mutating func output(
    _ packet: consuming PassedPacket, to destination: MACAddress, device: inout NetDevice, net: inout Net
  ) -> XmitResult {
    let header = Self.hardwareHeader(
      destination: destination, source: device.macAddress, type: packet.skb.etherType)
    return transmit(packet, header: header, device: &device, net: &net)
  }

  /// Asks for a neighbour's address if it is not known, with nothing to send there yet. Linux: `neigh_event_send()` without a
  /// packet.
  ///
  /// - Returns: whether it is known.
  public mutating func solicit(
    _ address: IPAddress, on device: borrowing NetDevice, net: inout Net
  ) -> Bool {
    guard let index = find(address, device.interface) ?? construct(address, on: device, net: &net) else {
      return false
    }
    if entries[index].state.isValid { return true }
    eventSend(index, source: nil, net: &net)
    return false
  }

  /// Puts the cached header in front with one 16-byte store and hands the frame to the device.
  /// Linux: `neigh_hh_output()`.
  @inline(__always)
  func transmit(
    _ packet: consuming PassedPacket, header: SIMD2<UInt64>, device: inout NetDevice, net: inout Net
  ) -> XmitResult {
    guard packet.push(cached: header, byteCount: EthernetHeader.byteCount) else {
      return Self.refuseHeader(packet)
    }
    return device.queueXmit(packet, net: &net)
  }

  /// No header can be put in front of a packet: that is never so where IP sends, which sees to the room.
  @inline(never)
  private static func refuseHeader(_ packet: consuming PassedPacket) -> XmitResult {
    guard packet.skb.headroom >= NetDevice.neededHeadroom else {
      packet.take().drop(.noHeadroom)
      return .dropped
    }
    packet.take().drop(.noMemory)
    return .failed(.ENOBUFS)
  }

  /// Padding, destination, source and type in memory order.
  static func hardwareHeader(
    destination: MACAddress, source: MACAddress, type: EtherType
  ) -> SIMD2<UInt64> {
    SIMD2(destination.rawValue.bigEndian, (source.rawValue << 16 | UInt64(type.rawValue)).bigEndian)
  }

  /// Linux: `neigh_resolve_output()`.
  @inline(never)
  mutating func resolveOutput(
    _ packet: consuming PassedPacket, index: Int, device: inout NetDevice, net: inout Net
  ) -> XmitResult {
    let old = entries[index].state
    eventSend(index, source: Self.source(of: packet.skb), net: &net)
    net.tracer.record(
      .neigh_event_send, skb: packet.skb.serial, socket: packet.skb.socket,
      entries[index].address.low,
      UInt64(old.rawValue), UInt64(entries[index].state.rawValue))
    if entries[index].state.isValid {
      return transmit(packet, header: entries[index].hardwareHeader, device: &device, net: &net)
    }
    if entries[index].state == .failed {
      // Nobody may be asked.
      packet.take().drop(.neighbourFailed)
      return .success
    }
    keep(packet, index: index, isShort: net.pool.isExhausted)
    return .success
  }

  /// Linux: the queueing part of `__neigh_event_send()`.
  ///
  /// - Parameter isShort: memory is: only the newest packet waits.
  private mutating func keep(_ packet: consuming PassedPacket, index: Int, isShort: Bool) {
    let cost = packet.skb.truesize
    while isShort || entries[index].waitingTruesize + cost > parameters.queueByteLimit {
      guard let oldest = entries[index].waiting.popFirst() else { break }
      entries[index].waitingTruesize -= oldest.skb.truesize
      oldest.take().drop(.neighbourQueueFull)
    }
    entries[index].waitingTruesize += cost
    entries[index].waiting.append(packet)
  }

  /// The source address of a packet; `nil` when its header is not there.
  static func source(of skb: borrowing SkBuff) -> IPAddress? {
    if skb.etherType == .ipv6 {
      guard skb.headLength >= 40 else { return nil }
      return IPAddress(
        high: UInt64(skb.linear.load32(8)) << 32 | UInt64(skb.linear.load32(12)),
        low: UInt64(skb.linear.load32(16)) << 32 | UInt64(skb.linear.load32(20)))
    }
    return skb.headLength >= IPv4Header.minimumByteCount
      ? IPAddress(skb.linear.loadIPv4(IPv4Header.Offset.source)) : nil
  }

  // MARK: Requests to the families

  /// A question to send, by ARP or NDP; `nil` when the family has none.
  public mutating func takeSolicitation(of family: AddressFamily) -> NeighbourSolicitation? {
    guard let index = solicitations.lastIndex(where: { $0.address.family == family }) else { return nil }
    return solicitations.remove(at: index)
  }
  /// Whether `takeSolicitation()` or `takeFailed()` has something.
  public var hasRequests: Bool { !solicitations.isEmpty || !failed.isEmpty }

  /// A packet whose neighbour did not answer: its sender is owed EHOSTUNREACH. Linux: `arp_error_report()`.
  public mutating func takeFailed() -> SkBuff? { failed.popFirst() }

  /// The neighbours that a program was asked for since the last call. Linux: RTM_GETNEIGH to `arpd`.
  public mutating func takeQueries() -> [NeighbourQuery] {
    defer { queries = [] }
    return queries
  }

  // MARK: Look-up

  func bucket(of address: IPAddress, _ interface: InterfaceIndex) -> Int {
    var low = address.low
    if address.family == .inet6 { low = keyed.tableHash(low, address.high) }
    return Int(truncatingIfNeeded: keyed.tableHash(low, UInt64(interface.rawValue))) & (buckets.count - 1)
  }

  /// Linux: `neigh_lookup()`.
  func find(_ address: IPAddress, _ interface: InterfaceIndex) -> Int? {
    var index = buckets[bucket(of: address, interface)]
    while index >= 0 {
      if entries[Int(index)].address == address && entries[Int(index)].interface == interface {
        return Int(index)
      }
      index = entries[Int(index)].next
    }
    return nil
  }

  public func handle(of address: IPAddress, on interface: InterfaceIndex) -> NeighbourHandle? {
    guard let index = find(address, interface) else { return nil }
    return NeighbourHandle(index: UInt32(index), generation: entries[index].generation)
  }

  /// The state of a neighbour; `nil` when there is no entry.
  public func state(of address: IPAddress, on interface: InterfaceIndex) -> NeighbourState? {
    guard let index = find(address, interface) else { return nil }
    return entries[index].state
  }

  /// Adds an entry in state NONE. Linux: `___neigh_create()`.
  ///
  /// - Returns: `nil` when the table is full of entries that may not be evicted.
  mutating func create(
    _ address: IPAddress, _ interface: InterfaceIndex, isPermanent: Bool = false, net: inout Net
  ) -> Int? {
    if !isPermanent && !makeRoom(net: &net) {
      net.counters.count(.NeighTableFulls)
      return nil
    }
    if count >= buckets.count { rehash() }
    let index: Int
    if freeSlots >= 0 {
      index = Int(freeSlots)
      freeSlots = entries[index].next
      let generation = entries[index].generation
      entries[index] = NeighbourEntry(
        address: address, interface: interface, generation: generation, now: net.now)
    } else {
      index = entries.append(
        NeighbourEntry(address: address, interface: interface, generation: 1, now: net.now))
    }
    count += 1
    let bucket = bucket(of: address, interface)
    entries[index].next = buckets[bucket]
    buckets[bucket] = Int32(index)
    armCollection(net: &net)
    return index
  }

  /// As `create`, for a packet to it. On a device that does not resolve addresses nobody is asked: the station is the
  /// device's own. Linux: `arp_constructor()`.
  private mutating func construct(
    _ address: IPAddress, on device: borrowing NetDevice, net: inout Net
  ) -> Int? {
    guard let index = create(address, device.interface, net: &net) else { return nil }
    if !device.resolvesAddresses {
      entries[index].state = .noARP
      entries[index].hardwareAddress = device.macAddress
      entries[index].hardwareHeader = Self.hardwareHeader(
        destination: device.macAddress, source: device.macAddress,
        type: address.family == .inet ? .ipv4 : .ipv6)
    }
    return index
  }

  private mutating func rehash() {
    buckets = Array(repeating: -1, count: buckets.count * 2)
    for index in 0..<entries.count where entries[index].isInUse {
      let bucket = bucket(of: entries[index].address, entries[index].interface)
      entries[index].next = buckets[bucket]
      buckets[bucket] = Int32(index)
    }
  }

  /// Removes an entry; packets that wait for it are dropped. Linux: `neigh_remove_one()`.
  mutating func remove(_ index: Int, net: inout Net) {
    entries[index].timer.cancel(in: &net.timers)
    while let packet = entries[index].waiting.popFirst() { packet.take().drop(.neighbourDead) }
    entries[index].waitingTruesize = 0
    let bucket = bucket(of: entries[index].address, entries[index].interface)
    if buckets[bucket] == Int32(index) {
      buckets[bucket] = entries[index].next
    } else {
      var previous = Int(buckets[bucket])
      while entries[previous].next != Int32(index) { previous = Int(entries[previous].next) }
      entries[previous].next = entries[index].next
    }
    if entries[index].state == .permanent { permanentCount -= 1 }
    count -= 1
    // Handles and timers that name the old entry no longer match.
    entries[index].generation &+= 1
    entries[index].isInUse = false
    entries[index].state = .none
    entries[index].address = .any(.inet)
    entries[index].next = freeSlots
    freeSlots = Int32(index)
  }
}
