import Control
import IPv4
import Netfilter
import Shard
import Sockets

/// A rule about routing tables with its interfaces by their names, as whoever adds it has them.
public struct NamedRule: Equatable, Sendable {
  /// All but the interfaces.
  public var rule: RoutingRule
  /// The interface that a packet came in by; `lo` for the stack's own.
  public var inputInterface: String?
  /// The interface that a socket is bound to.
  public var outputInterface: String?
  /// Without one it goes in front of the others.
  public var hasPriority: Bool
  /// Whether it says what is done: to remove a rule that need not be said.
  public var hasAction: Bool

  public init(
    _ rule: RoutingRule, inputInterface: String? = nil, outputInterface: String? = nil,
    hasPriority: Bool = true, hasAction: Bool = true
  ) {
    self.rule = rule
    self.inputInterface = inputInterface
    self.outputInterface = outputInterface
    self.hasPriority = hasPriority
    self.hasAction = hasAction
  }
}

extension Stack {
  /// Adds a rule about which routing table packets' ways are looked up in. Linux: `ip rule add`.
  ///
  /// - Throws: `StackError` with EEXIST for one that is there, ENOBUFS beyond 4,096, EINVAL for the `local` table, which is
  ///   always asked first, and for a port of 0 or 65,535; ENODEV for an interface that is none.
  public func addRule(_ named: NamedRule) throws(StackError) {
    let rule = try resolved(named)
    try change("rule add \(rule.text { _ in "" })") { (state) throws(Errno) in
      var rule = rule
      if !named.hasPriority { rule.priority = state.host.internet.policy.nextPriority }
      try state.host.internet.addRule(rule)
    }
  }

  /// Removes the first rule that has what this one has. Linux: `ip rule del`.
  ///
  /// - Throws: `StackError` with ENOENT when there is none; ENODEV.
  public func removeRule(_ named: NamedRule) throws(StackError) {
    let wanted = try resolved(named)
    try change("rule del \(wanted.text { _ in "" })") { (state) throws(Errno) in
      try state.host.internet.removeRule { rule in
        if named.hasPriority && rule.priority != wanted.priority { return false }
        if named.hasAction && rule.action != wanted.action { return false }
        if wanted.isInverted && !rule.isInverted { return false }
        if wanted.markMask != 0 && (wanted.mark != rule.mark || wanted.markMask != rule.markMask) {
          return false
        }
        if wanted.typeOfService != 0 && wanted.typeOfService != rule.typeOfService { return false }
        if let users = wanted.users, users != rule.users { return false }
        if let number = wanted.protocol, number != rule.protocol { return false }
        if let ports = wanted.sourcePorts, ports != rule.sourcePorts { return false }
        if let ports = wanted.destinationPorts, ports != rule.destinationPorts { return false }
        if let length = wanted.suppressedPrefixLength, length != rule.suppressedPrefixLength { return false }
        if let source = wanted.source, source != rule.source { return false }
        if let destination = wanted.destination, destination != rule.destination { return false }
        if let input = wanted.inputInterface, input != rule.inputInterface { return false }
        if let output = wanted.outputInterface, output != rule.outputInterface { return false }
        return true
      }
    }
  }

  private func resolved(_ named: NamedRule) throws(StackError) -> RoutingRule {
    var rule = named.rule
    rule.inputInterface = try index(named.inputInterface)
    rule.outputInterface = try index(named.outputInterface)
    return rule
  }

  /// - Returns: `nil` for no name.
  private func index(_ name: String?) throws(StackError) -> InterfaceIndex? {
    guard let name else { return nil }
    let found = try known(name)
    return found ?? shards[0].inspect { $0.ethernet }
  }

  /// The rules in the order in which they are asked, as `ip rule` shows them.
  public var ruleReports: [RoutingRuleReport] {
    shards[0].inspect { state in
      [RoutingRuleReport(priority: 0, text: "from all lookup local")]
        + state.host.internet.policy.rules.map { rule in
          RoutingRuleReport(
            priority: rule.priority, text: rule.text { state.host.link.devices[$0].name })
        }
    }
  }
}

extension StackChange {
  /// `rule add|del ...`
  static func rule(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["add", "del"])
    var rule = RoutingRule(priority: 0, action: .lookup(RoutingTableName.main))
    var input: String?
    var output: String?
    var hasPriority = false
    var hasAction = false
    while let word = words.peek {
      words.skip()
      switch word {
      case "not": rule.isInverted = true
      case "unreachable", "blackhole", "prohibit":
        rule.action = word == "unreachable" ? .unreachable : word == "blackhole" ? .blackhole : .prohibit
        hasAction = true
      case "from", "to", "fwmark", "iif", "oif", "tos", "dsfield", "priority", "preference", "pref", "order",
        "table", "lookup", "uidrange", "ipproto", "sport", "dport", "suppress_prefixlength", "sup_pl":
        try words.once(word)
        try set(word, try words.next("a value for \(word)"), &rule, &input, &output)
        if word.hasPrefix("pr") || word == "order" { hasPriority = true }
        if word == "table" || word == "lookup" { hasAction = true }
      default:
        throw StackError(
          "\"\(word)\" is unknown here: not, from, to, fwmark, iif, oif, tos, uidrange, ipproto, sport, dport, "
            + "priority, lookup, suppress_prefixlength, unreachable, blackhole and prohibit can be said of a rule"
        )
      }
    }
    if verb == "add" && !hasAction { throw StackError("a rule needs an action, such as lookup TABLE") }
    let named = NamedRule(
      rule, inputInterface: input, outputInterface: output, hasPriority: hasPriority, hasAction: hasAction)
    return verb == "add" ? .addRoutingRule(named) : .removeRoutingRule(named)
  }

  /// What lies between two numbers, or one, in decimal.
  private enum WordRange<Number: FixedWidthInteger> {
    case ordered(ClosedRange<Number>), reversed
  }

  /// - Returns: `nil` for what is no range.
  private static func range<Number: FixedWidthInteger>(_ text: String, isSingle: Bool) -> WordRange<Number>? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Number($0) }
    guard numbers.count == parts.count, let first = numbers.first, let last = numbers.last,
      numbers.count == 2 || isSingle && numbers.count == 1
    else { return nil }
    return first <= last ? .ordered(first...last) : .reversed
  }

  private static func set(
    _ word: String, _ value: String, _ rule: inout RoutingRule, _ input: inout String?,
    _ output: inout String?
  ) throws(StackError) {
    switch word {
    case "from", "to":
      if value == "all" || value == "any" { return }
      let prefix = IPv4Address(value).flatMap { IPv4Prefix($0, length: 32) } ?? IPv4Prefix(value)
      guard let prefix, prefix.address == prefix.network else {
        throw StackError("inet prefix is expected rather than \"\(value)\"")
      }
      if word == "from" { rule.source = prefix } else { rule.destination = prefix }
    case "fwmark":
      guard let (mark, mask) = RuleText.markAndMask.parse(value) else {
        throw StackError("argument \"\(value)\" is wrong: fwmark value is invalid")
      }
      (rule.mark, rule.markMask) = (mark & mask, mask)
    case "iif": input = value
    case "oif": output = value
    case "tos", "dsfield":
      guard let number = RuleText.number(value), number <= 255, number & 3 == 0 else {
        throw StackError("argument \"\(value)\" is wrong: TOS value is invalid")
      }
      rule.typeOfService = UInt8(number)
    case "uidrange":
      guard let users: WordRange<UInt32> = range(value, isSingle: false) else {
        throw StackError("argument \"\(value)\" is wrong: invalid UID range")
      }
      guard case .ordered(let users) = users, users.upperBound < .max else {
        throw StackError("Invalid uid range.", code: .EINVAL)
      }
      rule.users = users
    case "ipproto":
      guard let number = IPProtocolName.number(value) else {
        throw StackError("argument \"\(value)\" is wrong: Invalid \"ipproto\" value")
      }
      rule.protocol = number.rawValue == 0 ? nil : number
    case "sport", "dport":
      guard let ports: WordRange<UInt16> = range(value, isSingle: true) else {
        throw StackError("argument \"\(value)\" is wrong: invalid \(word) range")
      }
      guard case .ordered(let ports) = ports, ports.lowerBound > 0, ports.upperBound < .max else {
        throw StackError("Invalid \(word) range.", code: .EINVAL)
      }
      if word == "sport" { rule.sourcePorts = ports } else { rule.destinationPorts = ports }
    case "suppress_prefixlength", "sup_pl":
      guard let length = RuleText.number(value), length <= Int32.max else {
        throw StackError("argument \"\(value)\" is wrong: suppress_prefixlength value is invalid")
      }
      rule.suppressedPrefixLength = Int(length)
    case "table", "lookup": rule.action = .lookup(try ChangeWords.table(value))
    default: rule.priority = UInt32(try ChangeWords.number(value, "priority", 0...Int(UInt32.max)))
    }
  }
}
