import IPv4
import Shard
import Tables

/// The words of a change: what iproute2 has beside values that stand behind their names.
struct ChangeWords {
  private var words: Words
  /// The object that changes.
  private let object: String
  /// The stack's interface beside `lo`; `nil`: not known here.
  let device: String?
  /// The interface that `dev` named; `nil`: none.
  private(set) var named: String?

  /// The stack's further interfaces.
  private let others: [String]

  init(_ words: [String], device: String?, others: [String]) {
    self.others = others
    self.words = Words(words)
    object = words.first ?? ""
    self.device = device
  }

  var peek: String? { words.peek }
  mutating func skip() { _ = words.next() }
  /// All that is left.
  mutating func rest() -> [String] { words.rest() }

  mutating func next(_ wanted: String) throws(StackError) -> String {
    guard let word = words.next() else {
      throw StackError("\(words.said) is incomplete: \(wanted) is expected")
    }
    return word
  }

  @discardableResult
  mutating func expect(_ verbs: [String]) throws(StackError) -> String {
    let list = verbs.joined(separator: ", ")
    let verb = try next(list)
    guard verbs.contains(verb) else {
      throw StackError("command \"\(verb)\" is unknown: \(object) takes \(list)")
    }
    return verb
  }

  func end() throws(StackError) {
    if let word = peek { throw StackError("\"\(word)\" after \(words.said) is one word too many") }
  }

  /// Notes that something was said, which may be said once.
  mutating func once(_ what: String) throws(StackError) {
    do throws(WordError) { try words.once(what) } catch { throw StackError(error.description) }
  }

  /// Pairs of a name and a value up to the end, or to a word, each name once; `dev` is looked after here.
  mutating func options(
    _ names: [String], until last: String? = nil, _ body: (String, String) throws(StackError) -> Void
  ) throws(StackError) {
    while let name = peek, name != last {
      guard names.contains(name) else {
        throw StackError(
          "\"\(name)\" is unknown here: \(names.joined(separator: ", ")) can follow \(words.said)")
      }
      try once(name)
      skip()
      let value = try next("a value for \(name)")
      if name == "dev" { try note(device: value) } else { try body(name, value) }
    }
  }

  // MARK: The interface

  private mutating func note(device name: String) throws(StackError) {
    try check(device: name)
    named = name
  }

  private func check(device name: String) throws(StackError) {
    if let device, name != device, name != Stack.loopbackName, !others.contains(name) {
      throw StackError("Cannot find device \"\(name)\"", code: .ENODEV)
    }
  }

  /// `nexthop [via GATEWAY] [dev IFNAME] [weight N]`, as many as there are, up to the end. Linux: `parse_nexthops()` of iproute2.
  mutating func nextHops() throws(StackError) -> [NamedNextHop] {
    var hops: [NamedNextHop] = []
    while words.skip("nexthop") {
      guard peek != nil else { throw StackError("unexpected end of line after \"nexthop\"") }
      var hop = NamedNextHop()
      while let name = peek, name != "nexthop" {
        guard ["via", "dev", "weight"].contains(name) else {
          throw StackError("\"nexthop\" or end of line is expected instead of \"\(name)\"")
        }
        skip()
        let value = try next("a value for \(name)")
        switch name {
        case "via": hop.gateway = try Self.address(value)
        case "dev":
          try check(device: value)
          hop.device = value
        default:
          guard let weight = Int(value), (1...256).contains(weight) else {
            throw StackError("argument \"\(value)\" is wrong: \"weight\" is invalid")
          }
          hop.weight = weight
        }
      }
      hops.append(hop)
    }
    return hops
  }

  /// The interface that `dev` named, where it is not the one that is meant without; `nil`: that one.
  var other: String? { named == device ? nil : named }

  /// `dev IFNAME` where it may stand before the rest.
  mutating func skipDevice() throws(StackError) {
    if words.skip("dev") { try note(device: try next("a value for dev")) }
  }

  /// The same, or the name alone where a word can be nothing else: none of `others`.
  mutating func skipDevice(others: [String]) throws(StackError) {
    if words.skip("dev") { return try note(device: try next("an interface")) }
    if let word = peek, !others.contains(word) {
      try note(device: word)
      skip()
    }
  }

  // MARK: Values

  mutating func address() throws(StackError) -> IPv4Address { try Self.address(try next("an address")) }

  static func address(_ text: String) throws(StackError) -> IPv4Address {
    guard let address = IPv4Address(text) else {
      throw StackError("inet address is expected rather than \"\(text)\"")
    }
    return address
  }

  /// A routing table by its number or name.
  static func table(_ text: String) throws(StackError) -> UInt32 {
    guard let number = RoutingTableName.number(text) else {
      throw StackError("argument \"\(text)\" is wrong: table id value is invalid")
    }
    return number
  }

  static func station(_ text: String) throws(StackError) -> MACAddress {
    guard let address = MACAddress(text) else {
      throw StackError("\"\(text)\" is invalid lladdr: it is not like 02:00:00:00:00:01")
    }
    return address
  }

  static func number(_ text: String, _ name: String, _ range: ClosedRange<Int>) throws(StackError) -> Int {
    guard let value = Quantity.count(name, in: range).parse(text) else {
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
    if let everything = IPv4Prefix(.any, length: 0), words.skip("default") { return everything }
    let prefix = try hostPrefix()
    guard prefix.address == prefix.network else {
      throw StackError("\(prefix) has bits set beyond its length: Invalid argument")
    }
    return prefix
  }
}
