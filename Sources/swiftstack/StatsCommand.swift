import ArgumentParser
import SwiftStack

struct StatsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Show the stack's protocol counters, as \"nstat -a\" does.")
  @OptionGroup var options: ReportOptions
  @Flag(name: [.customShort("z"), .long], help: "Show counters that are zero, too.") var zeros = false
  @Flag(help: "Show why packets were thrown away instead: how many for each of Linux's drop reasons.")
  var drops = false
  @Flag(
    help: ArgumentHelp(
      "Show what the stack holds just now instead: sk_buffs, pages, DMA mappings, timers, and sockets and fragments as "
        + "/proc/net/sockstat names them."))
  var memory = false

  func validate() throws {
    if drops && memory { throw ValidationError("--drops and --memory are two tables; ask for one") }
  }

  func run() throws {
    var client = try options.client.connect()
    let counters = try client.table(memory ? .memory : drops ? .drops : .stats) {
      if case .stats(let rows) = $0 { rows } else { nil }
    }
    if options.json {
      let values = Dictionary(counters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
      return try JSONOutput.print(["swiftstack": values])
    }
    try StandardOutput.print("#swiftstack")
    for counter in counters where zeros || counter.value != 0 {
      let name = counter.name + String(repeating: " ", count: max(1, 32 - counter.name.count))
      let value = "\(counter.value)"
      try StandardOutput.print(name + value + String(repeating: " ", count: max(1, 19 - value.count)) + "0.0")
    }
  }
}
