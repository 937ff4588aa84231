import ArgumentParser
import SwiftStack

struct NeighCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "neigh", abstract: "Show or change the stack's neighbours, as \"ip neigh\" does.",
    discussion: """
      neigh [replace ADDRESS lladdr MAC [nud permanent | noarp | reachable | stale]]
      neigh [del ADDRESS]
      neigh [flush [all]]
      """)
  @Argument(parsing: .allUnrecognized, help: "replace, del or flush, and the neighbour.") var words:
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
    if !words.isEmpty { return try options.change("neigh", words) }
    var client = try options.client.connect()
    let neighbours = try client.table(.neigh) { if case .neigh(let rows) = $0 { rows } else { nil } }
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
