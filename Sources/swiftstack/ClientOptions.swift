import ArgumentParser
import Control
import SwiftStack

/// What every client command takes.
struct ClientOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("The stack to talk to, when several run.", valueName: "ifname"))
  var interface: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The network namespace its interface is in. Default: one's own, then any.", valueName: "name"))
  var netns: String?

  /// Connects to the stack.
  func connect() throws -> ControlClient { try ControlClient(interface: interface, netns: netns) }

  /// Changes the stack; words that cannot be understood never get there.
  func change(_ object: String, _ words: [String]) throws {
    let all = [object] + words
    do { _ = try StackChange(words: all, device: nil) } catch { throw ValidationError("\(error)") }
    var client = try connect()
    try client.make(all)
  }
}

/// What commands that print a table take beside that.
struct ReportOptions: ParsableArguments {
  @OptionGroup var client: ClientOptions
  @Flag(help: "Print JSON.") var json = false

  func change(_ object: String, _ words: [String]) throws {
    if json { throw ValidationError("--json prints the table; \(object) \(words[0]) prints none") }
    try client.change(object, words)
  }
}
