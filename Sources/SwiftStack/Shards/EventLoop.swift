import LinuxHost
import Shard
import Synchronization

/// The thread of one shard of a TAP stack: waits for frames, deadlines and bridged descriptors, and runs the stack for
/// them. Everything else runs on the threads that call.
final class EventLoop: Sendable {
  private let shard: LockedShard
  private let epoll: Epoll
  private let isStopping = Atomic<Bool>(false)
  private let wire: Int32
  /// Signalled when the interface has been removed under the stack.
  private let wireLoss: WakeDescriptor

  private static let wireToken = UInt64.max
  private static let wakeUpToken = UInt64.max - 1

  /// - Parameter wire: the TAP queue's descriptor, which the shard keeps open.
  init(shard: LockedShard, wire: Int32, wireLoss: WakeDescriptor) throws(LinuxError) {
    self.shard = shard
    self.wire = wire
    self.wireLoss = wireLoss
    epoll = try Epoll()
    try epoll.add(rawDescriptor: wire, for: [.readable], token: Self.wireToken)
    if let wakeUp = shard.inbox.wakeUpDescriptor {
      try epoll.add(rawDescriptor: wakeUp, for: [.readable], token: Self.wakeUpToken)
    }
  }

  /// Watches a descriptor for a program, which is nudged when it is ready. It stops by itself when the descriptor is closed.
  func watch(_ rawDescriptor: Int32, for program: ProgramID) throws(LinuxError) {
    try epoll.add(
      rawDescriptor: rawDescriptor, for: [.readable, .writable, .edgeTriggered], token: program.word)
  }

  func stop() {
    isStopping.store(true, ordering: .releasing)
    shard.signalLoop()
  }

  /// Runs until `stop`.
  func run() {
    shard.executor.adopt()
    var events = EpollEvents(capacity: 64)
    var isReadable = true
    while !isStopping.load(ordering: .acquiring) {
      let turn = shard.runLoopTurn(
        isReadable: isReadable, frameLimit: DrainPolicy.entryFrameCount, staysAwake: shard.executor.isUsed)
      isReadable = turn.mayHaveMore
      var deadline = turn.deadline
      // What the turn has woken runs here, before the thread sleeps; a task may end the stack.
      let hasRun = shard.executor.runJobs()
      if hasRun && isStopping.load(ordering: .acquiring) { return }
      if hasRun || turn.isAwake {
        deadline = shard.executor.hasJobs ? .origin : shard.inspect { $0.settle() }
      }
      let now = MonotonicClock.now()
      if isReadable { deadline = .origin }
      // The descriptors of epoll are ours: waiting on them cannot fail.
      guard let count = try? epoll.wait(into: &events, until: deadline, now: now) else { continue }
      for index in 0..<count {
        let event = events[index]
        switch event.token {
        case Self.wireToken:
          if event.readiness.contains(.error) {
            // The interface is gone for good; its descriptor would be reported for ever.
            try? epoll.remove(rawDescriptor: wire)
            shard.linkGone()
            wireLoss.signal()
          } else {
            isReadable = true
          }
        case Self.wakeUpToken: shard.inbox.drainSignal()
        default: shard.nudge(ProgramID(word: event.token))
        }
      }
    }
  }
}

extension LockedShard {
  /// One turn of the event loop: timers, frames, and all that follows.
  func runLoopTurn(
    isReadable: Bool, frameLimit: Int, staysAwake: Bool = false
  ) -> (mayHaveMore: Bool, deadline: Instant, isAwake: Bool) {
    inspectTimed { [timeOfDayOffset = clock.timeOfDayOffset] state in
      state.turn(
        isReadable: isReadable, frameLimit: frameLimit, timeOfDayOffset: timeOfDayOffset,
        staysAwake: staysAwake)
    }
  }

  /// A descriptor that a program waits for may be ready.
  func nudge(_ program: ProgramID) {
    enter { state in
      guard !state.isClosed else { return }
      state.nudge(program)
    }
  }
}
