import ArgumentParser
import Control
import LinuxHost
import SwiftStack

struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Show which floors each packet passes: one line per tracepoint.",
    discussion: """
      Without --follow it watches for one second and prints what passed; with it, until Ctrl-C. While nobody traces, \
      tracepoints are off. How many records came too fast to be read is said where they are missing, and at the end.
      """)
  @Flag(help: "Go on until interrupted.") var follow = false
  @OptionGroup var options: ReportOptions

  func run() throws {
    let interruption = try Interruption()
    var client = try options.client.connect()
    try client.send(.trace(TraceRequest(follow: follow)))
    guard case .started = try client.receiveSoon() else { throw ControlError.unexpected("trace") }
    if follow { StandardError.print("tracing \(client.interface) until Ctrl-C") }
    var shown = 0
    var lost: UInt64 = 0
    var hasAsked = false
    while true {
      if interruption.step(), !hasAsked {
        client.finish()
        hasAsked = true
      }
      guard let answer = try client.receiveIfReady(milliseconds: 50) else { continue }
      if case .done = answer { break }
      guard case .trace(let records, let missing) = answer else { throw ControlError.unexpected("trace") }
      shown += records.count
      lost += missing
      try show(records, missing)
    }
    if lost > 0 {
      StandardError.print(
        "swiftstack: \(shown) records shown, \(lost) lost: they came faster than they were read")
    } else if shown == 0 {
      StandardError.print("swiftstack: no packet passed while it was watched")
    }
  }

  private struct Loss: Encodable {
    var lost: UInt64
  }

  private func show(_ records: [TraceReport], _ lost: UInt64) throws {
    var lines: [String] = []
    if lost > 0 {
      lines.append(options.json ? try JSONOutput.line(Loss(lost: lost)) : "# \(lost) records lost")
    }
    for record in records { lines.append(options.json ? try JSONOutput.line(record) : Self.line(record)) }
    if !lines.isEmpty { try StandardOutput.print(lines.joined(separator: "\n")) }
  }

  private static func line(_ record: TraceReport) -> String {
    var line = "\(FixedPoint.format(Double(record.time) / 1e9, digits: 6)) \(record.point)"
    if record.skb != 0 { line += " skb=\(record.skb)" }
    if record.socket != 0 { line += " sock=\(record.socket)" }
    for argument in record.arguments { line += " \(argument.name)=\(argument.text ?? "\(argument.value)")" }
    return line
  }
}
