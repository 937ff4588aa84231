/// Where a packet is looked at on its way. Linux: `enum nf_inet_hooks`.
///
/// On the way in: GRO, the checks of the IP header, `prerouting`, the look whether the packet is for us, reassembly, `input`,
/// the transport. On the way out: the transport, the route, `output`, `postrouting`, fragmentation, the neighbour, the
/// queueing discipline, segmentation by software or the device. So `prerouting` sees fragments, the others see whole
/// datagrams, and every hook sees a packet that stands for several segments once. What the stack sends to itself passes
/// all four. ARP is not IP and passes none.
///
/// Linux's fifth, `forward`, is not here: this stack forwards nothing, so it would never run.
@frozen
public enum Hook: UInt8, Sendable, Codable, CaseIterable {
  case prerouting
  case input
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
  /// `Hook.output` alone.
  @inlinable public static var output: HookSet { HookSet(.output) }
  /// `Hook.postrouting` alone.
  @inlinable public static var postrouting: HookSet { HookSet(.postrouting) }
  /// Whether the hook is one of these.
  @inlinable public func contains(_ hook: Hook) -> Bool { rawValue & (1 << hook.rawValue) != 0 }
}

/// What becomes of a packet. Linux: `NF_ACCEPT`, `NF_DROP`, and the REJECT target.
@frozen
public enum HookVerdict: UInt8, Sendable {
  /// The next client is asked; when there is none the packet goes on.
  case accept
  /// The packet is thrown away. Its local sender gets EPERM.
  case drop
  /// As `drop`, and the sender is told by an ICMP error (administratively prohibited), or as a local sender by EHOSTUNREACH.
  /// At `input` and `output` only, elsewhere it is `drop`.
  case reject
}

/// When a client is asked: lower ones first. Linux: `enum nf_ip_hook_priorities`.
public enum HookPriority {
  /// `swiftstack filter` has it.
  public static let filter: Int32 = 0
}
