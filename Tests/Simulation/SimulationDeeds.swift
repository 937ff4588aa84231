import IceModel
import Shard
import SkBuff
import Timers

/// What happens when.
extension Simulation {
  func keep(_ appointment: Appointment) {
    switch appointment.matter {
    case .opening(let end):
      // A program of a stack that sleeps calls when it wakes.
      if let until = hosts[end.side.index].sleepsUntil { return plan(at: until, .opening(end)) }
      if end.isClosed { return }
      hosts[end.side.index].shard.advance(to: now)
      hosts[end.side.index].open(end)
      touch(end.side)
    case .event(let event): perform(event)
    case .end(let event):
      end(event, on: hosts[event.side.index])
      touch(event.side)
    }
  }

  /// Events whose state has come.
  func meetConditions() {
    var place = 0
    while place < conditions.count {
      let event = conditions[place]
      guard let end = ends.first(where: { $0.talk.number == event.talk && $0.side == event.of }),
        hosts[event.of.index].state(end) == event.when
      else {
        place += 1
        continue
      }
      conditions.remove(at: place)
      perform(event)
    }
  }

  func perform(_ event: EventPlan) {
    let host = hosts[event.side.index]
    switch event.do {
    case .lose, .hold, .copy, .flip, .mark, .cut, .chance, .narrow, .swallow, .split, .merge, .strip, .divide,
      .optimistic, .shrink, .zero, .silly, .sackLie, .tiny:
      paths[event.side.index].begin(event, now: now)
    case .rebind:
      let ports = ends.filter { $0.side == event.side && $0.talk.number == event.talk }.map(
        \.tuple.local.port)
      paths[event.side.index].box.rebind(ports)
    case .unreachable:
      paths[event.side.index].unreachable = event.count
    case .stall, .late, .doorbell, .unmap, .misread, .drop, .unplug, .shortage, .jump:
      begin(event, on: host)
    case .deaf, .mute, .shut, .close, .abort, .option, .rewatch: program(event, host)
    }
  }

  private func end(of event: EventPlan) -> End? {
    ends.first { $0.talk.number == event.talk && $0.side == event.side }
  }

  /// A program does something that it was not asked to.
  private func program(_ event: EventPlan, _ host: SimulatedHost) {
    guard let end = end(of: event) else { return }
    if host.sleepsUntil == nil { host.shard.advance(to: now) }
    let until = now + .microseconds(Int64(event.span))
    switch event.do {
    case .deaf: end.deafUntil = until
    case .mute: end.muteUntil = until
    case .shut: if let socket = end.socket, end.isConnected, !end.hasShut { host.shut(end, socket) }
    case .close: host.close(end, aborts: false)
    case .abort:
      faults.note(.abort, host.state(end))
      host.close(end, aborts: true)
    case .option: host.setOption(end, level: event.level, name: event.name, value: event.count)
    default: host.rewatch(end)
    }
    if event.span > 0 { plan(at: until, .end(event)) }
    touch(event.side)
  }

  /// A NIC or a stack meets a fault.
  private func begin(_ event: EventPlan, on host: SimulatedHost) {
    let until = now + .microseconds(Int64(event.span))
    switch event.do {
    case .stall: host.changeNIC { $0.faults.isTransmitStalled = true }
    case .late:
      host.isLate = true
      host.changeNIC { $0.faults.writeBackDelay = .microseconds(Int64(event.count)) }
    case .doorbell:
      host.changeNIC { $0.faults.doorbellsToLose += event.count }
      host.doorbellsToLose += event.count
    case .unmap: host.changeNIC { $0.injectMappingFailures(event.count, after: event.span) }
    case .misread: host.changeNIC { $0.faults.descriptorsToMisread += event.count }
    case .drop: host.changeNIC { $0.faults.framesToDrop += event.count }
    case .unplug: host.shard.run { $0.setCarrier(false) }
    case .shortage:
      host.isShort = true
      noteAll(.memoryShortage, at: event.side)
      let most = event.count * SkBuffPool.pageByteCount
      host.shard.run { $0.host.net.pool.setLevels(low: most / 2, pressure: most / 4 * 3, high: most) }
    default:
      collect(event.side)
      host.sleepsUntil = max(host.sleepsUntil ?? .origin, until)
    }
    if event.span > 0, event.do != .jump { plan(at: until, .end(event)) }
    touch(event.side)
  }

  /// The fault is over.
  private func end(_ event: EventPlan, on host: SimulatedHost) {
    if host.sleepsUntil == nil { host.shard.advance(to: now) }
    switch event.do {
    case .stall: host.changeNIC { $0.faults.isTransmitStalled = false }
    case .late:
      host.isLate = false
      host.changeNIC { $0.faults.writeBackDelay = .zero }
    case .doorbell: host.changeNIC { $0.faults = FaultInjection() }
    case .unplug: host.shard.run { $0.setCarrier(true) }
    case .shortage: host.endShortage()
    default: break
    }
  }

  /// No fault is left on a stack.
  func endAll(on host: SimulatedHost) {
    host.sleepsUntil = nil
    host.isLate = false
    host.doorbellsToLose = 0
    host.changeNIC { nic in
      nic.faults = FaultInjection()
      nic.injectMappingFailures(0)
    }
    host.shard.run { $0.setCarrier(true) }
    host.endShortage()
    for end in host.ends {
      end.deafUntil = .origin
      end.muteUntil = .origin
    }
  }
}

extension SimulatedHost {
  func changeNIC(_ change: (inout IceDevice) -> Void) { shard.run { change(&$0.nic) } }

  func endShortage() {
    isShort = false
    shard.run { shard in
      let levels = SkBuffPool.levels(limit: shard.host.net.pool.limit)
      shard.host.net.pool.setLevels(low: levels.low, pressure: levels.pressure, high: levels.high)
    }
  }
}
