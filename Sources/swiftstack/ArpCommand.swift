import ArgumentParser
import SwiftStack

struct ArpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "arp", abstract: "Tell the neighbours who has the stack's addresses: arp announce.",
    discussion: "Two ARP announcements for each address, 2 s apart (RFC 5227 section 2.3), as at \"up\".")
  @Argument(parsing: .allUnrecognized, help: "announce") var words: [String]
  @OptionGroup var client: ClientOptions

  func run() throws { try client.change("arp", words) }
}
