import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Tables
import Timers
import Trace
import Wire

/// Every TCP socket of one shard: where a segment, a call or a timer finds its connection. Linux: `net/ipv4/tcp_ipv4.c`.
public struct TCPLayer: ~Copyable {
  private let addressOnly = AddressOnly()
  var sockets = Slab<TCPConnection>()
  var requests = Slab<RequestSocket>()
  /// IP options that requests' SYNs have brought along, by the request's slot: few have any.
  var requestOptions: [Int: SocketIPOptions] = [:]
  /// The headers of requests' SYNs, for listeners with `TCP_SAVE_SYN`.
  var savedSyns: [Int: [UInt8]] = [:]
  var timeWaits = Slab<TimeWaitSocket>()
  var connections: ConnectionTable
  var listeners = Slab<TCPListener>()
  /// Slots of listeners by port; looked at for a SYN only.
  var listening: [UInt16: [Int]] = [:]
  /// When a SYN to a port was last answered by a cookie: the ACK may find another listener of those that share it.
  /// Linux: `tcp_synq_overflow()`, `synq_overflow_ts`.
  var lastCookies: [UInt16: Instant] = [:]
  var ports = PortTable()
  /// Sockets with an out-of-order queue, in the order in which the queues began.
  var outOfOrderList = OutOfOrderList()
  /// Connections that their owners have closed and that still exist. Linux: `tcp_orphan_count`.
  var orphanCount = 0
  var signatures = SignatureKeys()
  /// A socket has had a key of RFC 5925, or asks for one: every segment is looked at. Linux: `tcp_ao_needed`.
  var authenticates = false
  var fastOpen = FastOpenCache()
  var fastOpenKeys: FastOpenKeyTable
  /// Children that took data with their SYN, while their handshake lasts, with who listened.
  var fastOpenParents: [Int: SocketID] = [:]
  /// Keys initial sequence numbers, cookies and timestamp offsets; each has its purpose.
  let keyed: SipHash

  /// - Parameter secret: keys initial sequence numbers (RFC 6528), timestamp offsets and the connection hash.
  public init(net: borrowing Net, secret: (UInt64, UInt64)) {
    let hash = SipHash(key: secret)
    keyed = hash.derived(1)
    connections = ConnectionTable(hash: hash.derived(2))
    let cookies = hash.derived(3)
    fastOpenKeys = FastOpenKeyTable(
      own: FastOpenKeys(primary: .init(cookies.hash(0, 0), cookies.hash(0, 1))))
  }

  // MARK: Keys

  private func hash(_ tuple: FourTuple, _ purpose: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: keyed.hash(local: tuple.local, remote: tuple.remote, purpose: purpose))
  }

  /// RFC 6528: a clock of 64 ns plus a keyed hash of the tuple. Linux: `secure_tcp_seq()`.
  func initialSequence(_ tuple: FourTuple, net: borrowing Net) -> SequenceNumber {
    SequenceNumber(hash(tuple, 1) &+ UInt32(truncatingIfNeeded: net.now.nanoseconds >> 6))
  }
  /// RFC 7323 section 5.4: timestamps do not tell the uptime.
  func timestampOffset(_ tuple: FourTuple) -> UInt32 { hash(tuple, 2) }

  // MARK: Slots

  /// The slot of a socket that its owner still holds.
  func slot(_ id: SocketID) throws(Errno) -> Int {
    guard id.kind == .tcp, sockets.holds(id), !sockets[id.index].core.isOrphan else { throw .EBADF }
    return id.index
  }

  mutating func insert(_ tuple: FourTuple, socket index: Int) {
    enter(tuple, .socket(index))
    sockets[index].isHashed = true
  }

  /// What a segment between two ends that came in by a device belongs to; or what is in the way of a connection that is
  /// bound to the device. Linux: `inet_match()`.
  ///
  /// - Parameter interface: `nil`: any device's.
  @inline(__always)
  func findConnection(_ tuple: FourTuple, by interface: InterfaceIndex?) -> ConnectionEntry? {
    var search = connections.search(tuple)
    while let entry = connections.next(&search) {
      let isFound: Bool
      let device: InterfaceIndex
      switch entry {
      case .socket(let index):
        isFound = sockets[index].core.tuple == tuple
        device = sockets[index].core.options.boundDevice
      case .request(let slot):
        isFound = requests[slot].tuple == tuple
        device = requests[slot].device
      case .timeWait(let slot):
        isFound = timeWaits[slot].tuple == tuple
        device = timeWaits[slot].device
      }
      guard isFound else { continue }
      guard let interface, !device.takes(interface) else { return entry }
    }
    return nil
  }

  private func device(of entry: ConnectionEntry) -> InterfaceIndex {
    switch entry {
    case .socket(let index): sockets[index].core.options.boundDevice
    case .request(let slot): requests[slot].device
    case .timeWait(let slot): timeWaits[slot].device
    }
  }

  mutating func enter(_ tuple: FourTuple, _ entry: ConnectionEntry) {
    assert(
      findConnection(tuple, by: device(of: entry)) == nil, "a four-tuple has one connection on a device")
    connections.insert(tuple, entry)
  }

  private mutating func unhash(_ index: Int) {
    guard sockets[index].isHashed else { return }
    sockets[index].isHashed = false
    connections.remove(sockets[index].core.tuple, .socket(index))
  }

  /// After any work on a socket: brings timers, tables and slots in line with its state.
  mutating func settle(_ index: Int, _ verdict: SegmentVerdict = [], net: inout Net) {
    noteOutOfOrder(index)
    sockets[index].checkInvariants()
    let wasConnected = sockets[index].isHashed
    if verdict.contains(.moveToTimeWait) { enterTimeWait(index, net: &net) }
    if sockets[index].state == .close {
      if sockets[index].fastOpen.contains(.isPassive) { endFastOpen(index, isReset: false, now: net.now) }
      unhash(index)
      sockets[index].timer.cancel(in: &net.timers)
      if sockets[index].core.isOrphan {
        release(index, net: &net)
      } else if wasConnected {
        releaseChosenPort(index)
      }
      return
    }
    sockets[index].rearm(net: &net, generation: sockets.generation(index))
  }

  /// Gives back the slot and the port.
  private mutating func release(_ index: Int, net: inout Net) {
    if sockets[index].isCountedOrphan { orphanCount -= 1 }
    judgeFastOpen(index, net: &net)
    if signatures.areInUse { signatures.removeAll(of: index) }
    if !fastOpenKeys.bySocket.isEmpty { fastOpenKeys.bySocket[index] = nil }
    releasePort(index)
    sockets[index].receiver.receiveQueue.removeAll()
    sockets[index].receiver.outOfOrder.removeAll()
    noteOutOfOrder(index)
    sockets[index].sender.purge()
    _ = sockets.remove(index)
  }

  /// A connection or a listener has ended: a port that nobody asked for goes with it. Linux: `tcp_set_state()`,
  /// `SOCK_BINDPORT_LOCK`.
  mutating func releaseChosenPort(_ index: Int) {
    if sockets[index].core.boundTo.port == 0 { releasePort(index) }
  }

  /// Nothing of the connection is left but what was bound. Linux: `tcp_disconnect()`, `inet_bhash2_reset_saddr()`.
  mutating func forgetConnection(_ index: Int, net: borrowing Net) {
    let local = sockets[index].core.tuple.local
    ports.move(
      sockets[index].core.binding, from: local.address, to: sockets[index].core.boundTo.address,
      port: local.port)
    sockets[index].disconnect(net: net)
  }

  /// Linux: `inet_put_port()`.
  private mutating func releasePort(_ index: Int) {
    let local = sockets[index].core.tuple.local
    ports.release(&sockets[index].core.binding, address: local.address, port: local.port)
  }

  // MARK: TIME-WAIT

  /// Replaces a finished connection by the little that TIME-WAIT needs. Linux: `tcp_time_wait()`.
  private mutating func enterTimeWait(_ index: Int, net: inout Net) {
    let tuple = sockets[index].core.tuple
    if timeWaits.count < net.settings.maximumTimeWait {
      let slot = timeWaits.reserve()
      var entry = TimeWaitSocket(
        tuple: tuple, sndNxt: sockets[index].sender.sndNxt, rcvNxt: sockets[index].receiver.rcvNxt,
        receiveWindow: sockets[index].receiver.receiveWindow,
        receiveWindowScale: sockets[index].receiver.rcvWscale,
        hasTimestamps: sockets[index].hasTimestamps, timestampOffset: sockets[index].sender.timestampOffset,
        timestampRecent: sockets[index].receiver.recent.value,
        timestampRecentAt: sockets[index].receiver.recent.at,
        device: sockets[index].core.options.boundDevice, mark: sockets[index].core.options.mark,
        typeOfService: sockets[index].core.options.typeOfService,
        expires: net.now + TimeWaitSocket.duration)
      if sockets[index].core.isBound {
        ports.share(
          &entry.binding, with: sockets[index].core.binding, address: tuple.local.address,
          port: tuple.local.port, device: entry.device)
      }
      let taken = timeWaits.insert(entry)
      precondition(taken == slot, "a reserved slab slot is the next one used")
      unhash(index)
      enter(tuple, .timeWait(slot))
      if let key = sockets[index].signatureKey { signatures.byTimeWait[slot] = key }
      if sockets[index].authentication != nil {
        swap(&timeWaits[slot].authentication, &sockets[index].authentication)
      }
      net.counters.count(.TcpExtTW)
      armTimeWait(slot, net: &net)
    } else {
      net.counters.count(.TcpExtTCPTimeWaitOverflow)
    }
    sockets[index].sender.purge()
    sockets[index].timers.stop()
    sockets[index].core.sendShutdown = true
    sockets[index].core.receiveShutdown = true
    sockets[index].setState(.close, net: &net)
    net.wake(sockets[index].id)
  }

  private mutating func armTimeWait(_ slot: Int, net: inout Net) {
    timeWaits[slot].timer.arm(
      TimerKey(kind: .tcp, id: Self.timeWaitTag | UInt32(slot), generation: timeWaits.generation(slot)),
      at: timeWaits[slot].expires, in: &net.timers)
  }

  mutating func endTimeWait(_ slot: Int, net: inout Net) {
    timeWaits[slot].timer.cancel(in: &net.timers)
    if !signatures.byTimeWait.isEmpty { signatures.byTimeWait[slot] = nil }
    var entry = timeWaits.remove(slot)
    connections.remove(entry.tuple, .timeWait(slot))
    ports.release(&entry.binding, address: entry.tuple.local.address, port: entry.tuple.local.port)
  }

  /// Whether a segment in TIME-WAIT is a SYN that may open the connection anew: its number or its timestamp is beyond
  /// the old connection's (RFC 6191).
  func isNewConnection(_ slot: Int, _ segment: IncomingSegment, now: Instant) -> Bool {
    guard segment.flags.contains(.syn), segment.flags.isDisjoint(with: [.ack, .rst, .fin]),
      !timeWaits[slot].isOld(segment, now: now)
    else { return false }
    if segment.sequence.isAfter(timeWaits[slot].rcvNxt) { return true }
    return timeWaits[slot].hasTimestamps && segment.options.hasTimestamps
      && Int32(bitPattern: timeWaits[slot].timestampRecent &- segment.options.timestampValue) < 0
  }

  /// RFC 9293 3.10.7.4 for TIME-WAIT. Linux: `tcp_timewait_state_process()`.
  mutating func receiveInTimeWait(_ slot: Int, _ segment: IncomingSegment, host: inout Host) {
    let isOld = timeWaits[slot].isOld(segment, now: host.net.now)
    let isExact = !isOld && segment.sequence == timeWaits[slot].rcvNxt
    if segment.flags.contains(.rst) {
      // RFC 1337 would ignore it; Linux lets an exact one end the wait by default.
      if isExact { endTimeWait(slot, net: &host.net) }
      return
    }
    if isOld { host.net.counters.count(.TcpExtPAWSTimewait) }
    let isBareAck = isExact && segment.sequence == segment.endSequence
    if isBareAck && timeWaits[slot].hasTimestamps && segment.options.hasTimestamps {
      timeWaits[slot].timestampRecent = segment.options.timestampValue
      timeWaits[slot].timestampRecentAt = host.net.now
    }
    // A SYN without ACK may be an old duplicate: it must not prolong the wait.
    if isBareAck || isOld || segment.flags.contains(.ack) {
      timeWaits[slot].expires = host.net.now + TimeWaitSocket.duration
    }
    if isBareAck { return }
    guard timeWaits[slot].outOfWindow.admits(segment, .TcpExtTCPACKSkippedTimeWait, net: &host.net) else {
      return
    }
    acknowledgeInTimeWait(slot, segment, host: &host)
  }

  /// Linux: `tcp_v4_timewait_ack()`.
  private mutating func acknowledgeInTimeWait(_ slot: Int, _ segment: IncomingSegment, host: inout Host) {
    var signing = SegmentSigning(signatures.byTimeWait[slot])
    if timeWaits[slot].authentication != nil {
      let (tuple, sequence) = (timeWaits[slot].tuple, timeWaits[slot].sndNxt)
      let signed = timeWaits[slot].authentication?.value.signReply(
        tuple, sequence, to: segment.options.authentication)
      // Whoever signs believes only what is signed.
      guard let signed else { return }
      signing = .authentication(signed)
    }
    var reply = ControlReply(
      tuple: timeWaits[slot].tuple, sequence: timeWaits[slot].sndNxt,
      acknowledgment: timeWaits[slot].rcvNxt, flags: .ack, device: timeWaits[slot].device,
      signing: signing)
    reply.sendOptions.mark = timeWaits[slot].mark
    reply.sendOptions.typeOfService = timeWaits[slot].typeOfService
    reply.window = UInt16(
      truncatingIfNeeded: min(timeWaits[slot].receiveWindow >> timeWaits[slot].receiveWindowScale, 65535))
    if timeWaits[slot].hasTimestamps {
      reply.options.hasTimestamps = true
      reply.options.timestampValue = host.net.now.milliseconds32 &+ timeWaits[slot].timestampOffset
      reply.options.timestampEcho = timeWaits[slot].timestampRecent
    }
    reply.send(host: &host)
  }

  // MARK: Timers

  /// Tags in a timer's `id` beside full sockets, whose two top bits are 0.
  static let requestTag: UInt32 = 0x8000_0000
  static let timeWaitTag: UInt32 = 0xC000_0000

  /// Hands an expiry of kind `.tcp` to its owner; one that came too late for its owner does nothing.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, host: inout Host) {
    switch key.id & Self.timeWaitTag {
    case Self.timeWaitTag:
      let slot = Int(key.id & ~Self.timeWaitTag)
      guard timeWaits.isCurrent(slot, generation: key.generation), timeWaits[slot].timer.expire(at: due)
      else { return }
      if timeWaits[slot].expires <= host.net.now {
        endTimeWait(slot, net: &host.net)
      } else {
        armTimeWait(slot, net: &host.net)
      }
    case Self.requestTag:
      let slot = Int(key.id & ~Self.timeWaitTag)
      guard requests.isCurrent(slot, generation: key.generation), requests[slot].timer.expire(at: due) else {
        return
      }
      requestExpired(slot, host: &host)
    default:
      let index = SocketID(rawValue: key.id).index
      guard sockets.isCurrent(index, generation: key.generation), sockets[index].timer.expire(at: due) else {
        return
      }
      if sockets[index].core.isOrphan && isOutOfResources(index, net: host.net) {
        return abortOnMemory(index, host: &host)
      }
      sockets[index].timersExpired(&fastOpen, host: &host)
      // Packets that are joined to be sent take less memory than before.
      sockets[index].wakeWriter(net: &host.net)
      settle(index, net: &host.net)
    }
  }

  /// Lets sockets that stopped at their small-queue limit go on. Linux: `tcp_tasklet_func()`.
  public mutating func runPending(host: inout Host) {
    relieveMemory(net: &host.net)
    while let raw = host.net.pool.takePending() {
      let id = SocketID(rawValue: raw)
      guard raw != 0 else { continue }
      guard id.kind == .tcp else {
        // A datagram socket that had no room: its writer is told.
        host.net.wake(id, isForRoom: true)
        continue
      }
      let index = id.index
      guard sockets.isLive(index) else { continue }
      sockets[index].core.account.isThrottled = false
      guard sockets[index].state.isConnected, sockets[index].state != .synSent else { continue }
      // What is thrown away on the way down makes no room: the socket would run for ever. What is still below does when it
      // leaves. Linux: `tcp_wfree()` while packets are queued below.
      sockets[index].core.account.isSending = true
      sockets[index].continueSending(host: &host)
      sockets[index].core.account.isSending = false
      sockets[index].wakeWriter(net: &host.net)
      settle(index, net: &host.net)
    }
  }
}
