import SwiftStack

/// An interface as `ip -json addr` and `ip addr` show it.
struct InterfaceEntry: Encodable {
  struct Address: Encodable {
    var family = "inet"
    var local: String
    var prefixlen: Int
    var broadcast: String?
    var scope: String
    var label: String
  }
  /// `ip -s` shows it, in one direction.
  struct Counts: Encodable {
    var bytes: UInt64
    var packets: UInt64
    var dropped: UInt64
    init(_ counts: LinkCounts) { (bytes, packets, dropped) = (counts.bytes, counts.packets, counts.dropped) }
  }
  var ifindex: Int
  var ifname: String
  var flags: [String]
  var mtu: Int
  var qdisc: String
  var operstate: String
  var txqlen: Int
  var linkType: String
  var address: String
  var broadcast: String
  /// Received and sent; `nil` without `-s`.
  var statistics: [String: Counts]?
  /// `nil` for `ip link`.
  var addresses: [Address]?

  private enum CodingKeys: String, CodingKey {
    case ifindex, ifname, flags, mtu, qdisc, operstate, txqlen, address, broadcast
    case statistics = "stats64"
    case linkType = "link_type"
    case addresses = "addr_info"
  }

  init(_ link: InterfaceReport, withAddresses: Bool, withStatistics: Bool = false) {
    ifindex = link.index
    ifname = link.device
    flags = link.isLoopback ? ["LOOPBACK"] : ["BROADCAST", "MULTICAST"]
    if !link.resolvesAddresses { flags.append("NOARP") }
    if link.isUp { flags.append("UP") }
    linkType = link.isLoopback ? "loopback" : "ether"
    broadcast = link.isLoopback ? link.macAddress : "ff:ff:ff:ff:ff:ff"
    mtu = link.mtu
    qdisc = link.qdisc
    // Linux: a loopback has no carrier to tell of.
    operstate = !link.isUp ? "DOWN" : link.isLoopback ? "UNKNOWN" : "UP"
    txqlen = link.transmitQueueLength
    address = link.macAddress
    if withStatistics { statistics = ["rx": Counts(link.received), "tx": Counts(link.sent)] }
    guard withAddresses else { return }
    addresses = link.addresses.compactMap { IPv4Prefix($0) }.map { prefix in
      Address(
        local: "\(prefix.address)", prefixlen: prefix.length,
        broadcast: link.isLoopback ? nil : prefix.broadcast.map { "\($0)" },
        scope: prefix.address.isLoopback ? "host" : "global", label: link.device)
    }
  }

  var text: String {
    var lines = [
      "\(ifindex): \(ifname): <\(flags.joined(separator: ","))> mtu \(mtu) qdisc \(qdisc) state \(operstate) qlen \(txqlen)",
      "    link/\(linkType) \(address) brd \(broadcast)",
    ]
    for address in addresses ?? [] {
      let broadcast = address.broadcast.map { " brd \($0)" } ?? ""
      lines.append(
        "    inet \(address.local)/\(address.prefixlen)\(broadcast) scope \(address.scope) \(address.label)")
    }
    for (name, key) in [("RX", "rx"), ("TX", "tx")] {
      guard let counts = statistics?[key] else { continue }
      lines.append("    \(name):  bytes packets dropped")
      lines.append("    \(counts.bytes) \(counts.packets) \(counts.dropped)")
    }
    return lines.joined(separator: "\n")
  }
}
