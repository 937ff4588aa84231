import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Segments for a connection that exists. Linux: `tcp_rcv_established()`, `tcp_rcv_state_process()`.
extension TCPConnection {
  /// Works on one segment in any synchronised state. RFC 9293 3.10.7.4, in its order.
  mutating func receiveSynchronised(
    _ skb: consuming SkBuff, _ segment: IncomingSegment, host: inout Host
  ) -> SegmentVerdict {
    statistics.segmentsIn += skb.gsoSegments > 1 ? UInt64(skb.gsoSegments) : 1
    host.net.tracer.record(
      .tcp_rcv_established, skb: skb.serial, socket: id.rawValue, UInt64(segment.sequence.rawValue),
      UInt64(segment.payload), UInt64(segment.flags.rawValue))
    // Such a one is not answered wherever it lies.
    guard !segment.flags.isDisjoint(with: [.ack, .rst, .syn]) else {
      skb.drop(.tcpFlags)
      return []
    }
    if let verdict = refuse(segment, host: &host) {
      skb.drop(verdict.reason)
      return verdict.answer
    }
    if core.programs != nil { showOptions(skb, segment) }
    guard segment.flags.contains(.ack) else {
      skb.drop(.tcpFlags)
      return []
    }
    if segment.networkMark != ECNCodepoint.notCapable || sender.ecn.contains(.isAccurate) {
      countMarks(segment, packets: max(1, skb.gsoSegments))
    }
    // Such a segment tells the sender nothing: what waits for more bytes goes on waiting.
    let isPlainData = !sender.writeQueue.isEmpty && isPredictedData(segment)
    switch processAck(segment, isPlainData: isPlainData, host: &host) {
    case .accepted: break
    case .old: break
    case .invalid:
      // RFC 9293 3.10.7.4: acknowledges what was not sent: answer with an ACK, drop.
      sendChallengeAck(host: &host)
      skb.drop(.tcpInvalidAcknowledgment)
      return []
    case .challenge:
      sendChallengeAck(host: &host)
      skb.drop(.tcpInvalidAcknowledgment)
      return []
    }
    replaceRecentTimestamp(segment, net: host.net)
    let verdict = advanceClosing(segment, net: &host.net)
    if verdict.contains(.moveToTimeWait) || state == .close {
      skb.drop(.tcpClose)
      return verdict
    }

    if segment.flags.contains(.urg) { noteUrgent(segment, net: &host.net) }
    var result = verdict
    // Behind the peer's FIN there is nothing to take; what comes again from before it is acknowledged.
    if state.canReceive || segment.sequence.isBefore(receiver.rcvNxt) {
      saveUrgentByte(skb, net: &host.net)
      if bringsUnwantedData(segment) {
        host.net.counters.count(.TcpExtTCPAbortOnData)
        skb.drop(.tcpAbortOnData)
        resetByPeer(net: &host.net)
        return .reset
      }
      let hadFin = receiver.peerFinSeen
      if !sender.ecn.isDisjoint(with: .agreed) && segment.sequence != segment.endSequence {
        noteECN(segment, host: &host)
      }
      queueData(skb, host: &host)
      if receiver.peerFinSeen && !hadFin { result.formUnion(processFin(host: &host)) }
    } else {
      skb.drop(.tcpOldData)
    }
    if result.contains(.moveToTimeWait) {
      sendAck(host: &host)
      return result
    }
    if !isPlainData { sendPending(host: &host) }
    // What has just been sent may make room below TCP_NOTSENT_LOWAT.
    if sender.noSpace { checkWriterSpace(net: &host.net) }
    sendAckIfDue(host: &host)
    return result
  }

  /// Programs look at the options of a segment that is accepted. Linux: `bpf_skops_parse_hdr()`.
  func showOptions(_ skb: borrowing SkBuff, _ segment: IncomingSegment) {
    guard let programs = core.programs, programs.readsOptions else { return }
    let count = Int(segment.headerByteCount)
    let header = skb.pulledHeaders()
    guard count > TCPHeader.minimumByteCount, header.count >= count else { return }
    let options = Array(header[(header.count - count + TCPHeader.minimumByteCount)...])
    programs.read(
      options,
      of: ProgramSegment(
        socket: id, ends: tuple, flags: segment.flags, sequence: segment.sequence,
        byteCount: segment.payload, room: 0))
  }

  /// The next data and nothing else: no new acknowledgment, the same window. Linux: `tcp_rcv_established()`, the fast path by
  /// `pred_flags`.
  private mutating func isPredictedData(_ segment: IncomingSegment) -> Bool {
    state == .established && segment.payload > 0 && segment.flags.subtracting(.psh) == .ack
      && segment.sequence == receiver.rcvNxt && segment.acknowledgment == sender.sndUna
      && segment.window << sender.sndWscale == sender.sndWnd && receiver.outOfOrder.isEmpty
  }

  /// Data that nobody will read, after close, after both directions were shut down or across the peer's own FIN, or a FIN
  /// that follows such data; bytes that were read already do not count (RFC 9293 3.10.7.4, RFC 1122 4.2.2.13).
  /// Linux: `tcp_rcv_state_process()`, step 7.
  private func bringsUnwantedData(_ segment: IncomingSegment) -> Bool {
    guard core.isOrphan || core.receiveShutdown, state != .established else { return false }
    let dataEnd = segment.endSequence - (segment.flags.contains(.fin) ? 1 : 0)
    return segment.sequence != segment.endSequence && dataEnd.isAfter(receiver.rcvNxt)
  }

  /// What makes a segment unacceptable, and what is owed for it. Linux: `tcp_validate_incoming()`.
  mutating func refuse(
    _ segment: IncomingSegment, host: inout Host
  ) -> (reason: DropReason, answer: SegmentVerdict)? {
    if hasTimestamps && segment.options.hasTimestamps {
      if !receiver.recent.admits(segment.options.timestampValue, now: host.net.now)
        && !segment.flags.contains(.rst)
        && !isDuplicateAck(segment)
      {
        if segment.flags.contains(.syn) {
          challengeSyn(host: &host)
        } else if segment.flags.contains(.ack) && segment.sequence == segment.endSequence
          && segment.sequence.isBefore(receiver.rcvNxt)
        {
          // ACKs that others have overtaken are common, and their sender knows better by now.
          host.net.counters.count(.TcpExtPAWSOldAck)
        } else {
          host.net.counters.count(.TcpExtPAWSEstab)
          sendDuplicateAck(segment, .TcpExtTCPACKSkippedPAWS, host: &host)
        }
        return (.tcpPAWS, [])
      }
    }
    let windowEnd = receiver.rcvNxt + receiver.receiveWindow
    let isBeyond = segment.sequence.isAfter(windowEnd) || overfills(segment, windowEnd: windowEnd)
    if isBeyond || segment.endSequence.isBefore(receiver.rcvWup) {
      if segment.flags.contains(.rst) {
        if isResetBehindFin(segment) { resetByPeer(net: &host.net) }
        return (.tcpInvalidSequence, [])
      }
      if segment.flags.contains(.syn) {
        challengeSyn(host: &host)
        return (.tcpInvalidSYN, [])
      }
      if isBeyond { host.net.counters.count(.TcpExtBeyondWindow) }
      sendDuplicateAck(segment, .TcpExtTCPACKSkippedSeq, host: &host)
      return (.tcpInvalidSequence, [])
    }
    if segment.flags.contains(.rst) {
      // RFC 5961 3.2: exactly the next byte resets; anything else in the window is challenged.
      if segment.sequence == receiver.rcvNxt || isResetBehindFin(segment)
        || segment.sequence == receiver.sack.highest
      {
        resetByPeer(net: &host.net)
      } else {
        sendChallengeAck(host: &host)
      }
      return (.tcpReset, [])
    }
    if segment.flags.contains(.syn) {
      challengeSyn(host: &host)
      return (.tcpInvalidSYN, [])
    }
    return nil
  }

  /// Brings more than was offered room for while the reader is behind: whoever does not heed the window would fill memory. A
  /// FIN takes none; at a closed window the ACK counts, and the data is refused later (RFC 9293 3.10.7.4).
  /// Linux: `tcp_sequence()`.
  private func overfills(_ segment: IncomingSegment, windowEnd: SequenceNumber) -> Bool {
    let dataEnd = segment.endSequence - (segment.flags.contains(.fin) ? 1 : 0)
    return dataEnd.isAfter(windowEnd) && windowEnd != receiver.rcvNxt && !receiver.receiveQueue.isEmpty
  }

  /// Some stacks reset with the number of their FIN, one below what was acknowledged. Linux: `tcp_reset_check()`.
  private func isResetBehindFin(_ segment: IncomingSegment) -> Bool {
    segment.sequence + 1 == receiver.rcvNxt && (state == .closeWait || state == .lastAck || state == .closing)
  }

  /// An old duplicate ACK that only looks too old for PAWS. Linux: `tcp_disordered_ack()`.
  private func isDuplicateAck(_ segment: IncomingSegment) -> Bool {
    segment.sequence == segment.endSequence && segment.sequence == receiver.rcvNxt
      && segment.acknowledgment == sender.sndUna
      && segment.window << sender.sndWscale == sender.sndWnd
      && Int32(bitPattern: receiver.recent.value &- segment.options.timestampValue) <= 200
  }

  /// Linux: `tcp_reset()`.
  mutating func resetByPeer(net: inout Net) {
    let error: Errno
    switch state {
    case .synSent: error = .ECONNREFUSED
    case .closeWait: error = .EPIPE
    case .close: return
    default: error = .ECONNRESET
    }
    fail(error, net: &net)
  }

  /// RFC 5961 section 7: challenge ACKs are limited for each socket. Linux: `tcp_send_challenge_ack()`.
  private mutating func sendChallengeAck(host: inout Host) {
    guard receiver.answers.admits(.TcpExtTCPACKSkippedChallenge, net: &host.net) else { return }
    host.net.counters.count(.TcpExtTCPChallengeACK)
    sendAck(host: &host)
  }

  /// RFC 5961 4.2: a SYN never resets a connection that exists, wherever it lies.
  private mutating func challengeSyn(host: inout Host) {
    host.net.counters.count(.TcpInErrs)
    host.net.counters.count(.TcpExtTCPSYNChallenge)
    sendChallengeAck(host: &host)
  }

  /// What an old or too new segment is owed, at a limited rate, so that two ends that disagree do not keep each other
  /// busy. Linux: `tcp_send_dupack()`.
  private mutating func sendDuplicateAck(
    _ segment: IncomingSegment, _ skipped: NetCounters.Name, host: inout Host
  ) {
    guard receiver.answers.admits(segment, skipped, net: &host.net) else { return }
    if segment.sequence != segment.endSequence && segment.sequence.isBefore(receiver.rcvNxt) {
      host.net.counters.count(.TcpExtDelayedACKLost)
      receiver.enterQuickAck()
      let end = segment.endSequence.isAfter(receiver.rcvNxt) ? receiver.rcvNxt : segment.endSequence
      noteDuplicate(segment.sequence, end, net: &host.net)
    }
    sendAck(host: &host)
  }

  /// RFC 7323 4.3: only a segment that covers the last ACK sent updates what is echoed. Linux:
  /// `tcp_replace_ts_recent()`.
  private mutating func replaceRecentTimestamp(_ segment: IncomingSegment, net: borrowing Net) {
    guard hasTimestamps, segment.options.hasTimestamps, !segment.sequence.isAfter(receiver.rcvWup) else {
      return
    }
    if receiver.recent.admits(segment.options.timestampValue, now: net.now) {
      receiver.recent = RecentTimestamp(value: segment.options.timestampValue, at: net.now)
    }
  }

  /// A writer waits for room: the buffer grows with the window, unless the window is what holds the data; the writer is told
  /// once a third of the buffer is free. Linux: `tcp_check_space()`, `tcp_should_expand_sndbuf()`.
  @inline(never)
  mutating func checkWriterSpace(net: inout Net) {
    if !net.pool.isUnderPressure && sender.inFlight < sender.window.segments {
      expandSendBuffer(most: net.settings.tcpWriteMemory.most)
    }
    wakeWriter(net: &net)
  }

  /// Room for the congestion control's number of windows of full segments, as they take memory in Linux: a power of two for data, headers and
  /// `skb_shared_info`, and `sk_buff`. Linux: `tcp_sndbuf_expand()`.
  mutating func expandSendBuffer(most: Int) {
    if core.isSendBufferFixed { return }
    let data = max(sender.peerMSS, sender.mssCache) + Self.headroom + 320
    let perSegment = 1 << (Int.bitWidth - (data - 1).leadingZeroBitCount) + 256
    let segments = max(
      CongestionWindow.initialSegments, max(sender.window.segments, sender.recovery.reordering + 1))
    let wanted = min(sender.congestion.windowsToBuffer * segments * perSegment, most)
    if wanted > core.sendBuffer { core.sendBuffer = wanted }
  }

  /// Tells a writer that was refused when there is room again. Linux: `sk_stream_write_space()`.
  mutating func wakeWriter(net: inout Net) {
    guard sender.noSpace else { return }
    // There may be room, and no packet memory: in line for it.
    guard isWritable else { return awaitWriteSpace() }
    sender.noSpace = false
    if statistics.limit == .sendBuffer {
      let isEmpty = sender.writeQueue.isEmpty && sender.scoreboard.queue.isEmpty
      statistics.note(isEmpty ? .none : .busy, now: net.now)
    }
    net.wake(id, isForRoom: true)
  }

  /// What an ACK of our FIN changes. Linux: the state switch of `tcp_rcv_state_process()`.
  private mutating func advanceClosing(_ segment: IncomingSegment, net: inout Net) -> SegmentVerdict {
    let finAcked = core.sendShutdown && sender.sndUna == sender.writeSeq && sender.sndNxt == sender.writeSeq
    switch state {
    case .finWait1 where finAcked:
      setState(.finWait2, net: &net)
      net.wake(id)
      if core.isOrphan {
        let wait = options.finTimeout ?? net.settings.tcpFinTimeout
        if wait < .zero {
          // TCP_LINGER2 below zero: nobody waits for the peer's FIN.
          net.counters.count(.TcpExtTCPAbortOnData)
          fail(nil, net: &net)
          return .reset
        }
        timers.keepAliveDeadline = net.now + wait
      }
      return []
    case .closing where finAcked:
      return .moveToTimeWait
    case .lastAck where finAcked:
      fail(nil, net: &net)
      return []
    default:
      return []
    }
  }

  /// The peer will send no more. Linux: `tcp_fin()`.
  mutating func processFin(host: inout Host) -> SegmentVerdict {
    receiver.ack.isScheduled = true
    core.receiveShutdown = true
    receiver.sack.clearDuplicate()
    host.net.wake(id)
    switch state {
    case .established, .synReceived:
      setState(.closeWait, net: &host.net)
      receiver.ack.pingpong = DelayedAck.conversation
      return []
    case .finWait1:
      sendAck(host: &host)
      setState(.closing, net: &host.net)
      return []
    case .finWait2:
      return .moveToTimeWait
    default:
      return []
    }
  }

  // MARK: Urgent data (RFC 9293 3.8.5, RFC 6093)

  /// Linux: `tcp_check_urg()`.
  private mutating func noteUrgent(_ segment: IncomingSegment, net: inout Net) {
    // The pointer names the byte after the urgent one; Linux and this stack take the byte before it.
    let sequence = segment.sequence + max(Int(segment.urgentPointer) - 1, 0)
    guard !sequence.isBefore(receiver.copiedSeq), !sequence.isBefore(receiver.rcvNxt) else { return }
    if let known = receiver.urgent, !sequence.isAfter(known.sequence) { return }
    // A mark that the reader stands at, and whose byte is still in the stream, is passed before it is forgotten.
    if let known = receiver.urgent, known.sequence == receiver.copiedSeq,
      receiver.copiedSeq != receiver.rcvNxt, !core.options.outOfBandInline
    {
      advanceReader(to: receiver.copiedSeq + 1, net: net)
    }
    receiver.urgent = UrgentMark(sequence: sequence)
    net.wake(id)
  }

  /// Linux: the second half of `tcp_urg()`.
  private mutating func saveUrgentByte(_ skb: borrowing SkBuff, net: inout Net) {
    guard let mark = receiver.urgent, mark.byte == .awaited else { return }
    let offset = mark.sequence.offset(from: skb.tcp.sequence)
    guard offset >= 0, offset < skb.length else { return }
    let byte = skb.byte(at: offset)
    receiver.urgent?.byte = .waiting(byte)
    net.wake(id)
  }
}
