import ArgumentParser
import SwiftStack

struct NeighCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "neigh", abstract: "Show or change the stack's neighbours, as \"ip neigh\" does.",
    discussion: """
      neigh [show] [dev IFNAME]
      neigh add | replace ADDRESS lladdr MAC [nud permanent | noarp | reachable | stale] [dev IFNAME]
      neigh del ADDRESS [dev IFNAME]
      neigh add | del proxy ADDRESS [dev IFNAME]
      neigh flush [all] [dev IFNAME]
      """)
  @Argument(parsing: .allUnrecognized, help: "add, replace, del or flush, and the neighbour.") var words:
    [String] = []
  @OptionGroup var options: ReportOptions

  /// As `ip -json neigh`.
  private struct Entry: Encodable {
    var dst: String
    var dev: String
    var lladdr: String?
    var state: [String]
  }

  func run() throws {
    guard let shown = try ShownDevice(words, takesName: false) else {
      return try options.change("neigh", words)
    }
    var client = try options.client.connect()
    let all = try client.table(.neigh) { if case .neigh(let rows) = $0 { rows } else { nil } }
    let neighbours = try shown.rows(all, of: &client) { $0.device }
    if options.json {
      return try JSONOutput.print(
        neighbours.map {
          Entry(dst: $0.address, dev: $0.device, lladdr: $0.macAddress, state: [$0.state])
        })
    }
    for neighbour in neighbours {
      let mac = neighbour.macAddress.map { " lladdr \($0)" } ?? ""
      try StandardOutput.print("\(neighbour.address) dev \(neighbour.device)\(mac) \(neighbour.state)")
    }
  }
}
