import ArgumentParser
import Glibc
import LinuxHost

/// The command.
struct Swiftstack: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swiftstack",
    abstract: "Linux's transmit path rebuilt in memory-safe Swift, on a TAP interface.",
    discussion: """
      "sudo swiftstack up tap0" starts a stack; the other commands talk to a running one, to the only one that runs \
      or to the one named with --interface.
      """,
    version: "0.1.0",
    subcommands: [
      UpCommand.self, DownCommand.self, PingCommand.self, NetcatCommand.self, PerfCommand.self,
      SSCommand.self, AddrCommand.self, LinkCommand.self, NeighCommand.self, ArpCommand.self,
      SysctlCommand.self,
      RouteCommand.self, RuleCommand.self, ConntrackCommand.self, QdiscCommand.self, FilterCommand.self,
      NICCommand.self,
      StatsCommand.self, TraceCommand.self, CaptureCommand.self,
    ])
}

/// Parses and runs: exit code 0 when what was asked has happened, 64 for a command line that cannot be understood,
/// 1 for everything else, with one sentence on standard error.
@main
enum Main {
  static func main() {
    // Nobody can be told why, if even that fails.
    do { try StandardDescriptors.reserve() } catch { exit(1) }
    // The runtime's handler would print a crash report and go on.
    Signal.quit.restoreDefault()
    var command: any ParsableCommand
    do {
      command = try Swiftstack.parseAsRoot()
    } catch {
      Swiftstack.exit(withError: error)
    }
    do {
      try command.run()
    } catch let error as ExitCode {
      exit(error.rawValue)
    } catch {
      // Help, the version, and usage errors are the parser's to print.
      if Swiftstack.exitCode(for: error) != .failure { Swiftstack.exit(withError: error) }
      StandardError.print("swiftstack: \(error)")
      exit(1)
    }
  }
}
