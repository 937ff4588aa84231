import ArgumentParser
import Control
import Daemon
import Glibc
import LinuxHost
import Logging
import SwiftStack

struct UpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Create a TAP and run the stack on it, until Ctrl-C or \"swiftstack down\".",
    discussion: """
      Started by root, the stack runs as an unprivileged user from when its interfaces are open, without capabilities and \
      with few system calls. A second process of the same name stays root until the end, to remove the control socket and \
      to put back an interface that was there before; it talks to nobody. Control clients may be root, who started the \
      stack, and the user that --user names.
      """)

  @Argument(help: ArgumentHelp("The interface to create.", valueName: "ifname")) var interface: String
  @Option(help: ArgumentHelp("The stack's address. Default 10.0.0.2/24.", valueName: "cidr"))
  var address: String?
  @Option(
    help: ArgumentHelp("Linux's address on the interface. Default 10.0.0.1/24.", valueName: "cidr"))
  var hostAddress: String?
  @Option(help: ArgumentHelp("The stack's default route.", valueName: "ip")) var gateway: String?
  @Option(
    help: ArgumentHelp(
      "The stack's MAC address. Default: one made from IFNAME that stays the same.", valueName: "mac"))
  var mac: String?
  @Option(help: ArgumentHelp("MTU of both sides, bytes.", valueName: "n")) var mtu: Int = 1500
  @Option(help: ArgumentHelp("TAP queues, each with a shard of the stack.", valueName: "n"))
  var queues: Int = 1
  @Option(help: ArgumentHelp("Network namespace for Linux's side.", valueName: "name")) var netns: String?
  @Option(
    help: ArgumentHelp(
      "A further interface: NAME,address=CIDR[,host-address=CIDR][,netns=NAME][,mtu=N][,mac=MAC]. May be given again.",
      valueName: "link"))
  var link: [String] = []
  @Flag(help: "Do not answer on echo, discard, chargen and daytime.") var noServices = false
  @Option(
    help: ArgumentHelp(
      "Descriptors of each NIC ring. Default: 1024; several queues share as many for receiving.",
      valueName: "n"))
  var ring: Int?
  @Option(help: ArgumentHelp("Lend the NIC's engines to the TAP (auto), or not (off).", valueName: "mode"))
  var offload: OffloadMode = .auto
  @Flag(help: "Ask first whether another station has the stack's address, which takes 4 to 7 seconds.")
  var probe = false
  @Option(
    help: ArgumentHelp(
      "Who the stack is once its interfaces are open, a name or number; root stays root. Default: who called sudo, "
        + "otherwise nobody; a user other than root stays.", valueName: "name"))
  var user: String?
  @Option(
    help: ArgumentHelp(
      "Refuse the system calls that a running stack does not make (on), or, to debug, none (off).",
      valueName: "mode"))
  var seccomp: SeccompMode = .on
  @Flag(help: "Return once the stack is up.") var detach = false
  @Option(
    help: ArgumentHelp(
      "Where a detached stack's log goes. Default: /var/log/swiftstack-IFNAME.log, for a user other than root beside "
        + "the control socket.", valueName: "file"))
  var logFile: String?
  @Option(
    help: ArgumentHelp(
      "trace, debug, info, notice, warning, error or critical.", valueName: "level"))
  var logLevel: Logger.Level = .notice

  func run() throws {
    guard let told = try ReadinessPipe.inherited() else {
      if detach { return try launch() }
      return try serve(nil)
    }
    try serve(told)
  }

  /// Runs the same command in the background and waits until it is up.
  private func launch() throws {
    // What can be checked without side effects fails here, with this terminal's attention.
    _ = try plan()
    _ = try DaemonUser(wanted: user)
    switch try DetachedProcess.launch(arguments: CommandLine.arguments, logPath: try logPath()) {
    case .ready(_, let message): try StandardOutput.print(message)
    case .failed(let message): throw ControlError(message)
    }
  }

  private func logPath() throws -> String {
    if let logFile { return logFile }
    let name = try InterfaceName(interface)
    guard geteuid() != 0 else { return "/var/log/swiftstack-\(name).log" }
    try UnixListener.makeFolder(ControlPath.ownFolder)
    return "\(ControlPath.ownFolder)/\(name).log"
  }

  private func serve(_ told: consuming ReadinessPipe?) throws {
    let level = logLevel
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
    if told != nil {
      // No folder is kept from being unmounted for as long as the stack runs.
      _ = unsafe chdir("/")
    }
    // Signals are blocked before the first thread starts, so that only the daemon's loop sees them.
    let daemon: StackDaemon
    do {
      let signals = try SignalFD()
      try SignalFD.ignoreBrokenPipe()
      let sandbox = DaemonSandbox(user: try DaemonUser(wanted: user), filtersCalls: seccomp == .on)
      daemon = try StackDaemon(plan(), sandbox: sandbox, signals: signals)
    } catch {
      guard let told = told.take() else { throw error }
      told.fail("\(error)")
      throw ExitCode(1)
    }
    let greeting = Greeting(daemon.report, services: !noServices, offload: daemon.offloadDescription).text
    if let told = told.take() {
      told.ready(greeting)
    } else {
      // The stack is up, whether that can be said or not.
      try? StandardOutput.print(greeting + "\nCtrl-C ends it.")
    }
    try daemon.run()
  }

  private func plan() throws -> StackPlan {
    try StackPlan(
      interface: interface, address: address, hostAddress: hostAddress, gateway: gateway, mac: mac,
      mtu: mtu, queues: queues, netns: netns, services: !noServices, ring: ring, links: link,
      offload: offload == .auto, probesAddress: probe)
  }
}

enum OffloadMode: String, ExpressibleByArgument, CaseIterable {
  case auto
  case off
}

enum SeccompMode: String, ExpressibleByArgument, CaseIterable {
  case on
  case off
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
