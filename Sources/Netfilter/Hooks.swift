import NetNamespace
import SkBuff
import Timers
import Wire

/// Those who wait at the hooks of one shard, in their order. Linux: `struct nf_hook_entries` of a network namespace.
///
/// Where nobody waits a packet costs one branch.
public struct Hooks: ~Copyable {
  private struct Entry {
    var client: any HookClient
    var hooks: HookSet
    var priority: Int32
  }
  /// Where somebody waits.
  @usableFromInline private(set) var active: HookSet = []
  private var entries: [Entry] = []
  private var egress: [any EgressClient] = []
  /// Those that routes lead through.
  var tunnels = TunnelPrograms()
  /// Counted while somebody waits.
  public private(set) var counts = [HookCounts](repeating: HookCounts(), count: Hook.allCases.count)
  /// Packets that egress programs threw away.
  public private(set) var egressDropped: UInt64 = 0
  /// The interfaces' names by their index; the first is every host's loopback.
  private var interfaces = ["", "lo"]
  /// The interfaces' addresses by their index.
  private var addresses: [[IPv4Prefix]] = []
  /// Whether each packet's connection is looked for.
  public private(set) var tracksConnections = false
  /// Which those are, in a stack of one shard.
  private var ownConnections = ConnectionTracking()
  /// Those of every shard; `nil`: there is one.
  private var sharedConnections: (any SharedConnections)?
  /// Which of them this is.
  private var shard = 0
  private var connectionTimer = TimerSlot()

  public init() {}

  /// A device was added: how rules call it. Linux: `dev->name`.
  public mutating func name(_ interface: InterfaceIndex, _ name: String) {
    while interfaces.count <= Int(interface.rawValue) { interfaces.append("") }
    interfaces[Int(interface.rawValue)] = name
  }

  /// What each interface has, by its index, in the order in which it was added.
  ///
  /// - Parameter net: connections whose packets were given an address that is gone are forgotten.
  public mutating func setAddresses(_ list: [[IPv4Prefix]]) { addresses = list }

  /// Connections that had an address of a device which is gone now, or of one that is down. Linux: `masq_device_event()`.
  public mutating func forgetMasquerade(of interface: InterfaceIndex, net: inout Net) {
    guard tracksConnections else { return }
    withConnections(net: &net) { $0.removeAll(net: &$1) { $0.masquerade == interface } }
  }

  /// The address that packets by a device to a next hop have. Linux: `inet_select_addr()`.
  private func address(of interface: InterfaceIndex, towards nextHop: IPv4Address) -> IPv4Address? {
    guard Int(interface.rawValue) < addresses.count else { return nil }
    let own = addresses[Int(interface.rawValue)]
    return (own.first { $0.contains(nextHop) } ?? own.first)?.address
  }

  /// Puts a client where it wants to be asked; one that is there already moves. Of two with one priority the newer is asked
  /// first. Linux: `nf_register_net_hook()`.
  public mutating func register(
    _ client: any HookClient, at hooks: HookSet, priority: Int32 = HookPriority.filter
  ) {
    unregister(client)
    guard !hooks.isEmpty else { return }
    let place = entries.firstIndex { $0.priority >= priority } ?? entries.endIndex
    entries.insert(Entry(client: client, hooks: hooks, priority: priority), at: place)
    update()
  }

  /// Linux: `nf_unregister_net_hook()`.
  public mutating func unregister(_ client: any HookClient) {
    entries.removeAll { $0.client === client }
    update()
  }

  /// The newer ones are asked last. Linux: `BPF_F_ALLOW_MULTI`.
  public mutating func register(egress client: any EgressClient) {
    unregister(egress: client)
    egress.append(client)
    update()
  }

  public mutating func unregister(egress client: any EgressClient) {
    egress.removeAll { $0 === client }
    update()
  }

  /// Begins to look for each packet's connection, or ends it and forgets all. Linux: `nf_ct_netns_get()`.
  public mutating func trackConnections(_ isWanted: Bool, net: inout Net) {
    guard isWanted != tracksConnections else { return }
    tracksConnections = isWanted
    if !isWanted { forgetConnections(net: &net) }
    update()
  }

  private mutating func update() {
    active = entries.reduce(into: []) { $0.formUnion($1.hooks) }
    if tracksConnections { active.formUnion([.prerouting, .input, .output, .postrouting]) }
    if !egress.isEmpty { active.formUnion(.egress) }
  }

  @inlinable @inline(__always) public func isEmpty(_ hook: Hook) -> Bool { !active.contains(hook) }

  // MARK: One packet

  /// What is to become of a packet, data at its IP header, which was checked. What clients change is changed when it comes
  /// back: its mark, and where connections are tracked its addresses and ports. Asked only where the hook is not empty.
  /// Linux: `nf_hook_slow()`.
  ///
  /// - Parameters:
  ///   - given: its header, where the caller has it.
  ///   - interface: the device that it came in by, or at `output` and `postrouting` leaves by.
  ///   - output: at `forward`, the device that it leaves by.
  ///   - nextHop: to whom, on the way out.
  ///   - byteCount: of the datagram that `skb` is the first piece of; `nil`: it is the whole.
  @inline(never)
  public mutating func verdict(
    _ hook: Hook, on skb: inout SkBuff, _ given: IPv4Header? = nil, interface: InterfaceIndex,
    output: InterfaceIndex = .none, nextHop: IPv4Address = .any, byteCount: Int? = nil, net: inout Net
  ) -> HookVerdict {
    guard skb.mayPull(IPv4Header.minimumByteCount), let header = given ?? IPv4Header(parsing: skb.linear)
    else {
      return .drop
    }
    _ = skb.mayPull(min(skb.length, header.headerByteCount + 4))
    let isFirst = hook == .prerouting || hook == .output
    if tracksConnections && isFirst && !track(&skb, header, at: hook, net: &net) { return count(.drop, hook) }
    var wanted: Translation?
    for entry in entries where entry.hooks.contains(hook) {
      let verdict = ask(
        entry.client, hook, header, skb, interface: interface, output: output, byteCount: byteCount)
      if let mark = verdict.mark { skb.mark = mark }
      if let mark = verdict.connectionMark { setConnectionMark(mark, of: skb, net: &net) }
      switch verdict.action {
      case .accept: continue
      case .translate(let translation): wanted = wanted ?? translation
      case .drop, .reject: return count(verdict, hook)
      }
    }
    if tracksConnections && hook != .forward && skb.connection != 0 {
      let place = ConnectionTracking.Place(
        hook: hook, address: address(of: interface, towards: nextHop), interface: interface)
      guard translate(&skb, header, wanted, at: place, confirms: !isFirst, net: &net) else {
        return count(.drop, hook)
      }
      // Beyond the last hook nobody asks for it, but those of the way in when it comes back.
      if hook == .input || hook == .postrouting && interface != .loopback { skb.connection = 0 }
    }
    return count(.accept, hook)
  }

  private mutating func count(_ verdict: HookVerdict, _ hook: Hook) -> HookVerdict {
    if verdict.passes {
      counts[Int(hook.rawValue)].accepted += 1
    } else {
      counts[Int(hook.rawValue)].dropped += 1
    }
    return verdict
  }

  private func ask(
    _ client: any HookClient, _ hook: Hook, _ header: IPv4Header, _ skb: borrowing SkBuff,
    interface: InterfaceIndex, output: InterfaceIndex, byteCount: Int?
  ) -> HookVerdict {
    let packet = look(hook, header, skb, interface: interface, output: output, byteCount: byteCount)
    return client.verdict(on: packet)
  }

  @_lifetime(borrow skb)
  func look(
    _ hook: Hook, _ header: IPv4Header, _ skb: borrowing SkBuff, interface: InterfaceIndex,
    output: InterfaceIndex, byteCount: Int?
  ) -> HookPacket {
    let name = interfaces[Int(interface.rawValue)]
    let comesIn = hook == .prerouting || hook == .input || hook == .forward
    let facts = tracksConnections ? facts(of: skb, isSource: hook == .postrouting || hook == .input) : nil
    return HookPacket(
      hook, header, bytes: skb.linear, byteCount: byteCount ?? skb.length, input: comesIn ? name : nil,
      output: hook == .forward ? interfaces[Int(output.rawValue)] : comesIn ? nil : name, mark: skb.mark,
      state: facts?.state, connectionMark: facts?.mark, beginsConnection: facts?.begins ?? false)
  }

  // MARK: Connections

  /// Makes these the hooks of one of several shards, which have their connections in common: the two directions of one come in
  /// by different queues. Nothing is tracked yet.
  public mutating func share(_ connections: any SharedConnections, shard: Int) {
    precondition(!tracksConnections, "connections are shared before the first is tracked")
    sharedConnections = connections
    self.shard = shard
  }

  /// Has something done with the connections, while no other shard looks at them; afterwards the shard comes back for those
  /// whose time is over.
  private mutating func withConnections<Result>(
    net: inout Net, _ body: (inout ConnectionTracking, inout Net) -> Result
  ) -> Result {
    let (result, next) =
      if let sharedConnections {
        sharedConnections.withConnections { (body(&$0, &net), $0.nextDeadline) }
      } else {
        (body(&ownConnections, &net), ownConnections.nextDeadline)
      }
    if let next { connectionTimer.arm(TimerKey(kind: .connection, id: 0), at: next, in: &net.timers) }
    return result
  }

  private mutating func track(
    _ skb: inout SkBuff, _ header: IPv4Header, at hook: Hook, net: inout Net
  ) -> Bool {
    let shard = shard
    return withConnections(net: &net) { $0.track(&skb, header, at: hook, by: shard, net: &$1) }
  }

  private mutating func translate(
    _ skb: inout SkBuff, _ header: IPv4Header, _ wanted: Translation?, at place: ConnectionTracking.Place,
    confirms: Bool, net: inout Net
  ) -> Bool {
    withConnections(net: &net) {
      $0.translate(&skb, header, wanted, at: place, net: &$1) && (!confirms || $0.confirm(skb, net: &$1))
    }
  }

  private mutating func setConnectionMark(_ mark: UInt32, of skb: borrowing SkBuff, net: inout Net) {
    let name = skb.connection
    withConnections(net: &net) { connections, _ in connections.setMark(mark, of: name) }
  }

  private func facts(of skb: borrowing SkBuff, isSource: Bool) -> ConnectionTracking.Facts {
    let name = skb.connection
    return look { $0.facts(of: name, isSource: isSource) }
  }

  /// As `withConnections`, for who only looks.
  private func look<Result>(_ body: (borrowing ConnectionTracking) -> Result) -> Result {
    if let sharedConnections { return sharedConnections.withConnections { body($0) } }
    return body(ownConnections)
  }

  /// What a packet of our own that answers another is of: the same connection, the other way, also when that is not in the
  /// table yet. Linux: `nf_ct_attach()`.
  package func connection(answering skb: borrowing SkBuff, isError: Bool) -> UInt32 {
    let name = skb.connection
    return name == 0 ? 0 : look { $0.answer(to: name, isError: isError) }
  }

  /// As `conntrack -L` lists them.
  public func connectionSnapshot(now: Instant) -> [ConnectionSnapshot] { look { $0.snapshot(now: now) } }
  /// What was counted about them.
  public var connectionStatistics: ConnectionStatistics { look { $0.statistics } }

  /// Forgets all. Linux: `conntrack -F`.
  public mutating func forgetConnections(net: inout Net) {
    withConnections(net: &net) { $0.removeAll(net: &$1) }
  }

  /// The time of some may be over.
  public mutating func timerExpired(due: Instant, net: inout Net) {
    guard connectionTimer.expire(at: due) else { return }
    withConnections(net: &net) { $0.expire(net: &$1) }
  }

  /// Gives the timer back.
  public mutating func close(net: inout Net) { connectionTimer.cancel(in: &net.timers) }

  // MARK: The way out

  /// What became of a packet that is to go out.
  public enum Passage: ~Copyable {
    case passed(PassedPacket)
    /// Thrown away, or to be; its sender is told as the verdict says.
    case stopped(SkBuff, HookVerdict)
  }

  /// Whether nobody waits on the way out.
  @inlinable public var isIdleOut: Bool { active.isDisjoint(with: [.output, .postrouting, .egress]) }

  /// Lets a packet of our own go that nobody is to be asked about.
  ///
  /// - Precondition: `isIdleOut`.
  @inlinable @inline(__always)
  public func pass(_ skb: consuming SkBuff) -> PassedPacket {
    precondition(isIdleOut, "who waits at the hooks is asked")
    return PassedPacket(skb)
  }

  /// Asks at `postrouting`, the last hook. Linux: `ip_output()`.
  ///
  /// - Parameter byteCount: of the datagram that `skb` is the first piece of; `nil`: it is the whole.
  @inlinable @inline(__always)
  public mutating func postrouting(
    _ skb: consuming SkBuff, interface: InterfaceIndex, nextHop: IPv4Address, byteCount: Int? = nil,
    net: inout Net
  ) -> Passage {
    if isEmpty(.postrouting) { return .passed(PassedPacket(skb)) }
    return postroutingAsked(skb, interface: interface, nextHop: nextHop, byteCount: byteCount, net: &net)
  }

  @usableFromInline @inline(never)
  mutating func postroutingAsked(
    _ skb: consuming SkBuff, interface: InterfaceIndex, nextHop: IPv4Address, byteCount: Int?, net: inout Net
  ) -> Passage {
    let verdict = verdict(
      .postrouting, on: &skb, interface: interface, nextHop: nextHop, byteCount: byteCount, net: &net)
    if verdict.passes { return .passed(PassedPacket(skb)) }
    return .stopped(skb, .drop)
  }

  /// Asks the egress programs about a packet of our own that has passed all hooks. Linux: `ip_finish_output()`.
  public mutating func egressVerdict(
    _ packet: borrowing PassedPacket, interface: InterfaceIndex, byteCount: Int
  ) -> EgressVerdict {
    guard !egress.isEmpty, let header = IPv4Header(parsing: packet.skb.linear) else { return .pass }
    var answer = EgressVerdict.pass
    for client in egress {
      switch run(client, header, packet.skb, interface, byteCount) {
      case .pass: break
      case .passCongested: answer = .passCongested
      case .drop:
        egressDropped &+= 1
        return .drop
      }
    }
    return answer
  }

  private func run(
    _ client: any EgressClient, _ header: IPv4Header, _ skb: borrowing SkBuff, _ interface: InterfaceIndex,
    _ byteCount: Int
  ) -> EgressVerdict {
    let packet = look(.postrouting, header, skb, interface: interface, output: .none, byteCount: byteCount)
    return client.egress(on: packet)
  }
}

/// Packets that a hook let pass and threw away.
public struct HookCounts: Sendable, Equatable, Codable {
  public var accepted: UInt64 = 0
  public var dropped: UInt64 = 0
  public init() {}

  public static func + (a: HookCounts, b: HookCounts) -> HookCounts {
    var sum = a
    sum.accepted += b.accepted
    sum.dropped += b.dropped
    return sum
  }
}
