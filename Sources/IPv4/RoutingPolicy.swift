import NetNamespace
import Tables
import Wire

/// What a route is looked up by. Linux: `struct flowi4`.
public struct RouteKey: Sendable {
  public var destination: IPv4Address
  /// Any: not chosen yet.
  public var source: IPv4Address
  /// The device to send by, whatever the routes say; `.none`: any. Linux: `flowi4_oif`.
  public var asked: InterfaceIndex
  /// The device that the packet came in by; the loopback for our own. Linux: `flowi4_iif`.
  public var inputInterface: InterfaceIndex
  public var flow: RoutingFlow

  public init(
    destination: IPv4Address, source: IPv4Address = .any, asked: InterfaceIndex = .none,
    inputInterface: InterfaceIndex = .loopback, flow: RoutingFlow = RoutingFlow()
  ) {
    self.destination = destination
    self.source = source
    self.asked = asked
    self.inputInterface = inputInterface
    self.flow = flow
  }
}

/// One line of `ip rule`. Linux: `struct fib4_rule`.
public struct RoutingRule: Hashable, Sendable, CustomStringConvertible {
  /// What is done with a packet that fits. Linux: `FR_ACT_*`.
  public enum Action: Hashable, Sendable {
    /// Its way is looked up in a table; if there is none in it, the next rule is asked.
    case lookup(UInt32)
    case unreachable, blackhole, prohibit
  }
  /// Lower ones are asked first.
  public var priority: UInt32
  public var source: IPv4Prefix?
  public var destination: IPv4Prefix?
  public var mark: UInt32
  /// Which bits of the mark have to be alike; 0: it is not asked.
  public var markMask: UInt32
  /// The device that a packet came in by; `lo` for our own.
  public var inputInterface: InterfaceIndex?
  /// The device that the sender asked for.
  public var outputInterface: InterfaceIndex?
  public var typeOfService: UInt8
  public var isInverted: Bool
  /// Whose socket the packet comes from; root's, 0, for those that come from none.
  public var users: ClosedRange<UInt32>?
  public var `protocol`: IPProtocol?
  /// Of a forwarded packet, and of one that a hook sends another way, those that it has; a fragment has none.
  public var sourcePorts: ClosedRange<UInt16>?
  public var destinationPorts: ClosedRange<UInt16>?
  public var action: Action
  /// What the table has is passed over if its prefix is no longer than this; one that refuses never.
  public var suppressedPrefixLength: Int?

  public init(priority: UInt32, action: Action) {
    self.priority = priority
    self.action = action
    mark = 0
    markMask = 0
    typeOfService = 0
    isInverted = false
  }

  /// Bits of the type of service that are compared. Linux: `INET_DSCP_MASK`, which ECN is no part of.
  static let typeOfServiceMask: UInt8 = 0xFC

  /// Linux: `fib_rule_port_range_valid()`.
  var isValid: Bool {
    [sourcePorts, destinationPorts].allSatisfy {
      $0.map { $0.lowerBound > 0 && $0.upperBound < .max } ?? true
    }
      && users?.upperBound != .max
  }
  /// Whether packets of others have to be looked into. Linux: `fib_rule_requires_fldissect()`.
  var looksInside: Bool {
    inputInterface != .loopback && (`protocol` != nil || sourcePorts != nil || destinationPorts != nil)
  }

  func matches(_ key: RouteKey) -> Bool { fits(key) != isInverted }

  /// Linux: `fib_rule_match()`, `fib4_rule_match()`.
  private func fits(_ key: RouteKey) -> Bool {
    if let inputInterface, inputInterface != key.inputInterface { return false }
    if let outputInterface, outputInterface != key.asked { return false }
    if (key.flow.mark ^ mark) & markMask != 0 { return false }
    if let users, !users.contains(key.flow.user) { return false }
    if let source, !source.contains(key.source) { return false }
    if let destination, !destination.contains(key.destination) { return false }
    if typeOfService != 0 && (key.flow.typeOfService & Self.typeOfServiceMask) != typeOfService {
      return false
    }
    if let `protocol`, `protocol` != key.flow.protocol { return false }
    if let sourcePorts, !sourcePorts.contains(key.flow.sourcePort) { return false }
    if let destinationPorts, !destinationPorts.contains(key.flow.destinationPort) { return false }
    return true
  }

  /// Whether a route that the table had is none. Linux: `fib4_rule_suppress()`.
  func suppresses(_ found: RouteResult) -> Bool {
    guard let suppressedPrefixLength, !found.refuses else { return false }
    return Int(found.prefixLength) <= suppressedPrefixLength
  }

  /// As `ip rule` prints it, but for devices, which are numbers here.
  public var description: String { "\(priority):\t\(text { "\($0.rawValue)" })" }

  /// - Parameter name: of a device.
  public func text(_ name: (InterfaceIndex) -> String) -> String {
    var words = isInverted ? ["not"] : []
    words.append("from \(source.map(Self.text) ?? "all")")
    if let destination { words.append("to \(Self.text(destination))") }
    if typeOfService != 0 { words.append("tos 0x\(String(typeOfService, radix: 16))") }
    if markMask != 0 {
      let mask = markMask == .max ? "" : "/0x\(String(markMask, radix: 16))"
      words.append("fwmark 0x\(String(mark, radix: 16))\(mask)")
    }
    if let inputInterface { words.append("iif \(name(inputInterface))") }
    if let outputInterface { words.append("oif \(name(outputInterface))") }
    if let users { words.append("uidrange \(users.lowerBound)-\(users.upperBound)") }
    if let `protocol` { words.append("ipproto \(IPProtocolName.text(`protocol`))") }
    if let sourcePorts { words.append("sport \(Self.text(sourcePorts))") }
    if let destinationPorts { words.append("dport \(Self.text(destinationPorts))") }
    switch action {
    case .lookup(let table):
      words.append("lookup \(RoutingTableName.text(table))")
      if let suppressedPrefixLength { words.append("suppress_prefixlength \(suppressedPrefixLength)") }
    case .unreachable: words.append("unreachable")
    case .blackhole: words.append("blackhole")
    case .prohibit: words.append("prohibit")
    }
    return words.joined(separator: " ")
  }

  private static func text(_ prefix: IPv4Prefix) -> String {
    prefix.length == 32 ? "\(prefix.address)" : "\(prefix)"
  }

  private static func text(_ ports: ClosedRange<UInt16>) -> String {
    ports.lowerBound == ports.upperBound ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
  }
}

/// The protocols that have names in rules. Linux: `/etc/protocols`, `inet_proto_n2a()` of iproute2.
public enum IPProtocolName {
  private static let names: [(UInt8, String)] = [
    (1, "icmp"), (2, "igmp"), (4, "ipencap"), (6, "tcp"), (8, "egp"), (17, "udp"), (33, "dccp"), (41, "ipv6"),
    (46, "rsvp"), (47, "gre"), (50, "esp"), (51, "ah"), (58, "ipv6-icmp"), (88, "eigrp"), (89, "ospf"),
    (94, "ipip"), (97, "etherip"), (98, "encap"), (103, "pim"), (108, "ipcomp"), (112, "vrrp"), (115, "l2tp"),
    (124, "isis"), (132, "sctp"), (136, "udplite"), (137, "mpls-in-ip"), (143, "ethernet"),
  ]

  public static func text(_ number: IPProtocol) -> String {
    names.first { $0.0 == number.rawValue }?.1 ?? "ipproto-\(number.rawValue)"
  }
  /// - Parameter text: a name, or a number of 0 to 255.
  public static func number(_ text: String) -> IPProtocol? {
    (names.first { $0.1 == text.lowercased() }?.0 ?? UInt8(text)).map { IPProtocol(rawValue: $0) }
  }
}

/// The tables that have names. Linux: `/etc/iproute2/rt_tables`.
public enum RoutingTableName {
  public static let `default`: UInt32 = 253
  public static let main: UInt32 = 254
  public static let local: UInt32 = 255
  private static let names: [(UInt32, String)] = [(`default`, "default"), (main, "main"), (local, "local")]

  public static func text(_ table: UInt32) -> String { names.first { $0.0 == table }?.1 ?? "\(table)" }
  public static func number(_ text: String) -> UInt32? {
    names.first { $0.1 == text }?.0 ?? UInt32(text).flatMap { $0 == 0 ? nil : $0 }
  }
}

/// A routing table beside the main one. Linux: `struct fib_table`.
struct NumberedTable: ~Copyable {
  var number: UInt32
  var routes = RouteTable()
}

/// Which of several routing tables a packet's way is looked up in. Linux: `net/ipv4/fib_rules.c`.
///
/// The rule with priority 0, which has our own addresses looked up before all else, is always there and not in the list.
public struct RoutingPolicy: ~Copyable {
  /// By priority, of equal ones the older first.
  public private(set) var rules: [RoutingRule] = Self.usual
  /// All is as without rules: the main table, and no other.
  public private(set) var isDefault = true
  /// A rule asks for what lies behind the IP header of forwarded packets. Linux: `fib_rules_require_fldissect`.
  private(set) var looksInside = false
  private var tables = UniqueArray<NumberedTable>(capacity: 4)

  static let usual = [
    RoutingRule(priority: 32766, action: .lookup(RoutingTableName.main)),
    RoutingRule(priority: 32767, action: .lookup(RoutingTableName.default)),
  ]
  /// Most rules, which a packet may have to pass one by one, and most tables.
  static let ruleLimit = 4096
  static let tableLimit = 1024

  init() {}

  // MARK: Rules

  /// Linux: `fib_nl_newrule()`.
  ///
  /// - Throws: EINVAL for ranges that no packet could be in; EEXIST for one that is there, ENOBUFS for too many.
  mutating func add(_ rule: RoutingRule) throws(Errno) {
    guard rule.isValid else { throw .EINVAL }
    guard !rules.contains(rule) else { throw .EEXIST }
    guard rules.count < Self.ruleLimit else { throw .ENOBUFS }
    rules.insert(rule, at: rules.firstIndex { $0.priority > rule.priority } ?? rules.endIndex)
    update()
  }

  /// The priority of a rule that names none: in front of the first one. Linux: `fib_default_rule_pref()`.
  public var nextPriority: UInt32 {
    let second = rules.first?.priority ?? 0
    return second == 0 ? 0 : second - 1
  }

  /// Linux: `fib_nl_delrule()`.
  ///
  /// - Throws: ENOENT when there is no such rule.
  mutating func remove(where fits: (RoutingRule) -> Bool) throws(Errno) {
    guard let index = rules.firstIndex(where: fits) else { throw .ENOENT }
    rules.remove(at: index)
    update()
  }

  private mutating func update() {
    isDefault = rules == Self.usual && tables.count == 0
    looksInside = rules.contains { $0.looksInside }
  }

  // MARK: Tables

  /// The number of every table beside `main`, and `local`, that has routes.
  public var tableNumbers: [UInt32] {
    (0..<tables.count).filter { tables[$0].routes.count > 0 }.map { tables[$0].number }.sorted()
  }

  /// A table's routes; `nil`: there is none.
  public func entries(of number: UInt32) -> [RouteEntry]? {
    place(of: number).map { tables[$0].routes.entries }
  }

  private func place(of number: UInt32) -> Int? {
    (0..<tables.count).first { tables[$0].number == number }
  }

  /// What a look-up says of a table. See `FIBResult.table`.
  func lookupPlace(of number: UInt32) -> Int32 { place(of: number).map { Int32($0) } ?? -1 }

  /// - Throws: EEXIST, ENOBUFS.
  mutating func insert(_ entry: RouteEntry, in number: UInt32, limit: Int) throws(Errno) {
    let index: Int
    if let found = place(of: number) {
      index = found
    } else {
      guard tables.count < Self.tableLimit else { throw .ENOBUFS }
      index = tables.append(NumberedTable(number: number))
      update()
    }
    guard tables[index].routes.count < limit else { throw .ENOBUFS }
    try tables[index].routes.insert(entry)
  }

  @discardableResult
  mutating func removeRoutes(of number: UInt32, where isDoomed: (RouteEntry) -> Bool) -> Int {
    guard let index = place(of: number) else { return 0 }
    return tables[index].routes.remove(where: isDoomed)
  }

  func nextHops(of found: RouteResult) -> ([NextHop], [Int32]) {
    tables[Int(found.table)].routes.nextHops(of: found)
  }

  /// A device sends nothing any more, or again.
  mutating func setDevice(_ interface: InterfaceIndex, isUp: Bool) {
    for index in 0..<tables.count {
      if isUp { tables[index].routes.enable(interface) } else { tables[index].routes.disable(interface) }
    }
  }

  /// In every table beside `main`.
  mutating func removeRoutes(where isDoomed: (RouteEntry) -> Bool) {
    for index in 0..<tables.count { tables[index].routes.remove(where: isDoomed) }
  }

  // MARK: Look-up

  /// Linux: `__fib_lookup()`.
  ///
  /// - Returns: a route, or one that refuses because a rule says so; `nil`: none.
  func lookup(_ key: RouteKey, main: borrowing RouteTable) -> RouteResult? {
    for rule in rules where rule.matches(key) {
      switch rule.action {
      case .lookup(RoutingTableName.main):
        if let found = main.lookup(key.destination, by: key.asked), !rule.suppresses(found) { return found }
      case .lookup(let number):
        guard let place = place(of: number) else { continue }
        if var found = tables[place].routes.lookup(key.destination, by: key.asked), !rule.suppresses(found) {
          found.table = Int32(place)
          return found
        }
      // As if there were no route at all: ENETUNREACH. Linux: `fib4_rule_action()`.
      case .unreachable: return nil
      case .blackhole: return RouteResult(refusing: .blackhole)
      case .prohibit: return RouteResult(refusing: .prohibit)
      }
    }
    return nil
  }
}

extension IPv4Layer {
  /// The route for a packet, of several next hops the first that is alive; our own addresses were looked for before.
  /// Linux: `fib_lookup()`.
  @inline(__always)
  func findRoute(_ key: RouteKey) -> RouteResult? {
    if policy.isDefault { return routes.lookup(key.destination, by: key.asked) }
    return policy.lookup(key, main: routes)
  }

  /// Adds a rule. Linux: `ip rule add`.
  ///
  /// - Throws: EEXIST, ENOBUFS; EINVAL for the `local` table, which is always asked first, and for ports of 0 or 65,535
  ///   and the user 4,294,967,295, which no packet has.
  public mutating func addRule(_ rule: RoutingRule) throws(Errno) {
    if case .lookup(RoutingTableName.local) = rule.action { throw .EINVAL }
    try policy.add(rule)
    routesChanged()
  }

  /// Removes the first rule that fits. Linux: `ip rule del`.
  ///
  /// - Throws: ENOENT.
  public mutating func removeRule(where fits: (RoutingRule) -> Bool) throws(Errno) {
    try policy.remove(where: fits)
    routesChanged()
  }
}
