import NetNamespace
import SkBuff
import Timers
import Wire

/// Keeping the table small without losing a live peer.
extension NeighbourTable {
  /// How dispensable an entry is; `nil`: it may not be evicted. Entries whose timer runs are in use.
  private func dispensability(_ index: Int, now: Instant) -> Int? {
    let state = entries[index].state
    guard entries[index].isInUse, !state.isTimed, state != .permanent else { return nil }
    if state == .failed || state == .none { return 3 }
    guard now - entries[index].updated > .seconds(5) else { return nil }
    // Made by somebody's request and never used by us: a flood's entries are of this kind.
    if !entries[index].wasUsed { return 2 }
    return now - entries[index].used > parameters.staleTime ? 1 : nil
  }

  /// Linux: the head of `neigh_alloc()`.
  ///
  /// - Returns: false when no entry can be added.
  mutating func makeRoom(net: inout Net) -> Bool {
    let collectable = count - permanentCount
    let (soft, hard) = (parameters.softLimit, parameters.hardLimit)
    if collectable < soft { return true }
    let isDue = lastCollection.map { net.now - $0 > .seconds(5) } ?? true
    if collectable < hard && !isDue { return true }
    if let last = lastCollection, net.now - last < .milliseconds(100) {
      // The table was walked just now: a flood must not buy a walk per packet.
      return collectable < hard
    }
    forcedCollection(downTo: soft, net: &net)
    return count - permanentCount < hard
  }

  /// Evicts entries, the most dispensable kind first. Linux: `neigh_forced_gc()`.
  private mutating func forcedCollection(downTo target: Int, net: inout Net) {
    lastCollection = net.now
    for level in [3, 2, 1] {
      for index in 0..<entries.count where dispensability(index, now: net.now) == level {
        remove(index, net: &net)
        if count - permanentCount <= target { return }
      }
    }
  }

  mutating func armCollection(net: inout Net) {
    collectionTimer.arm(
      TimerKey(kind: .neighbour, id: Self.collectionID), at: net.now + parameters.baseReachableTime / 2,
      in: &net.timers)
  }

  /// Every half reachable time: removes failed and long unused entries. Linux: `neigh_periodic_work()`.
  mutating func periodicWork(net: inout Net) {
    if net.now - reachableTimeDrawn > .seconds(300) { drawReachableTime(net: &net) }
    if count - permanentCount >= parameters.leastCollected {
      for index in 0..<entries.count where entries[index].isInUse {
        let state = entries[index].state
        if state.isTimed || state == .permanent { continue }
        // Linux moves `used` up to `confirmed` first: a peer that is confirmed is in use.
        let idle = min(net.now - entries[index].used, net.now - entries[index].confirmed)
        if state == .failed || idle > parameters.staleTime { remove(index, net: &net) }
      }
    }
    if count > permanentCount { armCollection(net: &net) }
  }

  /// Linux: `neigh_rand_reach_time()`.
  mutating func drawReachableTime(net: inout Net) {
    let base = parameters.baseReachableTime
    reachableTimeDrawn = net.now
    let fraction = Int64(net.random.next(below: 1 << 20))
    reachableTime = base / 2 + Nanoseconds(base.rawValue / (1 << 20) &* fraction)
  }

  // MARK: Administration

  /// Removes an entry. Linux: `neigh_delete()`.
  ///
  /// - Returns: false when there is none.
  @discardableResult
  public mutating func delete(_ address: IPAddress, on interface: InterfaceIndex, net: inout Net) -> Bool {
    guard let index = find(address, interface) else { return false }
    remove(index, net: &net)
    return true
  }

  /// Removes all entries, or all but the permanent ones: the link went down or our address changed.
  /// Linux: `neigh_flush_dev()`.
  ///
  /// - Parameter interface: `nil`: of every device.
  public mutating func flush(
    _ interface: InterfaceIndex?, keepingPermanent: Bool = true, net: inout Net
  ) {
    for index in 0..<entries.count where entries[index].isInUse {
      if let interface, entries[index].interface != interface { continue }
      if keepingPermanent && entries[index].state == .permanent { continue }
      remove(index, net: &net)
    }
  }

  /// Lets go of every packet.
  public mutating func close(net: inout Net) {
    flush(nil, keepingPermanent: false, net: &net)
    failed.removeAll()
    solicitations.removeAll()
  }

  /// What `ip neigh` prints, in order of addresses.
  public func snapshot(now: Instant) -> [NeighbourSnapshot] {
    var list: [NeighbourSnapshot] = []
    for index in 0..<entries.count where entries[index].isInUse {
      let isKnown = entries[index].state.isValid
      list.append(
        NeighbourSnapshot(
          address: entries[index].address, interface: entries[index].interface,
          hardwareAddress: isKnown ? entries[index].hardwareAddress : nil, state: entries[index].state,
          probes: Int(entries[index].probes), waitingCount: entries[index].waiting.count,
          waitingTruesize: entries[index].waitingTruesize, used: now - entries[index].used,
          confirmed: now - entries[index].confirmed, updated: now - entries[index].updated))
    }
    return list.sorted {
      ($0.address.high, $0.address.low, $0.interface.rawValue)
        < ($1.address.high, $1.address.low, $1.interface.rawValue)
    }
  }
}
