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
    let list = choices.dropLast().joined(separator: ", ") + (choices.count > 1 ? " or " : "")
    return try value(
      of: name, Quantity("\(list)\(choices.last ?? "")") { choices.contains($0) ? $0 : nil })
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
    ("tcp", .tcp), ("udp", .udp), ("icmp", .icmp), ("udplite", .udpLite),
  ]
}

extension PacketFilter.Rule: CustomStringConvertible {
  /// What `init(parsing:)` takes behind the hook.
  public static let usage = """
    [iifname|oifname IFNAME] [ip saddr|daddr ADDRESS[/LENGTH]] [ip protocol tcp|udp|icmp|NUMBER]
      [tcp|udp sport|dport PORT[-PORT]] [icmp type TYPE] [meta mark MARK[/MASK]] [ct state STATE[,STATE]...]
      [ct mark MARK[/MASK]] [meta mark set MARK|ct mark | ct mark set MARK|meta mark] [accept | drop | reject [with icmp type CODE | with tcp reset] |
      snat|dnat to ADDRESS[-ADDRESS][:PORT[-PORT]] | masquerade [to :PORT[-PORT]] | redirect [to :PORT[-PORT]]]
    """

  /// Reads a rule in nft(8)'s words: `tcp dport 22 ip saddr 10.0.0.0/24 drop`.
  ///
  /// - Throws: a sentence that names the word and what is expected there.
  public init(_ hook: Hook, parsing words: inout Words) throws(WordError) {
    self.init(hook, nil)
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
      case "icmp":
        try set(.icmp)
        _ = try words.choice(of: word, ["type"])
        try words.once("icmp type")
        icmpType = try words.value(
          of: "icmp type", Quantity("a message's name or a number", ICMPTypeName.number))
      case "meta": try RuleText.checkField(behind: word, of: &words, ["mark"])
      case "mark":
        if words.skip("set") {
          try words.once("mark set")
          setsMark = try RuleText.source(of: "mark set", "ct", .connection, &words)
        } else {
          try words.once("mark")
          (mark, markMask) = try words.value(of: "mark", RuleText.markAndMask)
        }
      case "ct": try parseConnection(&words)
      case "counter": try words.skipCounts(["packets", "bytes"])
      case "accept", "drop", "reject", "snat", "dnat", "masquerade", "redirect":
        verdict = try Self.verdict(word, &words)
        try checkVerdict(word)
        try words.end(after: word)
        return
      default:
        throw WordError(
          "unknown word \"\(word)\": expected iifname, oifname, ip saddr, ip daddr, ip protocol, tcp, udp, icmp, "
            + "meta mark, ct state, ct mark, accept, drop, reject, snat, dnat, masquerade or redirect")
      }
    }
    if !setsSomething { throw WordError("a verdict is missing: expected accept, drop or reject") }
    try checkMarks()
  }

  private mutating func parseConnection(_ words: inout Words) throws(WordError) {
    guard try words.choice(of: "ct", ["state", "mark"]) == "mark" else {
      try words.once("ct state")
      states = try words.value(of: "ct state", RuleText.states)
      return
    }
    if words.skip("set") {
      try words.once("ct mark set")
      setsConnectionMark = try RuleText.source(of: "ct mark set", "meta", .packet, &words)
    } else {
      try words.once("ct mark")
      (connectionMark, connectionMarkMask) = try words.value(of: "ct mark", RuleText.markAndMask)
    }
  }

  private func checkMarks() throws(WordError) {
    if setsMark != nil && setsConnectionMark != nil {
      throw WordError("a rule sets the packet's mark or its connection's: say two rules")
    }
  }

  private func checkVerdict(_ word: String) throws(WordError) {
    try checkMarks()
    if isPossible { return }
    switch verdict?.action {
    case .reject(.tcpReset) where self.protocol != .tcp:
      throw WordError("\"reject with tcp reset\" is for TCP: say ip protocol tcp, or a port of it")
    case .translate(let translation) where Translation.isPossible(translation.kind, at: hook):
      throw WordError("\"\(word)\" with ports is for tcp, udp and icmp: say which")
    default:
      let choices = word == "reject" ? "accept or drop" : "accept, drop or reject"
      throw WordError("\"\(word)\" cannot stand at \(hook.name): expected \(choices)")
    }
  }

  private static func verdict(_ word: String, _ words: inout Words) throws(WordError) -> HookVerdict {
    switch word {
    case "accept": return .accept
    case "drop": return .drop
    case "reject": return HookVerdict(.reject(try rejection(&words)))
    case "snat", "dnat":
      _ = try words.choice(of: word, ["to"])
      let target = try words.value(of: "\(word) to", RuleText.target(needsAddress: true))
      return HookVerdict(
        .translate(
          Translation(
            word == "snat" ? .source : .destination, addresses: target.addresses, ports: target.ports)))
    default:
      let kind: Translation.Kind = word == "masquerade" ? .masquerade : .redirect
      guard words.skip("to") else { return HookVerdict(.translate(Translation(kind))) }
      let target = try words.value(of: "\(word) to", RuleText.target(needsAddress: false))
      return HookVerdict(.translate(Translation(kind, ports: target.ports)))
    }
  }

  private static func rejection(_ words: inout Words) throws(WordError) -> HookRejection {
    guard words.skip("with") else { return .administrativelyProhibited }
    if try words.choice(of: "with", ["icmp", "tcp"]) == "tcp" {
      _ = try words.choice(of: "tcp", ["reset"])
      return .tcpReset
    }
    _ = words.skip("type")
    let codes = HookRejection.allCases.filter { $0.code != nil }
    let name = try words.choice(of: "icmp", codes.map(\.name))
    return codes.first { $0.name == name } ?? .administrativelyProhibited
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
      if let icmpType { words.append("icmp type \(ICMPTypeName.text(icmpType))") }
      if sourcePorts == nil && destinationPorts == nil && icmpType == nil {
        words.append("ip protocol \(name)")
      }
    }
    if let mark { words.append("meta mark \(RuleText.mark(mark, markMask))") }
    if let states {
      let names = ConnectionState.allCases.filter { states.contains($0) }.map(\.name)
      words.append("ct state \(names.joined(separator: ","))")
    }
    if let connectionMark {
      words.append("ct mark \(RuleText.mark(connectionMark, connectionMarkMask))")
    }
    words.append("counter packets \(packetCount) bytes \(byteCount)")
    if let setsMark { words.append("meta mark set \(RuleText.source(setsMark))") }
    if let setsConnectionMark { words.append("ct mark set \(RuleText.source(setsConnectionMark))") }
    if let verdict { words.append(RuleText.verdict(verdict)) }
    return words.joined(separator: " ")
  }
}

/// ICMP messages as nft(8) names them.
enum ICMPTypeName {
  private static let names: [(String, UInt8)] = [
    ("echo-reply", 0), ("destination-unreachable", 3), ("source-quench", 4), ("redirect", 5),
    ("echo-request", 8), ("time-exceeded", 11), ("parameter-problem", 12), ("timestamp-request", 13),
    ("timestamp-reply", 14),
  ]
  static func number(_ word: String) -> UInt8? { names.first { $0.0 == word }?.1 ?? UInt8(word) }
  static func text(_ type: UInt8) -> String { names.first { $0.1 == type }?.0 ?? "\(type)" }
}

extension RuleText {
  /// A number, or the other one's mark.
  ///
  /// - Parameter other: the word before `mark` that says so.
  static func source(
    of name: String, _ other: String, _ source: PacketFilter.MarkSource, _ words: inout Words
  ) throws(WordError) -> PacketFilter.MarkSource {
    if words.skip(other) {
      _ = try words.choice(of: other, ["mark"])
      return source
    }
    return .number(
      try words.value(of: name, Quantity("a number, such as 1 or 0x1, or \(other) mark") { number($0) }))
  }
  static func source(_ source: PacketFilter.MarkSource) -> String {
    switch source {
    case .number(let mark): self.mark(mark, .max)
    case .packet: "meta mark"
    case .connection: "ct mark"
    }
  }

  static func mark(_ mark: UInt32, _ mask: UInt32) -> String {
    let digits = String(mark, radix: 16)
    let text = "0x" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    return mask == .max ? text : "\(text)/0x\(String(mask, radix: 16))"
  }

  static func verdict(_ verdict: HookVerdict) -> String {
    switch verdict.action {
    case .accept: return "accept"
    case .drop: return "drop"
    case .reject(.administrativelyProhibited): return "reject"
    case .reject(.tcpReset): return "reject with tcp reset"
    case .reject(let kind): return "reject with icmp type \(kind.name)"
    case .translate(let translation):
      let ports = translation.ports.map { ":\(Self.ports($0))" } ?? ""
      switch translation.kind {
      case .source, .destination:
        let list = translation.addresses ?? .any...(.any)
        let addresses =
          list.lowerBound == list.upperBound ? "\(list.lowerBound)" : "\(list.lowerBound)-\(list.upperBound)"
        return "\(translation.kind == .source ? "snat" : "dnat") to \(addresses)\(ports)"
      case .masquerade: return ports.isEmpty ? "masquerade" : "masquerade to \(ports)"
      case .redirect: return ports.isEmpty ? "redirect" : "redirect to \(ports)"
      }
    }
  }

  /// A number, decimal or with `0x` in front.
  public static func number(_ word: String) -> UInt32? {
    word.hasPrefix("0x") ? UInt32(word.dropFirst(2), radix: 16) : UInt32(word)
  }
  /// A mark, and which bits of it count.
  public static var markAndMask: Quantity<(UInt32, UInt32)> {
    Quantity("a mark, such as 1, 0x1 or 0x1/0xff") { word in
      let parts = word.split(separator: "/", omittingEmptySubsequences: false).map { number(String($0)) }
      guard parts.count <= 2, let mark = parts.first ?? nil, let mask = parts.count == 2 ? parts[1] : .max
      else {
        return nil
      }
      return (mark, mask)
    }
  }
  static var states: Quantity<Set<ConnectionState>> {
    Quantity("new, established, related, invalid, or some of them with commas between") { word in
      let names = word.split(separator: ",", omittingEmptySubsequences: false)
      let states = names.compactMap { name in ConnectionState.allCases.first { $0.name == name } }
      return states.count == names.count ? Set(states) : nil
    }
  }

  /// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, or ports alone.
  static func target(
    needsAddress: Bool
  ) -> Quantity<(addresses: ClosedRange<IPv4Address>?, ports: ClosedRange<UInt16>?)> {
    Quantity(needsAddress ? "an address, such as 10.0.0.5 or 10.0.0.5:8080" : "a port, such as :8080") {
      word in
      let parts = word.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard parts.count <= 2, let first = parts.first, first.isEmpty != needsAddress else { return nil }
      var ports: ClosedRange<UInt16>?
      if parts.count == 2 {
        ports = Quantity<ClosedRange<UInt16>>.range("ports").parse(parts[1])
        if ports == nil { return nil }
      }
      if !needsAddress { return ports.map { (nil, $0) } }
      let ends = first.split(separator: "-", omittingEmptySubsequences: false).map { IPv4Address(String($0)) }
      guard ends.count <= 2, let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high else {
        return nil
      }
      return (low...high, ports)
    }
  }
}
