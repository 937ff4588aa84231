import Ice
import IceModel
import NetDevice
import SkBuff
import Sockets
import Trace

/// What follows every entry into the stack, whoever came in: frames to the wire, completions and received frames up
/// the floors, answers down again, until all is quiet. Linux: `net_rx_action()`, `net_tx_action()` and the doorbell.
extension Shard {
  /// Programs of the shard get turns worth `DrainPolicy.entryByteCount` bytes; those that are left have theirs at the next entry.
  package mutating func drain() {
    var rounds = 0
    var budget = DrainPolicy.entryByteCount
    hasMoreWork = false
    // Once: the wire goes on meanwhile, and this has an end.
    if duty.carriedCount > 0 { takeOutcomes() }
    var pollAgain = false
    while true {
      var isQuiet = true
      var isStalled = false
      publish()
      // What frames out and their completions bring about comes below, in this round.
      if nic.hasTransmitWork { isStalled = !transmit() }
      if nic.takeInterrupt(now: host.net.now) || pollAgain {
        pollAgain = host.poll(ethernet, into: &input)
        if pollAgain || !input.isEmpty { isQuiet = false }
        deliver()
      }
      if host.link.devices[ethernet].hasIngressWork {
        host.link.devices[ethernet].runIngress(into: &input, net: &host.net)
        deliver()
        isQuiet = false
      }
      if cards.count > 0 && drainCards() { isQuiet = false }
      if host.net.hasBacklog {
        host.pollBacklog(into: &input)
        deliver()
        isQuiet = false
      }
      if takeErrors() { isQuiet = false }
      sockets.runPending(host: &host)
      if host.link.devices[ethernet].hasScheduledWork && !host.link.devices[ethernet].isStopped {
        isQuiet = false
        host.runQdisc(ethernet)
      }
      notify()
      if runTurns(&budget) { isQuiet = false }
      if isQuiet && (isStalled || !nic.hasTransmitWork) { break }
      rounds += 1
      if rounds == DrainPolicy.roundLimit {
        hasMoreWork = true
        break
      }
    }
    if !owners.isLineEmpty { hasMoreWork = true }
    if programs.hasRetired { programs.letGo() }
    armDeviceTimer()
  }

  /// An interrupt that was taken before its time leaves the entry in the queue, so that frames cost a comparison; whoever is
  /// called for nothing arms it again.
  private mutating func armDeviceTimer() {
    var due = retryAt
    if let interrupt = nic.nextInterruptDeadline, interrupt < due { due = interrupt }
    if cards.count > 0 { due = min(due, cardDeadline) }
    deviceTimer.arm(TimerKey(kind: .device, id: 0), at: due, in: &host.net.timers)
  }

  /// Carries frames from the ring to the wire. Returns whether any went.
  private mutating func transmit() -> Bool {
    var sent = false
    if retryAt <= host.net.now { retryAt = .distantFuture }
    guard retryAt == .distantFuture else { return false }
    while true {
      guard let carrier = duty.duty(now: host.net.now, room: { port.carryingRoom }) else { return sent }
      guard nic.fetchFrame(into: &outgoing, metadata: &outgoingMetadata, now: host.net.now) else { break }
      host.net.tracer.record(
        .device_fetch, UInt64(outgoingMetadata.firstDescriptor),
        UInt64(outgoingMetadata.lastDescriptor &- outgoingMetadata.firstDescriptor &+ 1))
      if carrier == .carrier {
        host.net.tracer.record(
          .device_frame_out, UInt64(truncatingIfNeeded: outgoing.byteCount),
          UInt64(truncatingIfNeeded: outgoing.count), UInt64(outgoingMetadata.gsoSize))
        port.carry(outgoing, outgoingMetadata)
        duty.sent(outgoing.byteCount, isCarried: true, now: host.net.now)
        nic.frameTaken()
        sent = true
        continue
      }
      switch port.transmit(outgoing, outgoingMetadata) {
      case .done:
        if !hasCarrier { carrierFound() }
        host.net.tracer.record(
          .device_frame_out, UInt64(truncatingIfNeeded: outgoing.byteCount),
          UInt64(truncatingIfNeeded: outgoing.count), UInt64(outgoingMetadata.gsoSize))
        duty.sent(outgoing.byteCount, isCarried: false, now: host.net.now)
        nic.frameDone(accepted: true)
        sent = true
      case .wouldBlock:
        // The NIC keeps the frame and offers it again.
        retryAt = host.net.now + Self.retryInterval
        return sent
      case .failed(let code):
        frameFailed(code)
        nic.frameDone(accepted: false)
        sent = true
      }
    }
    return sent
  }

  private mutating func frameFailed(_ code: Int32) {
    carrierErrors &+= 1
    wireFailed(code)
    lastWireError = code
  }

  /// What became of frames that the wire carried.
  private mutating func takeOutcomes() {
    while duty.carriedCount > 0, let outcome = port.takeOutcome() {
      duty.carried()
      if case .failed(let code) = outcome {
        frameFailed(code)
        nic.frameOut(accepted: false)
      } else {
        if !hasCarrier { carrierFound() }
        nic.frameOut(accepted: true)
      }
    }
  }

  /// Takes frames from a TAP into the posted buffers, NAPI after each batch: at most `limit` frames and about
  /// `entryByteCount` bytes before others get the lock. A frame that is expected to be alone goes up at once, and nobody looks
  /// for a second: whoever waits for the wire is told of that.
  ///
  /// - Returns: whether more is to be taken before anybody waits for the wire.
  package mutating func receiveFromWire(limit: Int) -> Bool {
    var left = limit
    var bytesLeft = DrainPolicy.entryByteCount
    var taken = 0
    while left > 0 && bytesLeft > 0 {
      var batch = min(left, IceDriver.rxBudget)
      left -= batch
      var batchBytesLeft = duty.batchByteCount(now: host.net.now)
      while batch > 0 && bytesLeft > 0 && batchBytesLeft > 0 {
        guard nic.receiveVector(into: &incoming) else { break }
        switch port.receive(into: incoming, &incomingMetadata) {
        case .done(let byteCount):
          if !hasCarrier { carrierFound() }
          batch -= 1
          bytesLeft -= byteCount
          batchBytesLeft -= byteCount
          duty.received(byteCount, now: host.net.now)
          host.net.tracer.record(
            .device_frame_in, UInt64(truncatingIfNeeded: byteCount), 0, UInt64(incomingMetadata.gsoSize))
          nic.receiveDone(byteCount: byteCount, metadata: incomingMetadata, now: host.net.now)
          taken += 1
          if taken == 1 && duty.expectsNoSecond(byteCount) {
            drain()
            return false
          }
        case .wouldBlock:
          duty.wireIsEmpty(after: taken)
          drain()
          return false
        case .failed(let code):
          // EIO and EBADFD: the interface is down or gone; nothing to read until it is back.
          lastWireError = code
          drain()
          return false
        }
      }
      drain()
    }
    return true
  }

  /// Takes a frame that the caller of a simulated stack pushes in.
  package mutating func receiveFrame(_ bytes: UnsafeRawBufferPointer, _ metadata: WireFrameMetadata) {
    host.net.tracer.record(
      .device_frame_in, UInt64(truncatingIfNeeded: bytes.count), 1, UInt64(metadata.gsoSize))
    unsafe nic.receive(bytes, metadata: metadata, now: host.net.now)
  }

  mutating func deliver() {
    while let skb = input.popFirst() {
      receive(skb)
      takeErrors()
    }
    // Only what comes in from the wire tells of one.
    if hasConflictToReport { reportConflicts() }
  }

  /// Gives errors to the sockets whose packets they are about. Returns whether there were any.
  @inline(__always) @discardableResult
  private mutating func takeErrors() -> Bool {
    var found = false
    // Asked first: the error is a large value, moved about even when there is none.
    while host.internet.hasTransportErrors, let error = host.internet.takeTransportError() {
      receiveError(error)
      found = true
    }
    return found
  }

  /// One packet up the floors. Linux: `netif_receive_skb()`.
  private mutating func receive(_ skb: consuming SkBuff) {
    guard peers.isEmpty else { return receiveShared(skb) }
    sockets.receive(host.receive(skb), host: &host)
  }

  /// Hands every timer that is due to its floor.
  package mutating func runTimers() {
    while let (key, due) = host.net.timers.popExpired(now: host.net.now) {
      switch key.kind {
      case .tcp: sockets.timerExpired(key, due: due, host: &host)
      case .neighbour, .reassembly, .connection, .qdisc, .watchdog:
        host.timerExpired(key, due: due)
      // What is due is found when the shard is drained.
      case .device: _ = deviceTimer.expire(at: due)
      case .application: programTimerExpired(key, due: due)
      case .wait: waitTimerExpired(key, due: due)
      }
    }
    // An address that was asked for is nobody's.
    if host.internet.hasAddressNews { reportConflicts() }
  }
}

extension Shard {
  /// Ends an entry. Returns whether the event loop has to be woken because it would sleep too long.
  package mutating func leave() -> Bool {
    guard !isClosed else { return false }
    duty.begin()
    drain()
    // The event loop is awake and asks itself before it sleeps.
    guard loopWakesAt > .origin else { return false }
    let next = settledDeadline
    guard next < loopWakesAt else { return false }
    loopWakesAt = next
    return true
  }
}
