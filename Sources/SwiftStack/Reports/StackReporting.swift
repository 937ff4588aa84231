import Control
import IPv4
import Ice
import IceHardware
import InetSocket
import Neighbour
import NetDevice
import Shard
import SkBuff
import Sockets
import TCP
import UDP

/// The tables of every shard, for people.
extension Stack {
  /// All sockets, as `ss -ati`.
  public var socketReports: [SocketReport] {
    var all: [SocketReport] = []
    forEachSocketReports { all += $0 }
    return all
  }

  /// The sockets in pieces. The lock of a shard is held for the numbers of a piece at a time, never for the texts: however
  /// many sockets there are, packets go on in between. One that is opened or closed meanwhile may be missing.
  package func forEachSocketReports<Failure: Error>(_ body: ([SocketReport]) throws(Failure) -> Void)
    throws(Failure)
  {
    for shard in shards {
      let ids = shard.inspect { $0.sockets.sockets() }
      for start in stride(from: 0, to: ids.count, by: Self.slice) {
        let slice = ids[start..<min(start + Self.slice, ids.count)]
        let numbers = shard.inspect { state in slice.compactMap { state.socketNumbers($0) } }
        try body(numbers.map { SocketReport($0) })
      }
      let waiting = shard.inspect { $0.sockets.tcp.timeWaitConnections(now: $0.host.net.now) }
      for start in stride(from: 0, to: waiting.count, by: Self.slice) {
        try body(
          waiting[start..<min(start + Self.slice, waiting.count)].map { SocketReport(timeWait: $0.tuple) })
      }
    }
  }

  /// Sockets looked at under one hold of the lock.
  private static let slice = 32

  /// The queueing disciplines of each queue, as `tc -s qdisc`.
  public var qdiscReports: [QdiscReport] { shards.flatMap { $0.inspect { $0.qdiscReports } } }
  /// The NIC of each queue, as `ethtool -g` and `-S`.
  public var nicReports: [NICReport] { shards.map { $0.inspect { $0.nicReport } } }
  /// The stack's interface, without the loopback.
  public var interfaceReport: InterfaceReport { interfaceReports[1] }
  /// The loopback and the stack's interface, as `ip -s addr`: the same in every shard, which all count.
  public var interfaceReports: [InterfaceReport] {
    var sums = shards[0].inspect { $0.interfaceReports }
    for shard in shards.dropFirst() {
      for (index, report) in shard.inspect({ $0.interfaceReports }).enumerated() {
        sums[index].received = sums[index].received + report.received
        sums[index].sent = sums[index].sent + report.sent
      }
    }
    return sums
  }
  /// Routes are the same in every shard.
  public var routeReports: [RouteReport] { shards.first?.inspect { $0.routeReports } ?? [] }

  /// A neighbour that several shards know appears once.
  public var neighbourReports: [NeighbourReport] {
    var seen: Set<String> = []
    return shards.flatMap { $0.inspect { $0.neighbourReports } }.filter {
      seen.insert("\($0.address) \($0.device)").inserted
    }
  }

  /// Sums over the shards.
  public var counterReports: [CounterReport] {
    var sums: [CounterReport] = []
    for shard in shards {
      let values = shard.inspect { $0.host.net.counters.all.map { CounterReport($0.name, $0.value) } }
      if sums.isEmpty {
        sums = values
      } else {
        for index in sums.indices { sums[index].value &+= values[index].value }
      }
    }
    return sums
  }
}

extension Stack {
  /// What the stack holds just now: sk_buffs, pages, DMA mappings, sockets, fragments, timers; sums over the shards.
  public var memoryReports: [CounterReport] {
    var sums: [CounterReport] = []
    for shard in shards {
      let values = shard.inspect { $0.holdings.map { CounterReport($0.name, UInt64($0.value)) } }
      if sums.isEmpty {
        sums = values
      } else {
        for index in sums.indices { sums[index].value &+= values[index].value }
      }
    }
    return sums
  }

  /// Packets thrown away, by reason: sums over the shards, every reason with Linux's name. Linux: `drop_monitor`.
  public var dropReports: [CounterReport] {
    DropReason.allCases.map { reason in
      CounterReport(
        reason.name,
        shards.reduce(0) { sum, shard in sum &+ shard.inspect { $0.host.net.pool.dropCount(reason) } }
      )
    }
  }
}

extension Shard {
  /// What stands before the driver, and at the ingress when something does.
  var qdiscReports: [QdiscReport] {
    [qdiscReport(host.link.devices[ethernet].qdiscSnapshot, .root)]
      + (host.link.devices[ethernet].ingressSnapshot.map { [qdiscReport($0, .ingress)] } ?? [])
  }

  private func qdiscReport(_ snapshot: QdiscSnapshot, _ place: QdiscPlace) -> QdiscReport {
    let statistics = snapshot.statistics
    return QdiscReport(
      kind: snapshot.kind.rawValue, handle: String(snapshot.handle, radix: 16) + ":", place: place.rawValue,
      options: snapshot.configuration.options, device: host.link.devices[ethernet].name,
      sentBytes: statistics.sentBytes,
      sentPackets: statistics.sentPackets, dropped: statistics.dropped, overlimits: statistics.overlimits,
      requeues: statistics.requeues, backlogBytes: UInt64(snapshot.backlogBytes),
      backlogPackets: UInt64(snapshot.backlogPackets),
      limit: UInt64(max(0, host.link.devices[ethernet].limits.limit)),
      inFlight: UInt64(max(0, host.link.devices[ethernet].limits.inFlight)))
  }

  var nicReport: NICReport {
    let rings = host.link.devices[ethernet].driver.ice.ringParameters
    let link = host.link.devices[ethernet].statistics
    var counters = host.link.devices[ethernet].driver.ice.statistics.lines.map {
      CounterReport($0.name, $0.value)
    }
    counters += [
      CounterReport("tx_dropped", link.sentDropped), CounterReport("tx_software_gso", link.softwareSegmented),
      CounterReport("tx_software_csum", link.softwareChecksummed),
      CounterReport("tx_bql_stops", link.limitStops), CounterReport("tx_timeout", link.watchdogTimeouts),
      CounterReport("tx_carrier_errors", carrierErrors),
      CounterReport("rx_handed_over", packetsHandedOver), CounterReport("rx_handover_lost", handoversLost),
    ]
    return NICReport(
      device: host.link.devices[ethernet].name, transmitRing: rings.tx, receiveRing: rings.rx,
      maximumRing: RingParameters.maximum,
      features: host.link.devices[ethernet].features.list,
      requestedFeatures: host.link.devices[ethernet].wantedFeatures.subtracting(
        host.link.devices[ethernet].features
      ).list,
      statistics: counters,
      faults: nic.faults.words
        + (nic.pendingMappingFailures > 0 ? ["map-fail \(nic.pendingMappingFailures)"] : []))
  }

  var interfaceReports: [InterfaceReport] { host.link.devices.indices.map { interfaceReport($0) } }

  private func interfaceReport(_ interface: InterfaceIndex) -> InterfaceReport {
    let counts = host.link.devices[interface].statistics
    return InterfaceReport(
      index: Int(interface.rawValue), device: host.link.devices[interface].name,
      isLoopback: host.link.devices[interface].isLoopback, mtu: host.link.devices[interface].mtu,
      macAddress: "\(host.link.devices[interface].macAddress)", isUp: host.link.devices[interface].isUp,
      resolvesAddresses: host.link.devices[interface].resolvesAddresses || interface == .loopback,
      qdisc: host.link.devices[interface].qdiscSnapshot.kind.rawValue,
      transmitQueueLength: host.link.devices[interface].transmitQueueLength,
      addresses: host.internet.addresses.filter { $0.interface == interface }.map { "\($0.prefix)" },
      received: LinkCounts(
        bytes: counts.receivedBytes, packets: counts.receivedPackets, dropped: counts.receivedDropped),
      sent: LinkCounts(bytes: counts.sentBytes, packets: counts.sentPackets, dropped: counts.sentDropped))
  }

  var routeReports: [RouteReport] {
    reports(of: host.internet.routes.entries, in: nil)
      + host.internet.policy.tableNumbers.flatMap { table in
        reports(of: host.internet.policy.entries(of: table) ?? [], in: RoutingTableName.text(table))
      }
  }

  /// - Parameter table: its name; `nil` for the main one.
  private func reports(of entries: [RouteEntry], in table: String?) -> [RouteReport] {
    entries.map { entry in
      let prefix = entry.prefix
      let hops = entry.nextHops.map {
        NextHopReport(
          gateway: $0.gateway.map { "\($0)" }, device: host.link.devices[$0.interface].name,
          weight: $0.weight, isDead: $0.isDead, tunnel: $0.tunnel == .none ? nil : "\($0.tunnel)")
      }
      return RouteReport(
        kind: "\(entry.kind)",
        destination: prefix.length == 0 ? "default" : prefix.length == 32 ? "\(prefix.address)" : "\(prefix)",
        gateway: hops.isEmpty ? entry.gateway.map { "\($0)" } : nil,
        device: entry.kind == .unicast && hops.isEmpty ? host.link.devices[entry.interface].name : nil,
        scope: entry.kind == .unicast && entry.scope == .link ? "link" : "global",
        source: entry.source.map { "\($0)" }, metric: Int(entry.metric),
        mtu: entry.mtu, table: table, nextHops: hops.isEmpty ? nil : hops,
        tunnel: entry.tunnel == .none ? nil : "\(entry.tunnel)")
    }
  }

  var neighbourReports: [NeighbourReport] {
    host.link.neighbours.snapshot(now: host.net.now).map { entry in
      NeighbourReport(
        address: "\(entry.address)", device: host.link.devices[entry.interface].name,
        macAddress: entry.hardwareAddress.map { "\($0)" }, state: "\(entry.state)")
    }
  }

  /// What a report is made of, taken under the lock. `nil`: the socket is gone.
  func socketNumbers(_ id: SocketID) -> SocketNumbers? {
    if let info = sockets.tcpInfo(id, now: host.net.now) { return .tcp(info) }
    return sockets.datagramInfo(id).map { .datagram($0, Self.label(of: id.kind)) }
  }

  private static func label(of kind: SocketID.Kind?) -> String {
    switch kind {
    case .ping: "icmp"
    case .udpLite: "udplite"
    case .udp, .tcp, nil: "udp"
    }
  }
}

enum SocketNumbers: Sendable {
  case tcp(TCPInfo)
  case datagram(DatagramInfo, String)
}

extension SocketReport {
  init(_ numbers: SocketNumbers) {
    switch numbers {
    case .tcp(let info): self.init(info)
    case .datagram(let info, let netid):
      self.init(
        netid: netid, state: info.remote == nil ? "UNCONN" : "ESTAB", receiveQueue: info.receiveAllocated,
        sendQueue: info.writeAllocated, local: "\(info.local)",
        peer: info.remote.map { "\($0)" } ?? "0.0.0.0:*")
    }
  }

  init(timeWait tuple: FourTuple) {
    self.init(
      netid: "tcp", state: "TIME-WAIT", receiveQueue: 0, sendQueue: 0, local: "\(tuple.local)",
      peer: "\(tuple.remote)")
  }

  /// As `ss -ti` shows it.
  init(_ info: TCPInfo) {
    self.init(
      netid: "tcp", state: info.state.name, receiveQueue: info.receiveQueue, sendQueue: info.sendQueue,
      local: "\(info.local)", peer: info.remote.map { "\($0)" } ?? "0.0.0.0:*",
      tcp: info.remote == nil ? nil : TCPReport(info))
  }
}

extension TCPReport {
  init(_ info: TCPInfo) {
    var options: [String] = []
    if info.hasTimestamps { options.append("ts") }
    if info.hasSACK { options.append("sack") }
    options.append(info.congestionControl)
    var values: [TCPValue] = []
    func add(_ name: String, _ value: some CustomStringConvertible) {
      values.append(TCPValue(name, "\(value)"))
    }
    func milliseconds(_ time: Nanoseconds) -> String { "\(Double(time.rawValue / 1000) / 1000)" }
    if info.hasWindowScale { add("wscale", "\(info.sendWindowScale),\(info.receiveWindowScale)") }
    add("rto", info.retransmissionTimeout.milliseconds)
    if info.backoff > 0 { add("backoff", info.backoff) }
    add("rtt", "\(milliseconds(info.smoothedRTT))/\(milliseconds(info.rttVariation))")
    add("ato", info.delayedAckTimeout.milliseconds)
    add("mss", info.sendMSS)
    add("pmtu", info.pathMTU)
    add("rcvmss", info.receiveMSS)
    add("advmss", info.advertisedMSS)
    add("cwnd", info.congestionWindow)
    if let threshold = info.slowStartThreshold { add("ssthresh", threshold) }
    add("bytes_sent", info.bytesSent)
    if info.bytesRetransmitted > 0 { add("bytes_retrans", info.bytesRetransmitted) }
    add("bytes_acked", info.bytesAcknowledged)
    add("bytes_received", info.bytesReceived)
    add("segs_out", info.segmentsOut)
    add("segs_in", info.segmentsIn)
    add("data_segs_out", info.dataSegmentsOut)
    add("data_segs_in", info.dataSegmentsIn)
    if let sent = info.lastDataSent { add("lastsnd", sent.milliseconds) }
    if let received = info.lastDataReceived { add("lastrcv", received.milliseconds) }
    if info.pacingBytesPerSecond != .max {
      values.append(TCPValue("pacing_rate ", "\(info.pacingBytesPerSecond * 8)bps"))
    }
    if info.deliveryBytesPerSecond > 0 {
      values.append(TCPValue("delivery_rate ", "\(info.deliveryBytesPerSecond * 8)bps"))
    }
    add("delivered", info.delivered)
    if info.deliveredMarked > 0 { add("delivered_ce", info.deliveredMarked) }
    if info.unacknowledged > 0 { add("unacked", info.unacknowledged) }
    if info.totalRetransmissions > 0 { add("retrans", "\(info.retransmitted)/\(info.totalRetransmissions)") }
    if info.lost > 0 { add("lost", info.lost) }
    if info.sacked > 0 { add("sacked", info.sacked) }
    if info.reordering != 3 { add("reordering", info.reordering) }
    add("rcv_space", info.receiveSpace)
    add("rcv_ssthresh", info.receiveSlowStartThreshold)
    if info.notSentByteCount > 0 { add("notsent", info.notSentByteCount) }
    if let least = info.minimumRTT { add("minrtt", milliseconds(least)) }
    add("snd_wnd", info.sendWindow)
    add("rcv_wnd", info.receiveWindow)
    self.init(options: options, values: values)
  }
}
