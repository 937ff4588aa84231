import IceModel
import NetNamespace
import Shard
import Timers
import Trace

/// One run of a scenario, from the first call to the last timer.
public final class Simulation {
  let scenario: Scenario
  var hosts: [SimulatedHost] = []
  var paths: [Path] = []
  let ends: [End]
  /// What the clocks of both stacks show first.
  public static let beginning = Instant(nanoseconds: 1_000_000_000)
  public internal(set) var now = beginning
  /// Which fault met a connection in which state.
  public internal(set) var faults = FaultTable()
  /// Frames that have arrived.
  public private(set) var frameCount = 0
  /// Called with every frame as it leaves a stack.
  public var capture: ((SimulatedFrame, _ from: Side, Instant) -> Void)?
  var agenda: [Appointment] = []
  /// Events that wait for a state.
  var conditions: [EventPlan] = []
  var segmentSizes: SegmentSizes
  private var failure: String?
  private var isHealed = false
  private var stepCount = 0

  /// Something that is to happen: an event, or the end of one.
  struct Appointment {
    enum Matter {
      case event(EventPlan)
      case end(EventPlan)
      case opening(End)
    }
    var at: Instant
    var matter: Matter
  }

  public init(_ scenario: Scenario) throws {
    self.scenario = scenario
    segmentSizes = SegmentSizes(
      allowsFragments: scenario.events.contains { $0.do == .narrow && $0.count < 552 })
    ends = scenario.talks.flatMap { talk in [End(talk, .a), End(talk, .b)] }
    for side in Side.allCases {
      let seed = scenario.run.seed &* 4 &+ UInt64(side.index)
      hosts.append(
        try SimulatedHost(scenario.host(side), ends: ends.filter { $0.side == side }, seed: seed))
      paths.append(Path(scenario.link(from: side), seed: seed &+ 2))
    }
    for end in ends where end.isOpener || end.talk.simultaneous {
      plan(at: moment(end.talk.at), .opening(end))
    }
    for event in scenario.events {
      if event.when == .any { plan(at: moment(event.at), .event(event)) } else { conditions.append(event) }
    }
  }

  /// Keeps what the tracepoints of both stacks say, as far as their rings reach.
  public func trace() {
    for host in hosts { host.shard.run { $0.memory.tracer.isEnabled = true } }
  }

  /// What the tracepoints of a stack have said.
  public func traceRecords(of side: Side) -> [TraceRecord] {
    hosts[side.index].shard.run { $0.memory.tracer.records(from: 0).records }
  }

  func moment(_ microseconds: Int) -> Instant {
    Self.beginning + .microseconds(Int64(microseconds))
  }

  func plan(at instant: Instant, _ matter: Appointment.Matter) {
    var place = agenda.count
    while place > 0 && agenda[place - 1].at > instant { place -= 1 }
    agenda.insert(Appointment(at: instant, matter: matter), at: place)
  }

  func fail(_ sentence: String) { if failure == nil { failure = sentence } }

  // MARK: The run

  /// When nothing goes wrong any more: whatever has not happened by then does not.
  private var healsAt: Instant {
    let last = scenario.events.filter { $0.when == .any }.map { $0.at + $0.span }.max() ?? 0
    return moment(max(last, scenario.talks.map(\.at).max() ?? 0)) + .seconds(20)
  }

  /// Nothing has come for so long: it waits for ever. The longest timers have run many times by then, and BBR has sent five
  /// segments at a rate that it measured while they ran.
  private static let patience = Nanoseconds.seconds(2000)
  /// Everything ends within this. A path that drops much takes its time where no time stamp tells a retransmission's round trip:
  /// the timer is set back by nothing else (RFC 6298 section 5.7).
  private static let bound = Nanoseconds.seconds(20_000)
  /// From when on what is left is a leak: TIME-WAIT, FIN-WAIT-2 and orphans are over.
  private static let afterlife = Nanoseconds.seconds(1500)

  /// - Returns: what went wrong, a sentence; `nil`: nothing.
  public func run() -> String? {
    let healing = healsAt
    let bound = healing + Self.bound
    var progress = (count: 0, at: healing)
    // Whoever has nothing to do is run once, so that all begin at the same time.
    for side in Side.allCases { touch(side) }
    while failure == nil, !isOver {
      let count = ends.reduce(0) { $0 + $1.received + ($1.isClosed ? 1 : 0) }
      if count != progress.count { progress = (count, max(now, healing)) }
      guard let next = nextMoment, next <= (isHealed ? min(progress.at + Self.patience, bound) : healing)
      else {
        if isHealed {
          fail("it waits for ever")
          break
        }
        advance(to: healing)
        heal()
        continue
      }
      advance(to: next)
    }
    if failure == nil { settle() }
    return failure.map { sentence in
      let states = ends.map { $0.report(hosts[$0.side.index].state($0)) }
      let time = "at \((now - Self.beginning).rawValue / 1000) us"
      return ([sentence, time] + states).joined(separator: "\n  ")
    }
  }

  /// Every program is done, and nothing more is to happen to any.
  private var isOver: Bool {
    ends.allSatisfy { $0.isClosed || isDeserted($0) }
      && !agenda.contains { if case .opening = $0.matter { true } else { false } }
  }

  /// It listens, and nobody will call: whoever was to has gone without a trace.
  private func isDeserted(_ end: End) -> Bool {
    guard end.listener != nil,
      let other = ends.first(where: { $0.talk.number == end.talk.number && $0 !== end }),
      other.isClosed, hosts[end.side.index].state(end) == .listen
    else { return false }
    return hosts[other.side.index].state(other) == .closed && paths.allSatisfy { $0.nextArrival == nil }
  }

  /// The next moment at which anything happens; `nil`: never.
  var nextMoment: Instant? {
    var next = agenda.first?.at
    func consider(_ instant: Instant?) {
      if let instant, next.map({ instant < $0 }) ?? true { next = instant }
    }
    for side in Side.allCases {
      let host = hosts[side.index]
      if let until = host.sleepsUntil {
        consider(until)
      } else {
        consider(host.shard.nextDeadline)
        consider(paths[side.other.index].nextArrival)
      }
    }
    return next.map { max($0, now) }
  }

  func advance(to instant: Instant) {
    now = instant
    for side in Side.allCases { wake(side) }
    while let first = agenda.first, first.at <= now, failure == nil {
      agenda.removeFirst()
      keep(first)
    }
    for side in Side.allCases where hosts[side.index].sleepsUntil == nil {
      let host = hosts[side.index]
      let isDue = host.shard.nextDeadline.map { $0 <= now } ?? false
      var isTouched = isDue
      if isDue { host.shard.advance(to: now) }
      while let frame = paths[side.other.index].takeArrival(now: now) {
        host.shard.advance(to: now)
        if host.isShort { note(.memoryShortage, frame.bytes) }
        host.shard.receive(frame.bytes.span, frame.metadata)
        frameCount += 1
        isTouched = true
      }
      if isTouched { touch(side) }
    }
    for side in Side.allCases {
      if let frame = paths[side.index].box.flush() {
        paths[side.index].launch(SimulatedFrame(bytes: frame), now: now) { note($0, frame) }
      }
    }
  }

  /// A stack that was suspended goes on.
  private func wake(_ side: Side) {
    let host = hosts[side.index]
    guard let until = host.sleepsUntil, until <= now else { return }
    host.sleepsUntil = nil
    noteAll(.clockJump, at: side)
    host.shard.jump(to: now)
    touch(side)
  }

  /// After a stack was entered: its programs do what they can, its frames go on their way, and what waits for a state is looked
  /// at.
  func touch(_ side: Side) {
    let host = hosts[side.index]
    // Who sleeps finds its programs and frames when it wakes.
    guard host.sleepsUntil == nil else { return }
    host.shard.advance(to: now)
    host.runPrograms(now: now)
    collect(side)
    if let complaint = host.complaint { fail(complaint) }
    if let forgotten = host.forgotten { fail(forgotten) }
    stepCount += 1
    if stepCount % 16 == 0, let problem = host.brokenInvariant() { fail(problem) }
    meetConditions()
  }

  // MARK: The end

  /// Everything works from now on: whoever waits gets on.
  private func heal() {
    isHealed = true
    conditions.removeAll()
    agenda.removeAll { if case .opening = $0.matter { false } else { true } }
    for side in Side.allCases {
      paths[side.index].heal()
      let host = hosts[side.index]
      host.shard.advance(to: now)
      endAll(on: host)
      touch(side)
    }
    // What a NAT or a lying peer has broken neither end can know of.
    if scenario.events.contains(where: \.do.mayBreak) {
      for end in ends where !end.isClosed { hosts[end.side.index].close(end, aborts: true) }
      for side in Side.allCases { touch(side) }
    }
  }

  /// The programs are gone: what is left goes by itself, and takes everything with it.
  private func settle() {
    for end in ends where !end.isClosed { hosts[end.side.index].close(end, aborts: false) }
    if !isHealed { heal() }
    let limit = now + Self.afterlife
    while failure == nil,
      hosts.contains(where: { !$0.remains.isQuiet }) || paths.contains(where: { $0.nextArrival != nil })
    {
      guard let next = nextMoment, next <= limit else {
        fail("a closed connection stays: " + hosts.map { "\($0.remains)" }.joined(separator: ", "))
        return
      }
      advance(to: next)
    }
    // What was sent last is written back, and what waits for a neighbour gives up.
    advance(to: now + .seconds(10))
    for host in hosts where failure == nil {
      if let excess = host.remains.excess(over: host.baseline) {
        fail("\(host.plan.name) is left with \(excess)")
      }
    }
    if failure == nil && !scenario.mayFail { checkAllArrived() }
  }

  private func checkAllArrived() {
    // A neighbour that does not answer three times is an error for who calls then (RFC 1122 2.3.2.2), and the path or a NIC
    // were silent for as long.
    if ends.contains(where: { $0.error == .EHOSTUNREACH }) { return }
    for end in ends {
      if let error = end.error {
        return fail("an error that nothing explains, \(error): \(end.report(.any))")
      }
      let isWhole = end.talk.closing == .close && end.isOpener || end.sawEnd
      if end.received != end.incoming || !isWhole { return fail("not all arrived: \(end.report(.any))") }
    }
  }
}
