import ArgumentParser
import SwiftStack

struct RuleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rule", abstract: "Show or change the rules about routing tables, as \"ip rule\" does.",
    discussion: """
      rule [list]
      rule add [SELECTOR]... [priority N] ACTION
      rule del [SELECTOR]... [priority N] [ACTION]
      SELECTOR: [not] from PREFIX | to PREFIX | fwmark MARK[/MASK] | iif IFNAME | oif IFNAME | tos TOS |
        uidrange FIRST-LAST | ipproto PROTOCOL | sport PORT[-PORT] | dport PORT[-PORT]
      ACTION: lookup TABLE [suppress_prefixlength N] | unreachable | blackhole | prohibit

      The stack's own addresses are looked up before all rules.
      """)
  @Argument(parsing: .allUnrecognized, help: "list, add or del, and the rule.") var words: [String] = []
  @OptionGroup var options: ReportOptions

  func run() throws {
    if let first = words.first, !["list", "show"].contains(first) {
      return try options.change("rule", words)
    }
    if words.count > 1 { throw ValidationError("nothing follows \"\(words[0])\", there is \"\(words[1])\"") }
    var client = try options.client.connect()
    let rules = try client.table(.rule) { if case .rule(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(rules) }
    for rule in rules { try StandardOutput.print("\(rule.priority):\t\(rule.text)") }
  }
}
