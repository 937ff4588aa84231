import Neighbour
import NetNamespace
import Timers
import Wire

/// Path MTUs that were learned from routers, each for a limited time. Linux: `struct fib_nh_exception`.
///
/// Every operation takes constant time, but for what `expire` takes out: all are kept equally long, so that they expire in
/// the order in which they were learned.
struct PathMTUTable {
  struct Exception {
    var mtu: Int
    var isLocked: Bool
    var expires: Instant
  }
  private struct Slot {
    var destination: IPv4Address
    var exception: Exception
    /// Neighbours in the order of learning; -1: none. A free slot's `newer` is the next free one.
    var older: Int32
    var newer: Int32 = -1
  }
  /// Most destinations that are remembered; the one that would be forgotten soonest makes room.
  static let limit = 4096
  private var slots: [Slot] = []
  private var places: [IPv4Address: Int32] = [:]
  private var oldest: Int32 = -1
  private var newest: Int32 = -1
  private var free: Int32 = -1

  var isEmpty: Bool { places.isEmpty }
  var count: Int { places.count }
  var all: [(destination: IPv4Address, exception: Exception)] {
    places.map { ($0.key, slots[Int($0.value)].exception) }.sorted { $0.0.rawValue < $1.0.rawValue }
  }

  func find(_ destination: IPv4Address, now: Instant) -> Exception? {
    guard let place = places[destination] else { return nil }
    let exception = slots[Int(place)].exception
    return exception.expires > now ? exception : nil
  }

  mutating func insert(_ destination: IPv4Address, _ exception: Exception) {
    if let known = places[destination] {
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
    places[destination] = place
  }

  private mutating func remove(_ place: Int32) {
    let slot = slots[Int(place)]
    places[slot.destination] = nil
    if slot.older >= 0 { slots[Int(slot.older)].newer = slot.newer } else { oldest = slot.newer }
    if slot.newer >= 0 { slots[Int(slot.newer)].older = slot.older } else { newest = slot.older }
    slots[Int(place)].newer = free
    free = place
  }

  /// Forgets what has expired. Returns whether anything was, and when the next one will be.
  mutating func expire(now: Instant) -> (changed: Bool, next: Instant?) {
    let before = places.count
    while oldest >= 0, slots[Int(oldest)].exception.expires <= now { remove(oldest) }
    return (places.count < before, oldest >= 0 ? slots[Int(oldest)].exception.expires : nil)
  }
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
    let way = try? route(to: destination, from: source, flow: flow, link: link, net: &net)
    guard let route = way, route.kind == .unicast else {
      return
    }
    // Only ever lowered: raising is left to expiry (RFC 1191 section 6.3).
    guard mtu < route.mtu else { return }
    let least = net.settings.leastPathMTU
    let isLocked = mtu < least
    let learned = isLocked ? min(route.mtu, least) : mtu
    let expires = net.now + net.settings.pathMTUExpires
    pathMTUs.insert(destination, .init(mtu: learned, isLocked: isLocked, expires: expires))
    armPathMTUTimer(at: expires, net: &net)
    routesChanged()
  }

  /// Forgets what was learned: another time of expiry would break the order in which it expires.
  public mutating func forgetPathMTUs() {
    pathMTUs = PathMTUTable()
    routesChanged()
  }

  private mutating func armPathMTUTimer(at deadline: Instant, net: inout Net) {
    pathMTUTimer.arm(
      TimerKey(kind: .reassembly, id: Self.pathMTUTimerID), at: deadline, in: &net.timers)
  }

  mutating func expirePathMTUs(due: Instant, net: inout Net) {
    guard pathMTUTimer.expire(at: due) else { return }
    let (changed, next) = pathMTUs.expire(now: net.now)
    if changed { routesChanged() }
    if let next { armPathMTUTimer(at: next, net: &net) }
  }
}
