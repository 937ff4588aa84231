import IPv4
import Netfilter
import Shard
import Sockets

/// A change to a running stack, read from the words that iproute2 and sysctl(8) have for it.
public enum StackChange: Equatable, Sendable {
  /// `sysctl NAME=VALUE`
  case setting(name: String, value: String)
  /// `addr add ADDRESS/LENGTH`, `addr del ADDRESS/LENGTH`
  case addAddress(IPv4Prefix)
  case removeAddress(IPv4Prefix)
  /// `route add`, `route replace`: `[TYPE] PREFIX [via GATEWAY] [src ADDRESS] [metric N] [mtu N]`
  case addRoute(RouteEntry)
  case replaceRoute(RouteEntry)
  /// `route del [TYPE] PREFIX [via GATEWAY] [metric N]`
  case removeRoute(RouteSelector)
  /// `neigh replace ADDRESS lladdr MAC [nud STATE]`
  case replaceNeighbour(IPv4Address, MACAddress, NeighbourState)
  /// `neigh del ADDRESS`
  case removeNeighbour(IPv4Address)
  /// `neigh flush`: all but the permanent ones
  case flushNeighbours
  /// `arp announce`
  case announceAddresses
  /// `link set [dev] [IFNAME] [mtu N] [address MAC] [up | down]`
  case setLink(LinkChange)
  /// `nic set FEATURE on|off`
  case setFeature(NICFeature, on: Bool)
  /// `nic set rx-ring N`, `nic set tx-ring N`
  case setRings(receive: Int? = nil, transmit: Int? = nil)
  /// `nic fault stall | drop N% | late-writeback [MS] | map-fail [N] | off`
  case commit(NICFault)
  /// `qdisc replace root|ingress KIND [PARAMETERS]`, `qdisc del root|ingress`
  case replaceQdisc(QdiscPlace, QdiscConfiguration)
  case removeQdisc(QdiscPlace)
  /// `filter add HOOK|send RULE`, `filter del HOOK|send handle N`
  case addRule(PacketFilter.Rule)
  case addSendRule(SendPolicy.Rule)
  /// At `send` where no hook is named.
  case removeRule(Hook?, handle: UInt32)

  /// Reads a change.
  ///
  /// - Parameters:
  ///   - words: the object (`route`), the verb (`add`), and what follows; any words at all give a change or a sentence.
  ///   - device: the stack's interface, which `dev` has to name; `nil`: not known here.
  public init(words: [String], device: String?) throws(StackError) {
    var words = ChangeWords(words, device: device)
    let object = try words.next("an object such as addr, route or neigh")
    switch object {
    case "sysctl": self = try Self.setting(&words)
    case "addr": self = try Self.address(&words)
    case "route": self = try Self.route(&words)
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
        "object \"\(object)\" is unknown: addr, link, route, neigh, arp, nic, qdisc, filter and sysctl can change"
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
    try words.options(["dev"]) { (_, _) throws(StackError) in }
    return verb == "add" ? .addAddress(prefix) : .removeAddress(prefix)
  }

  private static func neighbour(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["replace", "del", "flush"])
    if verb == "flush" {
      if words.peek == "all" { words.skip() }
      try words.options(["dev"]) { (_, _) throws(StackError) in }
      return .flushNeighbours
    }
    let address = try words.address()
    if verb == "del" {
      try words.options(["dev"]) { (_, _) throws(StackError) in }
      return .removeNeighbour(address)
    }
    var station: MACAddress?
    var state = NeighbourState.permanent
    try words.options(["lladdr", "nud", "dev"]) { (name, value) throws(StackError) in
      if name == "lladdr" {
        guard let parsed = MACAddress(value) else {
          throw StackError("\"\(value)\" is invalid lladdr: it is not like 02:00:00:00:00:01")
        }
        station = parsed
      } else {
        guard let parsed = Self.states[value] else {
          throw StackError("nud state \"\(value)\" is bad: permanent, noarp, reachable and stale can be set")
        }
        state = parsed
      }
    }
    guard let station else { throw StackError("neigh replace \(address) needs lladdr MAC: Invalid argument") }
    return .replaceNeighbour(address, station, state)
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
    var hasDevice = false
    let isRemoval = verb == "del"
    let names = ["via", "dev", "metric"] + (isRemoval ? [] : ["src", "mtu"])
    try words.options(names) { (name, value) throws(StackError) in
      switch name {
      case "via": gateway = try ChangeWords.address(value)
      case "src": entry.source = try ChangeWords.address(value)
      case "metric": metric = UInt32(try ChangeWords.number(value, "metric", 0...Int(UInt32.max)))
      case "mtu": entry.mtu = try ChangeWords.number(value, "mtu", 68...65535)
      default: hasDevice = true
      }
    }
    if isRemoval {
      return .removeRoute(RouteSelector(prefix, kind: kind, gateway: gateway, metric: metric))
    }
    if entry.kind == .unicast {
      guard gateway != nil || hasDevice else {
        throw StackError("a route to \(prefix) needs via GATEWAY or dev IFNAME: No such device")
      }
    } else if gateway != nil || hasDevice {
      throw StackError("a route of type \(entry.kind) has no next hop: Invalid argument")
    }
    entry = RouteEntry(
      prefix, kind: entry.kind, gateway: gateway, source: entry.source, metric: metric ?? 0, mtu: entry.mtu)
    return verb == "add" ? .addRoute(entry) : .replaceRoute(entry)
  }
}

/// The words of a change, taken one after the other.
struct ChangeWords {
  private let words: [String]
  let device: String?
  private var place = 0

  init(_ words: [String], device: String?) {
    self.words = words
    self.device = device
  }

  var peek: String? { place < words.count ? words[place] : nil }
  mutating func skip() { place += 1 }

  mutating func next(_ wanted: String) throws(StackError) -> String {
    guard let word = peek else { throw StackError("\(said) is incomplete: \(wanted) is expected") }
    place += 1
    return word
  }

  @discardableResult
  mutating func expect(_ verbs: [String]) throws(StackError) -> String {
    let list = verbs.joined(separator: ", ")
    let verb = try next(list)
    guard verbs.contains(verb) else {
      throw StackError("command \"\(verb)\" is unknown: \(words[0]) takes \(list)")
    }
    return verb
  }

  /// All that is left.
  mutating func rest() -> [String] {
    defer { place = words.count }
    return Array(words[place...])
  }

  /// `dev IFNAME` where it may stand before the rest.
  mutating func skipDevice() throws(StackError) {
    guard peek == "dev" else { return }
    skip()
    let name = try next("a value for dev")
    if let device, name != device { throw StackError("Cannot find device \"\(name)\"") }
  }

  func end() throws(StackError) {
    if let word = peek { throw StackError("\"\(word)\" after \(said) is one word too many") }
  }

  /// Pairs of a name and a value up to the end, each name once; `dev` is checked here.
  mutating func options(
    _ names: [String], _ body: (String, String) throws(StackError) -> Void
  ) throws(StackError) {
    var seen: Set<String> = []
    while let name = peek {
      guard names.contains(name) else {
        throw StackError("\"\(name)\" is unknown here: \(names.joined(separator: ", ")) can follow \(said)")
      }
      guard seen.insert(name).inserted else { throw StackError("duplicate \"\(name)\"") }
      skip()
      let value = try next("a value for \(name)")
      if name == "dev", let device, value != device { throw StackError("Cannot find device \"\(value)\"") }
      if name != "dev" || names.contains("via") { try body(name, value) }
    }
  }

  /// What was read so far.
  private var said: String { words[..<min(place, words.count)].joined(separator: " ") }

  mutating func address() throws(StackError) -> IPv4Address { try Self.address(try next("an address")) }

  static func address(_ text: String) throws(StackError) -> IPv4Address {
    guard let address = IPv4Address(text) else {
      throw StackError("inet address is expected rather than \"\(text)\"")
    }
    return address
  }

  static func number(_ text: String, _ name: String, _ range: ClosedRange<Int>) throws(StackError) -> Int {
    guard let value = Int(text), range.contains(value) else {
      throw StackError(
        "\"\(name)\" value \"\(text)\" is invalid: \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// An address with its network's length; without one it is alone.
  mutating func hostPrefix() throws(StackError) -> IPv4Prefix {
    let text = try next("ADDRESS/LENGTH")
    if let address = IPv4Address(text), let prefix = IPv4Prefix(address, length: 32) { return prefix }
    guard let prefix = IPv4Prefix(text) else {
      throw StackError("inet prefix is expected rather than \"\(text)\"")
    }
    return prefix
  }

  /// A destination: `default`, an address, or a prefix without bits beyond its length.
  mutating func routePrefix() throws(StackError) -> IPv4Prefix {
    if peek == "default", let everything = IPv4Prefix(.any, length: 0) {
      skip()
      return everything
    }
    let prefix = try hostPrefix()
    guard prefix.address == prefix.network else {
      throw StackError("\(prefix) has bits set beyond its length: Invalid argument")
    }
    return prefix
  }
}
