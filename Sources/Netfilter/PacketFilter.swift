import NetNamespace
import Wire

/// Rules that decide about packets: the hooks' client that `swiftstack filter` sets. Linux: one chain of `nft` at each hook.
///
/// The rules of a hook are asked in their order until one decides; a packet about which none does is accepted. A rule that only
/// sets a mark decides nothing. One that translates addresses is asked about the first packet of a connection alone, and
/// whatever it says holds for all the others. Rules see a packet as it is before addresses are translated at their hook.
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
    /// Of an ICMP message.
    public var icmpType: UInt8?
    /// Where the packet came in: for `prerouting`, `input` and `forward`.
    public var inputInterface: String?
    /// Where it goes out: for `forward`, `output` and `postrouting`.
    public var outputInterface: String?
    /// The packet's mark, of which the bits of `markMask` are compared.
    public var mark: UInt32?
    public var markMask: UInt32 = .max
    /// The mark of the packet's connection, of which the bits of `connectionMarkMask` are compared; a packet of none does not
    /// match. A rule that asks has connections tracked.
    public var connectionMark: UInt32?
    public var connectionMarkMask: UInt32 = .max
    /// What the packet may be to its connection. A rule that asks has connections tracked.
    public var states: Set<ConnectionState>?
    /// What becomes of the packet; `nil`: the rule only sets a mark, and the next one is asked.
    public var verdict: HookVerdict?
    /// A mark that the packet gets. From a connection only a packet that is of one gets it; others do not match.
    public var setsMark: MarkSource?
    /// A mark that the packet's connection gets, if it is of one; not in a rule that sets the packet's. Linux: CONNMARK.
    public var setsConnectionMark: MarkSource?
    /// Names the rule; given when it is added.
    public internal(set) var handle: UInt32 = 0
    /// Packets the rule matched, and their bytes from the IP header on.
    public internal(set) var packetCount: UInt64 = 0
    public internal(set) var byteCount: UInt64 = 0

    public init(_ hook: Hook, _ verdict: HookVerdict?) {
      self.hook = hook
      self.verdict = verdict
    }

    /// As long as rules are added one by one to every shard, each has the same ones: adds what another shard's counted.
    public mutating func addCounts(of other: Rule) {
      packetCount += other.packetCount
      byteCount += other.byteCount
    }

    /// Whether the rule works only where connections are tracked.
    public var needsConnections: Bool {
      states != nil || translation != nil || connectionMark != nil || setsConnectionMark != nil
        || setsMark == .connection
    }

    public var translation: Translation? {
      if case .translate(let translation) = verdict?.action { translation } else { nil }
    }
  }

  /// Where a mark that is set comes from.
  public enum MarkSource: Sendable, Equatable {
    case number(UInt32)
    /// The packet's own. Linux: `--save-mark`.
    case packet
    /// That of its connection. Linux: `--restore-mark`.
    case connection

    /// - Parameter connection: `nil`: it is of none.
    func value(packet: UInt32, connection: UInt32?) -> UInt32 {
      switch self {
      case .number(let number): number
      case .packet: packet
      case .connection: connection ?? 0
      }
    }
  }

  public private(set) var rules: [Rule] = []

  public init() {}

  /// Adds a rule behind the others.
  ///
  /// - Throws: EINVAL for a rule that cannot be: `reject` elsewhere than at `input`, `forward` and `output`, a translation
  ///   where its kind has no place, an interface on the other way, ports without TCP or UDP, two marks, and a rule that does
  ///   nothing.
  public func append(_ rule: Rule, handle: UInt32) throws(Errno) {
    guard rule.isPossible, rule.verdict != nil || rule.setsSomething else { throw .EINVAL }
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
  /// Whether some work only where connections are tracked.
  public var needsConnections: Bool { rules.contains { $0.needsConnections } }

  public func verdict(on packet: borrowing HookPacket) -> HookVerdict {
    var (mark, connectionMark): (UInt32?, UInt32?) = (nil, nil)
    for index in rules.indices
    where rules[index].matches(
      packet, mark: mark ?? packet.mark, connectionMark: connectionMark ?? packet.connectionMark)
    {
      if rules[index].translation != nil && !packet.beginsConnection { continue }
      rules[index].packetCount &+= 1
      rules[index].byteCount &+= UInt64(packet.byteCount)
      if let source = rules[index].setsMark {
        mark = source.value(packet: packet.mark, connection: connectionMark ?? packet.connectionMark)
      }
      if let source = rules[index].setsConnectionMark {
        connectionMark = source.value(packet: mark ?? packet.mark, connection: nil)
      }
      if let verdict = rules[index].verdict {
        return HookVerdict(
          verdict.action, mark: verdict.mark ?? mark, connectionMark: verdict.connectionMark ?? connectionMark
        )
      }
    }
    return HookVerdict(.accept, mark: mark, connectionMark: connectionMark)
  }
}

extension PacketFilter.Rule {
  var setsSomething: Bool { setsMark != nil || setsConnectionMark != nil }

  var isPossible: Bool {
    switch verdict?.action {
    case .reject(let kind):
      if hook != .input && hook != .output && hook != .forward { return false }
      if kind == .tcpReset && self.protocol != .tcp { return false }
    case .translate(let translation):
      guard Translation.isPossible(translation.kind, at: hook), translation.isWhole else { return false }
      if translation.ports != nil && self.protocol?.hasPorts != true && self.protocol != .icmp {
        return false
      }
    case .accept, .drop, nil: break
    }
    if inputInterface != nil && (hook == .output || hook == .postrouting) { return false }
    if outputInterface != nil && (hook == .prerouting || hook == .input) { return false }
    if icmpType != nil && self.protocol != .icmp { return false }
    // Which of two were set first would matter.
    if setsMark != nil && setsConnectionMark != nil { return false }
    if setsMark == .packet || setsConnectionMark == .connection { return false }
    let hasPorts = sourcePorts != nil || destinationPorts != nil
    return !hasPorts || self.protocol == .tcp || self.protocol == .udp
  }

  /// - Parameters:
  ///   - current: the packet's mark, as the rules before have set it.
  ///   - connectionMark: that of its connection; `nil`: it is of none.
  func matches(
    _ packet: borrowing HookPacket, mark current: UInt32, connectionMark known: UInt32?
  ) -> Bool {
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
    if let icmpType, icmpType != packet.icmpType { return false }
    if let inputInterface, inputInterface != packet.inputInterface { return false }
    if let outputInterface, outputInterface != packet.outputInterface { return false }
    if let mark, current & markMask != mark { return false }
    if let connectionMark {
      guard let known, known & connectionMarkMask == connectionMark else { return false }
    }
    if setsMark == .connection && known == nil { return false }
    if let states {
      guard let state = packet.connectionState, states.contains(state) else { return false }
    }
    return true
  }
}
