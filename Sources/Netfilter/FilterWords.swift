import Wire

/// What is wrong with the words that describe a rule: a sentence with the word and what is expected.
public struct RuleSyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// The words of a rule, taken one by one. Matches are nft(8)'s.
public struct RuleWords {
  private var rest: ArraySlice<String>
  public init(_ words: [String]) { rest = words[...] }

  public mutating func next() -> String? { rest.popFirst() }

  /// The word behind another one.
  public mutating func value<Value>(
    of name: String, _ expected: String, _ parse: (String) -> Value?
  ) throws(RuleSyntaxError) -> Value {
    guard let word = rest.popFirst() else {
      throw RuleSyntaxError("\"\(name)\" needs a value: expected \(expected)")
    }
    guard let value = parse(word) else {
      throw RuleSyntaxError("illegal value for \"\(name)\": \"\(word)\": expected \(expected)")
    }
    return value
  }

  /// Says that nothing may follow.
  public func end(after word: String) throws(RuleSyntaxError) {
    if let more = rest.first { throw RuleSyntaxError("nothing follows \"\(word)\", there is \"\(more)\"") }
  }

  /// An address, or one with the length of its network.
  public mutating func prefix(of name: String) throws(RuleSyntaxError) -> IPv4Prefix {
    try value(of: name, "an address or a network, such as 10.0.0.0/24") { word in
      let prefix = IPv4Address(word).flatMap { IPv4Prefix($0, length: 32) } ?? IPv4Prefix(word)
      return prefix?.network == prefix?.address ? prefix : nil
    }
  }

  public mutating func ports(of name: String) throws(RuleSyntaxError) -> ClosedRange<UInt16> {
    try value(of: name, "a port or a range of them, such as 80 or 8000-8999") { word in
      let ends = word.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
      guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else {
        return nil
      }
      return first...last
    }
  }
}

/// How rules are written.
public enum RuleText {
  public static func prefix(_ prefix: IPv4Prefix) -> String {
    prefix.length == 32 ? "\(prefix.address)" : "\(prefix)"
  }
  public static func ports(_ ports: ClosedRange<UInt16>) -> String {
    ports.count == 1 ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
  }
  /// TCP, UDP and ICMP have names.
  public static func `protocol`(_ number: IPProtocol) -> String {
    names.first { $0.number == number }?.name ?? "\(number.rawValue)"
  }
  public static func `protocol`(named word: String) -> IPProtocol? {
    if let known = names.first(where: { $0.name == word }) { return known.number }
    return UInt8(word).map { IPProtocol(rawValue: $0) }
  }
  private static let names: [(name: String, number: IPProtocol)] = [
    ("tcp", .tcp), ("udp", .udp), ("icmp", .icmp),
  ]
}

extension PacketFilter.Rule: CustomStringConvertible {
  /// What `init(parsing:)` takes behind the hook.
  public static let usage = """
    [iifname|oifname IFNAME] [ip saddr|daddr ADDRESS[/LENGTH]] [ip protocol tcp|udp|icmp|NUMBER]
      [tcp|udp sport|dport PORT[-PORT]] accept|drop|reject
    """

  /// Reads a rule in nft(8)'s words: `tcp dport 22 ip saddr 10.0.0.0/24 drop`.
  ///
  /// - Throws: a sentence that names the word and what is expected there.
  public init(_ hook: Hook, parsing words: inout RuleWords) throws(RuleSyntaxError) {
    self.init(hook, .accept)
    while let word = words.next() {
      switch word {
      case "iifname", "iif", "oifname", "oif":
        let name = try words.value(of: word, "an interface") { $0.isEmpty ? nil : $0 }
        if word.hasPrefix("i") { inputInterface = name } else { outputInterface = name }
        guard isPossible else {
          throw RuleSyntaxError(
            "\"\(word)\" cannot match at \(hook.name): a packet there "
              + (word.hasPrefix("i") ? "goes out" : "comes in"))
        }
      case "ip": continue
      case "saddr": source = try words.prefix(of: word)
      case "daddr": destination = try words.prefix(of: word)
      case "protocol":
        try set(try words.value(of: word, "tcp, udp, icmp or a number", RuleText.protocol(named:)))
      case "tcp", "udp":
        try set(word == "tcp" ? .tcp : .udp)
        let field = try words.value(of: word, "sport or dport") {
          $0 == "sport" || $0 == "dport" ? $0 : nil
        }
        let ports = try words.ports(of: "\(word) \(field)")
        if field == "sport" { sourcePorts = ports } else { destinationPorts = ports }
      case "counter": continue
      case "accept", "drop", "reject":
        verdict = word == "accept" ? .accept : word == "drop" ? .drop : .reject
        guard isPossible else {
          throw RuleSyntaxError("\"reject\" cannot stand at \(hook.name): expected accept or drop")
        }
        try words.end(after: word)
        return
      default:
        throw RuleSyntaxError(
          "unknown word \"\(word)\": expected iifname, oifname, ip saddr, ip daddr, ip protocol, tcp, udp, "
            + "accept, drop or reject")
      }
    }
    throw RuleSyntaxError("a verdict is missing: expected accept, drop or reject")
  }

  private mutating func set(_ number: IPProtocol) throws(RuleSyntaxError) {
    if let other = self.protocol, other != number {
      throw RuleSyntaxError(
        "a packet cannot be both \(RuleText.protocol(other)) and \(RuleText.protocol(number))")
    }
    self.protocol = number
  }

  /// As `nft -a list chain`, but for the handle.
  public var description: String {
    var words: [String] = []
    if let inputInterface { words.append("iifname \"\(inputInterface)\"") }
    if let outputInterface { words.append("oifname \"\(outputInterface)\"") }
    if let source { words.append("ip saddr \(RuleText.prefix(source))") }
    if let destination { words.append("ip daddr \(RuleText.prefix(destination))") }
    if let number = self.protocol {
      let name = RuleText.protocol(number)
      if let sourcePorts { words.append("\(name) sport \(RuleText.ports(sourcePorts))") }
      if let destinationPorts { words.append("\(name) dport \(RuleText.ports(destinationPorts))") }
      if sourcePorts == nil && destinationPorts == nil { words.append("ip protocol \(name)") }
    }
    words.append("counter packets \(packetCount) bytes \(byteCount) \(verdict)")
    return words.joined(separator: " ")
  }
}
