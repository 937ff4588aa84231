import ArgumentParser
import Control
import SwiftStack

struct SSCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ss", abstract: "Show the stack's sockets, as \"ss -ati\" does.")
  @OptionGroup var options: ReportOptions

  func run() throws {
    var client = try options.client.connect()
    let sockets = try client.table(.ss) { if case .ss(let rows) = $0 { rows } else { nil } }
    if options.json { return try JSONOutput.print(sockets) }
    let rows =
      [["Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"]]
      + sockets.map { [$0.netid, $0.state, "\($0.receiveQueue)", "\($0.sendQueue)", $0.local, $0.peer] }
    let lines = TextTable.lines(rows, rightAligned: [])
    try StandardOutput.print(lines[0])
    for (line, socket) in zip(lines.dropFirst(), sockets) {
      try StandardOutput.print(line)
      if let tcp = socket.tcp { try StandardOutput.print("\t " + tcp.line) }
    }
  }
}

extension TCPReport {
  /// `cubic wscale:7,7 rto:204 rtt:0.5/0.2 ...`
  var line: String {
    (options + values.map { $0.name.hasSuffix(" ") ? $0.name + $0.value : "\($0.name):\($0.value)" })
      .joined(separator: " ")
  }
}

extension ControlError {
  static func unexpected(_ command: String) -> ControlError {
    ControlError("the stack answered \(command) with something else; is it of another version?")
  }
}
