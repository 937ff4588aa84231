import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// From the caller's bytes to segments on the write queue. Linux: `tcp_sendmsg_locked()`.
extension TCPConnection {
  /// Room in front of a segment's payload for every header below. Linux: `MAX_TCP_HEADER`.
  static let headroom = 192

  /// New segments made before pending input gets its turn (row T1).
  static let segmentsPerTurn = 16

  /// Bytes to gather in one segment before the next is begun: a whole number of MSS up to what the device takes as one.
  /// Linux: `tcp_send_mss()`, `tcp_xmit_size_goal()`.
  func sizeGoal(mss: Int, largeAllowed: Bool) -> Int {
    guard largeAllowed, signedByteCount == 0 else { return mss }
    let most = sender.boundToHalfWindow(TCPConnection.gsoMaximum)
    return max(mss, most / mss * mss)
  }
  /// What one packet to the device may carry: 64 KiB less the largest header.
  static let gsoMaximum = 65536 - 321

  /// Takes the caller's bytes. Never blocks.
  ///
  /// - Returns: how many were taken: fewer than offered when memory ran out or another floor's turn is due.
  /// - Throws: `EAGAIN` when none could be taken, `EPIPE` after shutdown, a pending error first, `EFAULT`.
  mutating func sendBytes(
    _ iter: inout IovIter, lending: Lending, flags: MessageFlags, controlError: Errno? = nil,
    host: inout Host
  ) throws(Errno) -> Int {
    checkApplicationLimited()
    guard state.canSend || fastOpen.contains(.isPassive) else {
      if let error = takePendingError() { throw error }
      guard isOpening else { throw .EPIPE }
      sender.noSpace = true
      throw .EAGAIN
    }
    if isInRepair, let count = try sendInRepair(&iter, host: &host) { return count }
    if let controlError { throw controlError }
    if let error = takePendingError() { throw error }
    if core.sendShutdown { throw .EPIPE }

    let requested = iter.count
    let outOfBand = flags.contains(.outOfBand)
    var mss = currentMSS(host: &host)
    var goal = sizeGoal(mss: mss, largeAllowed: !outOfBand)
    var copied = 0
    var made = 0
    var stopped = false
    while iter.count > 0 {
      var room = 0
      if let tail = sender.writeQueue.last, !sender.writeQueue[tcp: tail].endOfRecord,
        !sender.writeQueue[tcp: tail].flags.contains(.fin)
      {
        room = goal - sender.writeQueue.length(at: tail)
        if room > 0 && !sender.takes(lending, at: tail) {
          markPush(tail)
          room = 0
        }
      }
      if room <= 0 {
        guard made < Self.segmentsPerTurn else {
          stopped = true
          break
        }
        guard makeSegment(net: &host.net) else { break }
        made += 1
        room = goal
      }
      guard let tail = sender.writeQueue.last else { break }
      let before = sender.writeQueue.truesize(at: tail)
      var cursor = Cursor(taken: 0, fault: false)
      let use = sendUse
      while cursor.taken < room && iter.count > 0 {
        let wanted = min(room - cursor.taken, iter.count)
        let (count, fault) = sender.append(
          &iter, count: wanted, lending, use: use, fragments: host.net.settings.maximumFragments, at: tail)
        cursor.taken += count
        cursor.fault = fault
        if count == 0 { break }
      }
      sender.writeQueuedMemory += sender.writeQueue.truesize(at: tail) - before
      let taken = cursor.taken
      if taken > 0 {
        if copied == 0 { sender.writeQueue[tcp: tail].flags.remove(.psh) }
        sender.writeSeq += taken
        sender.writeQueue[tcp: tail].endSequence += taken
        sender.writeQueue[tcp: tail].segmentCount = 0
        copied += taken
      }
      if cursor.fault {
        removeEmptyTail()
        if copied > 0 { break }
        throw .EFAULT
      }
      if taken == 0 {
        // Fragment slots ran out (the next segment takes over) or memory did.
        if sender.writeQueue.length(at: tail) == 0 {
          removeEmptyTail()
          core.account.waitForMemory(sendUse)
          break
        }
        markPush(tail)
        guard !lending.isNone || host.net.pool.refillFragment(use: sendUse) > 0 else {
          core.account.waitForMemory(sendUse)
          break
        }
        guard makeSegment(net: &host.net) else { break }
        made += 1
        continue
      }
      if iter.count == 0 { break }
      if taken < room || outOfBand || isInRepair { continue }
      if sender.writeSeq.isAfter(sender.pushedSeq + (sender.maxWindow >> 1)) {
        markPush(tail)
        pushPending(mss: mss, nagle: .push, host: &host)
      } else if sender.writeQueue.count == 1 {
        pushOne(mss: mss, host: &host)
      }
      mss = currentMSS(host: &host)
      goal = sizeGoal(mss: mss, largeAllowed: !outOfBand)
    }

    if copied > 0 {
      // Once for a call, as it ends: one that waits goes on with the rest.
      let isLast = iter.count == 0 || flags.contains(.dontWait) && !stopped
      if !core.timestamping.isEmpty && isLast { stampTail() }
      host.net.tracer.record(.tcp_sendmsg, socket: id.rawValue, UInt64(requested), UInt64(copied))
      if iter.count == 0 {
        if flags.contains(.endOfRecord), let tail = sender.writeQueue.last {
          sender.writeQueue[tcp: tail].endOfRecord = true
        }
        push(flags: flags, mss: mss, goal: goal, host: &host)
      } else {
        // More is to come as soon as there is room: send what stands, never hold it back for Nagle.
        if !stopped { sender.noSpace = true }
        if let tail = sender.writeQueue.last { markPush(tail) }
        pushPending(mss: mss, nagle: .push, host: &host)
      }
      return copied
    }
    if requested == 0 { return 0 }
    sender.noSpace = true
    // With nothing queued at all it is not the buffer that is too small.
    if sender.writeQueue.isEmpty && sender.scoreboard.queue.isEmpty {
      statistics.note(.none, now: host.net.now)
    }
    pushPending(mss: mss, nagle: .push, host: &host)
    // What has just gone may make room below TCP_NOTSENT_LOWAT.
    wakeWriter(net: &host.net)
    throw .EAGAIN
  }

  /// Linux: `sock_error()`.
  private mutating func takePendingError() -> Errno? {
    let error = core.pendingError
    if error != nil { core.pendingError = nil }
    return error
  }

  /// Marks the samples to come as the application's doing while there is less than a segment to send and nothing else
  /// holds it back. Linux: `tcp_rate_check_app_limited()`.
  private mutating func checkApplicationLimited() {
    guard sender.unsentByteCount < sender.mssCache, core.account.writeAllocated < SkBuff.overhead,
      sender.inFlight < sender.window.segments,
      sender.lostOut <= sender.retransOut
    else { return }
    sender.appLimited = max(sender.delivered &+ UInt32(truncatingIfNeeded: sender.inFlight), 1)
  }

  private struct Cursor {
    var taken: Int
    var fault: Bool
  }

  /// Linux: `sk_stream_memory_free()`.
  var hasSendMemory: Bool {
    sender.writeQueuedMemory < core.sendBuffer
      && (options.notSentLowWater == 0 || sender.unsentByteCount < options.notSentLowWater)
  }
  /// A third of the buffer is free, and less than half of `TCP_NOTSENT_LOWAT` unsent.
  /// Linux: `sk_stream_is_writeable()`, `tcp_stream_memory_free()`.
  private var hasWriteSpace: Bool {
    core.sendBuffer - sender.writeQueuedMemory >= sender.writeQueuedMemory >> 1 && hasSendMemory
      && (options.notSentLowWater == 0 || sender.unsentByteCount << 1 < options.notSentLowWater)
  }
  /// Whether a send would take something: there is room in the buffer, and packet memory.
  var isWritable: Bool { hasWriteSpace && core.account.admitsWriter(sendUse) }
  /// What memory for more data is asked for as: the first segment, and up to `tcp_wmem[0]`, a connection always gets.
  var sendUse: MemoryUse {
    var queued = sender.writeQueuedMemory
    // A segment that was begun gets its first byte, too: poll has promised one.
    if let tail = sender.writeQueue.last, sender.writeQueue.length(at: tail) == 0 {
      queued -= sender.writeQueue.truesize(at: tail)
    }
    return queued < sender.leastSendMemory ? .guaranteed : .ordinary
  }

  /// Somebody was told that nothing can be sent now, and is woken when it can. Linux: `SOCK_NOSPACE`.
  mutating func awaitWriteSpace() {
    sender.noSpace = true
    if state.canSend && !core.sendShutdown && hasWriteSpace { core.account.waitForMemory(sendUse) }
  }

  /// Begins a new segment at the end of the write queue. Linux: `tcp_stream_alloc_skb()`, `tcp_skb_entail()`.
  mutating func makeSegment(net: inout Net) -> Bool {
    guard hasSendMemory else { return false }
    guard var skb = net.pool.allocate(headroom: Self.headroom, linear: 0, use: sendUse) else {
      core.account.waitForMemory(sendUse)
      return false
    }
    core.account.stopWaiting()
    skb.tcp.sequence = sender.writeSeq
    skb.tcp.endSequence = sender.writeSeq
    skb.tcp.flags = .ack
    if isInRepair { skb.tcp.sacked.insert(.repaired) }
    skb.mark = core.packetMark
    skb.socket = id.rawValue
    sender.isPushForced = false
    sender.writeQueuedMemory += skb.truesize
    sender.writeQueue.append(skb)
    if sender.scoreboard.queue.isEmpty && sender.writeQueue.count == 1 {
      statistics.note(.busy, now: net.now)
    }
    return true
  }

  /// The times of the send's last byte are wanted. Linux: `tcp_tx_timestamp()`.
  @inline(never)
  private mutating func stampTail() {
    let flags = core.timestamping
    guard !flags.isDisjoint(with: .transmitRecords), let tail = sender.writeQueue.last else { return }
    var request = core.stampRequest(nil)
    if flags.contains(.transmitAcknowledged) {
      request.insert(.acknowledged)
      if flags.contains(.timeOnly) { request.insert(.withoutBytes) }
    }
    let length = sender.writeQueue.length(at: tail)
    let key = (sender.writeQueue[tcp: tail].sequence + (length - 1)).rawValue
    sender.writeQueue.withMutablePacket(at: tail) {
      $0.stamps.formUnion(request)
      $0.stampKey = key
    }
  }

  /// Linux: `tcp_remove_empty_skb()`.
  mutating func removeEmptyTail() {
    guard let tail = sender.writeQueue.last, sender.writeQueue.length(at: tail) == 0,
      !sender.writeQueue[tcp: tail].flags.contains(.fin)
    else { return }
    sender.writeQueuedMemory -= sender.writeQueue.truesize(at: tail)
    _ = sender.writeQueue.remove(at: tail)
  }

  /// Linux: `tcp_mark_push()`.
  mutating func markPush(_ place: SkBuffQueue.Position) {
    sender.writeQueue[tcp: place].flags.insert(.psh)
    sender.pushedSeq = sender.writeSeq
  }

  /// The end of a send call: marks, corks, or sends. Linux: `tcp_push()`.
  mutating func push(flags: MessageFlags, mss: Int, goal: Int, host: inout Host) {
    guard let tail = sender.writeQueue.last else { return }
    let more = flags.contains(.more)
    if !more || sender.writeSeq.isAfter(sender.pushedSeq + (sender.maxWindow >> 1)) { markPush(tail) }
    if flags.contains(.outOfBand) { sender.sndUp = sender.writeSeq; sender.urgentMode = true }
    if shouldAutocork(tail: tail, goal: goal, net: host.net) {
      if !core.account.isThrottled { host.net.counters.count(.TcpExtTCPAutoCorking) }
      // The next freed packet asks for another run.
      core.account.isThrottled = true
      if core.account.writeAllocated > 0 { return }
    }
    pushPending(mss: mss, nagle: more ? .cork : nagle, host: &host)
  }

  /// While earlier packets sit in the qdisc or the ring, a small segment waits for company.
  /// Linux: `tcp_should_autocork()`.
  private func shouldAutocork(tail: SkBuffQueue.Position, goal: Int, net: borrowing Net) -> Bool {
    sender.writeQueue.length(at: tail) < goal && net.settings.tcpAutocorking
      && !sender.scoreboard.queue.isEmpty
      && core.account.writeAllocated >= sender.writeQueue.truesize(at: tail)
      && !sender.writeQueue[tcp: tail].endOfRecord
  }
}
