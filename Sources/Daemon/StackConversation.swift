import Control
import SwiftStack

/// Has a stack do what a client of the control socket asks for.
final class StackConversation {
  let stack: Stack
  let daemon: any ControlDaemon
  let client: ControlConversation
  /// Whose process the client is: what it has sent, this user's sockets send.
  let user: UInt32

  init(_ client: ControlConversation, stack: Stack, daemon: any ControlDaemon, user: UInt32) {
    self.user = user
    self.client = client
    self.stack = stack
    self.daemon = daemon
  }

  /// Answers until the client hangs up.
  func run() { client.run { try answer($0) } }

  /// A socket of the client's user. Linux: `sk_uid`.
  func socket(_ kind: SocketKind) throws -> Socket {
    let socket = try stack.socket(kind)
    if user != 0 { try socket.setUser(user) }
    return socket
  }

  private func answer(_ command: ControlCommand) throws {
    switch command {
    case .down:
      try client.send(.done)
      daemon.requestStop()
      // The conversation ends with the daemon: that is how the client knows.
      while !client.isAskedToEnd(milliseconds: 1000) {}
    case .describe: try client.send(.describe(daemon.report))
    case .ss: try stack.forEachSocketReports { try client.send(.ss($0)) }
    case .addr: try client.send(stack.interfaceReports) { .addr($0) }
    case .sysctl(nil): try client.send(stack.settingReports) { .sysctl($0) }
    case .sysctl(let name?):
      try client.send([SettingReport(name: name, value: try stack.setting(name))]) { .sysctl($0) }
    case .change(let words):
      try stack.apply(
        StackChange(
          words: words, device: stack.configuration.name, others: stack.configuration.links.map(\.name)))
      try client.send(.done)
    case .neigh: try client.send(stack.neighbourReports) { .neigh($0) }
    case .route: try client.send(stack.routeReports) { .route($0) }
    case .rule: try client.send(stack.ruleReports) { .rule($0) }
    case .conntrack: try client.send(stack.hooks.connectionReports) { .conntrack($0) }
    case .filter: try client.send(stack.hooks.reports) { .filter($0) }
    case .qdisc: try client.send(stack.qdiscReports) { .qdisc($0) }
    case .nic: try client.send(stack.nicReports) { .nic($0) }
    case .stats: try client.send(stack.counterReports) { .stats($0) }
    case .drops: try client.send(stack.dropReports) { .stats($0) }
    case .memory: try client.send(stack.memoryReports) { .stats($0) }
    case .trace(let request): try trace(request)
    case .capture(let request): try capture(request)
    case .ping(let request): try ping(request)
    case .perf(let request): try perf(request)
    case .nc(let request): try netcat(request)
    }
  }
}
