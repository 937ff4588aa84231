import Sockets

/// Waiting: who registers, and who is told.
extension Shard {
  /// Nobody gets anything from the stack any more: it was closed, or its interface is gone.
  package var end: WakeEvent? { isClosed ? .stackEnd : isLinkGone ? .linkGone : nil }

  /// Leaves word that somebody waits on a socket until one of `interest` is there.
  ///
  /// - Parameter limit: when the shard's timers have to end the wait; `nil`: somebody else does.
  package mutating func await(_ id: SocketID, for interest: Readiness, until limit: Instant?) {
    // Errors and hang-ups end every wait, also one for nothing else.
    owners[id].interest.formUnion(interest.union([.error, .hangup]))
    if let limit, limit < .distantFuture {
      owners[id].timer.arm(
        TimerKey(kind: .wait, id: id.rawValue, generation: id.generation), at: limit, in: &host.net.timers)
    }
  }

  /// A socket is nobody's any more.
  package mutating func disown(_ id: SocketID) {
    guard owners[id].id == id else { return }
    owners[id].timer.cancel(in: &host.net.timers)
    let watch = owners[id].watch
    if watch >= 0 { unwatchAll(from: watch) }
    owners.clear(id)
  }

  /// The limit of some call on the socket is reached: each looks at its own.
  package mutating func waitTimerExpired(_ key: TimerKey, due: Instant) {
    if key.id == SocketID.none.rawValue { return pollTimerExpired(Int(key.generation), due: due) }
    let id = SocketID(rawValue: key.id, generation: key.generation)
    guard owners[id].id == id, owners[id].timer.expire(at: due) else { return }
    owners.signal(id)
  }

  /// Tells the owners of sockets whose readiness may have changed: programs get in line for a turn, waiters are woken if
  /// what they wait for is there.
  ///
  /// A socket that is not ready after all is asked as by a new caller, so that it owes the next wake-up.
  package mutating func notify() {
    while let wakeup = host.net.takeWakeup() {
      let woken = wakeup.socket
      let owner = owners[woken]
      // A wake-up may know the number only; one of an earlier socket with the number is nobody's.
      guard woken.generation == 0 || woken.generation == owner.id.generation else { continue }
      if owner.watch >= 0 { look(from: owner.watch, isForRoom: wakeup.isForRoom) }
      switch owner.kind {
      case .none: break
      case .program: owners.enqueue(owner.id)
      case .waiter:
        guard !owner.interest.isEmpty else { continue }
        if !sockets.poll(owner.id).isDisjoint(with: owner.interest) { owners.signal(owner.id) }
      case .lingerer: owners.signal(owner.id)
      }
    }
  }
}

extension Shard {
  /// The interface was removed under the stack: every wait ends and every call fails with ENETDOWN from now on.
  package mutating func linkGone() {
    guard !isLinkGone else { return }
    isLinkGone = true
    owners.signalAll()
    signalAllSets()
  }
}
