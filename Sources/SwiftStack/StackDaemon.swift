import Glibc
import LinuxHost
import Logging
import Synchronization

/// What `swiftstack up` runs: the stack on its TAP, the control socket beside it, until a signal or `down`.
public final class StackDaemon: Sendable {
  public let stack: Stack
  private let plan: StackPlan
  /// Given to `run`, which closes it and removes its path when all is over.
  private let listener: Guarded<UnixListener?>
  private let signals: SignalFD
  private let stopRequest: EventFD
  private let conversations = Atomic<Int>(0)
  private let logger = Logger(label: "swiftstack")

  /// Conversations at once; more are told to come back.
  private static let mostConversations = 1024

  /// Brings everything up, or throws and leaves nothing. The control socket comes first: it is what a second `up` on
  /// the same name runs into.
  ///
  /// - Parameter signals: made before any other thread.
  public init(_ plan: StackPlan, signals: consuming SignalFD) throws {
    self.plan = plan
    self.signals = signals
    try Privileges.requireNetworkAdmin(to: "create the interface", plan.tap.interface.text)
    stopRequest = try EventFD()
    listener = Guarded(try Self.listen(for: plan.tap.interface))
    stack = try Stack(tap: plan.tap, plan.stack)
    logger.info("\(plan.tap.interface) is up")
  }

  private static func listen(for interface: InterfaceName) throws -> UnixListener {
    do {
      return try UnixListener(at: ControlPath.socket(of: interface), backlog: 512)
    } catch {
      guard error.code == EADDRINUSE else { throw error }
      throw StackError(
        "a stack is already running on \(interface). Stop it with \"swiftstack down \(interface)\", "
          + "or choose another name")
    }
  }

  public var report: StackReport {
    StackReport(
      interface: plan.tap.interface.text, address: "\(plan.stack.address)",
      hostAddress: plan.tap.hostAddress.map { "\($0)" }, macAddress: "\(plan.stack.macAddress)",
      mtu: plan.stack.mtu, queues: plan.tap.queues, processID: getpid())
  }

  /// For the greeting.
  public var offloadDescription: String {
    if !plan.tap.offload { return "no offload" }
    return stack.offloads.contains(.tso4) ? "TSO and checksum offload" : "checksum offload"
  }

  /// Serves control clients until SIGINT, SIGTERM, SIGHUP or `down`; then ends connections and takes everything away.
  public func run() throws {
    guard let listener = listener.withLock({ $0.take() }) else {
      preconditionFailure("a daemon runs once")
    }
    let epoll = try Epoll()
    try epoll.add(signals.descriptor, for: [.readable], token: 0)
    try epoll.add(listener.descriptor, for: [.readable], token: 1)
    try epoll.add(stopRequest.descriptor, for: [.readable], token: 2)
    if let loss = stack.wireLoss {
      try epoll.add(rawDescriptor: loss.rawDescriptor, for: [.readable], token: 3)
    }
    if let event = stack.notices.event {
      try epoll.add(rawDescriptor: event.rawDescriptor, for: [.readable], token: 4)
    }
    var isWireLost = false
    var events = EpollEvents(capacity: 8)
    var isRunning = true
    while isRunning {
      let count = try epoll.wait(into: &events, timeout: nil)
      for index in 0..<count {
        switch events[index].token {
        case 0:
          if let signal = signals.next() {
            logger.info("\(signal.name): ending")
            isRunning = false
          }
        case 1: acceptClients(listener)
        case 4: for notice in stack.takeNotices() { logger.warning("\(notice)") }
        case 3:
          isWireLost = true
          isRunning = false
        default: isRunning = false
        }
      }
    }
    stack.close()
    logger.info("\(plan.tap.interface) is down")
    if isWireLost {
      throw StackError("the interface \(plan.tap.interface) was removed while the stack ran on it")
    }
  }

  private func acceptClients(_ listener: borrowing UnixListener) {
    do {
      while let stream = try listener.accept() {
        guard conversations.load(ordering: .relaxed) < Self.mostConversations else {
          logger.warning("a control client was turned away: \(Self.mostConversations) are there already")
          continue
        }
        converse(stream)
      }
    } catch {
      logger.warning("\(error)")
    }
  }

  private func converse(_ stream: consuming UnixStream) {
    let number = stream.takeDescriptor().release()
    conversations.add(1, ordering: .relaxed)
    do {
      try StackThread.start { [self] in
        // The number was released above, for this thread.
        let stream = UnixStream(OwnedDescriptor(owning: number))
        ControlConversation(stream, stack: stack, daemon: self).run()
        conversations.subtract(1, ordering: .relaxed)
      }
    } catch {
      conversations.subtract(1, ordering: .relaxed)
      _ = OwnedDescriptor(owning: number)
      logger.warning("\(error)")
    }
  }
}

extension StackDaemon: ControlDaemon {
  func requestStop() { stopRequest.signal() }
}
