import IceModel
import InetSocket
import NetDevice
import NetNamespace
import Shard
import Sockets
import TCP
import Timers
import UAPI
import Wire

/// One of the two stacks, and the programs on it.
final class SimulatedHost {
  let plan: HostPlan
  let shard: SimulatedShard
  let ends: [End]
  /// It does not run until then.
  var sleepsUntil: Instant?
  /// Memory for packets is short.
  var isShort = false
  /// Its NIC writes back late.
  var isLate = false
  /// Doorbells that its NIC is still to lose.
  var doorbellsToLose = 0
  /// What a stack that nobody has used holds.
  private(set) var baseline = Remains()
  private var set = 0
  /// Nobody sleeps: programs look for events whenever their stack was entered.
  private let waker = Waker()
  /// What a program found that must not be.
  private(set) var complaint: String?

  init(_ plan: HostPlan, ends: [End], seed: UInt64) throws {
    self.plan = plan
    self.ends = ends
    shard = try SimulatedShard(
      Self.configuration(plan), lendsEngines: plan.lent, seed: seed, now: Simulation.beginning)
    set = shard.run { [waker] in $0.makePollSet(waker) }
    if plan.qdisc != .fifo {
      let qdisc: QdiscConfiguration = plan.qdisc == .fq ? .fq(FairQueue.Parameters()) : .noqueue
      shard.run { shard in shard.host.link.devices[shard.ethernet].setQdisc(qdisc, net: &shard.host.net) }
    }
    baseline = remains
    for end in ends where !end.isOpener { try listen(end) }
  }

  static func configuration(_ plan: HostPlan) -> StackConfiguration {
    var configuration = StackConfiguration(
      name: plan.name.rawValue, address: IPv4Prefix(End.address(plan.name), length: 24)!, mtu: plan.mtu,
      ring: plan.ring)
    configuration.announcesAddress = false
    configuration.packetMemory = plan.memory << 20
    configuration.settings.tcpCongestionControl = plan.cc.kind
    configuration.settings.tcpSack = plan.sack
    configuration.settings.tcpTimestamps = plan.timestamps
    configuration.settings.tcpWindowScaling = plan.scaling
    configuration.settings.tcpECN = plan.ecn
    configuration.settings.tcpMTUProbing = plan.probing
    configuration.settings.tcpSynCookies = plan.cookies
    configuration.settings.tcpAutocorking = plan.autocorking
    if plan.send > 0 { configuration.settings.tcpWriteMemory.most = plan.send }
    if plan.receive > 0 {
      configuration.settings.tcpReadMemory.initial = min(131_072, plan.receive)
      configuration.settings.tcpReadMemory.most = plan.receive
    }
    if plan.keepalive {
      configuration.settings.tcpKeepaliveTime = .seconds(10)
      configuration.settings.tcpKeepaliveInterval = .seconds(5)
    }
    return configuration
  }

  // MARK: Programs

  private func listen(_ end: End) throws {
    guard !end.talk.simultaneous else { return }
    end.listener = try shard.run { (shard) throws(Errno) in
      let socket = try shard.socket(.tcp)
      try shard.bind(socket, to: end.tuple.local)
      try shard.listen(socket, backlog: 4)
      try own(socket, end, .readable, &shard)
      return socket
    }
  }

  /// A socket is a program's, which is told of it from now on.
  private func own(
    _ socket: SocketID, _ end: End, _ events: Readiness, _ shard: inout Shard
  ) throws(Errno) {
    shard.owners.setWaiter(socket, waker)
    try shard.watch(socket, in: set, for: events, .edge, token: end.token)
  }

  private func giveUp(_ socket: SocketID, _ shard: inout Shard) {
    shard.disown(socket)
    try? shard.sockets.close(socket, host: &shard.host)
  }

  func open(_ end: End) {
    do {
      try shard.run { (shard) throws(Errno) in
        let socket = try shard.socket(.tcp)
        end.socket = socket
        try shard.bind(socket, to: end.tuple.local)
        try own(socket, end, [.readable, .writable], &shard)
        do throws(Errno) { try shard.connect(socket, to: end.tuple.remote) } catch {
          if error != .EINPROGRESS { throw error }
        }
      }
    } catch { fail(end, error) }
    if plan.keepalive { setKeepalive(end) }
  }

  private func setKeepalive(_ end: End) {
    guard let socket = end.socket else { return }
    try? shard.run { (shard) throws(Errno) in try shard.setsockopt(socket, level: 1, name: 9, 1) }
  }

  func fail(_ end: End, _ error: Errno) {
    if end.error == nil { end.error = error }
    close(end, aborts: false)
  }

  /// Closes an end; one that was never opened is over, too.
  func close(_ end: End, aborts: Bool) {
    if let listener = end.listener {
      end.listener = nil
      shard.run { giveUp(listener, &$0) }
    }
    end.isClosed = true
    guard let socket = end.socket else { return }
    end.socket = nil
    shard.run { shard in
      guard aborts else { return giveUp(socket, &shard) }
      shard.disown(socket)
      shard.sockets.abort(socket, host: &shard.host)
    }
  }

  /// Has every program do what it can, as poll tells it; whoever is not told does nothing.
  func runPrograms(now: Instant) {
    for _ in 0..<64 {
      var events: [PollEvent] = []
      let set = set
      try? shard.run { (shard) throws(Errno) in
        try shard.takeEvents(of: set, into: &events, limit: 64, wait: false, until: nil)
      }
      for event in events { note(event) }
      var moved = false
      for end in ends where end.socket != nil {
        if step(end, now: now) { moved = true }
      }
      if events.isEmpty && !moved { return }
    }
  }

  private func note(_ event: PollEvent) {
    guard let end = ends.first(where: { $0.token == event.token }) else { return }
    if end.socket == nil { return accept(end) }
    if !event.readiness.isDisjoint(with: [.readable, .error, .hangup, .readHangup]) { end.canRead = true }
    if !event.readiness.isDisjoint(with: [.writable, .error, .hangup]) { end.canWrite = true }
  }

  private func accept(_ end: End) {
    guard let listener = end.listener else { return }
    do {
      end.socket = try shard.run { (shard) throws(Errno) in
        let socket = try shard.accept(listener)
        try own(socket, end, [.readable, .writable], &shard)
        giveUp(listener, &shard)
        return socket
      }
      end.listener = nil
      end.isConnected = true
    } catch {
      // It was ready, and its peer has gone since.
      if error != .EAGAIN { fail(end, error) }
    }
    if plan.keepalive { setKeepalive(end) }
  }

  /// - Returns: whether anything came of it.
  private func step(_ end: End, now: Instant) -> Bool {
    guard let socket = end.socket else { return false }
    if !end.isConnected {
      guard end.canWrite || end.canRead else { return false }
      do throws(Errno) { try shard.run { (shard) throws(Errno) in try shard.finishConnecting(socket) } } catch
      {
        end.canWrite = false
        end.canRead = false
        if error != .EAGAIN && error != .EALREADY && error != .EINPROGRESS { fail(end, error) }
        return false
      }
      end.isConnected = true
    }
    var moved = write(end, now: now)
    if read(end, now: now) { moved = true }
    if finish(end) { moved = true }
    return moved
  }

  private func write(_ end: End, now: Instant) -> Bool {
    var moved = false
    while let socket = end.socket, end.canWrite, end.sent < end.outgoing, !end.hasShut, now >= end.muteUntil {
      let range = Pattern.range(
        end.talk.number, end.side, from: end.sent, count: min(end.talk.chunk, end.outgoing - end.sent))
      do throws(Errno) {
        end.sent += try shard.run { (shard) throws(Errno) in
          let ready = shard.sockets.readiness(socket)
          do throws(Errno) {
            return try shard.send(socket, Pattern.bytes[range], flags: .dontWait)
          } catch {
            checkRefused(end, error, ready, .writable)
            throw error
          }
        }
        moved = true
      } catch {
        end.canWrite = false
        if error != .EAGAIN { fail(end, error) }
      }
    }
    return moved
  }

  private func read(_ end: End, now: Instant) -> Bool {
    var moved = false
    while let socket = end.socket, end.canRead, !end.sawEnd, now >= end.deafUntil {
      do throws(Errno) {
        let bytes = try shard.run { (shard) throws(Errno) in
          let ready = shard.sockets.readiness(socket)
          do throws(Errno) {
            return try shard.receiveArray(socket, upTo: end.talk.chunk, flags: .dontWait)
          } catch {
            checkRefused(end, error, ready, .readable)
            throw error
          }
        }.bytes
        moved = true
        if bytes.isEmpty { end.sawEnd = true } else { check(bytes, end) }
      } catch {
        end.canRead = false
        if error != .EAGAIN { fail(end, error) }
      }
    }
    return moved
  }

  /// A call says that it would have to wait: poll has said the same before.
  private func checkRefused(_ end: End, _ error: Errno, _ ready: Readiness, _ what: Readiness) {
    // Memory that is short is found out by asking for it.
    guard error == .EAGAIN, !isShort, ready.contains(what) else { return }
    complaint =
      "poll says \(what == .readable ? "readable" : "writable"), the call EAGAIN: " + end.report(.any)
  }

  private func check(_ bytes: [UInt8], _ end: End) {
    let range = Pattern.range(end.talk.number, end.side.other, from: end.received, count: bytes.count)
    if !bytes.elementsEqual(Pattern.bytes[range]) {
      complaint = "wrong bytes from \(end.received) on: " + end.report(.any)
    }
    end.received += bytes.count
    if end.received > end.incoming { complaint = "more bytes than were sent: " + end.report(.any) }
  }

  /// Ends the sending, or the connection, when it is time.
  private func finish(_ end: End) -> Bool {
    guard let socket = end.socket, !end.isClosed else { return false }
    let isAllSent = end.sent == end.outgoing
    if end.talk.closing == .close, end.isOpener, isAllSent, end.received == end.incoming {
      close(end, aborts: false)
      return true
    }
    if isAllSent && !end.hasShut && end.talk.closing != .close && (end.endsFirst || end.sawEnd) {
      shut(end, socket)
      return true
    }
    if end.sawEnd && (end.hasShut || end.talk.closing == .close) && isAllSent {
      close(end, aborts: false)
      return true
    }
    return false
  }

  func shut(_ end: End, _ socket: SocketID) {
    end.hasShut = true
    end.outgoing = end.sent
    do throws(Errno) {
      try shard.run { (shard) throws(Errno) in try shard.shutdown(socket, write: true) }
    } catch { fail(end, error) }
  }

  /// The program asks anew what it is told of.
  func rewatch(_ end: End) {
    guard let socket = end.socket else { return }
    let set = set
    try? shard.run { (shard) throws(Errno) in
      try shard.unwatch(socket, in: set)
      try shard.watch(socket, in: set, for: [.readable, .writable], .edge, token: end.token)
    }
  }

  func setOption(_ end: End, level: Int, name: Int, value: Int) {
    guard let socket = end.socket else { return }
    // Refused or not: what it is asked for is not what is looked at here.
    try? shard.run { (shard) throws(Errno) in
      try shard.setsockopt(
        socket, level: Int32(clamping: level), name: Int32(clamping: name), Int32(clamping: value))
    }
  }

  // MARK: What is seen from outside

  func state(_ end: End) -> StateWord {
    let found = shard.run { $0.sockets.tcp.state(of: end.tuple) }
    if let found { return StateWord(found) }
    return end.listener == nil ? .closed : .listen
  }

  /// An end that was told to wait, and that poll now says is ready, without a word to it.
  var forgotten: String? {
    for end in ends {
      guard let socket = end.socket else { continue }
      let ready = shard.run { $0.sockets.readiness(socket) }
      if !end.canRead && !end.sawEnd && ready.contains(.readable) {
        return "nobody was told it can read: " + end.report(state(end))
      }
      if !end.canWrite && ready.contains(.writable) {
        return "nobody was told it can write: " + end.report(state(end))
      }
    }
    return nil
  }
}
