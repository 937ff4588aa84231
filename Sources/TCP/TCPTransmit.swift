import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// One segment: options, header, and down to IP. Linux: `__tcp_transmit_skb()`.
extension TCPConnection {
  /// Sends a queued segment: a clone goes down, the original stays for retransmission.
  ///
  /// - Returns: what the floors below said; if they could not take it, the segment stays where it is.
  mutating func transmitHead(
    _ place: SkBuffQueue.Position, in queue: Queue, cookie: FastOpenCookie? = nil, host: inout Host
  ) -> XmitResult {
    // Delivery-rate state at departure. Linux: tcp_rate_skb_sent().
    if sender.packetsOut == 0 {
      sender.firstSentAt = host.net.now
      sender.deliveredAt = host.net.now
    }
    let now = host.net.now
    let departure = Departure(
      at: now, firstSentAt: sender.firstSentAt, delivered: sender.delivered, deliveredAt: sender.deliveredAt,
      isAppLimited: sender.appLimited != 0)
    let copy: SkBuff?
    switch queue {
    case .write: copy = sender.writeQueue.transmissionClone(of: place, departure)
    case .retransmit: copy = sender.scoreboard.transmissionClone(of: place, departure)
    }
    guard var copy else { return .failed(.ENOBUFS) }
    guard isPaced else { return transmit(copy, cookie: cookie, host: &host) }
    let byteCount = copy.length
    copy.timestamp = max(sender.nextDeparture, now)
    let result = transmit(copy, cookie: cookie, host: &host)
    if !result.isLost { departed(byteCount: byteCount, now: now) }
    return result
  }

  enum Queue { case write, retransmit }

  /// Writes the header and hands the packet to IP.
  ///
  /// - Parameter cookie: of a SYN (RFC 7413).
  mutating func transmit(
    _ skb: consuming SkBuff, cookie: FastOpenCookie? = nil, host: inout Host
  ) -> XmitResult {
    guard let source = tuple.local.address.v4, let destination = tuple.remote.address.v4 else {
      skb.drop(.ipOutNoRoute)
      return .failed(.EAFNOSUPPORT)
    }
    guard hasRoute(host: &host) else {
      skb.drop(.ipOutNoRoute)
      return .failed(.EHOSTUNREACH)
    }
    let block = skb.tcp
    let payload = skb.length
    let flags = block.flags
    var tcpOptions =
      flags.contains(.syn)
      // Where both have opened at once the options are offered again, whatever the peer has said. Linux: `tcp_send_synack()`.
      ? synOptions(isReply: flags.contains(.ack) && fastOpen.contains(.isPassive), cookie, net: host.net)
      : establishedOptions(net: host.net)
    var header = TCPHeader(
      sourcePort: tuple.local.port, destinationPort: tuple.remote.port, sequence: block.sequence,
      acknowledgment: flags.contains(.ack) ? receiver.rcvNxt : SequenceNumber(0),
      headerByteCount: TCPHeader.minimumByteCount, flags: flags)
    // The window on a SYN is never scaled (RFC 7323 2.2).
    header.window =
      flags.contains(.syn)
      ? UInt16(truncatingIfNeeded: min(receiver.rcvWnd, 65535)) : selectWindow(net: &host.net)
    if sender.urgentMode && block.sequence.isBefore(sender.sndUp) {
      let distance = sender.sndUp.offset(from: block.sequence)
      if distance <= 0xFFFF {
        header.urgentPointer = UInt16(truncatingIfNeeded: distance)
        header.flags.insert(.urg)
      } else if (block.sequence + 0xFFFF).isAfter(sender.sndNxt) {
        header.urgentPointer = 0xFFFF
        header.flags.insert(.urg)
      }
    }
    var networkMark = ECNCodepoint.notCapable
    if !sender.ecn.isEmpty {
      networkMark = markECN(
        &header, flags, isNewData: payload > 0 && !block.sequence.isBefore(sender.sndNxt))
      if sender.ecn.contains(.isAccurate) { addAccurateECN(&tcpOptions, flags, net: host.net) }
    }
    // So that the receiver's GRO does not hold a burst back for more of it.
    if block.segmentCount > 1 && payload > Int(block.segmentSize) { header.flags.insert(.psh) }
    skb.priority = core.options.priority
    let signed = signedByteCount == 0 ? SegmentSigning.none : signing(flags, block.sequence)
    let extra = core.programs == nil ? [] : programOptions(block, payload, flags, &tcpOptions)
    guard skb.pushSegment(header, tcpOptions, extra, from: source, to: destination, signedWith: signed) else {
      skb.drop(.noMemory)
      return .failed(.ENOBUFS)
    }
    if Int(block.segmentCount) > 1 && payload > Int(block.segmentSize) {
      skb.gsoType =
        header.flags.contains(.cwr) && sender.ecn.contains(.isAccurate) ? .tcpv4AccurateECN : .tcpv4
      skb.gsoSize = Int(block.segmentSize)
      skb.gsoSegments = Int(block.segmentCount)
    } else {
      skb.gsoType = .none
      skb.gsoSize = 0
      skb.gsoSegments = 1
    }
    if payload > 0 || flags.contains(.syn) || flags.contains(.fin) {
      skb.chargeWrite(to: core.account, socket: id.rawValue)
    } else {
      skb.socket = id.rawValue
    }
    if options.transmitDelay > 0 {
      skb.timestamp = max(skb.timestamp, host.net.now) + .microseconds(Int64(options.transmitDelay))
    }
    if flags.contains(.ack) { acknowledgmentSent(net: &host.net) }
    if payload > 0 { dataSent(payload, segments: max(1, Int(block.segmentCount)), net: &host.net) }
    statistics.segmentsOut += UInt64(max(1, block.segmentCount))
    // New data and pure ACKs; what goes again is RetransSegs.
    if block.endSequence.isAfter(sender.sndNxt) || block.sequence == block.endSequence {
      host.net.counters.count(.TcpOutSegs, by: UInt64(max(1, block.segmentCount)))
    }
    host.net.tracer.record(
      .tcp_transmit_skb, skb: skb.serial, socket: id.rawValue, UInt64(block.sequence.rawValue),
      UInt64(payload),
      UInt64(header.flags.rawValue))
    let result = sendDown(skb, networkMark: networkMark, host: &host)
    if core.hasRareState && host.net.pool.hasStamps { describeStamps(net: host.net) }
    // The queue is full, or soon will be. Linux: any positive answer.
    if result == .congestion || result == .dropped { sender.enterCongestionWindowReduced() }
    return result
  }

  private mutating func sendDown(
    _ skb: consuming SkBuff, networkMark: UInt8, host: inout Host
  ) -> XmitResult {
    guard var path = core.route else {
      skb.drop(.ipOutNoRoute)
      return .dropped
    }
    var sendOptions = core.options.sendOptions(.tcp)
    sendOptions.typeOfService |= networkMark
    sendOptions.mark = core.packetMark
    var packet = skb
    if sender.networkOptionByteCount > 0, let list = core.ipOptions?.list {
      sendOptions.optionByteCount = list.byteCount
      let destination = core.tuple.remote.address.v4 ?? path.destination
      guard IPv4Layer.push(list, onto: &packet, route: path, destination: destination, net: host.net) else {
        packet.drop(.noMemory)
        return .failed(.ENOBUFS)
      }
    }
    let result = host.output(packet, route: &path, options: sendOptions)
    core.route = path
    return result
  }

  // MARK: Options

  private func synOptions(isReply: Bool, _ cookie: FastOpenCookie?, net: borrowing Net) -> TCPOptions {
    var result = TCPOptions()
    result.maximumSegmentSize = UInt16(truncatingIfNeeded: receiver.advertisedMSS)
    // A signature leaves no room for them beside the others. Linux: `tcp_syn_options()`.
    let wantsTimestamps = isReply ? hasTimestamps : net.settings.tcpTimestamps && signatureKey == nil
    if wantsTimestamps {
      result.hasTimestamps = true
      result.timestampValue = sender.timestamp(net.now)
      result.timestampEcho = receiver.recent.value
    }
    if isReply ? sender.hasSACK : net.settings.tcpSack { result.sackPermitted = true }
    if isReply ? hasWindowScale : net.settings.tcpWindowScaling {
      result.windowScale = UInt8(truncatingIfNeeded: receiver.rcvWscale)
    }
    result.fastOpen = cookie
    // A long cookie may find no room beside the others (RFC 7413 section 4.1.1).
    let room = TCPOptions.maximumByteCount - Int(signedByteCount)
    if result.byteCount > room { result.fastOpen = nil }
    return result
  }

  func establishedOptions(net: borrowing Net) -> TCPOptions {
    var result = TCPOptions()
    if hasTimestamps {
      result.hasTimestamps = true
      result.timestampValue = sender.timestamp(net.now)
      result.timestampEcho = receiver.recent.value
    }
    guard sender.hasSACK, !receiver.sack.isEmpty else { return result }
    let most = (40 - fixedOptionByteCount - 4) / 8
    guard most > 0 else { return result }
    // RFC 2883: the duplicate goes first.
    if let duplicate = receiver.sack.duplicate {
      result.sackBlocks[0] = duplicate
      result.sackBlockCount = 1
    }
    for index in 0..<receiver.sack.count where result.sackBlockCount < min(most, 4) {
      result.sackBlocks[result.sackBlockCount] = receiver.sack.blocks[index]
      result.sackBlockCount += 1
    }
    return result
  }

  /// What programs write behind the other options.
  private func programOptions(
    _ block: TCPControlBlock, _ payload: Int, _ flags: TCPFlags, _ options: inout TCPOptions
  ) -> [UInt8] {
    guard let programs = core.programs, programs.writesOptions else { return [] }
    let segment = ProgramSegment(
      socket: id, ends: tuple, flags: flags, sequence: block.sequence, byteCount: payload,
      room: TCPOptions.maximumByteCount - Int(signedByteCount) - options.byteCount)
    let bytes = programs.options(of: segment)
    options.extraByteCount = UInt8(bytes.count)
    return bytes
  }

  // MARK: What a departure changes

  /// Linux: `tcp_event_ack_sent()`.
  private mutating func acknowledgmentSent(net: inout Net) {
    receiver.ack.sent()
    receiver.sack.clearDuplicate()
    timers.ackDeadline = .distantFuture
  }

  /// Linux: `tcp_event_data_sent()`.
  private mutating func dataSent(_ payload: Int, segments: Int, net: inout Net) {
    // Nothing was in the network: time that is not the path's.
    let wasIdle = sender.inFlight == 0
    sender.congestion.transmitted(
      inFlight: sender.inFlight, lastSent: sender.lastSent, isAppLimited: sender.appLimited != 0,
      mss: sender.mssCache, now: net.now, window: &sender.window)
    if wasIdle && sender.congestion.isPaced { updatePacingRate() }
    sender.lastSent = net.now
    if net.now - receiver.ack.lastDataAt < receiver.ack.timeout {
      receiver.ack.pingpong = min(receiver.ack.pingpong + 1, 8)
    }
    statistics.bytesSent += UInt64(payload)
    statistics.dataSegmentsOut += UInt64(segments)
  }

  // MARK: Segments without data

  /// A number that the peer accepts: the next one, or the end of a window that it has taken back over what was sent.
  /// Linux: `tcp_acceptable_seq()`.
  private var acceptableSequence: SequenceNumber {
    let beyond = sender.sndNxt.offset(from: sender.windowEnd)
    return beyond <= 0 || hasWindowScale && beyond < 1 << receiver.rcvWscale
      ? sender.sndNxt : sender.windowEnd
  }

  /// An ACK now. Linux: `tcp_send_ack()`.
  mutating func sendAck(host: inout Host) {
    guard state != .close, state != .listen else { return }
    if sendControl(.ack, sequence: acceptableSequence, host: &host).isLost {
      // No memory: try again later.
      receiver.ack.isScheduled = true
      timers.ackDeadline = min(timers.ackDeadline, host.net.now + DelayedAck.maximum)
      return
    }
    host.net.tracer.record(
      .tcp_send_ack, socket: id.rawValue, UInt64(receiver.rcvNxt.rawValue), UInt64(receiver.rcvWnd))
  }

  /// A segment with no payload.
  @discardableResult
  mutating func sendControl(_ flags: TCPFlags, sequence: SequenceNumber, host: inout Host) -> XmitResult {
    guard var skb = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .transit) else {
      return .failed(.ENOBUFS)
    }
    skb.tcp.sequence = sequence
    skb.tcp.endSequence = sequence + (flags.contains(.syn) ? 1 : 0) + (flags.contains(.fin) ? 1 : 0)
    skb.tcp.flags = flags
    return transmit(skb, host: &host)
  }

  /// Tells the peer that the connection is gone. Linux: `tcp_send_active_reset()`.
  mutating func sendReset(host: inout Host) {
    host.net.counters.count(.TcpOutRsts)
    if sendControl([.rst, .ack], sequence: acceptableSequence, host: &host) != .success {
      host.net.counters.count(.TcpExtTCPAbortFailed)
    }
  }

  /// Queues a FIN behind the data: on the last unsent segment when there is one. Linux: `tcp_send_fin()`.
  mutating func sendFin(host: inout Host) {
    if let tail = sender.writeQueue.last {
      sender.writeQueue[tcp: tail].flags.insert(.fin)
      sender.writeQueue[tcp: tail].endSequence += 1
      sender.writeSeq += 1
    } else if var skb = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .transit) {
      skb.tcp.sequence = sender.writeSeq
      skb.tcp.endSequence = sender.writeSeq + 1
      skb.tcp.flags = [.ack, .fin]
      skb.socket = id.rawValue
      sender.writeSeq += 1
      sender.writeQueuedMemory += skb.truesize
      sender.writeQueue.append(skb)
    } else {
      // Without memory for a FIN the connection cannot be closed in order.
      sendReset(host: &host)
      fail(.ENOMEM, net: &host.net)
      return
    }
    let mss = currentMSS(host: &host)
    pushPending(mss: mss, nagle: .off, host: &host)
  }
}
