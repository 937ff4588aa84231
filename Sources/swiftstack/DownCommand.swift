import ArgumentParser
import Control
import SwiftStack

struct DownCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "down", abstract: "Stop the stack on an interface: connections end, the TAP goes away.")

  @Argument(help: ArgumentHelp("The interface the stack is on.", valueName: "ifname")) var interface: String
  @Option(
    help: ArgumentHelp(
      "The network namespace its interface is in. Default: one's own, then any.", valueName: "name"))
  var netns: String?

  func run() throws {
    var client = try ControlClient(interface: interface, netns: netns)
    try client.stop()
  }
}
