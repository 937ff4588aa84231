import Control
import LinuxHost
import SwiftStack

/// ICMP echo requests on behalf of a client.
extension StackConversation {
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
    let socket = try socket(.ping)
    try socket.enablePingReports()
    try socket.connect(to: SocketAddress(host, port: 0))
    try client.send(.pingStarted(address: request.host, byteCount: request.byteCount))
    var run = PingRun(request, host: host, now: MonotonicClock.now())
    while !run.isOver(now: MonotonicClock.now()) {
      // Events wait for a client that does not read; requests wait until it has read them.
      let isBehind = try client.flush()
      let now = MonotonicClock.now()
      if run.isDue(now: now), !isBehind {
        for report in run.send(on: socket, now: now) { try client.queue(.pingReply(report)) }
        continue
      }
      if client.isAskedToEnd(milliseconds: 0) { break }
      let limit = min(max(run.nextEvent, now), now + .milliseconds(isBehind ? 5 : 100))
      for report in try run.receive(on: socket, until: limit) { try client.queue(.pingReply(report)) }
    }
    try client.send(.done)
  }
}

/// The bookkeeping of one ping.
struct PingRun {
  let request: PingRequest
  let host: IPv4Address
  private var message: [UInt8]
  private var sent = 0
  private var answered: Set<UInt16> = []
  private var sentAt: [UInt16: Instant] = [:]
  /// Sent and neither answered nor failed, oldest first.
  private var outstanding: [UInt16] = []
  private var next: Instant
  private var lastSent = Instant.origin
  /// How often one request is tried to be sent while errors about others are in the way.
  private static let mostAttempts = 4

  init(_ request: PingRequest, host: IPv4Address, now: Instant) {
    self.request = request
    self.host = host
    message = [8, 0, 0, 0, 0, 0, 0, 0]
    message += (0..<request.byteCount).map { UInt8(truncatingIfNeeded: $0) }
    next = now
  }

  private var isAllSent: Bool { request.count.map { sent >= $0 } ?? false }
  private var waitEnd: Instant { lastSent + Nanoseconds(Int64(request.wait * 1e9)) }

  func isDue(now: Instant) -> Bool { !isAllSent && now >= next }
  var nextEvent: Instant { isAllSent ? waitEnd : next }
  func isOver(now: Instant) -> Bool { isAllSent && (outstanding.isEmpty || now >= waitEnd) }

  mutating func send(on socket: Socket, now: Instant) -> [PingReport] {
    sent += 1
    let sequence = UInt16(truncatingIfNeeded: sent)
    message[6] = UInt8(sequence >> 8)
    message[7] = UInt8(truncatingIfNeeded: sequence)
    // Paced from the last one; intervals that were missed are not made up for.
    let interval = Nanoseconds(Int64(request.interval * 1e9))
    next = max(next + interval, now + Nanoseconds(interval.rawValue / 2))
    lastSent = now
    sentAt[sequence] = now
    answered.remove(sequence)
    outstanding.append(sequence)
    // The numbers come round again after 65,536; whoever waits so long has no answer coming.
    if outstanding.count > 0x8000 { outstanding.removeFirst(0x4000) }
    var reports = [
      PingReport(event: .sent, sequence: Int(sequence), byteCount: message.count, from: "\(host)")
    ]
    // A send that finds an error about an earlier request waiting reports that and sends nothing.
    for attempt in 0..<Self.mostAttempts {
      do {
        try socket.send(message, flags: .dontWait)
        break
      } catch {
        let earlier = queuedFailures(on: socket, sending: sequence)
        reports += earlier
        if outstanding.last != sequence { break }
        if earlier.isEmpty || attempt == Self.mostAttempts - 1 {
          reports.append(failure(error.errno, sequence, from: nil))
          break
        }
      }
    }
    return reports
  }

  private mutating func failure(_ errno: Errno, _ sequence: UInt16, from offender: IPv4Address?) -> PingReport
  {
    outstanding.removeAll { $0 == sequence }
    var source = "\(offender ?? host)"
    let text: String
    switch errno {
    case .EHOSTUNREACH: text = "Destination Host Unreachable"
    case .ENETUNREACH: text = "Destination Net Unreachable"
    case .EMSGSIZE: text = "Frag needed and DF set"
    case .ECONNREFUSED: text = "Destination Port Unreachable"
    default:
      text = offender == nil ? "sendmsg: \(errno)" : "\(errno)"
      // Nobody said so but this stack.
      if offender == nil { source = "" }
    }
    return PingReport(
      event: .failed, sequence: Int(sequence), byteCount: message.count, from: source, text: text)
  }

  /// What comes until then: a reply, or errors.
  mutating func receive(on socket: Socket, until limit: Instant) throws -> [PingReport] {
    do throws(SocketError) {
      let packet = try socket.recvmsg(upTo: 65535, until: limit)
      let now = MonotonicClock.now()
      guard packet.bytes.count >= 8, packet.bytes[0] == 0 else { return [] }
      let sequence = UInt16(packet.bytes[6]) << 8 | UInt16(packet.bytes[7])
      guard let start = sentAt[sequence] else { return [] }
      let isFirst = answered.insert(sequence).inserted
      outstanding.removeAll { $0 == sequence }
      return [
        PingReport(
          event: isFirst ? .reply : .duplicate, sequence: Int(sequence), byteCount: packet.bytes.count,
          timeToLive: packet.control.timeToLive.map(Int.init),
          from: packet.source.map { "\($0.address)" } ?? "\(host)",
          milliseconds: Double((now - start).rawValue) / 1e6)
      ]
    } catch {
      if error.errno == .EAGAIN { return [] }
      return failures(on: socket, error.errno)
    }
  }

  /// What the error queue says; without that, the pending error is about the oldest request.
  private mutating func failures(on socket: Socket, _ pending: Errno) -> [PingReport] {
    let reports = queuedFailures(on: socket, sending: nil)
    if reports.isEmpty, let sequence = outstanding.first {
      return [failure(pending, sequence, from: nil)]
    }
    return reports
  }

  /// Each entry of the error queue quotes the request that it is about; a local one is about that being sent.
  private mutating func queuedFailures(on socket: Socket, sending current: UInt16?) -> [PingReport] {
    var reports: [PingReport] = []
    while let message = try? socket.recvmsg(upTo: 64, flags: [.errorQueue, .dontWait]) {
      guard let error = message.control.error else { continue }
      var about = current
      let bytes = message.bytes
      if error.origin == .icmp { about = bytes.count >= 8 ? UInt16(bytes[6]) << 8 | UInt16(bytes[7]) : nil }
      guard let about, sentAt[about] != nil else { continue }
      reports.append(failure(error.errno, about, from: error.offender))
    }
    return reports
  }
}
