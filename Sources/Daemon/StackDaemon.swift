import Control
import Glibc
import LinuxHost
import Logging
import SwiftStack

/// What `swiftstack up` runs: the stack on its TAP, the control socket beside it, until a signal or `down`.
public final class StackDaemon: Sendable {
  /// The stack it runs.
  public let stack: Stack
  private let plan: StackPlan
  /// Given to `run`, which closes it and removes its path when all is over.
  private let listener: Guarded<UnixListener?>
  private let signals: SignalFD
  private let stopRequest: EventFD
  private let callers: ControlCallers
  /// Puts back what this process no longer may.
  private let keeper: Guarded<Keeper?>
  private let clientLimits: ControlAdmission.Limits
  private let logger = Logger(label: "swiftstack")

  /// Without a descriptor for another client, how long until it is tried again.
  private static let acceptPause = Nanoseconds.seconds(1)

  private enum Token {
    static let signal: UInt64 = 0
    static let client: UInt64 = 1
    static let stop: UInt64 = 2
    static let wireLoss: UInt64 = 3
    static let notice: UInt64 = 4
  }

  /// Brings everything up, or throws and leaves nothing. The control socket comes first: it is what a second `up` on
  /// the same name runs into.
  ///
  /// - Parameters:
  ///   - plan: what is brought up, and under which names.
  ///   - sandbox: who the process is from then on, and what it may still do.
  ///   - signals: made before any other thread.
  public init(_ plan: StackPlan, sandbox: DaemonSandbox, signals: consuming SignalFD) throws {
    self.plan = plan
    self.signals = signals
    try Privileges.requireNetworkAdmin(to: "create the interface", plan.tap.interface.text)
    clientLimits = ControlAdmission.Limits(descriptors: ResourceLimits.raiseDescriptors())
    stopRequest = try EventFD()
    let namespace =
      try plan.tap.namespace.map { try NetworkNamespace(named: $0).identifier }
      ?? NetworkNamespace.current().identifier
    callers = sandbox.user.callers
    let listener = Guarded<UnixListener?>(
      try Self.listen(for: plan.tap.interface, in: namespace, sandbox.user.access))
    let keeper = Guarded<Keeper?>(nil)
    self.listener = listener
    self.keeper = keeper
    stack = try Stack(tap: plan.tap, plan.stack) { restorations in
      // The fork has this lock, too, and never takes it.
      try keeper.withLock { $0 = try sandbox.startKeeper(of: listener, restorations) }
      try sandbox.enter()
    }
    if let notice = sandbox.user.notice { logger.warning("\(notice)") }
    logger.notice("\(plan.tap.interface) is up")
  }

  private static func listen(
    for interface: InterfaceName, in namespace: UInt64, _ access: UnixSocketAccess
  ) throws -> UnixListener {
    do {
      return try UnixListener(
        at: ControlPath.socket(of: interface, namespace: namespace), backlog: 512, access: access)
    } catch {
      guard error.code == EADDRINUSE else { throw error }
      throw StackError(
        "a stack is already running on \(interface). Stop it with \"swiftstack down \(interface)\", "
          + "or choose another name")
    }
  }

  /// Who the stack is now: its first address.
  public var report: StackReport {
    let link = stack.interfaceReport
    return StackReport(
      interface: plan.tap.interface.text, address: link.addresses.first ?? "none",
      hostAddress: plan.tap.hostAddress.map { "\($0)" }, macAddress: link.macAddress, mtu: link.mtu,
      queues: plan.tap.queues, processID: getpid())
  }

  /// For the greeting.
  public var offloadDescription: String {
    if !plan.tap.offload { return "no offload" }
    return stack.offloads.contains(.tso4) ? "TSO and checksum offload" : "checksum offload"
  }

  /// Serves control clients until SIGINT, SIGTERM, SIGQUIT, SIGHUP or `down`; then ends connections and takes everything away.
  public func run() throws {
    guard let listener = listener.withLock({ $0.take() }) else {
      preconditionFailure("a daemon runs once")
    }
    let epoll = try Epoll()
    try epoll.add(signals.descriptor, for: [.readable], token: Token.signal)
    try epoll.add(stopRequest.descriptor, for: [.readable], token: Token.stop)
    if let loss = stack.wireLoss {
      try epoll.add(rawDescriptor: loss.rawDescriptor, for: [.readable], token: Token.wireLoss)
    }
    if let event = stack.notices.event {
      try epoll.add(rawDescriptor: event.rawDescriptor, for: [.readable], token: Token.notice)
    }
    let server = ControlServer(stack: stack, daemon: self, limits: clientLimits, callers: callers)
    var isWireLost = false
    var isRunning = true
    // Clients that cannot be taken now are not looked at until a while later.
    var acceptsAgain = Instant.origin
    var isAccepting = false
    var events = EpollEvents(capacity: 8)
    while isRunning {
      let now = MonotonicClock.now()
      if !isAccepting, now >= acceptsAgain {
        try epoll.add(listener.descriptor, for: [.readable], token: Token.client)
        isAccepting = true
      }
      let count = try epoll.wait(into: &events, until: isAccepting ? .distantFuture : acceptsAgain, now: now)
      for index in 0..<count {
        switch events[index].token {
        case Token.signal:
          if let signal = signals.next() {
            logger.notice("\(signal.name): ending")
            isRunning = false
          }
        case Token.client:
          guard server.acceptClients(listener) == .noRoom else { continue }
          try epoll.remove(rawDescriptor: listener.descriptor.rawValue)
          isAccepting = false
          acceptsAgain = MonotonicClock.now() + Self.acceptPause
        case Token.notice: for notice in stack.takeNotices() { logger.warning("\(notice)") }
        case Token.wireLoss:
          isWireLost = true
          isRunning = false
        default: isRunning = false
        }
      }
    }
    stack.close()
    if let keeper = keeper.withLock({ $0.take() }) { keeper.finish() }
    logger.notice("\(plan.tap.interface) is down")
    if isWireLost {
      throw StackError("the interface \(plan.tap.interface) was removed while the stack ran on it")
    }
  }
}

extension StackDaemon: ControlDaemon {
  func requestStop() { stopRequest.signal() }
}
