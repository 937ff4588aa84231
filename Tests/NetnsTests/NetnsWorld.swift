import Foundation
import Glibc

/// A network namespace with a kernel peer in it, and a running stack whose TAP ends there. Made by a test, removed
/// with everything in it when the test ends, however it ends.
final class NetnsWorld: @unchecked Sendable {
  /// What `swiftstack up` is started with.
  struct Options: Sendable {
    var address = "10.0.0.2/24"
    var hostAddress = "10.0.0.1/24"
    var mtu = 1500
    /// `auto` or `off`.
    var offload = "auto"
    var more: [String] = []
    /// Of `swiftstack up`, beside the test's own. Whoever runs the tests by sudo is not who starts the stack.
    var environment = ["SUDO_UID": "", "SUDO_GID": ""]
    /// Loopback up in the namespace, CUBIC, IPv6 silent: set before the stack starts.
    var congestionControl = "cubic"
  }

  let namespace: String
  let interface: String
  let options: Options
  let directory: URL
  /// The kernel side's address and the stack's.
  var host: String { String(options.hostAddress.prefix { $0 != "/" }) }
  var stack: String { String(options.address.prefix { $0 != "/" }) }
  private(set) var daemon: ChildProcess?
  private let children = Children()
  private var farNamespaces: [String] = []

  /// Makes the namespace and, unless told otherwise, starts the stack in it.
  init(_ options: Options = Options(), startingStack: Bool = true) throws {
    self.options = options
    (namespace, interface) = Names.next()
    directory = FileManager.default.temporaryDirectory.appendingPathComponent(namespace)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    Interruption.remember(namespace: namespace, directory: directory)
    do {
      try Self.mustRun(["ip", "netns", "add", namespace], in: directory)
    } catch {
      Interruption.remove(namespace: namespace, directory: directory)
      throw error
    }
    controlSocket = "/run/swiftstack/\(interface):\(Self.number(ofNamespace: namespace)).sock"
    do {
      try inside(["ip", "link", "set", "lo", "up"])
      try inside([
        "sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1",
      ])
      // Refused where the machine does not list it for namespaces; `tools/test` sees to that.
      _ = try tryInside([
        "sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=\(options.congestionControl)",
      ])
      if startingStack { try startStack() }
    } catch {
      removeAll()
      throw error
    }
  }

  deinit {
    removeAll()
  }

  /// Starts the stack and waits until it answers on its control socket.
  func startStack() throws {
    let daemon = try ChildProcess(
      [Self.binary, "up"] + upArguments, directory: directory, environment: options.environment)
    self.daemon = daemon
    Interruption.remember(process: daemon.identifier)
    let up = poll(seconds: 15, every: 0.05) {
      if !daemon.isRunning { return false }
      guard FileManager.default.fileExists(atPath: controlSocket) else { return nil }
      guard let asked = try? self.swiftstack("nic", ["--json"], seconds: 5) else { return nil }
      return asked.status == 0 ? true : nil
    }
    if !up { throw Failure("swiftstack up did not come up: \(daemon.outputSoFar) \(daemon.errorsSoFar)") }
  }

  /// The arguments of `up` for this world.
  var upArguments: [String] {
    [
      interface, "--netns", namespace, "--address", options.address, "--host-address", options.hostAddress,
      "--mtu",
      String(options.mtu), "--offload", options.offload,
    ] + options.more + linkArguments
  }

  /// `--link` and so on, for interfaces in namespaces that are made after the world.
  var linkArguments: [String] = []

  /// A program in another namespace, to its end.
  ///
  /// - Parameter far: what `addFarNamespace()` returned.
  func inNamespace(_ far: [String], _ arguments: [String]) throws -> ChildProcess.Result {
    let child = try startInNamespace(far, arguments)
    defer { child.stop() }
    return child.wait(seconds: 30)
  }

  /// The same, left running.
  func startInNamespace(_ far: [String], _ arguments: [String]) throws -> ChildProcess {
    let child = try ChildProcess(far + arguments, directory: directory)
    children.add(child)
    return child
  }

  /// Named for the interface and its namespace.
  let controlSocket: String

  /// A client command against this world's stack, to its end.
  @discardableResult
  func swiftstack(
    _ command: String, _ arguments: [String] = [], input: ChildProcess.Input = .nothing, seconds: Double = 30
  ) throws -> ChildProcess.Result {
    let child = try startSwiftstack(command, arguments, input: input)
    defer { child.stop() }
    return child.wait(seconds: seconds)
  }

  /// A client command against this world's stack, left running.
  func startSwiftstack(
    _ command: String, _ arguments: [String] = [], input: ChildProcess.Input = .nothing
  ) throws -> ChildProcess {
    let child = try ChildProcess(
      [Self.binary, command] + arguments + ["--interface", interface], input: input, directory: directory)
    children.add(child)
    return child
  }

  /// A shell line in the test's own namespace; `$SWIFTSTACK` is the executable, `$IF` the interface and `$PEER` the
  /// script with the kernel side's programs.
  func startShell(_ line: String, inside: Bool = false) throws -> ChildProcess {
    let shell = ["bash", "-o", "pipefail", "-c", line]
    let child = try ChildProcess(
      inside ? ["ip", "netns", "exec", namespace] + shell : shell, directory: directory,
      environment: ["SWIFTSTACK": Self.binary, "IF": interface, "PEER": Self.peerScript])
    children.add(child)
    return child
  }

  /// A program on the kernel's side, to its end; its failure is an error.
  @discardableResult
  func inside(
    _ arguments: [String], input: ChildProcess.Input = .nothing, seconds: Double = 30
  ) throws -> ChildProcess.Result {
    let result = try tryInside(arguments, input: input, seconds: seconds)
    if result.status != 0 { throw Failure("\(arguments.joined(separator: " ")): \(result.summary)") }
    return result
  }

  /// A program on the kernel's side, to its end, whatever it says.
  func tryInside(
    _ arguments: [String], input: ChildProcess.Input = .nothing, seconds: Double = 30
  ) throws -> ChildProcess.Result {
    let child = try startInside(arguments, input: input)
    defer { child.stop() }
    return child.wait(seconds: seconds)
  }

  /// A program on the kernel's side, left running.
  func startInside(_ arguments: [String], input: ChildProcess.Input = .nothing) throws -> ChildProcess {
    let child = try ChildProcess(
      ["ip", "netns", "exec", namespace] + arguments, input: input, directory: directory)
    children.add(child)
    return child
  }

  /// One of the peer script's programs on the kernel's side, left running. Servers are waited for until they listen.
  func startPeer(_ arguments: [String], input: ChildProcess.Input = .nothing) throws -> ChildProcess {
    let child = try startInside(["python3", "-u", Self.peerScript] + arguments, input: input)
    if !child.waitUntilItWrites("ready") {
      throw Failure("peer \(arguments) did not start: \(child.errorsSoFar)")
    }
    return child
  }

  /// One of the peer script's programs on the kernel's side, to its end.
  func peer(
    _ arguments: [String], input: ChildProcess.Input = .nothing, seconds: Double = 60
  ) throws -> ChildProcess.Result {
    try tryInside(["python3", "-u", Self.peerScript] + arguments, input: input, seconds: seconds)
  }

  /// Stops the stack as Ctrl-C does.
  func stopStack(signal: Int32 = SIGTERM, seconds: Double = 10) -> ChildProcess.Result? {
    guard let daemon else { return nil }
    daemon.send(signal: signal)
    let result = daemon.wait(seconds: seconds)
    Interruption.forget(process: daemon.identifier)
    self.daemon = nil
    return result
  }

  /// Whether the daemon has kept running.
  var isStackAlive: Bool { daemon?.isRunning ?? false }

  /// Ends everything that runs here and removes the namespace.
  func removeAll() {
    children.stopAll()
    if let daemon {
      daemon.send(signal: SIGTERM)
      daemon.wait(seconds: 5)
      daemon.stop()
      Interruption.forget(process: daemon.identifier)
    }
    daemon = nil
    for far in farNamespaces {
      Interruption.remove(namespace: far, directory: directory.appendingPathComponent(far))
    }
    farNamespaces = []
    // A stack that had to be killed leaves its socket.
    try? FileManager.default.removeItem(atPath: controlSocket)
    Interruption.remove(namespace: namespace, directory: directory)
  }

  /// Makes a second namespace, joined to this world's by a veth pair: `near0` here, `far0` there.
  ///
  /// - Returns: what comes before a command to run it there.
  func addFarNamespace() throws -> [String] {
    let far = Names.next().namespace
    // Not from inside: `ip netns exec` has mounts of its own, where a new namespace would stay hidden.
    try Self.mustRun(["ip", "netns", "add", far], in: directory)
    farNamespaces.append(far)
    Interruption.remember(namespace: far, directory: directory.appendingPathComponent(far))
    try inside(["ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", far])
    return ["ip", "netns", "exec", far]
  }

  // MARK: What is outside of any world

  /// The number that /proc/PID/ns/net shows for a named namespace.
  private static func number(ofNamespace name: String) -> UInt64 {
    var status = stat()
    _ = unsafe stat("/run/netns/\(name)", &status)
    return UInt64(status.st_ino)
  }

  /// The executable under test: `SWIFTSTACK_BINARY`, or the release build's.
  static let binary: String =
    ProcessInfo.processInfo.environment["SWIFTSTACK_BINARY"]
    ?? repository.appendingPathComponent(".build/release/swiftstack").path

  static let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The programs of the kernel's side.
  static let peerScript = repository.appendingPathComponent("tools/peers/peer.py").path

  /// These tests make namespaces and need the executable.
  static let canRun = geteuid() == 0 && FileManager.default.isExecutableFile(atPath: binary)

  /// The executable under test with no stack in particular.
  static func swiftstack(_ arguments: [String], seconds: Double = 30) throws -> ChildProcess.Result {
    let child = try ChildProcess([binary] + arguments, directory: FileManager.default.temporaryDirectory)
    defer { child.stop() }
    return child.wait(seconds: seconds)
  }

  private static func mustRun(_ arguments: [String], in directory: URL) throws {
    let child = try ChildProcess(arguments, directory: directory)
    defer { child.stop() }
    let result = child.wait(seconds: 30)
    if result.status != 0 { throw Failure("\(arguments.joined(separator: " ")): \(result.summary)") }
  }
}

/// A test cannot go on.
struct Failure: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// The programs a world has started and not yet ended.
private final class Children: @unchecked Sendable {
  private let lock = NSLock()
  private var all: [ChildProcess] = []

  func add(_ child: ChildProcess) {
    lock.withLock { all.append(child) }
    Interruption.remember(process: child.identifier)
  }

  func stopAll() {
    let children = lock.withLock {
      defer { all = [] }
      return all
    }
    for child in children {
      child.stop()
      Interruption.forget(process: child.identifier)
    }
  }
}
