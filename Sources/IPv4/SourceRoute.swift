import Neighbour
import NetDevice
import NetNamespace
import SkBuff
import Wire

/// Where a packet goes next by its source route. Linux: `opt->nexthop` and the slot that it stands in.
struct SourceRouteHop {
  var address: IPv4Address
  /// In the header: the option, and the address in it that gives way to ours.
  var option: Int
  var slot: Int
  /// The option's pointer from here on.
  var pointer: UInt8
  /// Nobody may be in between.
  var isStrict: Bool
}

extension IPv4Options {
  /// Whether a packet is to go by a source route, or has come by one. Linux: `opt->srr`.
  static func hasSourceRoute(_ skb: borrowing SkBuff, _ header: IPv4Header) -> Bool {
    guard header.headerByteCount > IPv4Header.minimumByteCount else { return false }
    var found = false
    forEach(skb.linear, from: IPv4Header.minimumByteCount, to: header.headerByteCount) { (kind, _, _) in
      found = found || kind == Kind.looseRoute || kind == Kind.strictRoute
    }
    return found
  }
}

// Source routes that lead on from here (RFC 791 section 3.1, RFC 1812 section 5.2.4.1). Linux: `ip_options_rcv_srr()`.
extension IPv4Layer {
  /// A packet for an address of ours whose source route has not ended: it goes on, if this is a router, or its further hops
  /// are addresses of ours, too.
  ///
  /// - Parameter place: of the option in the header.
  mutating func followRoute(
    _ skb: consuming SkBuff, _ header: IPv4Header, at place: Int, _ recorded: IPv4Options.Recorded,
    largestFragment: Int, link: inout LinkLayer, net: inout Net
  ) -> Input {
    var header = header
    guard skb.packetType == .host, isLocal(header.destination) else {
      skb.drop(.ipHeader)
      return .consumed
    }
    let (kind, length) = (skb.linear.load8(place), Int(skb.linear.load8(place + 1)))
    var pointer = Int(skb.linear.load8(place + 2))
    let first = pointer
    while pointer <= length {
      guard pointer + 3 <= length else {
        report(
          skb, header, .ipHeader, kind: .parameterProblem, code: 0, info: UInt32(place + 2) << 24,
          link: &link,
          net: &net)
        return .consumed
      }
      let next = skb.linear.loadIPv4(place + pointer - 1)
      // Nobody else's packet gets at what only this host itself may reach (RFC 1122 section 3.2.1.3).
      if next.isLoopback && skb.interface != .loopback {
        skb.drop(.ipHeader)
        return .consumed
      }
      guard isLocal(next) else {
        var recorded = recorded
        // The first of equal addresses gives way, as in Linux.
        var slot = first
        while skb.linear.loadIPv4(place + slot - 1) != next { slot += 4 }
        recorded.isChanged = true
        recorded.hop = SourceRouteHop(
          address: next, option: place, slot: place + slot - 1, pointer: UInt8(slot + 4),
          isStrict: kind == IPv4Options.Kind.strictRoute)
        passOn(skb, header, recorded, to: next, largestFragment: largestFragment, link: &link, net: &net)
        return .consumed
      }
      guard retarget(&skb, &header, to: next) else {
        skb.drop(.noMemory)
        return .consumed
      }
      pointer += 4
    }
    if header.isFragment { return receiveFragment(skb, header: header, link: &link, net: &net) }
    return deliver(skb, header: header, link: &link, net: &net)
  }

  /// To the next hop, if there is a way that does not refuse; nobody is told where there is none.
  private mutating func passOn(
    _ skb: consuming SkBuff, _ header: IPv4Header, _ recorded: IPv4Options.Recorded, to next: IPv4Address,
    largestFragment: Int, link: inout LinkLayer, net: inout Net
  ) {
    var onward = header
    onward.destination = next
    guard net.settings.forwards, isElsewhere(next), !next.isLoopback,
      let route = try? forwardingRoute(onward, of: skb, link: link, net: &net)
    else {
      skb.drop(.ipHeader)
      return
    }
    forward(
      skb, header: header, by: route, recorded, largestFragment: largestFragment, link: &link, net: &net)
  }

  /// The packet is for another address of ours.
  private func retarget(_ skb: inout SkBuff, _ header: inout IPv4Header, to next: IPv4Address) -> Bool {
    guard skb.unclone(), var bytes = skb.writable() else { return false }
    header.destination = next
    header.write(to: &bytes)
    return true
  }
}
