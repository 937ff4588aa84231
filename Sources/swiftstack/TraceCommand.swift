import ArgumentParser
import LinuxHost
import SwiftStack

struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Show which floors each packet passes: one line per tracepoint.",
    discussion: """
      Without --follow it watches for one second and prints what passed; with it, until Ctrl-C. While nobody traces, \
      tracepoints are off.
      """)
  @Flag(help: "Go on until interrupted.") var follow = false
  @OptionGroup var options: ReportOptions

  func run() throws {
    let signals = try SignalFD([.interrupt, .terminate])
    var client = try options.client.connect()
    try client.send(.trace(TraceRequest(follow: follow)))
    var shown = 0
    loop: while signals.next() == nil {
      guard let answer = try client.receiveIfReady(milliseconds: 50) else { continue }
      switch answer {
      case .started: break
      case .trace(let records):
        shown += records.count
        for record in records { try show(record) }
      case .done: break loop
      default: throw ControlError.unexpected("trace")
      }
    }
    if shown == 0 { StandardError.print("swiftstack: no packet passed while it was watched") }
  }

  private func show(_ record: TraceReport) throws {
    if options.json { return try JSONOutput.printLine(record) }
    var line = "\(FixedPoint.format(Double(record.time) / 1e9, digits: 6)) \(record.point)"
    if record.skb != 0 { line += " skb=\(record.skb)" }
    if record.socket != 0 { line += " sock=\(record.socket)" }
    for argument in record.arguments { line += " \(argument.name)=\(argument.text ?? "\(argument.value)")" }
    StandardOutput.print(line)
  }
}
