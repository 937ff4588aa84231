/// The rules at one hook, and what passed it.
public struct ChainReport: Codable, Equatable, Sendable {
  /// The hook's name, or `send`.
  public var chain: String
  /// Packets while there were rules or clients; `nil` where rules count alone.
  public var accepted: UInt64?
  /// Packets that were thrown away there.
  public var dropped: UInt64?
  /// In the order in which they are asked.
  public var rules: [RuleReport]
  public init(
    chain: String, accepted: UInt64? = nil, dropped: UInt64? = nil, rules: [RuleReport] = []
  ) {
    self.chain = chain
    self.accepted = accepted
    self.dropped = dropped
    self.rules = rules
  }
}

/// A rule about routing tables.
public struct RoutingRuleReport: Codable, Equatable, Sendable {
  /// Lower ones are asked first.
  public var priority: UInt32
  /// The rule in `ip rule`'s words.
  public var text: String
  public init(priority: UInt32, text: String) {
    self.priority = priority
    self.text = text
  }
}

/// A tracked connection.
public struct ConnectionReport: Codable, Equatable, Sendable {
  /// As `conntrack -L` prints it.
  public var line: String
  public init(line: String) { self.line = line }
}

/// One rule, as `filter add` takes it, with its counters.
public struct RuleReport: Codable, Equatable, Sendable {
  /// Names it for `filter del`.
  public var handle: UInt32
  /// The rule in words.
  public var text: String
  public init(handle: UInt32, text: String) {
    self.handle = handle
    self.text = text
  }
}
