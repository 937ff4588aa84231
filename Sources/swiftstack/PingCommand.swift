import ArgumentParser
import Control
import LinuxHost
import SwiftStack

struct PingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping", abstract: "Send ICMP echo requests from the stack, as ping(8) does.")

  @Option(
    name: .customShort("c", allowingJoined: true),
    help: ArgumentHelp("Stop after N requests.", valueName: "n"))
  var count: Int?
  @Option(
    name: .customShort("i", allowingJoined: true),
    help: ArgumentHelp("Seconds between requests.", valueName: "sec"))
  var interval: Double = 1
  @Option(
    name: .customShort("s", allowingJoined: true),
    help: ArgumentHelp("Payload bytes, 0 to 65507.", valueName: "bytes"))
  var byteCount: Int = 56
  @Option(
    name: .customShort("W", allowingJoined: true),
    help: ArgumentHelp("Seconds to wait for the last reply.", valueName: "sec"))
  var wait: Double = 10
  @OptionGroup var client: ClientOptions
  @Argument(help: ArgumentHelp("Whom to ping.", valueName: "host")) var host: String

  func validate() throws {
    if let count, count < 1 { throw ValidationError("-c \(count): the count is at least 1.") }
    guard interval.isFinite, interval >= 0.001, interval <= 86400 else {
      throw ValidationError("-i \(interval): the interval is 0.001 to 86400 seconds.")
    }
    guard (0...65507).contains(byteCount) else {
      throw ValidationError("-s \(byteCount): the payload is 0 to 65507 bytes.")
    }
    guard wait.isFinite, wait > 0, wait <= 86400 else {
      throw ValidationError("-W \(wait): the wait is above 0 and at most 86400 seconds.")
    }
  }

  func run() throws {
    let interruption = try Interruption(countsQuit: true)
    var control = try client.connect()
    let address = try HostName.resolve(host)
    var statistics = PingStatistics(host: host)
    try control.send(
      .ping(
        PingRequest(
          host: "\(address)", count: count, interval: interval, byteCount: byteCount, wait: wait)))
    guard case .pingStarted(let target, _) = try control.receiveSoon() else {
      throw ControlError.unexpected("ping")
    }
    try StandardOutput.print("PING \(host) (\(target)) \(byteCount)(\(byteCount + 28)) bytes of data.")
    statistics.begin()
    loop: while true {
      if interruption.step() { break }
      // As ping(8) does: a line in between, on standard error.
      if interruption.takeQuit() { StandardError.print(statistics.interim) }
      guard let answer = try control.receiveIfReady(milliseconds: 50) else { continue }
      switch answer {
      case .pingReply(let report): if let line = statistics.take(report) { try StandardOutput.print(line) }
      case .done: break loop
      default: throw ControlError.unexpected("ping")
      }
    }
    statistics.end()
    try StandardOutput.print("\n" + statistics.summary)
    if statistics.received == 0 { throw ExitCode(1) }
  }
}
