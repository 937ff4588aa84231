import ArgumentParser
import SwiftStack

struct AddrCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "addr", abstract: "Show or change the stack's addresses, as \"ip addr\" does.",
    discussion: "addr [add | del ADDRESS/LENGTH]")
  @Argument(parsing: .allUnrecognized, help: "add or del, and the address with its prefix length.") var words:
    [String] = []
  @OptionGroup var options: ReportOptions

  func run() throws {
    if !words.isEmpty { return try options.change("addr", words) }
    var client = try options.client.connect()
    let links = try client.table(.addr) { if case .addr(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(links.map { InterfaceEntry($0, withAddresses: true) }) }
    for link in links { try StandardOutput.print(InterfaceEntry(link, withAddresses: true).text) }
  }
}
