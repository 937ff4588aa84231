import ArgumentParser
import SwiftStack

struct AddrCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "addr", abstract: "Show or change the stack's addresses, as \"ip addr\" does.",
    discussion: """
      addr [show] [dev IFNAME]
      addr add ADDRESS/LENGTH [probe] [dev IFNAME]
      addr del ADDRESS/LENGTH [dev IFNAME]
      probe: ask first whether another station has it
      IFNAME: the stack's interface, which is meant where none is named, or lo
      """)
  @Argument(parsing: .allUnrecognized, help: "add or del, and the address with its prefix length.") var words:
    [String] = []
  @OptionGroup var options: ReportOptions

  func run() throws {
    guard let shown = try ShownDevice(words, takesName: true) else {
      return try options.change("addr", words)
    }
    var client = try options.client.connect()
    let all = try client.table(.addr) { if case .addr(let rows) = $0 { rows } else { nil } }
    let links = try shown.rows(all, of: &client) { $0.device }
    if options.json { return try JSONOutput.print(links.map { InterfaceEntry($0, withAddresses: true) }) }
    for link in links { try StandardOutput.print(InterfaceEntry(link, withAddresses: true).text) }
  }
}
