import NetNamespace
import Netfilter
import Wire

/// A network of one family, as routes are looked up by: its addresses as numbers.
public protocol RoutedPrefix: Hashable, Sendable, CustomStringConvertible {
  associatedtype Address: Hashable, Sendable, CustomStringConvertible
  associatedtype Bits: FixedWidthInteger, UnsignedInteger, Sendable
  var address: Address { get }
  /// Bits that all addresses of the network have in common, from the first on.
  var length: Int { get }
  /// The address with zeros behind those.
  var network: Address { get }
  init?(_ address: Address, length: Int)
  static func bits(of address: Address) -> Bits
}

extension IPv4Prefix: RoutedPrefix {
  public static func bits(of address: IPv4Address) -> UInt32 { address.rawValue }
}

/// A route of IPv4's.
public typealias RouteEntry = FIBEntry<IPv4Prefix>
/// Which of IPv4's routes is meant.
public typealias RouteSelector = FIBSelector<IPv4Prefix>
/// IPv4's routes.
public typealias RouteTable = FIBTable<IPv4Prefix>

/// One line of `ip route`. Linux: `struct fib_info` with its `struct fib_alias`; IPv6's `struct fib6_info`.
public struct FIBEntry<Prefix: RoutedPrefix>: Hashable, Sendable, CustomStringConvertible {
  /// What becomes of packets. Linux: `RTN_*`.
  public enum Kind: UInt8, Sendable {
    case unicast, local, broadcast
    /// Refused with EHOSTUNREACH, EINVAL (silently, for forwarded packets), EACCES.
    case unreachable, blackhole, prohibit
  }
  /// How far a destination is. Linux: `RT_SCOPE_*`.
  public enum Scope: UInt8, Sendable {
    case universe = 0
    case link = 253
    case host = 254
  }
  public var prefix: Prefix
  public var kind: Kind
  /// `nil`: destinations are on the link.
  public var gateway: Prefix.Address?
  /// The device to send by; `.none` for a kind that sends nothing, or asks for the gateway's.
  public var interface: InterfaceIndex
  /// Preferred source address; `nil`: chosen by the next hop.
  public var source: Prefix.Address?
  /// Of several routes for a prefix the one with the least metric is used.
  public var metric: UInt32
  /// Limit of the path MTU; `nil`: the device's.
  public var mtu: Int?
  /// The program that packets go through; `.none`: none. Linux: `RTA_ENCAP`.
  public var tunnel = TunnelID.none
  public var scope: Scope
  /// Where there are several next hops, each flow gets one of them, by their weights; `gateway` and `interface` then are
  /// those of the first. Linux: `RTA_MULTIPATH`.
  public var nextHops: [FIBNextHop<Prefix.Address>]

  public init(
    _ prefix: Prefix, kind: Kind = .unicast, gateway: Prefix.Address? = nil,
    interface: InterfaceIndex = .none, source: Prefix.Address? = nil, metric: UInt32 = 0, mtu: Int? = nil,
    nextHops: [FIBNextHop<Prefix.Address>] = []
  ) {
    self.prefix = Prefix(prefix.network, length: prefix.length) ?? prefix
    self.kind = kind
    self.gateway = gateway
    self.interface = interface
    self.source = source
    self.metric = metric
    self.mtu = mtu
    self.nextHops = nextHops
    scope = kind == .local ? .host : gateway == nil && nextHops.isEmpty ? .link : .universe
  }

  /// As `ip route` prints it, without the device.
  public var description: String {
    var text = kind == .unicast ? "" : "\(kind) "
    text +=
      prefix.length == 0
      ? "default" : prefix.length == Prefix.Bits.bitWidth ? "\(prefix.address)" : "\(prefix)"
    if let gateway, nextHops.isEmpty { text += " via \(gateway)" }
    if scope == .link && kind == .unicast { text += " scope link" }
    if let source { text += " src \(source)" }
    if metric != 0 { text += " metric \(metric)" }
    if let mtu { text += " mtu \(mtu)" }
    if tunnel != .none { text += " encap program \(tunnel)" }
    for hop in nextHops { text += " \(hop)" }
    return text
  }
}

/// Which route is meant: that of a prefix, and of several the one with the least metric. What is `nil` is not asked.
/// Linux: `struct fib_config` as `fib_table_delete()` compares it.
public struct FIBSelector<Prefix: RoutedPrefix>: Equatable, Sendable {
  public var prefix: Prefix
  public var kind: FIBEntry<Prefix>.Kind?
  public var gateway: Prefix.Address?
  public var metric: UInt32?
  /// The device it leads over. Of several next hops it is, as the gateway, the first's.
  public var interface: InterfaceIndex?
  /// All of several next hops, in their order; of each a gateway of `nil`, a device of `.none` and a weight of 1 are not asked.
  public var nextHops: [FIBNextHop<Prefix.Address>]
  /// The program that it leads through; `nil`: not asked.
  public var tunnel: TunnelID?

  public init(
    _ prefix: Prefix, kind: FIBEntry<Prefix>.Kind? = nil, gateway: Prefix.Address? = nil,
    metric: UInt32? = nil, interface: InterfaceIndex? = nil, nextHops: [FIBNextHop<Prefix.Address>] = []
  ) {
    self.nextHops = nextHops
    self.prefix = prefix
    self.kind = kind
    self.gateway = gateway
    self.metric = metric
    self.interface = interface
  }

  func fits(_ entry: FIBEntry<Prefix>) -> Bool {
    entry.prefix.network == prefix.network && entry.prefix.length == prefix.length
      && (kind ?? entry.kind) == entry.kind && (gateway == nil || gateway == entry.gateway)
      && (metric ?? entry.metric) == entry.metric
      && (interface == nil || interface == entry.interface) && (tunnel ?? entry.tunnel) == entry.tunnel
      && (nextHops.isEmpty
        || nextHops.count == entry.nextHops.count
          && zip(nextHops, entry.nextHops).allSatisfy { $0.fits($1) })
  }
}

/// Routes by longest prefix, in a path-compressed binary trie. Linux: `net/ipv4/fib_trie.c`, `net/ipv6/ip6_fib.c`.
///
/// Look-up visits at most one node more than an address has bits, whatever the number of routes, and allocates nothing.
public struct FIBTable<Prefix: RoutedPrefix>: ~Copyable {
  /// A route of the table's family.
  public typealias Entry = FIBEntry<Prefix>
  private typealias Bits = Prefix.Bits
  private struct Node {
    /// Network in the upper `length` bits, zeros below.
    var key: Bits
    var length: Int
    /// Indices of the subtrees by the bit after the key; -1: none.
    var zero: Int32 = -1
    var one: Int32 = -1
    /// First of the node's entries; -1: the node only branches.
    var first: Int32 = -1
  }
  private struct Slot {
    let entry: Entry
    /// What look-ups need of it.
    let result: FIBResult<Prefix>
    let shares: FIBShares
    var next: Int32

    init(_ entry: Entry, place: Int, next: Int32) {
      self.entry = entry
      var result = FIBResult(entry)
      result.place = Int32(place)
      self.result = result
      shares = FIBShares(entry.nextHops)
      self.next = next
    }
  }
  private var nodes: [Node] = [Node(key: 0, length: 0)]
  private var slots: [Slot] = []
  private var multipathCount = 0

  public init() {}

  public var count: Int { slots.count }
  /// Whether any route has several next hops.
  var hasMultipath: Bool { multipathCount > 0 }
  /// All routes, most specific first, then by metric.
  public var entries: [Entry] {
    slots.map(\.entry).sorted {
      ($1.prefix.length, Prefix.bits(of: $0.prefix.address), $0.metric)
        < ($0.prefix.length, Prefix.bits(of: $1.prefix.address), $1.metric)
    }
  }

  /// The best route for an address: longest prefix, then least metric; `nil` when none covers it.
  ///
  /// - Parameter asked: only routes over this device, and those that refuse; `.none`: all. Linux: `flowi4_oif`.
  /// Linux: `fib_table_lookup()`.
  public func lookup(_ address: Prefix.Address, by asked: InterfaceIndex = .none) -> FIBResult<Prefix>? {
    let key = Prefix.bits(of: address)
    var index = 0
    var best: Int32 = -1
    while true {
      let node = nodes[index]
      if (key ^ node.key) & Self.mask(node.length) != 0 { break }
      if node.first >= 0 {
        if asked == .none {
          best = node.first
        } else if let found = first(from: node.first, by: asked) {
          best = found
        }
      }
      if node.length == Bits.bitWidth { break }
      let child = Self.bit(key, node.length) ? node.one : node.zero
      if child < 0 { break }
      index = Int(child)
    }
    guard best >= 0 else { return nil }
    if asked != .none, slots[Int(best)].result.isMultipath { return result(of: best, by: asked) }
    return slots[Int(best)].result
  }

  /// Of several next hops the first by a device that is asked for, whatever the flow.
  private func result(of place: Int32, by asked: InterfaceIndex) -> FIBResult<Prefix> {
    var result = slots[Int(place)].result
    let hops = slots[Int(place)].entry.nextHops
    if let hop = hops.first(where: { !$0.isDead && $0.interface == asked }) { result.take(hop) }
    result.isMultipath = false
    return result
  }

  /// A route's next hops, with the last hash of each one's share.
  func nextHops(of result: FIBResult<Prefix>) -> ([FIBNextHop<Prefix.Address>], [Int32]) {
    (slots[Int(result.place)].entry.nextHops, slots[Int(result.place)].shares.bounds)
  }
  /// All of a route that was found.
  func entry(of result: FIBResult<Prefix>) -> Entry { slots[Int(result.place)].entry }

  /// The first of a node's routes that a device that is asked for may use.
  private func first(from place: Int32, by asked: InterfaceIndex) -> Int32? {
    var place = place
    while place >= 0 {
      if slots[Int(place)].result.refuses || slots[Int(place)].result.interface == asked { return place }
      if slots[Int(place)].result.isMultipath,
        slots[Int(place)].entry.nextHops.contains(where: { !$0.isDead && $0.interface == asked })
      {
        return place
      }
      place = slots[Int(place)].next
    }
    return nil
  }

  /// Adds a route.
  ///
  /// - Throws: EEXIST when there is one for the prefix with the same metric.
  public mutating func insert(_ entry: Entry) throws(Errno) {
    let index = node(for: entry.prefix)
    var previous: Int32 = -1
    var next = nodes[index].first
    while next >= 0, slots[Int(next)].entry.metric <= entry.metric {
      if slots[Int(next)].entry.metric == entry.metric { throw .EEXIST }
      previous = next
      next = slots[Int(next)].next
    }
    let slot = Int32(slots.count)
    slots.append(Slot(entry, place: slots.count, next: next))
    multipathCount += entry.nextHops.isEmpty ? 0 : 1
    if previous >= 0 { slots[Int(previous)].next = slot } else { nodes[index].first = slot }
  }

  /// Removes the routes that `isDoomed` names and returns how many they were. The trie is built anew: O(routes).
  @discardableResult
  public mutating func remove(where isDoomed: (Entry) -> Bool) -> Int {
    let kept = slots.map(\.entry).filter { !isDoomed($0) }
    let removed = slots.count - kept.count
    if removed > 0 { rebuild(kept) }
    return removed
  }

  private mutating func rebuild(_ entries: [Entry]) {
    nodes = [Node(key: 0, length: 0)]
    slots = []
    multipathCount = 0
    for entry in entries {
      do { try insert(entry) } catch {
        preconditionFailure("routes that were in a table fit into it again")
      }
    }
  }

  /// A device sends nothing any more: the routes over it go; those that have other next hops, too, stay.
  /// Linux: `fib_sync_down_dev()`.
  mutating func disable(_ interface: InterfaceIndex) {
    setNextHops(of: interface, dead: true)
    remove {
      $0.kind == .unicast
        && ($0.nextHops.isEmpty ? $0.interface == interface : $0.nextHops.allSatisfy(\.isDead))
    }
  }

  /// It sends again. Linux: `fib_sync_up()`.
  mutating func enable(_ interface: InterfaceIndex) { setNextHops(of: interface, dead: false) }

  private mutating func setNextHops(of interface: InterfaceIndex, dead: Bool) {
    guard hasMultipath else { return }
    rebuild(
      slots.map {
        var entry = $0.entry
        for index in entry.nextHops.indices where entry.nextHops[index].interface == interface {
          entry.nextHops[index].isDead = dead
        }
        return entry
      })
  }

  /// The node for a prefix, made when it is not there.
  private mutating func node(for prefix: Prefix) -> Int {
    let key = Prefix.bits(of: prefix.network)
    let length = prefix.length
    var index = 0
    while true {
      if nodes[index].length == length { return index }
      let isOne = Self.bit(key, nodes[index].length)
      let child = isOne ? nodes[index].one : nodes[index].zero
      if child < 0 {
        let leaf = append(Node(key: key, length: length))
        setChild(of: index, isOne, leaf)
        return Int(leaf)
      }
      let below = nodes[Int(child)]
      let common = min(length, below.length, (key ^ below.key).leadingZeroBitCount)
      if common == below.length {
        index = Int(child)
        continue
      }
      // The paths part inside the child's key: a node where they do takes its place.
      let branch = append(Node(key: key & Self.mask(common), length: common))
      setChild(of: index, isOne, branch)
      setChild(of: Int(branch), Self.bit(below.key, common), child)
      index = Int(branch)
    }
  }

  private mutating func append(_ node: Node) -> Int32 {
    nodes.append(node)
    return Int32(nodes.count - 1)
  }
  private mutating func setChild(of index: Int, _ isOne: Bool, _ child: Int32) {
    if isOne { nodes[index].one = child } else { nodes[index].zero = child }
  }
  @inline(__always) private static func bit(_ key: Bits, _ position: Int) -> Bool {
    key >> (Bits.bitWidth - 1 - position) & 1 == 1
  }
  @inline(__always) private static func mask(_ length: Int) -> Bits {
    length == 0 ? 0 : Bits.max << (Bits.bitWidth - length)
  }
}
