import Netfilter
import Wire

/// One of several next hops of IPv4's.
public typealias NextHop = FIBNextHop<IPv4Address>
/// What a look-up of IPv4's finds.
typealias RouteResult = FIBResult<IPv4Prefix>

/// One of the next hops of a route that has several. Linux: `struct fib_nh`.
public struct FIBNextHop<Address: Hashable & Sendable & CustomStringConvertible>: Hashable, Sendable,
  CustomStringConvertible
{
  /// `nil`: destinations are on the link.
  public var gateway: Address?
  /// The device to send by; `.none`: asks for the gateway's.
  public var interface: InterfaceIndex
  /// Its share among the others: 1 to 256.
  public var weight: Int
  /// The program that packets go through; `.none`: none.
  public var tunnel = TunnelID.none
  /// Its link is down: no flow gets it. Linux: `RTNH_F_DEAD`.
  public internal(set) var isDead = false

  public init(gateway: Address? = nil, interface: InterfaceIndex = .none, weight: Int = 1) {
    self.gateway = gateway
    self.interface = interface
    self.weight = weight
  }

  /// As `ip route` prints it, without the device.
  public var description: String {
    "nexthop" + (tunnel == .none ? "" : " encap program \(tunnel)") + (gateway.map { " via \($0)" } ?? "")
      + " weight \(weight)" + (isDead ? " dead linkdown" : "")
  }

  /// Whether it is the one that is meant, which need not say all. Linux: `fib_nh_match()`.
  func fits(_ hop: Self) -> Bool {
    (gateway == nil || gateway == hop.gateway) && (interface == .none || interface == hop.interface)
      && (weight == 1 || weight == hop.weight)
  }
}

/// Which of the routes to a destination, as a look-up says it.
struct RouteName: Hashable {
  var prefixLength: UInt8 = 0
  var table: Int32 = -1
  var metric: UInt32 = 0
}

/// What a look-up finds: that of a route which packets ask for. Linux: `struct fib_result`.
@frozen
public struct FIBResult<Prefix: RoutedPrefix>: Sendable {
  public var kind: FIBEntry<Prefix>.Kind
  public var scope: FIBEntry<Prefix>.Scope
  /// There are several next hops; this is the first that is alive, until one is chosen.
  var isMultipath: Bool
  var prefixLength: UInt8
  public var interface: InterfaceIndex
  /// The route's place in its table, and the table's among those beside the main one; -1: the main one, or none.
  var place: Int32 = -1
  var table: Int32 = -1
  public var gateway: Prefix.Address?
  public var source: Prefix.Address?
  public var mtu: Int?
  var metric: UInt32 = 0
  var tunnel = TunnelID.none

  init(_ entry: FIBEntry<Prefix>) {
    kind = entry.kind
    scope = entry.scope
    isMultipath = !entry.nextHops.isEmpty
    prefixLength = UInt8(entry.prefix.length)
    interface = entry.interface
    gateway = entry.gateway
    source = entry.source
    mtu = entry.mtu
    metric = entry.metric
    tunnel = entry.tunnel
    if let alive = entry.nextHops.first(where: { !$0.isDead }) { take(alive) }
  }

  /// A rule's refusal.
  init(refusing kind: FIBEntry<Prefix>.Kind) {
    self.kind = kind
    scope = .universe
    isMultipath = false
    prefixLength = 0
    interface = .none
  }

  mutating func take(_ hop: FIBNextHop<Prefix.Address>) {
    gateway = hop.gateway
    interface = hop.interface
    tunnel = hop.tunnel
  }

  /// Which route it is of, for what was learned by it.
  var name: RouteName { RouteName(prefixLength: prefixLength, table: table, metric: metric) }

  /// Whether packets end here.
  var refuses: Bool { kind == .unreachable || kind == .blackhole || kind == .prohibit }
}

/// The shares of a route's next hops in the flows' hashes, of 31 bits: hash-threshold (RFC 2992).
struct FIBShares {
  /// The last hash of each; -1: it has none. Linux: `fib_nh_upper_bound`.
  private(set) var bounds: [Int32] = []

  /// Linux: `fib_rebalance()`.
  init<Address>(_ hops: [FIBNextHop<Address>]) {
    guard !hops.isEmpty else { return }
    let total = hops.reduce(0) { $0 + ($1.isDead ? 0 : $1.weight) }
    var sum = 0
    bounds = hops.map { hop in
      guard !hop.isDead else { return -1 }
      sum += hop.weight
      return Int32(truncatingIfNeeded: (sum << 31 + total / 2) / total - 1)
    }
  }
}
