import Control
import Netfilter
import Shard
import Sockets
import Tables

extension Stack {
  /// Who looks at packets on their way, and at sends before them.
  public var hooks: StackHooks { StackHooks(stack: self) }
}

/// Names a client that was registered.
public struct HookRegistration: Sendable, Hashable {
  fileprivate let handle: UInt32
}

/// A stack's hooks. Linux: netfilter, and `security_socket_sendmsg()`.
///
/// ```swift
/// final class Counter: HookClient {
///   var count = 0
///   func verdict(on packet: borrowing HookPacket) -> HookVerdict {
///     count += 1
///     return .accept
///   }
/// }
/// let counter = try stack.hooks.register(at: .input) { Counter() }
/// ```
public struct StackHooks: Sendable {
  fileprivate let stack: Stack

  // MARK: Clients

  /// Puts a client at hooks of every shard, each of which has one of its own.
  ///
  /// - Parameters:
  ///   - hooks: where the client is asked.
  ///   - priority: lower ones are asked first; of two with the same one the newer.
  ///   - make: called once for each shard, which it must not enter.
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func register(
    at hooks: HookSet, priority: Int32 = HookPriority.filter, _ make: () -> any HookClient
  ) throws(StackError) -> HookRegistration {
    var handle: UInt32 = 0
    try stack.change("register a client") { (state) throws(Errno) in
      handle = state.takeRuleHandle()
      let client = make()
      state.hookClients[handle] = client
      state.host.internet.hooks.register(client, at: hooks, priority: priority)
    }
    return HookRegistration(handle: handle)
  }

  /// Lets every shard's client go.
  ///
  /// - Throws: `StackError` with ENOENT when they went before.
  public func unregister(_ registration: HookRegistration) throws(StackError) {
    try stack.change("unregister a client") { (state) throws(Errno) in
      if let program = state.egressClients.removeValue(forKey: registration.handle) {
        return state.host.internet.hooks.unregister(egress: program)
      }
      guard let client = state.hookClients.removeValue(forKey: registration.handle) else { throw .ENOENT }
      state.host.internet.hooks.unregister(client)
    }
  }

  /// Asks somebody about every message before its protocol has it, after the rules. Linux: `security_socket_sendmsg()`.
  ///
  /// - Parameters:
  ///   - byteCount: how many of a message's first bytes are shown.
  ///   - verdict: the errno that the send is refused with; `nil`: allowed. It runs under the shard's lock, and must not call
  ///     the stack.
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func inspectSends(
    byteCount: Int = 0, _ verdict: @escaping @Sendable (OutgoingMessage) -> Errno?
  ) throws(StackError) -> HookRegistration {
    var handle: UInt32 = 0
    try stack.change("inspect sends") { (state) throws(Errno) in
      handle = state.takeRuleHandle()
      state.sockets.policy.inspectors.append(MessageInspector(handle: handle, byteCount: byteCount, verdict))
    }
    return HookRegistration(handle: handle)
  }

  /// Attaches a program to every socket that there is and will be; `Socket.attach(_:)` attaches one to one socket.
  ///
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func attach(_ program: SocketProgram) throws(StackError) -> HookRegistration {
    var handle: UInt32 = 0
    try stack.change("attach a program") { (state) throws(Errno) in
      handle = state.takeRuleHandle()
      state.sockets.attach(program, handle: handle)
    }
    return HookRegistration(handle: handle)
  }

  /// Takes a program away from all sockets, or lets who looks at messages go.
  ///
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func detach(_ registration: HookRegistration) throws(StackError) {
    try stack.change("detach a program") { (state) throws(Errno) in
      state.sockets.policy.inspectors.removeAll { $0.handle == registration.handle }
      state.sockets.detach(handle: registration.handle)
    }
  }

  /// Looks at the client of each shard, while no packet is on its way there.
  public func withClients(_ registration: HookRegistration, _ body: (any HookClient) -> Void) {
    for shard in stack.shards {
      shard.inspect { state in
        if let client = state.hookClients[registration.handle] { body(client) }
      }
    }
  }

  /// Packets that a hook let pass and threw away, while somebody waited there; of all shards.
  public func counts(at hook: Hook) -> HookCounts {
    stack.shards.reduce(HookCounts()) { sum, shard in
      sum + shard.inspect { $0.host.internet.hooks.counts[Int(hook.rawValue)] }
    }
  }

  // MARK: The filter

  /// Adds a rule behind the others at its hook.
  ///
  /// - Returns: the handle that names it.
  /// - Throws: `StackError` with EINVAL for a rule that cannot be, see `PacketFilter`.
  @discardableResult
  public func add(_ rule: PacketFilter.Rule) throws(StackError) -> UInt32 {
    var handle: UInt32 = 0
    try stack.change("filter add \(rule.hook.name)") { (state) throws(Errno) in
      // A number that was refused is not taken: the other shards were not asked.
      try state.filter.append(rule, handle: state.lastRuleHandle + 1)
      handle = state.takeRuleHandle()
      state.updateFilter()
    }
    return handle
  }

  /// - Throws: `StackError` with ENOENT when there is no such rule at this hook.
  public func remove(_ hook: Hook, handle: UInt32) throws(StackError) {
    try stack.change("filter del \(hook.name) handle \(handle)") { (state) throws(Errno) in
      try state.filter.remove(hook, handle: handle)
      state.updateFilter()
    }
  }

  /// The rules, with what all shards counted.
  public var rules: [PacketFilter.Rule] {
    summed(\.handle, { $0.filter.rules }) { $0.addCounts(of: $1) }
  }

  /// Every shard's rules as one list: those with the same handle are one rule.
  private func summed<Rule: Sendable>(
    _ handle: KeyPath<Rule, UInt32>, _ rules: (inout Shard) -> [Rule], add: (inout Rule, Rule) -> Void
  ) -> [Rule] {
    var sum: [Rule] = []
    for shard in stack.shards {
      for rule in shard.inspect(rules) {
        if let index = sum.firstIndex(where: { $0[keyPath: handle] == rule[keyPath: handle] }) {
          add(&sum[index], rule)
        } else {
          sum.append(rule)
        }
      }
    }
    return sum
  }

  // MARK: Connections

  /// Has connections tracked, whether a rule needs it or not, so that clients know what a packet is to its connection; or
  /// only as long as a rule needs it, as at first. All queues of a stack know of the same connections.
  /// Linux: `nf_ct_netns_get()`.
  ///
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func trackConnections(_ isWanted: Bool) throws(StackError) {
    try stack.change("track connections") { (state) throws(Errno) in
      state.tracksConnections = isWanted
      state.updateFilter()
    }
  }

  /// The tracked connections, as `conntrack -L` lists them.
  public var connections: [ConnectionSnapshot] {
    stack.shards[0].inspect { $0.host.internet.hooks.connectionSnapshot(now: $0.host.net.now) }
  }

  /// What was counted about them.
  public var connectionStatistics: ConnectionStatistics {
    stack.shards[0].inspect { $0.host.internet.hooks.connectionStatistics }
  }

  /// Forgets all tracked connections: what comes of them begins them anew. Linux: `conntrack -F`.
  public func forgetConnections() throws(StackError) {
    try stack.change("conntrack flush") { (state) throws(Errno) in
      state.host.internet.hooks.forgetConnections(net: &state.host.net)
    }
  }

  /// As `swiftstack conntrack` prints them.
  package var connectionReports: [ConnectionReport] { connections.map { ConnectionReport(line: $0.line) } }

  // MARK: Egress programs

  /// Has a program of every shard, each of which has one of its own, asked about packets of the stack's own before they are
  /// cut and leave.
  ///
  /// - Parameter make: called once for each shard, which it must not enter.
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func registerEgress(_ make: () -> any EgressClient) throws(StackError) -> HookRegistration {
    var handle: UInt32 = 0
    try stack.change("register an egress program") { (state) throws(Errno) in
      handle = state.takeRuleHandle()
      let client = make()
      state.egressClients[handle] = client
      state.host.internet.hooks.register(egress: client)
    }
    return HookRegistration(handle: handle)
  }

  // MARK: Tunnels

  /// Adds a program of every shard, each of which has one of its own, that routes may lead through: `RouteEntry.tunnel` and
  /// `NamedNextHop.tunnel` name it. Linux: `ip route add ... encap bpf xmit`.
  ///
  /// ```swift
  /// /// IP in IP (RFC 2003).
  /// final class Outer: TunnelClient {
  ///   func xmit(_ packet: borrowing HookPacket) -> TunnelVerdict {
  ///     .encapsulate(Encapsulation(destination: IPv4Address(192, 0, 2, 1)))
  ///   }
  /// }
  /// var route = RouteEntry(IPv4Prefix("10.9.0.0/16")!, gateway: IPv4Address(10, 0, 0, 1))
  /// route.tunnel = try stack.hooks.registerTunnel(headroom: 20) { Outer() }
  /// try stack.addRoute(route)
  /// ```
  ///
  /// - Parameters:
  ///   - headroom: bytes that the program puts in front of packets, 256 at most: the MTU of what is sent by its routes is so
  ///     much less.
  ///   - make: called once for each shard, which it must not enter.
  /// - Throws: `StackError` with ENETDOWN after `close()`, ERANGE for a headroom that cannot be, ENOBUFS beyond 1,024 programs.
  public func registerTunnel(
    headroom: Int = 0, _ make: () -> any TunnelClient
  ) throws(StackError) -> TunnelID {
    var id = TunnelID.none
    try stack.change("register a tunnel program") { (state) throws(Errno) in
      id = try state.host.internet.hooks.register(tunnel: make(), headroom: headroom)
    }
    return id
  }

  /// Lets every shard's program go.
  ///
  /// - Throws: `StackError` with EBUSY while a route leads through it; ENOENT when it went before.
  public func unregisterTunnel(_ id: TunnelID) throws(StackError) {
    try stack.change("unregister a tunnel program") { (state) throws(Errno) in
      if state.host.internet.leads(through: id) { throw .EBUSY }
      try state.host.internet.hooks.unregister(tunnel: id)
    }
  }

  // MARK: Sends

  /// Adds a rule that is asked before a send reaches its protocol, behind the others.
  ///
  /// - Returns: the handle that names it.
  @discardableResult
  public func add(_ rule: SendPolicy.Rule) throws(StackError) -> UInt32 {
    var handle: UInt32 = 0
    try stack.change("filter add send") { (state) throws(Errno) in
      handle = state.takeRuleHandle()
      var rule = rule
      rule.handle = handle
      state.sockets.policy.rules.append(rule)
    }
    return handle
  }

  /// - Throws: `StackError` with ENOENT when there is no such rule.
  public func removeSendRule(handle: UInt32) throws(StackError) {
    try stack.change("filter del send handle \(handle)") { (state) throws(Errno) in
      guard let index = state.sockets.policy.rules.firstIndex(where: { $0.handle == handle }) else {
        throw .ENOENT
      }
      state.sockets.policy.rules.remove(at: index)
    }
  }

  /// The rules for sends, with what all shards counted.
  public var sendRules: [SendPolicy.Rule] {
    summed(\.handle, { $0.sockets.policy.rules }) { $0.sendCount += $1.sendCount }
  }

  /// What `swiftstack filter list` shows: each hook with rules or clients, and the sends when they have rules.
  public var reports: [ChainReport] {
    let rules = rules
    let sends = sendRules
    var chains = Hook.allCases.compactMap { hook -> ChainReport? in
      let own = rules.filter { $0.hook == hook }
      let counts = counts(at: hook)
      guard !own.isEmpty || counts != HookCounts() else { return nil }
      return ChainReport(
        chain: hook.name, accepted: counts.accepted, dropped: counts.dropped,
        rules: own.map { RuleReport(handle: $0.handle, text: "\($0)") })
    }
    if !sends.isEmpty {
      chains.append(
        ChainReport(chain: "send", rules: sends.map { RuleReport(handle: $0.handle, text: "\($0)") }))
    }
    return chains
  }
}

extension Shard {
  /// Rules and clients are numbered in the order in which they came, alike in every shard.
  mutating func takeRuleHandle() -> UInt32 {
    lastRuleHandle += 1
    return lastRuleHandle
  }

  /// Where there are no rules nobody waits.
  mutating func updateFilter() {
    host.internet.hooks.register(filter, at: filter.hooks)
    host.internet.hooks.trackConnections(tracksConnections || filter.needsConnections, net: &host.net)
  }
}

extension StackChange {
  /// `filter add HOOK|send RULE`, `filter del HOOK|send handle N`
  static func filter(_ words: inout ChangeWords) throws(StackError) -> StackChange {
    let verb = try words.expect(["add", "del"])
    let chains = Hook.allCases.map(\.name).joined(separator: ", ") + " or send"
    let chain = try words.next(chains)
    let hook = Hook(name: chain)
    guard hook != nil || chain == "send" else {
      throw StackError("unknown hook \"\(chain)\": expected \(chains)")
    }
    if verb == "del" {
      _ = try words.expect(["handle"])
      let handle = UInt32(try ChangeWords.number(try words.next("a handle"), "handle", 1...Int(UInt32.max)))
      return .removeRule(hook, handle: handle)
    }
    var rest = Words(words.rest())
    do throws(WordError) {
      if let hook { return .addRule(try PacketFilter.Rule(hook, parsing: &rest)) }
      return .addSendRule(try SendPolicy.Rule(parsing: &rest))
    } catch {
      throw StackError("filter add \(chain): \(error)")
    }
  }
}
