import ArgumentParser
import Foundation
import Simulation
import Timers
import Trace
import Wire

/// Runs whole stacks under faults, one seed or scenario after the other; `tools/simulate` drives it on every core.
@main
struct Simulator: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Whole stacks, their NICs and their programs under faults, in virtual time.",
    subcommands: [Run.self, Show.self, Replay.self, Goodput.self, Sizes.self])
}

/// Says at once what it does: whoever drives it has to know even if it traps.
private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

extension Simulator {
  struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Runs the scenarios of seeds.")
    @Option(help: "The first seed.") var first: UInt64 = 1
    @Option(help: "How many.") var count: UInt64 = 100

    func run() throws {
      var faults = FaultTable()
      var frames = 0
      for seed in first..<first + count {
        say("seed \(seed)")
        let simulation = try Simulation(Scenario(seed: seed))
        if let failure = simulation.run() { say("failed \(seed) \(failure.split(separator: "\n")[0])") }
        faults.add(simulation.faults)
        frames += simulation.frameCount
      }
      say("frames \(frames)")
      for line in faults.lines { say("faults \(line)") }
    }
  }

  struct Goodput: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints what connections bring over paths that lose, and what models say.")
    @Option(help: "Only every so manyth line.") var step = 1
    @Option(help: "From this one on.") var first = 0

    func run() throws {
      for (number, cell) in GoodputCell.all.enumerated() where number % step == first {
        say("\(number) \(try cell.line())")
      }
    }
  }

  struct Sizes: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract:
        "Sends segments for every MTU, MSS and offload, looks at each of them, and prints what came of it.")
    @Option(help: "Segments in all.") var total = 25_000_000
    @Option(help: "Only every so manyth combination.") var step = 1
    @Option(help: "From this one on.") var first = 0

    func run() throws {
      for (number, cell) in SizeCell.all.enumerated() where number % step == first {
        let result = try SizeRun(cell).run(segments: max(2000, total / SizeCell.all.count))
        say(
          "\(cell.mtu) \(cell.mss) \(cell.timestamps ? 1 : 0) \(cell.offload.rawValue) \(cell.payload) \(cell.ideal) "
            + "\(result.goodput) \(result.segments) \(result.bytes) \(result.measuredSegments) \(result.measuredPackets) "
            + "\(result.acknowledgments) \(result.complaint ?? "")")
      }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints the scenario of a seed.")
    @Argument(help: "The seed.") var seed: UInt64
    func run() { print(Scenario(seed: seed).text, terminator: "") }
  }

  struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Runs a scenario; fails as it does.")
    @Argument(help: "A file with a scenario.") var file: String
    @Option(help: "A pcapng file for the frames of both stacks.") var pcapng: String?
    @Option(help: "A JSON file for the tracepoints of both stacks, which Perfetto opens.") var trace: String?
    @Flag(help: "Prints every frame.") var packets = false

    func run() throws {
      let text = try String(contentsOfFile: file, encoding: .utf8)
      let simulation = try Simulation(Scenario(text: text))
      var encoder = PcapngEncoder()
      encoder.appendSectionHeader(application: "swiftstack simulator")
      for side in Side.allCases { encoder.appendInterface(name: side.rawValue) }
      simulation.capture = { frame, side, now in
        // Safe: a byte has no padding.
        let bytes = unsafe frame.bytes.span.bytes
        if packets {
          let time = Double((now - Simulation.beginning).rawValue) / 1e6
          print("\(String(format: "%12.3f", time)) ms \(side.rawValue) > \(PacketDescription(frame: bytes))")
        }
        encoder.appendPacket(
          bytes, interface: side == .a ? 0 : 1, timestamp: now.nanoseconds)
      }
      if trace != nil { simulation.trace() }
      let failure = simulation.run()
      if let trace { try Data(Self.perfetto(simulation).utf8).write(to: URL(fileURLWithPath: trace)) }
      if let pcapng { try Data(encoder.bytes).write(to: URL(fileURLWithPath: pcapng)) }
      if let failure {
        print(failure)
        throw ExitCode(1)
      }
      print("passed, \(simulation.frameCount) frames")
    }

    /// The Trace Event Format: a process for each stack, a thread for each socket.
    private static func perfetto(_ simulation: Simulation) -> String {
      let events = Side.allCases.enumerated().flatMap { process, side in
        simulation.traceRecords(of: side).map { record in
          let time = Double(record.nanoseconds) / 1000
          return
            #"{"name":"\#(record.point)","ph":"i","s":"t","ts":\#(time),"pid":\#(process + 1),"tid":\#(record.socket),"#
            + #""args":{"skb":\#(record.skb),"a":\#(record.a),"b":\#(record.b),"c":\#(record.c)}}"#
        }
      }
      return "[\(events.joined(separator: ",\n"))]\n"
    }
  }
}
