import Neighbour
import NetDevice
import NetNamespace
import Tables
import Wire

// Which way a flow takes. Linux: `fib_select_multipath()`.
extension IPv4Layer {
  /// The route for a packet, and of several next hops the one for its flow. Linux: `fib_lookup()`, `fib_select_path()`.
  ///
  /// - Parameter hash: of another packet, by which the next hop is chosen.
  @inline(__always)
  func findPath(
    _ key: RouteKey, hash: Int32? = nil, link: borrowing LinkLayer, net: borrowing Net
  ) -> RouteResult? {
    guard var found = findRoute(key) else { return nil }
    if found.isMultipath {
      choosePath(&found, key, hash: hash ?? pathHash(key, net: net), link: link, net: net)
    }
    return found
  }

  /// Of several next hops the one in whose share the flow's hash lies. A sender's source is kept to a device that has it,
  /// as long as there is one.
  ///
  /// - Parameter hash: of the flow, as the policy has it.
  @inline(never)
  func choosePath(
    _ found: inout RouteResult, _ key: RouteKey, hash: Int32, link: borrowing LinkLayer, net: borrowing Net
  ) {
    let (hops, bounds) = nextHops(of: found)
    let source = key.inputInterface == .loopback && !key.source.isAny ? key.source : nil
    var best = 0
    for (index, hop) in hops.enumerated() where bounds[index] >= 0 {
      if net.settings.multipathUsesNeighbours, !isGood(hop, link: link) { continue }
      var score = hash <= bounds[index] ? 1 : 0
      if let source, selectSource(for: hop.gateway ?? key.destination, on: hop.interface) == source {
        score += 2
      }
      guard score > best else { continue }
      best = score
      found.take(hop)
      if score == (source == nil ? 1 : 3) { return }
    }
  }

  private func nextHops(of found: RouteResult) -> ([NextHop], [Int32]) {
    found.table < 0 ? routes.nextHops(of: found) : policy.nextHops(of: found)
  }

  /// Whether a route has a next hop over a device. Linux: `fib_info_nh_uses_dev()`.
  func leads(_ way: RouteResult, over interface: InterfaceIndex) -> Bool {
    if way.interface == interface { return true }
    return way.isMultipath && nextHops(of: way).0.contains { $0.interface == interface }
  }

  /// Whether nothing bad is known of a gateway. Linux: `fib_good_nh()`.
  private func isGood(_ hop: NextHop, link: borrowing LinkLayer) -> Bool {
    guard let gateway = hop.gateway else { return true }
    return link.neighbours.state(of: IPAddress(gateway), on: hop.interface)?.isValid ?? true
  }
}
