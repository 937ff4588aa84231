import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Tables
import Timers
import Wire

/// One of our addresses, and the device it belongs to. Linux: `struct in_ifaddr`.
public struct InterfaceAddress: Hashable, Sendable {
  public var prefix: IPv4Prefix
  public var interface: InterfaceIndex

  public var address: IPv4Address { prefix.address }
  /// Of use inside this host only. Linux: `RT_SCOPE_HOST`.
  public var isHostScope: Bool { address.isLoopback }

  /// Another one of the same network on the same device. Linux: `IFA_F_SECONDARY`.
  func isSecondary(to first: InterfaceAddress) -> Bool {
    interface == first.interface && prefix.length == first.prefix.length
      && prefix.network == first.prefix.network
  }
}

/// IPv4, ARP and ICMP of one shard, above the devices and the neighbours of its link layer. Linux: `net/ipv4/`.
public struct IPv4Layer: ~Copyable {
  private let addressOnly = AddressOnly()
  /// Our addresses, in the order they were added.
  public internal(set) var addresses: [InterfaceAddress]
  /// The first address that others know: the one most packets are for.
  var primary = IPv4Address.any
  /// Linux: the `main` table, and the `local` one before it.
  public internal(set) var routes = RouteTable()
  var local = RouteTable()
  /// Rules about other tables.
  public internal(set) var policy = RoutingPolicy()
  /// Marks, users or ports of flows may decide on their way. While they do not, nobody need ask for them.
  public internal(set) var routesByFlow = false
  /// Where the last forwarded packet went: most follow it.
  var lastForwarded = Route.none
  var redirects = RedirectLimit()

  /// Routes made before the last change are looked up again. Linux: `rt_genid`.
  public internal(set) var generation: UInt32 = 1
  var pathMTUs = PathMTUTable()
  /// Gateways that others have sent us to.
  var nearerHops = LearnedPaths<LearnedHop>()
  var learnedTimer = TimerSlot()
  /// Where the packets' identifications come from.
  public internal(set) var identifications: IdentificationTable
  var reassembly = ReassemblyTable()
  /// Datagrams that fragments wait of, and their bytes. Linux: `FRAG` in /proc/net/sockstat.
  package var reassemblyUse: (count: Int, memory: Int) { (reassembly.count, reassembly.memory) }
  var rateLimit: ICMPRateLimit
  var conflicts = AddressConflictDetection()
  var proxies = ARPProxies()
  var groups = HostGroups()
  var groupTimer = TimerSlot()
  /// Those of every shard; `nil`: there is one.
  var sharedGroups: (any SharedGroups)?
  /// The source that was last found to be no address of ours: most packets come from the same few.
  var lastPlainSource = IPv4Address.any
  var errors: [TransportError] = []
  /// Who looks at packets on their way in and out.
  public var hooks = Hooks()

  /// Packets that are on their way inside others just now.
  var tunnelDepth = 0

  /// Timer slots that belong to no datagram or neighbour.
  static let learnedTimerID = UInt32.max
  static let conflictTimerID = UInt32.max - 1
  static let groupTimerID = UInt32.max - 2
  static let proxyTimerID = UInt32.max - 3
  /// Most addresses, 127.0.0.1 among them, and routes, so that a change stays quick.
  static let addressLimit = 1025
  static let routeLimit = 65536
  /// Most errors kept for `takeTransportError()`; later ones are lost, as ICMP may be.
  static let errorLimit = 256

  public init(net: inout Net) {
    identifications = IdentificationTable(net: &net)
    rateLimit = ICMPRateLimit(net: &net)
    errors.reserveCapacity(Self.errorLimit)
    // Linux: `inetdev_event()` gives it to the loopback device.
    addresses =
      IPv4Prefix(.loopback, length: 8).map { [InterfaceAddress(prefix: $0, interface: .loopback)] } ?? []
    rebuildLocal()
  }

  // MARK: Errors

  public var hasTransportErrors: Bool { !errors.isEmpty }

  /// An error for a transport, which a router or the peer has told of or IP has found by itself; `nil` when there is none.
  public mutating func takeTransportError() -> TransportError? {
    errors.isEmpty ? nil : errors.removeFirst()
  }

  /// "Destination unreachable" about a packet of ours (data at its IP header), found by ourselves.
  static func localError(
    about skb: borrowing SkBuff, code: UInt8, mtu: Int?, offender: IPv4Address,
    by interface: InterfaceIndex
  ) -> TransportError? {
    TransportError(
      about: skb.linear, kind: .destinationUnreachable, code: code, mtu: mtu, offender: offender,
      by: interface, isLocal: true)
  }

  mutating func post(_ error: TransportError?) {
    if let error, errors.count < Self.errorLimit { errors.append(error) }
  }

  // MARK: End

  /// Lets go of every packet, before the packet pool ends.
  public mutating func close(net: inout Net) {
    reassembly.removeAll(net: &net)
    hooks.close(net: &net)
  }

  // MARK: Timers

  /// A timer of kind `.neighbour` or `.reassembly` is due.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, link: inout LinkLayer, net: inout Net) {
    switch key.kind {
    case .neighbour:
      if key.id == Self.conflictTimerID {
        conflictTimer(due: due, link: &link, net: &net)
        return
      }
      if key.id == Self.proxyTimerID { return proxyTimer(due: due, link: &link, net: &net) }
      if key.id == Self.groupTimerID { return groupTimer(due: due, link: &link, net: &net) }
      link.neighbours.timerExpired(key, due: due, net: &net)
      serveNeighbours(link: &link, net: &net)
    case .connection: hooks.timerExpired(due: due, net: &net)
    default:
      if key.id == Self.learnedTimerID {
        expireLearned(due: due, net: &net)
      } else {
        reassemblyTimer(key, due: due, link: &link, net: &net)
      }
    }
  }
}
