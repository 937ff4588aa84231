import NetNamespace
import Netfilter
import Tables
import Wire

extension SendPolicy.Rule: CustomStringConvertible {
  /// What `init(parsing:)` takes behind `send`.
  public static let usage = """
    [ip daddr ADDRESS[/LENGTH]] [ip protocol tcp|udp|icmp] [tcp|udp dport PORT[-PORT]] [length BYTES[-BYTES]]
      accept | reject [with ERRNO]
    """

  /// What a send may be refused with: no other errno is one that a program expects of a policy.
  private static let vetoes: [(name: String, errno: Errno)] = [
    ("EPERM", .EPERM), ("EACCES", .EACCES), ("EMSGSIZE", .EMSGSIZE), ("ENOBUFS", .ENOBUFS),
    ("ENETUNREACH", .ENETUNREACH), ("EHOSTUNREACH", .EHOSTUNREACH), ("ECONNREFUSED", .ECONNREFUSED),
  ]

  /// Reads a rule: `udp dport 53 reject with EACCES`.
  ///
  /// - Throws: a sentence that names the word and what is expected there.
  public init(parsing words: inout Words) throws(WordError) {
    self.init(veto: nil)
    while let word = words.next() {
      switch word {
      case "ip": try RuleText.checkField(behind: word, of: &words, ["daddr", "protocol"])
      case "counter": try words.skipCounts(["sends"])
      case "daddr":
        try words.once("ip daddr")
        destination = try words.prefix(of: word)
      case "protocol":
        try set(try words.value(of: word, Quantity("tcp, udp or icmp") { Self.kinds[$0] }))
      case "tcp", "udp":
        try set(Self.kinds[word])
        _ = try words.value(of: word, Quantity("dport") { $0 == "dport" ? $0 : nil })
        try words.once("\(word) dport")
        ports = try words.ports(of: "\(word) dport")
      case "length":
        try words.once(word)
        let range: ClosedRange<UInt32> = try words.value(
          of: word, .range("a number of bytes or a range of them, such as 1000-9999"))
        byteCounts = Int(range.lowerBound)...Int(range.upperBound)
      case "accept":
        try words.end(after: word)
        return
      case "reject":
        veto = .EPERM
        guard let next = words.next() else { return }
        guard next == "with" else { throw WordError("expected \"with\" rather than \"\(next)\"") }
        let names = Self.vetoes.map(\.name).joined(separator: ", ")
        veto = try words.value(
          of: next, Quantity("one of \(names)") { word in Self.vetoes.first { $0.name == word }?.errno })
        try words.end(after: word)
        return
      default:
        throw WordError(
          "unknown word \"\(word)\": expected ip daddr, ip protocol, tcp, udp, length, accept or reject")
      }
    }
    throw WordError("a verdict is missing: expected accept or reject")
  }

  private mutating func set(_ kind: SocketID.Kind?) throws(WordError) {
    if let other = self.kind, other != kind {
      throw WordError("a send cannot be both \(Self.name(of: other)) and \(Self.name(of: kind))")
    }
    self.kind = kind
  }

  private static func name(of kind: SocketID.Kind?) -> String { kinds.first { $0.value == kind }?.key ?? "" }

  private static let kinds: [String: SocketID.Kind] = [
    "tcp": .tcp, "udp": .udp, "icmp": .ping, "udplite": .udpLite,
  ]

  /// As it is written.
  public var description: String {
    var words: [String] = []
    if let destination { words.append("ip daddr \(RuleText.prefix(destination))") }
    let name = kind.flatMap { kind in Self.kinds.first { $0.value == kind }?.key }
    if let ports, let name { words.append("\(name) dport \(RuleText.ports(ports))") }
    if let name, ports == nil { words.append("ip protocol \(name)") }
    if let byteCounts {
      let isOne = byteCounts.count == 1
      words.append("length \(byteCounts.lowerBound)\(isOne ? "" : "-\(byteCounts.upperBound)")")
    }
    words.append("counter sends \(sendCount)")
    if let veto {
      words.append("reject with \(Self.vetoes.first { $0.errno == veto }?.name ?? "\(veto)")")
    } else {
      words.append("accept")
    }
    return words.joined(separator: " ")
  }
}
