import IPv4
import Netfilter
import Shard
import Wire

/// One of several next hops of a route, its interface by its name.
public struct NamedNextHop: Equatable, Sendable {
  /// `nil`: destinations are on the link.
  public var gateway: IPv4Address?
  /// `nil`: the gateway's.
  public var device: String?
  /// How many flows it gets compared with the others: 1 to 256.
  public var weight: Int
  /// The program that packets go through; `.none`: none.
  public var tunnel: TunnelID

  public init(gateway: IPv4Address? = nil, device: String? = nil, weight: Int = 1, tunnel: TunnelID = .none) {
    self.gateway = gateway
    self.device = device
    self.weight = weight
    self.tunnel = tunnel
  }
}

/// The same with what is known of its interface outside of a shard.
struct ResolvedNextHop: Sendable {
  var hop: NextHop
  /// It is the stack's own.
  var isOwn: Bool

  func hop(ethernet: InterfaceIndex) -> NextHop {
    var hop = hop
    if isOwn { hop.interface = ethernet }
    return hop
  }
}

extension Stack {
  /// - Throws: `StackError` with ENODEV for a name that is none.
  func resolved(_ hops: [NamedNextHop]) throws(StackError) -> [ResolvedNextHop] {
    var found: [ResolvedNextHop] = []
    for hop in hops {
      let device = try known(hop.device)
      var next = NextHop(gateway: hop.gateway, interface: device ?? .none, weight: hop.weight)
      next.tunnel = hop.tunnel
      found.append(ResolvedNextHop(hop: next, isOwn: hop.device != nil && device == nil))
    }
    return found
  }
}
