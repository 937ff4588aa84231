import SwiftStack

/// An interface as `ip -json addr` and `ip addr` show it.
struct InterfaceEntry: Encodable {
  struct Address: Encodable {
    var family = "inet"
    var local: String
    var prefixlen: Int
    var broadcast: String?
    var scope = "global"
    var label: String
  }
  var ifname: String
  var flags: [String]
  var mtu: Int
  var qdisc: String
  var operstate: String
  var txqlen: Int
  var linkType = "ether"
  var address: String
  /// `nil` for `ip link`.
  var addresses: [Address]?

  private enum CodingKeys: String, CodingKey {
    case ifname, flags, mtu, qdisc, operstate, txqlen, address
    case linkType = "link_type"
    case addresses = "addr_info"
  }

  init(_ link: InterfaceReport, withAddresses: Bool) {
    ifname = link.device
    flags = ["BROADCAST", "MULTICAST"] + (link.isUp ? ["UP"] : [])
    mtu = link.mtu
    qdisc = link.qdisc
    operstate = link.isUp ? "UP" : "DOWN"
    txqlen = link.transmitQueueLength
    address = link.macAddress
    guard withAddresses else { return }
    addresses = link.addresses.compactMap { IPv4Prefix($0) }.map { prefix in
      Address(
        local: "\(prefix.address)", prefixlen: prefix.length, broadcast: prefix.broadcast.map { "\($0)" },
        label: link.device)
    }
  }

  var text: String {
    var lines = [
      "\(ifname): <\(flags.joined(separator: ","))> mtu \(mtu) qdisc \(qdisc) state \(operstate) qlen \(txqlen)",
      "    link/ether \(address) brd ff:ff:ff:ff:ff:ff",
    ]
    for address in addresses ?? [] {
      let broadcast = address.broadcast.map { " brd \($0)" } ?? ""
      lines.append("    inet \(address.local)/\(address.prefixlen)\(broadcast) scope global \(address.label)")
    }
    return lines.joined(separator: "\n")
  }
}
