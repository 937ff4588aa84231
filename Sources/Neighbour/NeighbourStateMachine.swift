import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Timers
import Wire

/// Transitions of the NUD state machine (RFC 4861 section 7.3 as Linux applies it to ARP).
extension NeighbourTable {
  /// A packet is about to be sent to a neighbour that is not connected: starts what its state calls for.
  /// Linux: `__neigh_event_send()`.
  mutating func eventSend(_ index: Int, source: IPAddress?, net: inout Net) {
    switch entries[index].state {
    case .none, .failed:
      if parameters.multicastProbes + parameters.applicationProbes == 0 {
        change(index, to: .failed, net: &net)
        invalidate(index)
        return
      }
      change(index, to: .incomplete, net: &net)
      entries[index].updated = net.now
      // The unicast probes are skipped: there is no address to send them to.
      entries[index].probes = UInt8(truncatingIfNeeded: parameters.unicastProbes)
      solicit(index, source: source)
      arm(index, after: parameters.retransmitTime, net: &net)
    case .stale:
      change(index, to: .delay, net: &net)
      entries[index].updated = net.now
      arm(index, after: parameters.delayProbeTime, net: &net)
    default:
      break
    }
  }

  /// Linux: `neigh_probe()`, `arp_solicit()`.
  private mutating func solicit(_ index: Int, source: IPAddress?) {
    var source = source
    if source == nil { source = entries[index].waiting.withFirst { Self.source(of: $0) } ?? nil }
    let probes = Int(entries[index].probes)
    entries[index].probes &+= 1
    let isUnicast = probes < parameters.unicastProbes && entries[index].state.isValid
    if !isUnicast && probes < parameters.unicastProbes + parameters.applicationProbes {
      // Linux: `neigh_app_ns()`.
      let query = NeighbourQuery(address: entries[index].address, interface: entries[index].interface)
      if queries.count < Self.queryLimit { queries.append(query) }
      return
    }
    solicitations.append(
      NeighbourSolicitation(
        address: entries[index].address, interface: entries[index].interface,
        hardwareAddress: isUnicast ? entries[index].hardwareAddress : nil, source: source))
  }

  /// Linux: `neigh_timer_handler()`.
  private mutating func stateTimer(_ index: Int, net: inout Net) {
    let sinceConfirmed = net.now - entries[index].confirmed
    switch entries[index].state {
    case .reachable:
      if sinceConfirmed < reachableTime {
        arm(index, after: reachableTime - sinceConfirmed, net: &net)
      } else if entries[index].wasUsed && net.now - entries[index].used < parameters.delayProbeTime {
        change(index, to: .delay, net: &net)
        entries[index].updated = net.now
        arm(index, after: parameters.delayProbeTime, net: &net)
      } else {
        change(index, to: .stale, net: &net)
        entries[index].updated = net.now
      }
    case .delay:
      if sinceConfirmed <= parameters.delayProbeTime {
        change(index, to: .reachable, net: &net)
        entries[index].updated = net.now
        arm(index, after: reachableTime - sinceConfirmed, net: &net)
      } else {
        change(index, to: .probe, net: &net)
        entries[index].updated = net.now
        entries[index].probes = 0
        solicit(index, source: nil)
        arm(index, after: parameters.retransmitTime, net: &net)
      }
    case .incomplete, .probe:
      // Linux: `neigh_max_probes()`.
      let limit =
        parameters.unicastProbes + parameters.applicationProbes
        + (entries[index].state == .incomplete ? parameters.multicastProbes : parameters.multicastReprobes)
      if Int(entries[index].probes) >= limit {
        change(index, to: .failed, net: &net)
        entries[index].updated = net.now
        invalidate(index)
      } else {
        solicit(index, source: nil)
        arm(index, after: parameters.retransmitTime, net: &net)
      }
    default:
      break
    }
  }

  /// Gives the packets that wait back to IPv4. Linux: `neigh_invalidate()`.
  private mutating func invalidate(_ index: Int) {
    entries[index].waiting.surrender(to: &failed, of: entries[index].interface)
    entries[index].waitingTruesize = 0
  }

  private mutating func change(_ index: Int, to state: NeighbourState, net: inout Net) {
    net.tracer.record(
      .neigh_update, entries[index].address.low, UInt64(entries[index].state.rawValue),
      UInt64(state.rawValue))
    if entries[index].state == .permanent { permanentCount -= 1 }
    if state == .permanent { permanentCount += 1 }
    entries[index].state = state
    entries[index].deadline = .distantFuture
  }

  private mutating func arm(_ index: Int, after delay: Nanoseconds, net: inout Net) {
    let deadline = net.now + max(delay, .milliseconds(1))
    entries[index].deadline = deadline
    entries[index].timer.arm(
      TimerKey(kind: .neighbour, id: UInt32(index), generation: entries[index].generation), at: deadline,
      in: &net.timers)
  }

  /// A `.neighbour` timer is due. Solicitations and failed packets may be waiting afterwards.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, net: inout Net) {
    if key.id == Self.collectionID {
      if collectionTimer.expire(at: due) { periodicWork(net: &net) }
      return
    }
    let index = Int(key.id)
    guard index < entries.count, entries[index].generation == key.generation, entries[index].isInUse,
      entries[index].timer.expire(at: due)
    else { return }
    let deadline = entries[index].deadline
    guard deadline <= net.now else {
      // Pushed out since: sleep again.
      if deadline != .distantFuture { arm(index, after: deadline - net.now, net: &net) }
      return
    }
    entries[index].deadline = .distantFuture
    stateTimer(index, net: &net)
  }

  // MARK: Evidence

  /// Something was learned about a neighbour's address. Linux: `neigh_update()`.
  ///
  /// - Parameters:
  ///   - create: make an entry when there is none; only for those who asked for us.
  ///   - override: an address that differs from the known one replaces it.
  /// - Returns: false when there is no such entry, or the table is full.
  @discardableResult
  public mutating func update(
    _ address: IPAddress, hardwareAddress: MACAddress, state new: NeighbourState, override: Bool,
    create isCreating: Bool = false, device: inout NetDevice, net: inout Net
  ) -> Bool {
    let interface = device.interface
    guard let index = find(address, interface) ?? (isCreating ? create(address, interface, net: &net) : nil)
    else { return false }
    let old = entries[index].state
    guard old.isDynamic else { return true }
    if new.isConnected { entries[index].confirmed = net.now }
    let isSameAddress = old.isValid && entries[index].hardwareAddress == hardwareAddress
    if old.isValid && !isSameAddress && !override { return true }
    // The same answer again tells nothing new: STALE does not take back what is known better.
    let state = isSameAddress && new == .stale ? old : new
    set(index, hardwareAddress: hardwareAddress, state: state, device: &device, net: &net)
    return true
  }

  private mutating func set(
    _ index: Int, hardwareAddress: MACAddress, state: NeighbourState, device: inout NetDevice,
    net: inout Net
  ) {
    let old = entries[index].state
    let isNewAddress = !old.isValid || entries[index].hardwareAddress != hardwareAddress
    if state != old || isNewAddress { entries[index].updated = net.now }
    if state != old {
      change(index, to: state, net: &net)
      if state == .probe { entries[index].probes = 0 }
    }
    if state == .reachable { arm(index, after: reachableTime, net: &net) }
    if isNewAddress {
      entries[index].hardwareAddress = hardwareAddress
      entries[index].hardwareHeader = Self.hardwareHeader(
        destination: hardwareAddress, source: device.macAddress,
        type: entries[index].address.family == .inet ? .ipv4 : .ipv6)
      // Known since long ago, so that the first use of a STALE address is not taken for confirmed.
      if !state.isConnected { entries[index].confirmed = net.now - parameters.baseReachableTime * 2 }
    }
    if !old.isValid && state.isValid { sendWaiting(index, device: &device, net: &net) }
  }

  /// Sends the packets that waited, in order.
  private mutating func sendWaiting(_ index: Int, device: inout NetDevice, net: inout Net) {
    entries[index].waitingTruesize = 0
    guard !entries[index].waiting.isEmpty else { return }
    eventSend(index, source: nil, net: &net)
    while let packet = entries[index].waiting.popFirst() {
      _ = transmit(packet, header: entries[index].hardwareHeader, device: &device, net: &net)
    }
  }

  /// ARP's way in: decides by lock time whether an address that differs is believed. Linux: end of `arp_process()`.
  ///
  /// - Parameters:
  ///   - isReplyToUs: a reply, sent to our link-layer address: proves reachability.
  ///   - isGratuitous: an announcement; overrides at once.
  ///   - isCreating: whoever is not known becomes a neighbour (`arp_accept`).
  public mutating func learn(
    _ address: IPAddress, hardwareAddress: MACAddress, isReplyToUs: Bool, isGratuitous: Bool,
    create isCreating: Bool = false, device: inout NetDevice, net: inout Net
  ) {
    let index = find(address, device.interface)
    guard index != nil || isCreating else { return }
    let isLocked = index.map { net.now - entries[$0].updated <= parameters.lockTime } ?? false
    update(
      address, hardwareAddress: hardwareAddress, state: isReplyToUs ? .reachable : .stale,
      override: isGratuitous || !isLocked, create: isCreating, device: &device, net: &net)
  }

  /// An upper layer has proof that packets arrive: forward progress, `MSG_CONFIRM`. Linux: `neigh_confirm()`.
  public mutating func confirm(_ handle: NeighbourHandle, net: borrowing Net) {
    let index = Int(handle.index)
    guard index < entries.count, entries[index].generation == handle.generation else { return }
    entries[index].confirmed = net.now
  }

  /// As above, by address; nothing happens when there is no such entry. Linux: `dst_confirm_neigh()`.
  public mutating func confirm(
    _ address: IPAddress, on interface: InterfaceIndex, net: borrowing Net
  ) {
    if let index = find(address, interface) { entries[index].confirmed = net.now }
  }

  // MARK: Administration

  /// Sets an entry by hand: `.permanent` for a static one. Linux: `neigh_add()`.
  public mutating func set(
    _ address: IPAddress, hardwareAddress: MACAddress, state: NeighbourState = .permanent,
    device: inout NetDevice, net: inout Net
  ) throws(Errno) {
    guard state.isValid, hardwareAddress.isValidStation else { throw .EINVAL }
    let interface = device.interface
    guard
      let index = find(address, interface)
        ?? create(address, interface, isPermanent: state == .permanent, net: &net)
    else { throw .ENOBUFS }
    set(index, hardwareAddress: hardwareAddress, state: state, device: &device, net: &net)
  }
}
