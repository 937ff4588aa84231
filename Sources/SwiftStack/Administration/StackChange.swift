import IPv4
import Netfilter
import Shard
import Sockets

/// A change to a running stack, read from the words that iproute2 and sysctl(8) have for it.
public enum StackChange: Equatable, Sendable {
  /// `sysctl NAME=VALUE`
  case setting(name: String, value: String)
  /// `addr add ADDRESS/LENGTH [probe] [dev IFNAME]`, `addr del ADDRESS/LENGTH [dev IFNAME]`
  case addAddress(IPv4Prefix, on: String? = nil, probing: Bool = false)
  case removeAddress(IPv4Prefix, on: String? = nil)
  /// `route add`, `route replace`: `[TYPE] PREFIX [via GATEWAY] [dev IFNAME] [src ADDRESS] [metric N] [mtu N] [table TABLE]
  /// [nexthop [via GATEWAY] [dev IFNAME] [weight N]]...`
  case addRoute(
    RouteEntry, on: String? = nil, over: [NamedNextHop] = [], table: UInt32 = RoutingTableName.main)
  case replaceRoute(
    RouteEntry, on: String? = nil, over: [NamedNextHop] = [], table: UInt32 = RoutingTableName.main)
  /// `route del [TYPE] PREFIX [via GATEWAY] [dev IFNAME] [metric N] [table TABLE] [nexthop ...]...`
  case removeRoute(
    RouteSelector, on: String? = nil, over: [NamedNextHop] = [], table: UInt32 = RoutingTableName.main)
  /// `rule add|del [not] [from PREFIX] [to PREFIX] [fwmark MARK[/MASK]] [iif IFNAME] [oif IFNAME] [tos TOS] [uidrange A-B]
  /// [ipproto PROTOCOL] [sport PORT[-PORT]] [dport PORT[-PORT]] [suppress_prefixlength N] [priority N] ACTION`
  case addRoutingRule(NamedRule)
  case removeRoutingRule(NamedRule)
  /// `conntrack flush`
  case forgetConnections
  /// `neigh add ADDRESS lladdr MAC [nud STATE] [dev IFNAME]`: as `replace`, for one that is not known yet
  case addNeighbour(IPv4Address, MACAddress, NeighbourState, on: String? = nil)
  /// `neigh replace ADDRESS lladdr MAC [nud STATE] [dev IFNAME]`
  case replaceNeighbour(IPv4Address, MACAddress, NeighbourState, on: String? = nil)
  /// `neigh add proxy ADDRESS [dev IFNAME]`, `neigh del proxy ADDRESS [dev IFNAME]`
  case addProxy(IPv4Address, on: String? = nil)
  case removeProxy(IPv4Address, on: String? = nil)
  /// `neigh del ADDRESS [dev IFNAME]`
  case removeNeighbour(IPv4Address, on: String? = nil)
  /// `neigh flush`: all but the permanent ones
  case flushNeighbours
  /// `neigh flush dev IFNAME`
  case flushNeighboursOf(String)
  /// `arp announce`
  case announceAddresses
  /// `link set [dev] [IFNAME] [mtu N] [address MAC] [up | down]`
  case setLink(LinkChange, on: String? = nil)
  /// `nic set FEATURE on|off`
  case setFeature(NICFeature, on: Bool)
  /// `nic set rx-ring N`, `nic set tx-ring N`
  case setRings(receive: Int? = nil, transmit: Int? = nil)
  /// `nic fault stall | drop N% | late-writeback [MS] | map-fail [N] | off`
  case commit(NICFault)
  /// `qdisc replace [dev IFNAME] root|ingress KIND [PARAMETERS]`, `qdisc del [dev IFNAME] root|ingress`
  case replaceQdisc(QdiscPlace, QdiscConfiguration, on: String? = nil)
  case removeQdisc(QdiscPlace, on: String? = nil)
  /// `filter add HOOK|send RULE`, `filter del HOOK|send handle N`
  case addRule(PacketFilter.Rule)
  case addSendRule(SendPolicy.Rule)
  /// At `send` where no hook is named.
  case removeRule(Hook?, handle: UInt32)

  /// Reads a change.
  ///
  /// - Parameters:
  ///   - words: the object (`route`), the verb (`add`), and what follows; any words at all give a change or a sentence.
  ///   - device: the stack's interface, which `dev` has to name, or `lo`; `nil`: not known here.
  ///   - others: further interfaces that `dev` may name.
  public init(words: [String], device: String?, others: [String] = []) throws(StackError) {
    var words = ChangeWords(words, device: device, others: others)
    let object = try words.next("an object such as addr, route or neigh")
    switch object {
    case "sysctl": self = try Self.setting(&words)
    case "addr": self = try Self.address(&words)
    case "route": self = try Self.route(&words)
    case "rule": self = try Self.rule(&words)
    case "conntrack":
      try words.expect(["flush"])
      self = .forgetConnections
    case "neigh": self = try Self.neighbour(&words)
    case "link": self = try Self.link(&words)
    case "nic": self = try Self.nic(&words)
    case "filter": self = try Self.filter(&words)
    case "qdisc": self = try Self.qdisc(&words)
    case "arp":
      try words.expect(["announce"])
      self = .announceAddresses
    default:
      throw StackError(
        "object \"\(object)\" is unknown: addr, link, route, rule, neigh, arp, nic, qdisc, filter, conntrack and sysctl can change"
      )
    }
    try words.end()
  }

  private static func setting(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let text = try words.next("NAME=VALUE")
    guard let equals = text.firstIndex(of: "=") else {
      throw StackError("\"\(text)\" must be of the form NAME=VALUE")
    }
    return .setting(name: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
  }

  private static func address(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["add", "del"])
    let prefix = try words.hostPrefix()
    let probes = verb == "add" && words.peek == "probe"
    if probes { words.skip() }
    try words.options(["dev"]) { (_, _) throws(StackError) in }
    return verb == "add"
      ? .addAddress(prefix, on: words.other, probing: probes) : .removeAddress(prefix, on: words.other)
  }

  private static func neighbour(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["add", "replace", "del", "flush"])
    if verb == "flush" {
      if words.peek == "all" { words.skip() }
      try words.options(["dev"]) { (_, _) throws(StackError) in }
      return words.other.map { .flushNeighboursOf($0) } ?? .flushNeighbours
    }
    if verb != "replace" && words.peek == "proxy" {
      words.skip()
      let address = try words.address()
      try words.options(["dev"]) { (_, _) throws(StackError) in }
      return verb == "add" ? .addProxy(address, on: words.other) : .removeProxy(address, on: words.other)
    }
    let address = try words.address()
    if verb == "del" {
      try words.options(["dev"]) { (_, _) throws(StackError) in }
      return .removeNeighbour(address, on: words.other)
    }
    var station: MACAddress?
    var state = NeighbourState.permanent
    try words.options(["lladdr", "nud", "dev"]) { (name, value) throws(StackError) in
      if name == "lladdr" {
        station = try ChangeWords.station(value)
      } else {
        guard let parsed = Self.states[value] else {
          throw StackError("nud state \"\(value)\" is bad: permanent, noarp, reachable and stale can be set")
        }
        state = parsed
      }
    }
    guard let station else { throw StackError("neigh \(verb) \(address) needs lladdr MAC: Invalid argument") }
    return verb == "add"
      ? .addNeighbour(address, station, state, on: words.other)
      : .replaceNeighbour(address, station, state, on: words.other)
  }

  private static let states: [String: NeighbourState] = [
    "permanent": .permanent, "noarp": .noARP, "reachable": .reachable, "stale": .stale,
  ]
  private static let kinds: [String: RouteEntry.Kind] = [
    "unicast": .unicast, "blackhole": .blackhole, "unreachable": .unreachable, "prohibit": .prohibit,
  ]

  private static func route(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["add", "replace", "del"])
    let kind = words.peek.flatMap { Self.kinds[$0] }
    if kind != nil { words.skip() }
    let prefix = try words.routePrefix()
    var entry = RouteEntry(prefix, kind: kind ?? .unicast)
    var gateway: IPv4Address?
    var metric: UInt32?
    let isRemoval = verb == "del"
    var table = RoutingTableName.main
    let names = ["via", "dev", "metric", "table"] + (isRemoval ? [] : ["src", "mtu"])
    try words.options(names, until: "nexthop") { (name, value) throws(StackError) in
      switch name {
      case "via": gateway = try ChangeWords.address(value)
      case "src": entry.source = try ChangeWords.address(value)
      case "table": table = try ChangeWords.table(value)
      case "metric": metric = UInt32(try ChangeWords.number(value, "metric", 0...Int(UInt32.max)))
      default: entry.mtu = try ChangeWords.number(value, "mtu", 68...65535)
      }
    }
    let hops = try words.nextHops()
    if isRemoval {
      return .removeRoute(
        RouteSelector(prefix, kind: kind, gateway: gateway, metric: metric), on: words.named, over: hops,
        table: table)
    }
    if let first = hops.first {
      if let gateway, gateway != first.gateway {
        throw StackError("Nexthop gateway does not match RTA_GATEWAY or RTA_VIA.")
      }
      if let named = words.named, named != first.device {
        throw StackError("Nexthop device index does not match RTA_OIF.")
      }
    }
    if entry.kind == .unicast {
      guard gateway != nil || words.named != nil || !hops.isEmpty else {
        throw StackError("a route to \(prefix) needs via GATEWAY or dev IFNAME: No such device")
      }
    } else if gateway != nil || words.named != nil || !hops.isEmpty {
      throw StackError("a route of type \(entry.kind) has no next hop: Invalid argument")
    }
    entry = RouteEntry(
      prefix, kind: entry.kind, gateway: hops.isEmpty ? gateway : nil, source: entry.source,
      metric: metric ?? 0, mtu: entry.mtu)
    // A gateway has to be on that device; without one it is the usual one all the same.
    let device = gateway == nil ? words.other : words.named
    if !hops.isEmpty {
      return verb == "add"
        ? .addRoute(entry, over: hops, table: table) : .replaceRoute(entry, over: hops, table: table)
    }
    return verb == "add"
      ? .addRoute(entry, on: device, table: table) : .replaceRoute(entry, on: device, table: table)
  }
}
