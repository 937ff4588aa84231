import ArgumentParser
import Control
import LinuxHost
import SwiftStack

struct PerfCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perf", abstract: "Send or receive in bulk over TCP, inside the stack's process.",
    subcommands: [Send.self, Receive.self])

  struct Options: ParsableArguments {
    @Option(name: .customShort("t", allowingJoined: true), help: ArgumentHelp("How long.", valueName: "sec"))
    var time: Double = 10
    @Option(
      name: .customShort("P", allowingJoined: true),
      help: ArgumentHelp("Connections at once.", valueName: "streams"))
    var streams: Int = 1
    @Option(
      name: .customShort("l", allowingJoined: true),
      help: ArgumentHelp("Bytes of one write or read.", valueName: "length"))
    var length: Int = 262_144
    @Flag(help: "Print one JSON object.") var json = false
    @OptionGroup var client: ClientOptions

    func validate() throws {
      guard time.isFinite, time > 0, time <= 86400 else {
        throw ValidationError("-t \(time): the time is above 0 and at most 86400 seconds.")
      }
      guard (1...1024).contains(streams) else {
        throw ValidationError("-P \(streams): between 1 and 1024 streams.")
      }
      guard (1...(1 << 20)).contains(length) else {
        throw ValidationError("-l \(length): between 1 and 1048576 bytes.")
      }
    }

    func run(host: String?, port: UInt16, zeroCopy: Bool = false) throws {
      let interruption = try Interruption()
      var control = try client.connect()
      let address = try host.map { "\(try HostName.resolve($0))" }
      try control.send(
        .perf(
          PerfRequest(
            host: address, port: port, time: time, streams: streams, length: length, zeroCopy: zeroCopy)))
      var hasAnswered = false
      var hasAsked = false
      let start = MonotonicClock.now()
      while true {
        if interruption.step(), !hasAsked {
          // The sum so far comes as the last answer.
          control.finish()
          hasAsked = true
        }
        if !hasAnswered, MonotonicClock.now() - start > ControlClient.patience { throw control.silence }
        guard let answer = try control.receiveIfReady(milliseconds: 50) else { continue }
        hasAnswered = true
        switch answer {
        case .started: break
        case .listening(let port): StandardError.print("listening on port \(port)")
        case .perf(let report): return try show(report, host == nil ? "received" : "sent")
        default: throw ControlError("the stack answered perf with something else")
        }
      }
    }

    private func show(_ report: PerfReport, _ verb: String) throws {
      if json { return try JSONOutput.print(report) }
      let gigabits = FixedPoint.format(report.bitsPerSecond / 1e9, digits: 3)
      try StandardOutput.print(
        "\(verb) \(report.bytes) bytes in \(FixedPoint.format(report.seconds, digits: 3)) s over "
          + "\(report.streams) stream\(report.streams == 1 ? "" : "s"): \(gigabits) Gbit/s, "
          + "\(report.retransmits) retransmits")
    }
  }

  struct Send: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "send", abstract: "Send to a peer that reads.")
    @OptionGroup var options: Options
    @Flag(name: .customShort("Z"), help: "Copy nothing: MSG_ZEROCOPY.") var zeroCopy = false
    @Argument var host: String
    @Argument var port: UInt16
    func validate() throws { if port == 0 { throw ValidationError("A port is 1 to 65535.") } }
    func run() throws { try options.run(host: host, port: port, zeroCopy: zeroCopy) }
  }

  struct Receive: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "recv", abstract: "Receive from a peer that writes.")
    @OptionGroup var options: Options
    @Argument var port: UInt16
    func validate() throws { if port == 0 { throw ValidationError("A port is 1 to 65535.") } }
    func run() throws { try options.run(host: nil, port: port) }
  }
}
