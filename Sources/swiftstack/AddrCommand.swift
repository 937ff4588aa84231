import ArgumentParser
import SwiftStack

struct AddrCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "addr", abstract: "Show or change the stack's addresses, as \"ip addr\" does.",
    discussion: "addr [add | del ADDRESS/LENGTH]")
  @Argument(help: "add or del, and the address with its prefix length.") var words: [String] = []
  @OptionGroup var options: ReportOptions

  /// As `ip -json addr`.
  private struct Entry: Encodable {
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
    var link_type = "ether"
    var address: String
    var addr_info: [Address]
  }

  func run() throws {
    if !words.isEmpty { return try options.change("addr", words) }
    var client = try options.client.connect()
    let links = try client.table(.addr) { if case .addr(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(links.map(Self.entry)) }
    for link in links {
      let entry = Self.entry(link)
      try StandardOutput.print(
        "\(entry.ifname): <\(entry.flags.joined(separator: ","))> mtu \(entry.mtu) qdisc \(entry.qdisc) "
          + "state \(entry.operstate) qlen \(entry.txqlen)")
      try StandardOutput.print("    link/ether \(entry.address) brd ff:ff:ff:ff:ff:ff")
      for address in entry.addr_info {
        let broadcast = address.broadcast.map { " brd \($0)" } ?? ""
        try StandardOutput.print(
          "    inet \(address.local)/\(address.prefixlen)\(broadcast) scope global \(address.label)")
      }
    }
  }

  private static func entry(_ link: InterfaceReport) -> Entry {
    Entry(
      ifname: link.device, flags: ["BROADCAST", "MULTICAST"] + (link.isUp ? ["UP"] : []), mtu: link.mtu,
      qdisc: link.qdisc, operstate: link.isUp ? "UP" : "DOWN", txqlen: link.transmitQueueLength,
      address: link.macAddress,
      addr_info: link.addresses.compactMap { IPv4Prefix($0) }.map { prefix in
        Entry.Address(
          local: "\(prefix.address)", prefixlen: prefix.length, broadcast: prefix.broadcast.map { "\($0)" },
          label: link.device)
      })
  }
}
