import NetNamespace
import Wire

/// Rules that decide about packets: the hooks' client that `swiftstack filter` sets. Linux: `iptables`' filter table.
///
/// The first rule that matches decides; a packet that none matches is accepted.
public final class PacketFilter: HookClient {
  /// What has to match, and what becomes of the packet then. What is `nil` matches everything.
  public struct Rule: Sendable, Equatable {
    /// Where it is asked.
    public var hook: Hook
    /// The number in the IP header.
    public var `protocol`: IPProtocol?
    public var source: IPv4Prefix?
    public var destination: IPv4Prefix?
    /// TCP's or UDP's; a later fragment has none and does not match.
    public var sourcePorts: ClosedRange<UInt16>?
    public var destinationPorts: ClosedRange<UInt16>?
    /// Where the packet came in: for `prerouting` and `input`.
    public var inputInterface: String?
    /// Where it goes out: for `output` and `postrouting`.
    public var outputInterface: String?
    public var verdict: HookVerdict
    /// Names the rule; given when it is added.
    public internal(set) var handle: UInt32 = 0
    /// Packets the rule decided about, and their bytes from the IP header on.
    public internal(set) var packetCount: UInt64 = 0
    public internal(set) var byteCount: UInt64 = 0

    public init(_ hook: Hook, _ verdict: HookVerdict) {
      self.hook = hook
      self.verdict = verdict
    }

    /// As long as rules are added one by one to every shard, each has the same ones: adds what another shard's counted.
    public mutating func addCounts(of other: Rule) {
      packetCount += other.packetCount
      byteCount += other.byteCount
    }
  }

  public private(set) var rules: [Rule] = []

  public init() {}

  /// Adds a rule behind the others.
  ///
  /// - Throws: EINVAL for a rule that cannot be: `reject` elsewhere than at `input` and `output`, an interface on the other
  ///   way, ports without TCP or UDP.
  public func append(_ rule: Rule, handle: UInt32) throws(Errno) {
    guard rule.isPossible else { throw .EINVAL }
    var rule = rule
    rule.handle = handle
    rules.append(rule)
  }

  /// - Throws: ENOENT when there is no such rule at this hook.
  public func remove(_ hook: Hook, handle: UInt32) throws(Errno) {
    guard let index = rules.firstIndex(where: { $0.hook == hook && $0.handle == handle }) else {
      throw .ENOENT
    }
    rules.remove(at: index)
  }

  /// Where there are rules.
  public var hooks: HookSet { rules.reduce(into: []) { $0.insert(HookSet($1.hook)) } }

  public func verdict(on packet: borrowing HookPacket) -> HookVerdict {
    for index in rules.indices where rules[index].matches(packet) {
      rules[index].packetCount &+= 1
      rules[index].byteCount &+= UInt64(packet.byteCount)
      return rules[index].verdict
    }
    return .accept
  }
}

extension PacketFilter.Rule {
  var isPossible: Bool {
    let comesIn = hook == .prerouting || hook == .input
    if verdict == .reject && hook != .input && hook != .output { return false }
    if comesIn ? outputInterface != nil : inputInterface != nil { return false }
    let hasPorts = sourcePorts != nil || destinationPorts != nil
    return !hasPorts || self.protocol == .tcp || self.protocol == .udp
  }

  func matches(_ packet: borrowing HookPacket) -> Bool {
    if packet.hook != hook { return false }
    if let number = self.protocol, number != packet.protocol { return false }
    if let source, !(packet.source.v4.map { source.contains($0) } ?? false) { return false }
    if let destination, !(packet.destination.v4.map { destination.contains($0) } ?? false) { return false }
    if let sourcePorts {
      guard let port = packet.sourcePort, sourcePorts.contains(port) else { return false }
    }
    if let destinationPorts {
      guard let port = packet.destinationPort, destinationPorts.contains(port) else { return false }
    }
    if let inputInterface, inputInterface != packet.inputInterface { return false }
    if let outputInterface, outputInterface != packet.outputInterface { return false }
    return true
  }
}
