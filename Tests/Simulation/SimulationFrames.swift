import IceModel
import Shard
import Timers

/// Frames between the stacks, and what the run learns from them.
extension Simulation {
  /// Puts the frames that a stack has sent on their way.
  func collect(_ side: Side) {
    let host = hosts[side.index]
    var frames: [SimulatedFrame] = []
    host.shard.takeFrames { frames.append(SimulatedFrame(copying: $0, $1)) }
    for frame in frames {
      capture?(frame, side, now)
      if let complaint = segmentSizes.complaint(frame, from: host.plan) { fail(complaint) }
      if host.isLate { note(.lateWriteBack, frame.bytes) }
      launch(frame, from: side)
    }
    noteDevice(side)
  }

  private func launch(_ frame: SimulatedFrame, from side: Side) {
    let isPlain = frame.metadata.gsoType == .none && !frame.metadata.needsChecksum
    if tooLong(frame, side) || isRefused(frame, side) { return }
    guard isPlain, let segment = Segment(frame.bytes) else {
      return paths[side.index].launch(frame, now: now) { note($0, frame.bytes) }
    }
    let other = side.other.index
    var changed = segment
    if paths[other].box.isLost(segment) { return }
    let isMapped = paths[other].box.mapBack(&changed)
    paths[side.index].box.note(changed)
    guard isMapped || !paths[side.index].box.isIdle else {
      segmentSizes.note(segment)
      return paths[side.index].launch(frame, now: now) { note($0, frame.bytes) }
    }
    let sent = paths[other].box.highest[changed.destination]
    for bytes in paths[side.index].box.pass(changed, sent: sent, now: now) {
      if let passed = Segment(bytes) { segmentSizes.note(passed) }
      paths[side.index].launch(SimulatedFrame(bytes: bytes), now: now) { note($0, frame.bytes) }
    }
  }

  /// A router has no room for the packet: it says so to who sent it, or swallows it.
  private func tooLong(_ frame: SimulatedFrame, _ side: Side) -> Bool {
    guard let narrow = paths[side.index].narrow, now < narrow.until, frame.bytes.count > 34,
      frame.bytes[12] == 8, frame.bytes[13] == 0
    else { return false }
    let segment = Int(frame.metadata.headerByteCount) + Int(frame.metadata.gsoSize)
    let packet = (frame.metadata.gsoType == .none ? frame.bytes.count : segment) - 14
    guard packet > narrow.byteCount else { return false }
    note(.loss, frame.bytes)
    if narrow.tells { tell(side, ICMPError.unreachable(code: 4, mtu: narrow.byteCount, about: frame.bytes)) }
    return true
  }

  /// A router does not know the way to who the segment is for.
  private func isRefused(_ frame: SimulatedFrame, _ side: Side) -> Bool {
    guard let code = paths[side.index].unreachable, talk(of: frame.bytes) != nil else { return false }
    paths[side.index].unreachable = nil
    note(.loss, frame.bytes)
    tell(side, ICMPError.unreachable(code: code, mtu: 0, about: frame.bytes))
    return true
  }

  /// A router sends a packet to a stack, by the way that its peer's packets take.
  func tell(_ side: Side, _ bytes: [UInt8]) {
    paths[side.other.index].launch(SimulatedFrame(bytes: bytes), now: now) { _ in }
  }

  /// The connection that a frame belongs to; `nil`: none.
  private func talk(of bytes: [UInt8]) -> Int? {
    guard bytes.count >= 38, bytes[12] == 8, bytes[13] == 0, bytes[23] == 6 else { return nil }
    let ports = [Int(bytes[34]) << 8 | Int(bytes[35]), Int(bytes[36]) << 8 | Int(bytes[37])]
    return ends.first { end in
      ports.contains(Int(end.tuple.local.port)) && ports.contains(Int(end.tuple.remote.port))
    }?.talk.number
  }

  /// A fault met a frame: both ends of its connection have seen it in the state that they are in.
  func note(_ fault: Fault, _ bytes: [UInt8]) {
    guard let talk = talk(of: bytes) else { return }
    for end in ends where end.talk.number == talk { faults.note(fault, hosts[end.side.index].state(end)) }
  }

  /// A fault met a whole stack.
  func noteAll(_ fault: Fault, at side: Side) {
    for end in ends where end.side == side { faults.note(fault, hosts[side.index].state(end)) }
  }

  /// What became of the NIC.
  private func noteDevice(_ side: Side) {
    let host = hosts[side.index]
    let device = host.shard.run { shard in
      (shard.host.link.devices[shard.ethernet].isStoppedByDriver, shard.nic.faults.doorbellsToLose)
    }
    if device.0 { noteAll(.ringFull, at: side) }
    if device.1 < host.doorbellsToLose { noteAll(.lostDoorbell, at: side) }
    host.doorbellsToLose = device.1
  }
}

/// No segment is longer than what its receiver asked for (RFC 9293 section 3.7.1).
struct SegmentSizes {
  /// A path that takes less than Linux believes of any (`min_pmtu`) gets fragments.
  let allowsFragments: Bool
  /// The most that a SYN has asked for, by its port: one that came earlier counts.
  private var most: [UInt16: Int] = [:]

  init(allowsFragments: Bool) { self.allowsFragments = allowsFragments }

  mutating func note(_ segment: Segment) {
    guard segment.isSYN, let place = segment.option(2), place.count == 4 else {
      if segment.isSYN { most[segment.source] = max(most[segment.source] ?? 0, 536) }
      return
    }
    let asked = Int(segment.bytes[place.lowerBound + 2]) << 8 | Int(segment.bytes[place.lowerBound + 3])
    // None is asked for by 0, as Linux has it.
    most[segment.source] = max(most[segment.source] ?? 0, asked == 0 ? 536 : asked)
  }

  func complaint(_ frame: SimulatedFrame, from plan: HostPlan) -> String? {
    let isCut = frame.metadata.gsoType != .none
    if !isCut && frame.bytes.count > plan.mtu + 14 {
      return "a frame of \(frame.bytes.count) bytes, MTU \(plan.mtu)"
    }
    if !allowsFragments, frame.bytes.count > 34, frame.bytes[12] == 8, frame.bytes[23] == 6,
      frame.bytes[20] & 0x3F != 0 || frame.bytes[21] != 0
    {
      return "a TCP segment in fragments"
    }
    guard let segment = Segment(frame.bytes) else { return nil }
    let payload = isCut ? Int(frame.metadata.gsoSize) : segment.payload.count
    // Linux: `tcp_min_snd_mss`, options and all.
    // Cookies have no place for one below the least that is common.
    let limit = max(most[segment.destination] ?? .max, plan.cookies == 2 ? 536 : 48)
    guard payload > 0, payload + segment.optionByteCount > limit else { return nil }
    return "a segment of \(payload) bytes and \(segment.optionByteCount) of options, MSS \(limit)"
  }
}

/// ICMP errors of a router on the path (RFC 792, RFC 1191).
enum ICMPError {
  static func unreachable(code: Int, mtu: Int, about frame: [UInt8]) -> [UInt8] {
    let quote = frame[14..<min(14 + 28, frame.count)]
    var packet: [UInt8] = [0x45, 0, 0, UInt8(28 + quote.count), 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 254]
    packet += frame[26..<30]
    let sum = Segment.sum(packet[...])
    packet[10] = UInt8(sum >> 8)
    packet[11] = UInt8(sum & 0xFF)
    var message: [UInt8] = [3, UInt8(code), 0, 0, 0, 0, UInt8(mtu >> 8), UInt8(mtu & 0xFF)] + quote
    let check = Segment.sum(message[...])
    message[2] = UInt8(check >> 8)
    message[3] = UInt8(check & 0xFF)
    return frame[6..<12] + [2, 0, 0, 0, 0, 0xFE, 8, 0] + packet + message
  }
}
