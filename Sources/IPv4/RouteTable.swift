import NetNamespace
import Wire

/// One line of `ip route`. Linux: `struct fib_info` with its `struct fib_alias`.
public struct RouteEntry: Hashable, Sendable, CustomStringConvertible {
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
  public var prefix: IPv4Prefix
  public var kind: Kind
  /// `nil`: destinations are on the link.
  public var gateway: IPv4Address?
  /// The device to send by; `.none` for a kind that sends nothing, or asks for the gateway's.
  public var interface: InterfaceIndex
  /// Preferred source address; `nil`: chosen by the next hop.
  public var source: IPv4Address?
  /// Of several routes for a prefix the one with the least metric is used.
  public var metric: UInt32
  /// Limit of the path MTU; `nil`: the device's.
  public var mtu: Int?
  public var scope: Scope

  public init(
    _ prefix: IPv4Prefix, kind: Kind = .unicast, gateway: IPv4Address? = nil,
    interface: InterfaceIndex = .none, source: IPv4Address? = nil, metric: UInt32 = 0, mtu: Int? = nil
  ) {
    self.prefix = IPv4Prefix(prefix.network, length: prefix.length) ?? prefix
    self.kind = kind
    self.gateway = gateway
    self.interface = interface
    self.source = source
    self.metric = metric
    self.mtu = mtu
    scope = kind == .local ? .host : gateway == nil ? .link : .universe
  }

  /// As `ip route` prints it, without the device.
  public var description: String {
    var text = kind == .unicast ? "" : "\(kind) "
    text += prefix.length == 0 ? "default" : prefix.length == 32 ? "\(prefix.address)" : "\(prefix)"
    if let gateway { text += " via \(gateway)" }
    if scope == .link && kind == .unicast { text += " scope link" }
    if let source { text += " src \(source)" }
    if metric != 0 { text += " metric \(metric)" }
    if let mtu { text += " mtu \(mtu)" }
    return text
  }
}

/// Which route is meant: that of a prefix, and of several the one with the least metric. What is `nil` is not asked.
/// Linux: `struct fib_config` as `fib_table_delete()` compares it.
public struct RouteSelector: Equatable, Sendable {
  public var prefix: IPv4Prefix
  public var kind: RouteEntry.Kind?
  public var gateway: IPv4Address?
  public var metric: UInt32?
  /// The device it leads over.
  public var interface: InterfaceIndex?

  public init(
    _ prefix: IPv4Prefix, kind: RouteEntry.Kind? = nil, gateway: IPv4Address? = nil, metric: UInt32? = nil,
    interface: InterfaceIndex? = nil
  ) {
    self.prefix = prefix
    self.kind = kind
    self.gateway = gateway
    self.metric = metric
    self.interface = interface
  }

  func fits(_ entry: RouteEntry) -> Bool {
    entry.prefix.network == prefix.network && entry.prefix.length == prefix.length
      && (kind ?? entry.kind) == entry.kind && (gateway == nil || gateway == entry.gateway)
      && (metric ?? entry.metric) == entry.metric
      && (interface == nil || interface == entry.interface)
  }
}

/// Routes by longest prefix, in a path-compressed binary trie. Linux: `net/ipv4/fib_trie.c`.
///
/// Look-up visits at most 33 nodes whatever the number of routes, and allocates nothing.
public struct RouteTable: ~Copyable {
  private struct Node {
    /// Network in the upper `length` bits, zeros below.
    var key: UInt32
    var length: Int
    /// Indices of the subtrees by the bit after the key; -1: none.
    var zero: Int32 = -1
    var one: Int32 = -1
    /// First of the node's entries; -1: the node only branches.
    var first: Int32 = -1
  }
  private struct Slot {
    var entry: RouteEntry
    var next: Int32
  }
  private var nodes: [Node] = [Node(key: 0, length: 0)]
  private var slots: [Slot] = []

  public init() {}

  public var count: Int { slots.count }
  /// All routes, most specific first, then by metric.
  public var entries: [RouteEntry] {
    slots.map(\.entry).sorted {
      ($1.prefix.length, $0.prefix.address.rawValue, $0.metric)
        < ($0.prefix.length, $1.prefix.address.rawValue, $1.metric)
    }
  }

  /// The best route for an address: longest prefix, then least metric; `nil` when none covers it.
  ///
  /// - Parameter asked: only routes over this device, and those that refuse; `.none`: all. Linux: `flowi4_oif`.
  /// Linux: `fib_table_lookup()`.
  public func lookup(_ address: IPv4Address, by asked: InterfaceIndex = .none) -> RouteEntry? {
    let key = address.rawValue
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
      if node.length == 32 { break }
      let child = Self.bit(key, node.length) ? node.one : node.zero
      if child < 0 { break }
      index = Int(child)
    }
    return best < 0 ? nil : slots[Int(best)].entry
  }

  /// The first of a node's routes that a device that is asked for may use.
  private func first(from place: Int32, by asked: InterfaceIndex) -> Int32? {
    var place = place
    while place >= 0 {
      let entry = slots[Int(place)].entry
      let hasDevice = entry.kind == .unicast || entry.kind == .local || entry.kind == .broadcast
      if !hasDevice || entry.interface == asked { return place }
      place = slots[Int(place)].next
    }
    return nil
  }

  /// Adds a route.
  ///
  /// - Throws: EEXIST when there is one for the prefix with the same metric.
  public mutating func insert(_ entry: RouteEntry) throws(Errno) {
    let index = node(for: entry.prefix)
    var previous: Int32 = -1
    var next = nodes[index].first
    while next >= 0, slots[Int(next)].entry.metric <= entry.metric {
      if slots[Int(next)].entry.metric == entry.metric { throw .EEXIST }
      previous = next
      next = slots[Int(next)].next
    }
    slots.append(Slot(entry: entry, next: next))
    let slot = Int32(slots.count - 1)
    if previous >= 0 { slots[Int(previous)].next = slot } else { nodes[index].first = slot }
  }

  /// Removes the routes that `isDoomed` names and returns how many they were. The trie is built anew: O(routes).
  @discardableResult
  public mutating func remove(where isDoomed: (RouteEntry) -> Bool) -> Int {
    let kept = slots.map(\.entry).filter { !isDoomed($0) }
    let removed = slots.count - kept.count
    if removed > 0 {
      nodes = [Node(key: 0, length: 0)]
      slots = []
      for entry in kept {
        do { try insert(entry) } catch {
          preconditionFailure("routes that were in a table fit into it again")
        }
      }
    }
    return removed
  }

  /// The node for a prefix, made when it is not there.
  private mutating func node(for prefix: IPv4Prefix) -> Int {
    let key = prefix.network.rawValue
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
  @inline(__always) private static func bit(_ key: UInt32, _ position: Int) -> Bool {
    key >> UInt32(31 - position) & 1 == 1
  }
  @inline(__always) private static func mask(_ length: Int) -> UInt32 {
    length == 0 ? 0 : UInt32.max << UInt32(32 - length)
  }
}
