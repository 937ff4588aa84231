import LinuxHost
import Shard
import Synchronization
import Tables

/// A thread of a TAP stack: waits for frames, deadlines and bridged descriptors of its shards, and runs the stack for them.
/// Everything else runs on the threads that call. There are no more loops than processors: a shard whose thread sleeps while
/// another runs on the same processor costs a switch and gains nothing.
final class EventLoop: Sendable {
  /// A shard, and the descriptor of its TAP queue, which the shard keeps open.
  struct Seat {
    let shard: LockedShard
    let wire: Int32
    /// Those of further interfaces.
    let links: [Int32]
  }

  /// What the loop knows of a seat.
  @safe
  private struct Turn {
    /// The seat's: `seats` keeps it as long as the loop runs, and a turn counts nothing.
    let shard: Unmanaged<LockedShard>
    /// The wire may have frames.
    var isReadable = true
    /// Something has happened, or its time has come.
    var isDue = true
    var deadline = Instant.origin
  }

  /// Not arrays: a turn must not count references.
  private let seats: UniqueArray<Seat>
  private let epoll: Epoll
  private let isStopping = Atomic<Bool>(false)
  /// Signalled when the interface has been removed under the stack.
  private let wireLoss: WakeDescriptor

  init(_ seats: [Seat], wireLoss: WakeDescriptor) throws(LinuxError) {
    precondition(!seats.isEmpty && seats.count <= EventToken.seatLimit, "a loop has 1 to 255 shards")
    var places = UniqueArray<Seat>(capacity: seats.count)
    for seat in seats { _ = places.append(seat) }
    self.seats = places
    self.wireLoss = wireLoss
    epoll = try Epoll()
    for (index, seat) in seats.enumerated() {
      // Told as long as there are frames: a turn may leave some.
      try epoll.add(rawDescriptor: seat.wire, for: [.readable], token: EventToken(index, .wire).rawValue)
      // Told once: a turn takes what the further links have until there is no more, or is followed by another.
      for link in seat.links {
        try epoll.add(
          rawDescriptor: link, for: [.readable, .edgeTriggered], token: EventToken(index, .wire).rawValue)
      }
      if let wakeUp = seat.shard.inbox.wakeUpDescriptor {
        try epoll.add(rawDescriptor: wakeUp, for: [.readable], token: EventToken(index, .wakeUp).rawValue)
      }
    }
  }

  /// Watches a descriptor for a program of one of the shards, which is nudged when it is ready. It stops by itself when the
  /// descriptor is closed.
  func watch(_ rawDescriptor: Int32, for program: ProgramID, on shard: LockedShard) throws(LinuxError) {
    guard let index = (0..<seats.count).first(where: { seats[$0].shard === shard }) else {
      preconditionFailure("a program's descriptor is watched by the loop of its shard")
    }
    try epoll.add(
      rawDescriptor: rawDescriptor, for: [.readable, .writable, .edgeTriggered],
      token: EventToken(index, .program(program)).rawValue)
  }

  func stop() {
    isStopping.store(true, ordering: .releasing)
    seats[0].shard.signalLoop()
  }

  /// Runs until `stop`.
  func run() {
    var turns = UniqueArray<Turn>(capacity: seats.count)
    for index in 0..<seats.count {
      seats[index].shard.executor.adopt()
      _ = unsafe turns.append(Turn(shard: Unmanaged.passUnretained(seats[index].shard)))
    }
    var events = EpollEvents(capacity: 64)
    while !isStopping.load(ordering: .acquiring) {
      for index in 0..<turns.count where turns[index].isDue {
        // Safe: see Turn.shard.
        let goesOn = unsafe turns[index].shard._withUnsafeGuaranteedRef { take(&turns[index], $0) }
        guard goesOn else { return }
      }
      let deadline = nextDeadline(turns)
      let now = MonotonicClock.now()
      // The descriptors of epoll are ours: waiting on them cannot fail.
      guard let count = try? epoll.wait(into: &events, until: deadline, now: now) else { continue }
      for index in 0..<count { note(events[index], &turns) }
      callDue(&turns, at: count == 0 ? MonotonicClock.now() : now)
    }
  }

  /// One turn of a shard, and of the tasks that it has woken.
  ///
  /// - Returns: false when a task has ended the stack.
  private func take(_ turn: inout Turn, _ shard: LockedShard) -> Bool {
    shard.executor.turnBegins()
    defer { shard.executor.turnEnds() }
    let result = shard.runLoopTurn(
      isReadable: turn.isReadable, frameLimit: DrainPolicy.entryFrameCount,
      staysAwake: shard.executor.isUsed)
    turn.isReadable = result.mayHaveMore
    turn.isDue = result.mayHaveMore
    turn.deadline = result.deadline
    // What the turn has woken runs here, before the thread sleeps; a task may end the stack.
    let hasRun = shard.executor.runJobs()
    if hasRun && isStopping.load(ordering: .acquiring) { return false }
    if shard.executor.hasJobs {
      turn.isDue = true
    } else if hasRun || result.isAwake {
      turn.deadline = shard.inspect { $0.settle() }
    }
    return true
  }

  /// When the loop goes on if nothing happens.
  private func nextDeadline(_ turns: borrowing UniqueArray<Turn>) -> Instant {
    var deadline = Instant.distantFuture
    for index in 0..<turns.count {
      deadline = turns[index].isDue ? .origin : min(deadline, turns[index].deadline)
    }
    return deadline
  }

  private func note(_ event: EpollEvent, _ turns: inout UniqueArray<Turn>) {
    let token = EventToken(rawValue: event.token)
    turns[token.seat].isDue = true
    switch token.source {
    case .wire:
      if event.readiness.contains(.error) {
        // The interface is gone for good; its descriptor has nothing more to tell.
        try? epoll.remove(rawDescriptor: seats[token.seat].wire)
        for link in seats[token.seat].links { try? epoll.remove(rawDescriptor: link) }
        seats[token.seat].shard.linkGone()
        wireLoss.signal()
      } else {
        turns[token.seat].isReadable = true
      }
    case .wakeUp: seats[token.seat].shard.inbox.drainSignal()
    case .program(let program): seats[token.seat].shard.nudge(program)
    }
  }

  /// Shards whose time has come. One alone has its turn whenever the thread wakes.
  private func callDue(_ turns: inout UniqueArray<Turn>, at now: Instant) {
    let isAlone = turns.count == 1
    for index in 0..<turns.count where isAlone || turns[index].deadline <= now { turns[index].isDue = true }
  }
}

/// What epoll tells the loop: whose, and which of its descriptors.
private struct EventToken {
  enum Source {
    case wire
    case wakeUp
    case program(ProgramID)
  }
  static let seatLimit = 255
  let rawValue: UInt64

  init(rawValue: UInt64) { self.rawValue = rawValue }

  /// A program's name with the seat in the upper byte of its slot; the names of generation 0, which no program has, are
  /// those of the shard's own descriptors.
  init(_ seat: Int, _ source: Source) {
    let name =
      switch source {
      case .wire: Self.wire
      case .wakeUp: Self.wakeUp
      case .program(let program): program.word
      }
    precondition(name & Self.seatMask == 0, "a program's slot is below 2^24")
    rawValue = UInt64(seat) << 24 | name
  }

  private static let wire: UInt64 = 0
  private static let wakeUp: UInt64 = 1
  private static let seatMask: UInt64 = 0xFF << 24

  var seat: Int { Int((rawValue & Self.seatMask) >> 24) }
  var source: Source {
    switch rawValue & ~Self.seatMask {
    case Self.wire: .wire
    case Self.wakeUp: .wakeUp
    case let name: .program(ProgramID(word: name))
    }
  }
}

extension LockedShard {
  /// One turn of the event loop: timers, frames, and all that follows.
  func runLoopTurn(
    isReadable: Bool, frameLimit: Int, staysAwake: Bool = false
  ) -> (mayHaveMore: Bool, deadline: Instant, isAwake: Bool) {
    inspectTimed { state in
      state.turn(isReadable: isReadable, frameLimit: frameLimit, staysAwake: staysAwake)
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
