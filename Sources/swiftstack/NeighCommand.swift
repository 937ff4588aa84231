import ArgumentParser
import SwiftStack

struct NeighCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "neigh", abstract: "Show the stack's neighbours, as \"ip neigh\" does.")
  @OptionGroup var options: ReportOptions

  /// As `ip -json neigh`.
  private struct Entry: Encodable {
    var dst: String
    var dev: String
    var lladdr: String?
    var state: [String]
  }

  func run() throws {
    var client = try options.client.connect()
    guard case .neigh(let neighbours) = try client.ask(.neigh) else { throw ControlError.unexpected("neigh") }
    if options.json {
      return try JSONOutput.print(
        neighbours.map {
          Entry(dst: $0.address, dev: $0.device, lladdr: $0.macAddress, state: [$0.state])
        })
    }
    for neighbour in neighbours {
      let mac = neighbour.macAddress.map { " lladdr \($0)" } ?? ""
      StandardOutput.print("\(neighbour.address) dev \(neighbour.device)\(mac) \(neighbour.state)")
    }
  }
}
