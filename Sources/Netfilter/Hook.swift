/// Where a packet is looked at on its way. Linux: `enum nf_inet_hooks`.
///
/// On the way in: GRO, the checks of the IP header, `prerouting`, the look whether the packet is for us, reassembly, `input`,
/// the transport. On the way on: `prerouting`, the route, one hop less, `forward`, `postrouting`. On the way out: the
/// transport, the route, `output`, the route once more if a client changed what it depends on, `postrouting`, the egress
/// programs, fragmentation, the program that the route leads through, the neighbour, the queueing discipline, segmentation by
/// software or the device. So `prerouting` sees fragments unless connections are tracked, the others see whole datagrams, and
/// every hook sees a packet that stands for several segments once. What the stack sends to itself passes all but `forward`.
/// ARP is not IP and passes none.
@frozen
public enum Hook: UInt8, Sendable, Codable, CaseIterable {
  case prerouting
  case input
  case forward
  case output
  case postrouting

  /// The hook's name as nft(8) writes it.
  public var name: String { "\(self)" }
  public init?(name: String) {
    guard let hook = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = hook
  }
}

/// Some of the hooks.
@frozen
public struct HookSet: OptionSet, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public init(_ hook: Hook) { rawValue = 1 << hook.rawValue }
  /// `Hook.prerouting` alone.
  @inlinable public static var prerouting: HookSet { HookSet(.prerouting) }
  /// `Hook.input` alone.
  @inlinable public static var input: HookSet { HookSet(.input) }
  /// `Hook.forward` alone.
  @inlinable public static var forward: HookSet { HookSet(.forward) }
  /// `Hook.output` alone.
  @inlinable public static var output: HookSet { HookSet(.output) }
  /// `Hook.postrouting` alone.
  @inlinable public static var postrouting: HookSet { HookSet(.postrouting) }
  /// Egress programs, which are no hook.
  @inlinable static var egress: HookSet { HookSet(rawValue: 1 << 7) }
  /// All five.
  @inlinable public static var all: HookSet { [.prerouting, .input, .forward, .output, .postrouting] }
  /// Whether the hook is one of these.
  @inlinable public func contains(_ hook: Hook) -> Bool { rawValue & (1 << hook.rawValue) != 0 }
}

/// When a client is asked: lower ones first. Linux: `enum nf_ip_hook_priorities`.
public enum HookPriority {
  /// `swiftstack filter` has it.
  public static let filter: Int32 = 0
}
