import ArgumentParser
import SwiftStack

struct LinkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "link", abstract: "Show the stack's interfaces or change one, as \"ip link\" does.",
    discussion: """
      link [show] [dev IFNAME]
      link set [dev IFNAME] [mtu N] [address MAC] [arp on | off] [up | down]
      The stack's side only: Linux's side of the TAP keeps its own MTU, address and state.
      """)
  @Argument(parsing: .allUnrecognized, help: "set, and what.") var words: [String] = []
  @Flag(name: [.customShort("s"), .customLong("statistics")], help: "With what has come in and gone out.")
  var withStatistics = false
  @OptionGroup var options: ReportOptions

  func run() throws {
    func entry(_ link: InterfaceReport) -> InterfaceEntry {
      InterfaceEntry(link, withAddresses: false, withStatistics: withStatistics)
    }
    guard let shown = try ShownDevice(words, takesName: true) else {
      return try options.change("link", words)
    }
    var client = try options.client.connect()
    let all = try client.table(.addr) { if case .addr(let rows) = $0 { rows } else { nil } }
    let links = try shown.rows(all, of: &client) { $0.device }
    if options.json { return try JSONOutput.print(links.map(entry)) }
    for link in links { try StandardOutput.print(entry(link).text) }
  }
}
