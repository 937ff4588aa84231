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

/// The interface that a table is asked for: `[show | list] [dev] [IFNAME]`, as iproute2's.
struct ShownDevice {
  var name: String?

  /// - Parameter takesName: the name may stand without `dev` before it.
  /// - Returns: `nil` when the words ask for a change.
  init?(_ words: [String], takesName: Bool) throws {
    var rest = words[...]
    let isList = rest.first.map { ["show", "list", "ls", "lst"].contains($0) } ?? true
    if isList { rest = rest.dropFirst() } else if rest.first != "dev" { return nil }
    if rest.first == "dev" {
      guard rest.count > 1 else { throw ValidationError("an interface is expected behind \"dev\"") }
      rest = rest.dropFirst()
      name = rest.popFirst()
    } else if takesName {
      name = rest.popFirst()
    }
    if let word = rest.first { throw ValidationError("\"\(word)\" is one word too many") }
  }

  /// The rows of the interface, or all when none is asked for.
  func rows<Row>(_ rows: [Row], of client: inout ControlClient, _ device: (Row) -> String?) throws -> [Row] {
    guard let name else { return rows }
    let links = try client.table(.addr) { if case .addr(let rows) = $0 { rows } else { nil } }
    guard links.contains(where: { $0.device == name }) else {
      throw StackError("Cannot find device \"\(name)\"", code: .ENODEV)
    }
    return rows.filter { device($0) == name }
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
