import Tables
import Wire

extension Words {
  /// An address, or one with the length of its network.
  public mutating func prefix(of name: String) throws(WordError) -> IPv4Prefix {
    try value(
      of: name,
      Quantity("an address or a network, such as 10.0.0.0/24") { word in
        let prefix = IPv4Address(word).flatMap { IPv4Prefix($0, length: 32) } ?? IPv4Prefix(word)
        return prefix?.network == prefix?.address ? prefix : nil
      })
  }

  public mutating func ports(of name: String) throws(WordError) -> ClosedRange<UInt16> {
    try value(of: name, .range("a port or a range of them, such as 80 or 8000-8999"))
  }

  /// One of these words.
  public mutating func choice(of name: String, _ choices: [String]) throws(WordError) -> String {
    let list = choices.dropLast().joined(separator: ", ")
    return try value(
      of: name, Quantity("\(list) or \(choices.last ?? "")") { choices.contains($0) ? $0 : nil })
  }

  /// What was counted so far, as rules are printed: said again it is not taken over.
  public mutating func skipCounts(_ names: [String]) throws(WordError) {
    for name in names where skip(name) {
      _ = try value(of: name, Quantity("a number") { UInt64($0) })
    }
  }
}

extension Quantity<String> {
  /// In quotes or without them, as nft takes it.
  static var interfaceName: Self {
    Self("an interface") { word in
      let isQuoted = word.count > 2 && word.first == "\"" && word.last == "\""
      return word.isEmpty ? nil : isQuoted ? String(word.dropFirst().dropLast()) : word
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
  /// What follows a protocol's name has to be a field of its header.
  public static func checkField(
    behind name: String, of words: inout Words, _ fields: [String]
  ) throws(WordError) {
    var ahead = words
    _ = try ahead.choice(of: name, fields)
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
  public init(_ hook: Hook, parsing words: inout Words) throws(WordError) {
    self.init(hook, .accept)
    while let word = words.next() {
      switch word {
      case "iifname", "iif", "oifname", "oif":
        try words.once(word.hasPrefix("i") ? "iifname" : "oifname")
        let name = try words.value(of: word, .interfaceName)
        if word.hasPrefix("i") { inputInterface = name } else { outputInterface = name }
        guard isPossible else {
          throw WordError(
            "\"\(word)\" cannot match at \(hook.name): a packet there "
              + (word.hasPrefix("i") ? "goes out" : "comes in"))
        }
      case "ip": try RuleText.checkField(behind: word, of: &words, ["saddr", "daddr", "protocol"])
      case "saddr", "daddr":
        try words.once("ip \(word)")
        let prefix = try words.prefix(of: word)
        if word == "saddr" { source = prefix } else { destination = prefix }
      case "protocol":
        try set(
          try words.value(of: word, Quantity("tcp, udp, icmp or a number", RuleText.protocol(named:))))
      case "tcp", "udp":
        try set(word == "tcp" ? .tcp : .udp)
        let field = try words.choice(of: word, ["sport", "dport"])
        try words.once("\(word) \(field)")
        let ports = try words.ports(of: "\(word) \(field)")
        if field == "sport" { sourcePorts = ports } else { destinationPorts = ports }
      case "counter": try words.skipCounts(["packets", "bytes"])
      case "accept", "drop", "reject":
        verdict = word == "accept" ? .accept : word == "drop" ? .drop : .reject
        guard isPossible else {
          throw WordError("\"reject\" cannot stand at \(hook.name): expected accept or drop")
        }
        try words.end(after: word)
        return
      default:
        throw WordError(
          "unknown word \"\(word)\": expected iifname, oifname, ip saddr, ip daddr, ip protocol, tcp, udp, "
            + "accept, drop or reject")
      }
    }
    throw WordError("a verdict is missing: expected accept, drop or reject")
  }

  private mutating func set(_ number: IPProtocol) throws(WordError) {
    if let other = self.protocol, other != number {
      throw WordError(
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
