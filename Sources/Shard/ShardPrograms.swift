import Sockets

/// Running applications.
extension ShardState {
  /// Starts an application on a socket, and lets it do what it can at once.
  @discardableResult
  mutating func start(_ application: Application) -> Int {
    let index = applications.insert(application)
    owners.setApplication(application.socket, index)
    host.net.wake(application.socket)
    return index
  }

  /// Ends an application: its socket closes in order, or with a reset.
  mutating func end(_ index: Int, reset: Bool = false) {
    let application = applications[index]
    switch application.kind {
    case .echoStream, .discardStream, .chargenStream, .daytimeStream: applications.serviceConnections -= 1
    default: break
    }
    disown(application.socket)
    applications.remove(index)
    if reset {
      sockets.abort(application.socket, host: &host)
    } else {
      try? sockets.close(application.socket, host: &host)
    }
  }

  /// Bytes that programs move while one entry holds the lock; whoever has more to do stands in line again.
  static let entryByteCount = 1 << 20
  /// Bytes of one turn of a program in one direction; then it is the next one's.
  static let turnByteCount = 256 << 10
  /// What a turn costs that moves nothing.
  private static let turnCost = 4096

  mutating func queueTurn(_ index: Int) { applications.enqueue(index) }

  /// Gives programs their turns, in order, as long as `budget` lasts. Returns whether any ran.
  mutating func runTurns(_ budget: inout Int) -> Bool {
    var ran = false
    while budget > 0, let index = applications.dequeue() {
      bytesMoved = 0
      runApplication(index)
      budget -= max(bytesMoved, Self.turnCost)
      ran = true
    }
    return ran
  }

  /// The application's socket may be ready.
  private mutating func runApplication(_ index: Int) {
    switch applications[index].kind {
    case .free: break
    case .listener: runListener(index)
    case .echoStream: runEchoStream(index)
    case .discardStream: runDiscardStream(index)
    case .chargenStream: runChargenStream(index)
    case .daytimeStream: runDaytimeStream(index)
    case .echoDatagram, .discardDatagram, .chargenDatagram, .daytimeDatagram: runDatagramService(index)
    case .perfSource: runPerfSource(index)
    case .perfSink: runPerfSink(index)
    case .bridge: runBridge(applications[index].job)
    }
  }

  mutating func applicationTimerExpired(_ key: TimerKey) { jobTimerExpired(Int(key.id), key.generation) }

  private mutating func runListener(_ index: Int) {
    let listener = applications[index]
    while let child = try? sockets.accept(listener.socket, net: &host.net) {
      switch listener.child {
      case .perfSink:
        perfAccepted(child, by: index)
      default:
        guard applications.serviceConnections < ApplicationTable.mostServiceConnections else {
          sockets.abort(child, host: &host)
          continue
        }
        applications.serviceConnections += 1
        var application = Application()
        application.kind = listener.child
        application.socket = child
        start(application)
      }
      if applications[index].kind != .listener || applications[index].socket != listener.socket { return }
    }
  }
}
