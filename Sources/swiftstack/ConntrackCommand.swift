import ArgumentParser
import SwiftStack

struct ConntrackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "conntrack",
    abstract: "List the tracked connections, as \"conntrack -L\" does, or forget them.",
    discussion: """
      conntrack [list]
      conntrack flush

      Connections are tracked while a rule of the filter needs it: one with ct state, snat, dnat, masquerade or redirect.
      """)
  @Argument(help: "list or flush.") var verb = "list"
  @OptionGroup var options: ReportOptions

  func run() throws {
    guard verb == "list" || verb == "flush" else {
      throw ValidationError("command \"\(verb)\" is unknown: conntrack takes list, flush")
    }
    if verb == "flush" { return try options.change("conntrack", ["flush"]) }
    var client = try options.client.connect()
    let rows = try client.table(.conntrack) { if case .conntrack(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(rows) }
    for row in rows { try StandardOutput.print("\(row.line) use=1") }
  }
}
