import LinuxHost

/// ICMP echo requests on behalf of a client.
extension ControlConversation {
  func ping(_ request: PingRequest) throws {
    guard let host = IPv4Address(request.host) else {
      throw ControlError("ping: \"\(request.host)\" is not an IPv4 address")
    }
    guard (0...65507).contains(request.byteCount) else {
      throw ControlError("ping: \(request.byteCount) bytes are too many, 65507 is the most")
    }
    guard request.interval >= 0.001, request.interval <= 86400, request.wait > 0, request.wait <= 86400 else {
      throw ControlError("ping: the interval is 0.001 to 86400 s and the wait above 0 to 86400 s")
    }
    if let count = request.count, count < 1 { throw ControlError("ping: the count is at least 1") }
    let socket = try stack.socket(.ping)
    try socket.enableReceivedTimeToLive()
    try socket.connect(to: SocketAddress(host, port: 0))
    try send(.pingStarted(address: request.host, byteCount: request.byteCount))
    var run = PingRun(request, host: host)
    while !run.isOver(now: MonotonicClock.now()) {
      let now = MonotonicClock.now()
      if run.isDue(now: now) {
        for report in run.send(on: socket, now: now) { try send(.pingReply(report)) }
        continue
      }
      if isClientGone(milliseconds: 0) { return }
      let limit = min(run.nextEvent, now + .milliseconds(100))
      if let report = try run.receive(on: socket, until: limit) { try send(.pingReply(report)) }
    }
    try send(.done)
  }
}

/// The bookkeeping of one ping.
private struct PingRun {
  let request: PingRequest
  let host: IPv4Address
  private var message: [UInt8]
  private var sent = 0
  private var answered: Set<UInt16> = []
  private var sentAt: [UInt16: Instant] = [:]
  private var received = 0
  private var failed = 0
  private var next: Instant
  private var lastSent = Instant.origin

  init(_ request: PingRequest, host: IPv4Address) {
    self.request = request
    self.host = host
    message = [8, 0, 0, 0, 0, 0, 0, 0]
    message += (0..<request.byteCount).map { UInt8(truncatingIfNeeded: $0) }
    next = MonotonicClock.now()
  }

  private var isAllSent: Bool { request.count.map { sent >= $0 } ?? false }
  private var waitEnd: Instant { lastSent + Nanoseconds(Int64(request.wait * 1e9)) }

  func isDue(now: Instant) -> Bool { !isAllSent && now >= next }
  var nextEvent: Instant { isAllSent ? waitEnd : next }
  func isOver(now: Instant) -> Bool { isAllSent && (received + failed >= sent || now >= waitEnd) }

  mutating func send(on socket: Socket, now: Instant) -> [PingReport] {
    sent += 1
    let sequence = UInt16(truncatingIfNeeded: sent)
    message[6] = UInt8(sequence >> 8)
    message[7] = UInt8(truncatingIfNeeded: sequence)
    next = next + Nanoseconds(Int64(request.interval * 1e9))
    lastSent = now
    sentAt[sequence] = now
    answered.remove(sequence)
    var reports = [
      PingReport(event: .sent, sequence: Int(sequence), byteCount: message.count, from: "\(host)")
    ]
    do {
      try socket.send(message, flags: .dontWait)
    } catch {
      reports.append(failure(error.errno, sequence))
    }
    return reports
  }

  private mutating func failure(_ errno: Errno, _ sequence: UInt16) -> PingReport {
    failed += 1
    let text =
      switch errno {
      case .EHOSTUNREACH: "Destination Host Unreachable"
      case .ENETUNREACH: "Destination Net Unreachable"
      case .EMSGSIZE: "Frag needed and DF set"
      default: "\(errno)"
      }
    return PingReport(
      event: .failed, sequence: Int(sequence), byteCount: message.count, from: "\(host)", text: text)
  }

  mutating func receive(on socket: Socket, until limit: Instant) throws -> PingReport? {
    do throws(SocketError) {
      let packet = try socket.receiveWithTimeToLive(upTo: 65535, until: limit)
      let now = MonotonicClock.now()
      guard packet.bytes.count >= 8, packet.bytes[0] == 0 else { return nil }
      let sequence = UInt16(packet.bytes[6]) << 8 | UInt16(packet.bytes[7])
      guard let start = sentAt[sequence] else { return nil }
      let isFirst = answered.insert(sequence).inserted
      if isFirst { received += 1 }
      return PingReport(
        event: isFirst ? .reply : .duplicate, sequence: Int(sequence), byteCount: packet.bytes.count,
        timeToLive: packet.timeToLive.map(Int.init), from: packet.source.map { "\($0.address)" } ?? "\(host)",
        milliseconds: Double((now - start).rawValue) / 1e6)
    } catch {
      if error.errno == .EAGAIN { return nil }
      return failure(error.errno, UInt16(truncatingIfNeeded: sent))
    }
  }
}
