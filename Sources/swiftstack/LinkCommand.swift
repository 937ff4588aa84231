import ArgumentParser
import SwiftStack

struct LinkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "link", abstract: "Show or change the stack's interface, as \"ip link\" does.",
    discussion: """
      link [set [dev IFNAME] [mtu N] [address MAC] [up | down]]
      The stack's side only: Linux's side of the TAP keeps its own MTU, address and state.
      """)
  @Argument(help: "set, and what.") var words: [String] = []
  @OptionGroup var options: ReportOptions

  func run() throws {
    if !words.isEmpty { return try options.change("link", words) }
    var client = try options.client.connect()
    let links = try client.table(.addr) { if case .addr(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(links.map { InterfaceEntry($0, withAddresses: false) }) }
    for link in links { try StandardOutput.print(InterfaceEntry(link, withAddresses: false).text) }
  }
}
