import SkBuff
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
  /// Counted while somebody waits.
  public private(set) var counts = [HookCounts](repeating: HookCounts(), count: Hook.allCases.count)
  /// The interfaces' names by their index; the first is every host's loopback.
  private var interfaces = ["", "lo"]

  public init() {}

  /// A device was added: how rules call it. Linux: `dev->name`.
  public mutating func name(_ interface: InterfaceIndex, _ name: String) {
    while interfaces.count <= Int(interface.rawValue) { interfaces.append("") }
    interfaces[Int(interface.rawValue)] = name
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

  private mutating func update() { active = entries.reduce(into: []) { $0.formUnion($1.hooks) } }

  @inlinable public func isEmpty(_ hook: Hook) -> Bool { !active.contains(hook) }

  // MARK: The way in

  /// What is to become of a packet that comes in, data at its IP header, which was checked. Asked only where the hook is not
  /// empty. Linux: `nf_hook_slow()`.
  public mutating func verdict(
    _ hook: Hook, on skb: inout SkBuff, interface: InterfaceIndex, byteCount: Int? = nil
  ) -> HookVerdict {
    guard skb.mayPull(IPv4Header.minimumByteCount), let header = IPv4Header(parsing: skb.linear) else {
      return .drop
    }
    _ = skb.mayPull(min(skb.length, header.headerByteCount + 4))
    let packet = HookPacket(
      hook, header, bytes: skb.linear, byteCount: byteCount ?? skb.length,
      interface: interfaces[Int(interface.rawValue)])
    for entry in entries where entry.hooks.contains(hook) {
      let verdict = entry.client.verdict(on: packet)
      guard verdict != .accept else { continue }
      counts[Int(hook.rawValue)].dropped += 1
      return verdict
    }
    counts[Int(hook.rawValue)].accepted += 1
    return .accept
  }

  // MARK: The way out

  /// What became of a packet that is to go out.
  @frozen
  public enum Passage: ~Copyable {
    case passed(PassedPacket)
    /// Thrown away, or to be; its sender is told as the verdict says.
    case stopped(SkBuff, HookVerdict)
  }

  /// Asks at `output` and, when the packet may go on, at `postrouting`: here, too, nothing is between the two but the route
  /// that was chosen before. Linux: `__ip_local_out()`, `ip_output()`.
  ///
  /// - Parameters:
  ///   - skb: data at its IP header.
  ///   - byteCount: of the datagram that `skb` is the first piece of; `nil`: it is the whole.
  @inlinable @inline(__always)
  public mutating func leave(_ skb: consuming SkBuff, interface: InterfaceIndex, byteCount: Int? = nil)
    -> Passage
  {
    if active.isDisjoint(with: [.output, .postrouting]) { return .passed(PassedPacket(skb)) }
    return leaveSlowly(skb, [.output, .postrouting], interface: interface, byteCount: byteCount)
  }

  /// Asks at `postrouting` about the copy of a packet that comes back to ourselves. Linux: `ip_mc_output()`.
  public mutating func leaveAgain(_ skb: consuming SkBuff, interface: InterfaceIndex) -> Passage {
    leaveSlowly(skb, .postrouting, interface: interface, byteCount: nil)
  }

  @usableFromInline @inline(never)
  mutating func leaveSlowly(
    _ skb: consuming SkBuff, _ hooks: HookSet, interface: InterfaceIndex, byteCount: Int?
  ) -> Passage {
    for hook in [Hook.output, .postrouting] where hooks.contains(hook) && !isEmpty(hook) {
      let answer = verdict(hook, on: &skb, interface: interface, byteCount: byteCount)
      if answer != .accept { return .stopped(skb, hook == .output ? answer : .drop) }
    }
    return .passed(PassedPacket(skb))
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
