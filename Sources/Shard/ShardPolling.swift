import Sockets

/// Pollers: somebody outside the shard watches any number of its sockets. Linux: epoll(7).
extension Shard {
  /// A new set of watched sockets.
  ///
  /// - Parameter waker: signalled when somebody waits and a socket becomes ready; the set keeps it.
  package mutating func makePollSet(_ waker: Waker) -> Int { polls.insertSet(waker) }

  /// Watches nothing of the set any more.
  package mutating func removePollSet(_ set: Int) {
    for index in polls.indices(of: set) { unwatch(index) }
    polls.sets[set].timer.cancel(in: &host.net.timers)
    polls.sets[set] = PollTable.PollSet()
  }

  /// Linux: EPOLL_CTL_ADD.
  ///
  /// - Throws: EEXIST when this set has the socket already.
  package mutating func watch(
    _ socket: SocketID, in set: Int, for events: Readiness, _ trigger: PollTrigger, token: UInt64
  ) throws(Errno) {
    guard place(of: socket, in: set) < 0 else { throw .EEXIST }
    var watch = PollTable.Watch()
    watch.socket = socket
    watch.set = set
    watch.interest = events.union([.error, .hangup])
    watch.trigger = trigger
    watch.token = token
    watch.sibling = owners[socket].watch
    let index = polls.insert(watch)
    owners[socket].watch = index
    look(at: index)
  }

  /// Asks for something else, or once more. Linux: EPOLL_CTL_MOD.
  ///
  /// - Throws: ENOENT when this set does not watch the socket.
  package mutating func rewatch(
    _ socket: SocketID, in set: Int, for events: Readiness, _ trigger: PollTrigger
  ) throws(Errno) {
    let index = try watched(socket, in: set)
    polls[index].interest = events.union([.error, .hangup])
    polls[index].trigger = trigger
    look(at: index)
  }

  /// Linux: EPOLL_CTL_DEL.
  ///
  /// - Throws: ENOENT when this set does not watch the socket.
  package mutating func unwatch(_ socket: SocketID, in set: Int) throws(Errno) {
    unwatch(try watched(socket, in: set))
  }

  /// Takes one watch out of its socket's.
  private mutating func unwatch(_ index: Int32) {
    let socket = polls[index].socket
    let next = polls[index].sibling
    var before = owners[socket].watch
    if before == index {
      owners[socket].watch = next
    } else {
      while polls[before].sibling != index { before = polls[before].sibling }
      polls[before].sibling = next
    }
    polls.remove(index)
  }

  /// Takes all watches that begin with one out: their socket is closed.
  mutating func unwatchAll(from first: Int32) {
    var index = first
    while index >= 0 {
      let next = polls[index].sibling
      polls.remove(index)
      index = next
    }
  }

  /// The socket's watch in a set; -1: there is none.
  private func place(of socket: SocketID, in set: Int) -> Int32 {
    var index = owners[socket].watch
    while index >= 0, polls[index].set != set { index = polls[index].sibling }
    return index
  }

  private func watched(_ socket: SocketID, in set: Int) throws(Errno) -> Int32 {
    let index = place(of: socket, in: set)
    guard index >= 0 else { throw .ENOENT }
    return index
  }

  /// A socket's readiness may have changed, for all who watch it.
  ///
  /// - Parameter isForRoom: all that has come is room to send: who did not ask for that is not told, whatever else is there.
  mutating func look(from first: Int32, isForRoom: Bool) {
    var index = first
    while index >= 0 {
      if !isForRoom || polls[index].interest.contains(.writable) { look(at: index) }
      index = polls[index].sibling
    }
  }

  /// A watched socket may be ready: if it is, it gets in line, and whoever waits is woken. One that is not owes a wake-up.
  /// Linux: `ep_poll_callback()`.
  mutating func look(at index: Int32) {
    let watch = polls[index]
    guard !sockets.poll(watch.socket).isDisjoint(with: watch.interest) else { return }
    polls.queue(index)
    signalSet(watch.set)
  }

  private mutating func signalSet(_ set: Int) {
    guard polls.sets[set].isAwaited, let waker = polls.sets[set].waker else { return }
    polls.sets[set].isAwaited = false
    polls.sets[set].timer.cancel(in: &host.net.timers)
    owners.woken.append(waker)
  }

  /// Takes what is ready, first come, first served. Linux: `ep_send_events()`.
  ///
  /// - Parameters:
  ///   - limit: most events in `events`.
  ///   - wait: when nothing is ready: whoever asks sleeps, and is woken when something is.
  ///   - deadline: when the shard's timers have to end that sleep; `nil`: somebody else does.
  /// - Throws: ENETDOWN when the stack or its interface is gone.
  package mutating func takeEvents(
    of set: Int, into events: inout [PollEvent], limit: Int, wait: Bool, until deadline: Instant?
  ) throws(Errno) {
    if let end { throw Wait.read.error(of: end) }
    // Those that stay ready get in line again behind the others: each is looked at once.
    for _ in 0..<polls.sets[set].count where events.count < limit {
      let index = polls.sets[set].first
      let watch = polls[index]
      polls.unqueue(index)
      let ready = sockets.poll(watch.socket).intersection(watch.interest)
      if ready.isEmpty { continue }
      events.append(PollEvent(token: watch.token, readiness: ready))
      switch watch.trigger {
      case .level: polls.queue(index)
      case .edge: break
      case .once: polls[index].interest = []
      }
    }
    // Who is given something does not speak for another who sleeps.
    guard wait && events.isEmpty else { return }
    polls.sets[set].isAwaited = true
    if let deadline, deadline < .distantFuture {
      // A set's timer has no socket's number. It stays at the earliest of the limits of those who sleep.
      let key = TimerKey(kind: .wait, id: SocketID.none.rawValue, generation: UInt32(set))
      polls.sets[set].timer.arm(key, at: deadline, in: &host.net.timers)
    }
  }

  /// Whether somebody sleeps until a socket of the set is ready.
  package func isAwaited(_ set: Int) -> Bool { polls.sets[set].isAwaited }

  mutating func pollTimerExpired(_ set: Int, due: Instant) {
    guard polls.sets.indices.contains(set), polls.sets[set].timer.expire(at: due) else { return }
    signalSet(set)
  }

  /// Wakes whoever waits for any socket.
  mutating func signalAllSets() {
    for set in polls.sets.indices { signalSet(set) }
  }
}
