import Neighbour
import NetNamespace
import Timers
import Wire

/// What a router has said about the way to a destination.
protocol LearnedPath {
  var expires: Instant { get }
  /// It holds for packets by this one alone.
  var route: RouteName { get }
}

/// A path's MTU.
struct LearnedMTU: LearnedPath {
  var mtu: Int
  var isLocked: Bool
  var expires: Instant
  var route = RouteName()
}

/// A better next hop than a route has.
struct LearnedHop: LearnedPath {
  /// What the route has: of several next hops only this one gives way.
  var former: IPv4Address
  var interface: InterfaceIndex
  var gateway: IPv4Address
  var expires: Instant
  var route = RouteName()
}

typealias PathMTUTable = LearnedPaths<LearnedMTU>

/// What was learned from routers about single destinations, each for a limited time. Linux: `struct fib_nh_exception`.
///
/// Every operation takes constant time, but for what `expire` takes out: all are kept equally long, so that they expire in
/// the order in which they were learned.
struct LearnedPaths<Exception: LearnedPath> {
  private struct Slot {
    var destination: IPv4Address
    var exception: Exception
    /// Neighbours in the order of learning; -1: none. A free slot's `newer` is the next free one.
    var older: Int32
    var newer: Int32 = -1
  }
  /// Most destinations that are remembered; the one that would be forgotten soonest makes room.
  static var limit: Int { 4096 }
  private var slots: [Slot] = []
  /// Each route to a destination has what was learned by it.
  private struct Key: Hashable {
    var destination: IPv4Address
    var route: RouteName
  }
  private var places: [Key: Int32] = [:]
  private var oldest: Int32 = -1
  private var newest: Int32 = -1
  private var free: Int32 = -1

  var isEmpty: Bool { places.isEmpty }
  var count: Int { places.count }
  var all: [(destination: IPv4Address, exception: Exception)] {
    places.map { ($0.key.destination, slots[Int($0.value)].exception) }.sorted {
      $0.0.rawValue < $1.0.rawValue
    }
  }

  func find(_ destination: IPv4Address, by route: RouteName = RouteName(), now: Instant) -> Exception? {
    guard let place = places[Key(destination: destination, route: route)] else { return nil }
    let exception = slots[Int(place)].exception
    return exception.expires > now ? exception : nil
  }

  /// Forgets those that were learned by one route.
  ///
  /// - Parameter metric: `nil`: by all to the prefix.
  mutating func removeAll(of prefix: IPv4Prefix, in table: Int32, metric: UInt32?) {
    for (key, place) in places {
      let route = RouteName(
        prefixLength: UInt8(prefix.length), table: table, metric: metric ?? key.route.metric)
      if key.route == route && prefix.contains(key.destination) { remove(place) }
    }
  }

  mutating func insert(_ destination: IPv4Address, _ exception: Exception) {
    let key = Key(destination: destination, route: exception.route)
    if let known = places[key] {
      remove(known)
    } else if places.count >= Self.limit {
      remove(oldest)
    }
    let slot = Slot(destination: destination, exception: exception, older: newest)
    let place: Int32
    if free >= 0 {
      place = free
      free = slots[Int(place)].newer
      slots[Int(place)] = slot
    } else {
      place = Int32(slots.count)
      slots.append(slot)
    }
    if newest >= 0 { slots[Int(newest)].newer = place } else { oldest = place }
    newest = place
    places[key] = place
  }

  private mutating func remove(_ place: Int32) {
    let slot = slots[Int(place)]
    places[Key(destination: slot.destination, route: slot.exception.route)] = nil
    if slot.older >= 0 { slots[Int(slot.older)].newer = slot.newer } else { oldest = slot.newer }
    if slot.newer >= 0 { slots[Int(slot.newer)].older = slot.older } else { newest = slot.older }
    slots[Int(place)].newer = free
    free = place
  }

  /// Forgets what has expired. Returns whether anything was, and when the next one will be.
  mutating func expire(now: Instant) -> (changed: Bool, next: Instant?) {
    let before = places.count
    while oldest >= 0, slots[Int(oldest)].exception.expires <= now { remove(oldest) }
    return (places.count < before, nextExpiry)
  }

  /// When the oldest will be forgotten.
  var nextExpiry: Instant? { oldest >= 0 ? slots[Int(oldest)].exception.expires : nil }
}

extension IPv4Layer {
  /// A transport has checked that a router's "fragmentation needed" was about a packet of its own.
  /// Linux: `__ip_rt_update_pmtu()`.
  ///
  /// - Parameters:
  ///   - source: of the packet, for rules about routing tables, as `flow`.
  ///   - mtu: what the router said; below `min_pmtu` (552) the MTU is locked there and DF no longer set.
  public mutating func learnPathMTU(
    destination: IPv4Address, from source: IPv4Address? = nil, flow: RoutingFlow = RoutingFlow(), mtu: Int,
    link: borrowing LinkLayer, net: inout Net
  ) {
    let key = RouteKey(destination: destination, source: source ?? .any, flow: flow)
    guard
      let route = try? route(to: destination, from: source, flow: flow, counts: false, link: link, net: &net),
      route.kind == .unicast, let way = findPath(key, link: link, net: net)
    else { return }
    // Only ever lowered: raising is left to expiry (RFC 1191 section 6.3).
    guard mtu < route.mtu else { return }
    let least = net.settings.leastPathMTU
    let isLocked = mtu < least
    let learned = isLocked ? min(route.mtu, least) : mtu
    let expires = net.now + net.settings.pathMTUExpires
    // For all of several next hops. Linux: `__ip_rt_update_pmtu()`.
    pathMTUs.insert(
      destination, LearnedMTU(mtu: learned, isLocked: isLocked, expires: expires, route: way.name))
    armLearnedTimer(net: &net)
    routesChanged()
  }

  /// Forgets what was learned: another time of expiry would break the order in which it expires.
  public mutating func forgetPathMTUs() {
    pathMTUs = PathMTUTable()
    nearerHops = LearnedPaths<LearnedHop>()
    routesChanged()
  }

  /// A router says that another one is nearer to a destination, about a packet that a socket did send by it (RFC 1122 section
  /// 3.2.2.2). Linux: `__ip_do_redirect()`.
  ///
  /// It is believed if it comes from the next hop that packets go by now and what it names is no address of ours. Whoever is
  /// not a known neighbour is asked for first, and taken when it is said again.
  ///
  /// - Parameters:
  ///   - source: of the packet, for rules about routing tables, as `flow`.
  ///   - former: who says it.
  public mutating func learnNextHop(
    _ gateway: IPv4Address, insteadOf former: IPv4Address, destination: IPv4Address, from source: IPv4Address,
    flow: RoutingFlow = RoutingFlow(), link: inout LinkLayer, net: inout Net
  ) {
    guard net.settings.acceptsRedirects, gateway != former, !gateway.isMulticast, !gateway.isBroadcast,
      gateway.rawValue >> 24 != 0, local.lookup(gateway) == nil
    else { return }
    let key = RouteKey(destination: destination, source: source, flow: flow)
    guard let way = findPath(key, link: link, net: net), way.kind == .unicast, let original = way.gateway,
      nextHop(to: destination, by: way, now: net.now) == former
    else { return }
    let isKnown = link.neighbours.solicit(IPAddress(gateway), on: link.devices[way.interface], net: &net)
    guard isKnown else {
      if link.neighbours.hasRequests { serveNeighbours(link: &link, net: &net) }
      return
    }
    let expires = net.now + net.settings.redirectExpires
    nearerHops.insert(
      destination,
      LearnedHop(
        former: original, interface: way.interface, gateway: gateway, expires: expires, route: way.name))
    armLearnedTimer(net: &net)
    routesChanged()
  }

  /// Who gets packets by a route: the destination itself, its gateway, or who was said to be nearer than that.
  @inline(__always)
  func nextHop(to destination: IPv4Address, by way: RouteResult, now: Instant) -> IPv4Address {
    guard let gateway = way.gateway else { return destination }
    return nearerHops.isEmpty ? gateway : nearerHop(than: gateway, to: destination, by: way, now)
  }

  @inline(never)
  private func nearerHop(
    than gateway: IPv4Address, to destination: IPv4Address, by way: RouteResult, _ now: Instant
  ) -> IPv4Address {
    guard let learned = nearerHops.find(destination, by: way.name, now: now), learned.former == gateway,
      learned.interface == way.interface
    else { return gateway }
    return learned.gateway
  }

  /// A route has gone: so has what was learned by it. Linux: the exceptions go with their `struct fib_nh`.
  ///
  /// - Parameters:
  ///   - metric: `nil`: all to the prefix have.
  ///   - table: the number of its table.
  mutating func forgetLearned(of prefix: IPv4Prefix, metric: UInt32?, table: UInt32) {
    if pathMTUs.isEmpty && nearerHops.isEmpty { return }
    let place = policy.lookupPlace(of: table)
    pathMTUs.removeAll(of: prefix, in: place, metric: metric)
    nearerHops.removeAll(of: prefix, in: place, metric: metric)
  }

  private mutating func armLearnedTimer(net: inout Net) {
    guard let next = [pathMTUs.nextExpiry, nearerHops.nextExpiry].compactMap({ $0 }).min() else { return }
    learnedTimer.arm(TimerKey(kind: .reassembly, id: Self.learnedTimerID), at: next, in: &net.timers)
  }

  mutating func expireLearned(due: Instant, net: inout Net) {
    guard learnedTimer.expire(at: due) else { return }
    let changed = [pathMTUs.expire(now: net.now).changed, nearerHops.expire(now: net.now).changed]
    if changed.contains(true) { routesChanged() }
    armLearnedTimer(net: &net)
  }
}
