import ArgumentParser
import Control
import SwiftStack

struct FilterCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "filter",
    abstract: "Show or change rules about packets at the hooks, and about sends, in words as nft(8)'s.",
    discussion: """
      filter [list]
      filter add \(Hook.allCases.map(\.name).joined(separator: "|")) \(PacketFilter.Rule.usage)
      filter add send \(SendPolicy.Rule.usage)
      filter del HOOK|send handle N

      The first rule with a verdict that matches decides; what none matches is accepted. A local sender whose packet is dropped gets \
      EPERM. reject is for input, forward and output. A rule that translates addresses is asked about the first packet of \
      a connection and holds for all of them; rules see packets as they are before addresses are translated at their hook. \
      forward is for packets of others, when sysctl net.ipv4.ip_forward is 1.
      """)
  @Argument(parsing: .allUnrecognized, help: "list, add or del, and the rule.") var words: [String] = []
  @OptionGroup var options: ReportOptions

  func run() throws {
    if let first = words.first, first != "list" {
      guard first == "add" || first == "del" else {
        throw ValidationError("command \"\(first)\" is unknown: filter takes list, add, del")
      }
      return try options.change("filter", words)
    }
    if words.count > 1 { throw ValidationError("nothing follows \"list\", there is \"\(words[1])\"") }
    var client = try options.client.connect()
    let chains = try client.table(.filter) { if case .filter(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(chains) }
    for chain in chains {
      var head = "chain \(chain.chain) {"
      if let accepted = chain.accepted, let dropped = chain.dropped {
        head += " # accepted \(accepted) packets, dropped \(dropped)"
      }
      try StandardOutput.print(head)
      for rule in chain.rules { try StandardOutput.print("  \(rule.text) # handle \(rule.handle)") }
      try StandardOutput.print("}")
    }
  }
}
