import Wire

/// What becomes of a packet that a hook's client was asked about. Linux: `NF_ACCEPT`, `NF_DROP`, and the targets REJECT, MARK,
/// SNAT, DNAT, MASQUERADE and REDIRECT.
public struct HookVerdict: Sendable, Equatable {
  /// What is done.
  public enum Action: Sendable, Equatable {
    /// The next client is asked; when there is none the packet goes on.
    case accept
    /// The packet is thrown away. Its local sender gets EPERM.
    case drop
    /// As `drop`, and the sender is told; a local one by the error that stands for it. At `input`, `forward` and `output`
    /// only, elsewhere it is `drop`.
    case reject(HookRejection)
    /// As `accept`; if the packet begins a connection, all its packets get other addresses from now on. Where the kind of
    /// translation has no place, and where connections are not tracked, it is `accept`.
    case translate(Translation)
  }
  /// What is done with the packet.
  public var action: Action
  /// A mark that the packet gets; `nil`: it keeps its own.
  public var mark: UInt32?
  /// A mark that the packet's connection gets, if it has one; `nil`: it keeps its own.
  public var connectionMark: UInt32?

  public init(_ action: Action, mark: UInt32? = nil, connectionMark: UInt32? = nil) {
    self.action = action
    self.mark = mark
    self.connectionMark = connectionMark
  }

  /// Whoever is next is asked.
  public static let accept = HookVerdict(.accept)
  /// Thrown away.
  public static let drop = HookVerdict(.drop)
  /// As administratively prohibited (RFC 1812 section 5.2.7.1).
  public static let reject = HookVerdict(.reject(.administrativelyProhibited))

  /// The packet goes on.
  public var passes: Bool {
    switch action {
    case .accept, .translate: true
    case .drop, .reject: false
    }
  }
}

/// What the sender of a packet that was not let through is told. Linux: `enum nft_reject_types`, `NFT_REJECT_ICMPX_*`.
public enum HookRejection: Sendable, Equatable, CaseIterable {
  case networkUnreachable, hostUnreachable, protocolUnreachable, portUnreachable
  case networkProhibited, hostProhibited, administrativelyProhibited
  /// A segment that ends the connection, for TCP; other packets are dropped.
  case tcpReset

  /// Of "destination unreachable"; `nil`: it is no ICMP message.
  public var code: UInt8? {
    switch self {
    case .networkUnreachable: ICMPHeader.Unreachable.network
    case .hostUnreachable: ICMPHeader.Unreachable.host
    case .protocolUnreachable: ICMPHeader.Unreachable.protocol
    case .portUnreachable: ICMPHeader.Unreachable.port
    case .networkProhibited: ICMPHeader.Unreachable.networkProhibited
    case .hostProhibited: ICMPHeader.Unreachable.hostProhibited
    case .administrativelyProhibited: ICMPHeader.Unreachable.administrativelyProhibited
    case .tcpReset: nil
    }
  }

  /// As nft(8) names it behind `reject with icmp`.
  public var name: String {
    switch self {
    case .networkUnreachable: "net-unreachable"
    case .hostUnreachable: "host-unreachable"
    case .protocolUnreachable: "prot-unreachable"
    case .portUnreachable: "port-unreachable"
    case .networkProhibited: "net-prohibited"
    case .hostProhibited: "host-prohibited"
    case .administrativelyProhibited: "admin-prohibited"
    case .tcpReset: "tcp reset"
    }
  }
}

/// Other addresses for the packets of a connection. Linux: `struct nf_nat_range2`.
public struct Translation: Sendable, Equatable {
  /// Which address becomes another one, and which one.
  public enum Kind: UInt8, Sendable {
    /// The source, at `postrouting` and `input`.
    case source
    /// The source, at `postrouting`: the address of the device that the packet leaves by.
    case masquerade
    /// The destination, at `prerouting` and `output`.
    case destination
    /// The destination, at `prerouting` and `output`: this host.
    case redirect

    var isSource: Bool { self == .source || self == .masquerade }
  }
  /// Which address becomes another one.
  public var kind: Kind
  /// For `source` and `destination`; of several each sender gets one.
  public var addresses: ClosedRange<IPv4Address>?
  /// Ports, or an echo's identifier; `nil`: its own if that is free.
  public var ports: ClosedRange<UInt16>?

  public init(_ kind: Kind, addresses: ClosedRange<IPv4Address>? = nil, ports: ClosedRange<UInt16>? = nil) {
    self.kind = kind
    self.addresses = addresses
    self.ports = ports
  }

  /// Where packets of a kind of translation are taken. Linux: `nf_nat_ipv4_ops`, and the checks of each target.
  public static func isPossible(_ kind: Kind, at hook: Hook) -> Bool {
    switch kind {
    case .source: hook == .postrouting || hook == .input
    case .masquerade: hook == .postrouting
    case .destination, .redirect: hook == .prerouting || hook == .output
    }
  }

  /// A source or destination has an address or a port to become, a masquerade and a redirect have no address of their own.
  var isWhole: Bool {
    switch kind {
    case .source, .destination: addresses != nil
    case .masquerade, .redirect: addresses == nil
    }
  }
}
