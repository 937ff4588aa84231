import Sockets

/// Running programs.
extension Shard {
  /// Runs a program from now on; it gets turns when sockets are given to it.
  ///
  /// - Returns: what names it.
  @discardableResult
  public mutating func start(_ program: Program) -> ProgramID {
    program.id = programs.insert(program)
    return program.id
  }

  /// Ends a program. Its sockets are to be finished before.
  public mutating func end(_ program: ProgramID) { programs.remove(program, timers: &host.net.timers) }

  /// The program of that name, while it runs.
  public func program(_ id: ProgramID) -> Program? { programs[id] }

  /// Gives a socket to a program: it has a turn at once, and another whenever the socket may be ready. Nothing happens to a
  /// socket that has been closed.
  ///
  /// - Parameter note: a word of the program's own about the socket, see `note(of:)`.
  public mutating func give(_ socket: SocketID, to program: ProgramID, note: UInt32 = 0) {
    guard sockets.contains(socket) else { return }
    owners.setProgram(socket, program, note: note)
    host.net.wake(socket)
  }

  /// What a program has written down about one of its sockets.
  public func note(of socket: SocketID) -> UInt32 { owners[socket].id == socket ? owners[socket].note : 0 }
  /// Writes down a word about a program's socket.
  public mutating func setNote(of socket: SocketID, _ note: UInt32) {
    if owners[socket].id == socket { owners[socket].note = note }
  }

  /// Puts a program's socket in line for another turn.
  public mutating func wake(_ socket: SocketID) { host.net.wake(socket) }

  /// Takes a socket from its program and closes it: in order, or with a reset.
  public mutating func finish(_ socket: SocketID, reset: Bool = false) {
    disown(socket)
    if reset {
      sockets.abort(socket, host: &host)
    } else {
      try? sockets.close(socket, host: &host)
    }
  }

  /// Calls the program's `timeIsUp` at `deadline`, and not at the one that was set before; `nil`: not at all.
  public mutating func setTimer(of program: ProgramID, at deadline: Instant?) {
    programs.setTimer(program, at: deadline, in: &host.net.timers)
  }

  /// Calls the program's `nudged`, if it still runs.
  public mutating func nudge(_ program: ProgramID) { programs[program]?.nudged(on: &self) }

  /// Much goes out and much comes in at present: a program that takes long turns takes shorter ones.
  package var isBusyBothWays: Bool { duty.isBusyBothWays(now: now) }

  /// The shard's time.
  public var now: Instant { host.net.now }

  /// Bytes of one turn of a program in one direction; then it is the next one's.
  public static var turnByteCount: Int { 256 << 10 }
  /// What a turn costs that moves nothing.
  private static var turnCost: Int { 4096 }

  /// Gives sockets of programs their turns, in order, as long as `budget` lasts. Returns whether any had one.
  package mutating func runTurns(_ budget: inout Int) -> Bool {
    var ran = false
    while budget > 0, let (socket, program) = owners.dequeue() {
      bytesMoved = 0
      if let reference = unsafe programs.reference(program) {
        // Safe: the program is in its slot or retired until the turns are over.
        unsafe reference._withUnsafeGuaranteedRef { $0.ready(socket, on: &self) }
      } else {
        finish(socket, reset: true)
      }
      budget -= max(bytesMoved, Self.turnCost)
      ran = true
    }
    return ran
  }

  package mutating func programTimerExpired(_ key: TimerKey, due: Instant) {
    guard let id = programs.timerExpired(key, due: due) else { return }
    programs[id]?.timeIsUp(on: &self)
  }
}
