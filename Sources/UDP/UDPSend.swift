import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Wire

extension UDPLayer {
  /// Most datagrams that one `UDP_SEGMENT` send makes. Linux: `UDP_MAX_SEGMENTS`.
  public static let maximumSegments = 128

  /// Sends one datagram, or adds to the corked one. Never blocks. Linux: `udp_sendmsg()`.
  ///
  /// - Parameters:
  ///   - to: `nil`: the connected peer. Ignored while a datagram is corked.
  ///   - flags: `.more` corks, `.confirm` confirms the neighbour, `.probe` sends nothing, `.dontRoute` stays on the link.
  ///   - refusals: what is wrong with what `to` and `control` were made from.
  /// - Returns: the bytes taken: all of them.
  /// - Throws: EMSGSIZE over 65,507 bytes (or over the path MTU under `IP_PMTUDISC_DO`, or segments over it); EOPNOTSUPP for `MSG_OOB`;
  ///   EDESTADDRREQ; EINVAL for port 0; EACCES for broadcast without SO_BROADCAST; EAGAIN when the send buffer is full;
  ///   ENETUNREACH; EPIPE after shutdown; the pending error.
  public mutating func sendmsg(
    _ id: SocketID, iter: inout IovIter, to: SocketAddress? = nil, control: SendControl = SendControl(),
    flags: MessageFlags = [], refusals: SendRefusals = SendRefusals(), host: inout Host
  ) throws(Errno) -> Int {
    let index = try table.slot(id)
    // Before anything is looked at. Linux: `inet_send_prepare()`.
    try table.autobind(index, net: &host.net)
    let length = iter.count
    guard length <= 0xFFFF else { throw .EMSGSIZE }
    guard !flags.contains(.outOfBand) else { throw .EOPNOTSUPP }
    let isFirst = table.sockets[index].pending == nil
    let corks = table.sockets[index].options.cork || flags.contains(.more)

    if isFirst {
      var target = try aim(
        index, to: to, control: control, flags: flags, refusals: refusals, host: &host)
      if flags.contains(.probe) { return length }
      if corks { table.sockets[index].beginTerms(&target.control) }
      table.sockets[index].pendingTarget = target
      table.sockets[index].pending = table.sockets[index].collect(
        options: target.options.byteCount, header: UDPHeader.byteCount, segments: target.segment > 0,
        deviceMTU: host.link.mtu(of: target.interface), corks: corks,
        headroom: NetDevice.neededHeadroom,
        scatterGather: host.link.features(of: target.interface).contains(.scatterGather))
      if !isLite && host.link.features(of: target.interface).contains(.checksum) {
        table.sockets[index].pending?.leaveSumToDevice(count: length, more: corks && target.segment == 0)
      }
    } else if flags.contains(.probe) {
      return length
    }
    do {
      try table.sockets[index].appendPending(
        from: &iter, count: length, isFirst: isFirst, flags: flags,
        deviceMTU: host.link.mtu(of: table.sockets[index].pendingTarget.interface),
        net: &host.net)
    } catch {
      let isFinal = flags.contains(.dontWait) || error != .EAGAIN
      if isFinal && (error == .EAGAIN || error == .ENOBUFS) {
        host.net.counters.count(counters.sndbufErrors)
      }
      throw error
    }
    host.net.tracer.record(.udp_sendmsg, socket: id.rawValue, UInt64(length), UInt64(length))
    if !corks { try pushPendingFrames(index, host: &host) }
    return length
  }

  /// Finds out where a datagram goes.
  private mutating func aim(
    _ index: Int, to: SocketAddress?, control given: SendControl, flags: MessageFlags,
    refusals: SendRefusals, host: inout Host
  ) throws(Errno) -> DatagramTarget {
    var target = DatagramTarget()
    var control = given
    if let error = refusals.name { throw error }
    if let to {
      guard let address = to.address.v4 else { throw .EAFNOSUPPORT }
      guard to.port != 0 else { throw .EINVAL }
      target.destination = address
      target.port = to.port
    } else {
      guard let remote = table.sockets[index].core.peer, let address = remote.address.v4 else {
        throw .EDESTADDRREQ
      }
      target.destination = address
      target.port = remote.port
    }
    if let error = refusals.control { throw error }
    if let programs = table.sockets[index].core.programs, to != nil || given.concernsRoute {
      var send = ProgramSend(socket: table.sockets[index].id, destination: to, source: given.source)
      try programs.run(send: &send)
      if let changed = send.destination {
        guard let address = changed.address.v4 else { throw .EAFNOSUPPORT }
        target.destination = address
        target.port = changed.port
      }
      control.source = send.source
    }
    target.control = control
    target.segment = control.segmentByteCount ?? table.sockets[index].options.segmentByteCount
    guard (0...0xFFFF).contains(target.segment) else { throw .EINVAL }
    target.source = table.sockets[index].source(for: target.destination, control)
    let device = table.sockets[index].device(for: target.destination, control)
    let isAnywhere = target.destination.isAny
    if isAnywhere {
      target.destination = host.internet.ownAddress(target.source, by: device)
    }
    target.options = control.options ?? table.sockets[index].core.ipOptions?.list ?? IPv4OptionList()
    target.hop = target.options.firstHop ?? target.destination
    if target.options.firstHop != nil && isAnywhere { throw .EINVAL }
    let onLink =
      flags.contains(.dontRoute) || table.sockets[index].core.options.dontRoute
      || target.options.isStrictRoute
    table.sockets[index].core.labelFlow(
      to: SocketAddress(target.destination, port: target.port), from: IPAddress(target.source), by: device)
    table.sockets[index].usesCachedRoute =
      to == nil && !onLink && !control.concernsRoute && target.options.firstHop == nil
      && !target.destination.isMulticast
    try table.sockets[index].findRoute(
      to: target.hop, port: target.port, from: target.source, by: device, onLink: onLink, control: control,
      host: &host)
    target.interface = table.sockets[index].route?.interface ?? .none
    target.isConfirming = flags.contains(.confirm)
    if target.isConfirming && flags.contains(.probe), let route = table.sockets[index].route {
      host.confirmNextHop(route)
    }
    return target
  }

  /// Whether datagrams of `segment` bytes may be cut from `length`. Linux: `udp_send_skb()` with `cork->gso_size`.
  private func checkSegmentation(
    _ index: Int, _ segment: Int, _ length: Int, deviceMTU: Int
  ) throws(Errno) {
    let mtu = table.sockets[index].fragmentation(device: deviceMTU).mtu
    // What is one segment is measured as it is.
    let largest = min(segment, length)
    let headers =
      UDPHeader.byteCount + IPv4Header.minimumByteCount + table.sockets[index].pendingTarget.options.byteCount
    guard (largest + headers <= mtu) else { throw .EMSGSIZE }
    guard length <= segment * Self.maximumSegments, !table.sockets[index].core.options.noChecksum else {
      throw .EINVAL
    }
    if isLite { throw .EIO }
  }

  /// Sends the datagram that was collected, if there is one. Linux: `udp_push_pending_frames()`.
  ///
  /// - Throws: ENOBUFS when it was dropped on the way and the socket has `IP_RECVERR`; errors of the route.
  mutating func pushPendingFrames(_ index: Int, host: inout Host) throws(Errno) {
    guard let data = table.sockets[index].pending.take() else { return }
    let target = table.sockets[index].pendingTarget
    try table.sockets[index].findRoute(
      to: target.hop, port: target.port, from: target.source,
      by: table.sockets[index].device(for: target.destination, target.control), onLink: false,
      control: target.control, host: &host)
    guard var route = table.sockets[index].route else { return }
    let id = table.sockets[index].id
    // A datagram of UDP-Lite always has a checksum.
    let noChecksum = table.sockets[index].core.options.noChecksum && !isLite
    let segment = target.segment
    if segment > 0 {
      try checkSegmentation(
        index, segment, data.byteCount - UDPHeader.byteCount, deviceMTU: host.link.mtu(of: route.interface))
    }
    let isSegmented = segment > 0 && data.byteCount - UDPHeader.byteCount > segment
    let isPartial =
      !noChecksum && !isLite && data.packetCount == 1
      && (isSegmented
        || data.isLeftToDevice && host.link.features(of: route.interface).contains(.checksum))
    var datagram = data.finish(
      account: table.sockets[index].core.account, socket: id.rawValue, sumsWhole: !noChecksum && !isPartial)
    guard var first = datagram.packets.popFirst() else { return }

    let total = datagram.byteCount
    var header = UDPHeader(
      sourcePort: table.sockets[index].core.tuple.local.port, destinationPort: target.port,
      totalByteCount: total)
    if !noChecksum {
      var sum = InternetChecksum.pseudoHeader(
        source: route.source, destination: route.destination, protocol: self.protocol, byteCount: total)
      if isPartial {
        header.checksum = sum.partial
        first.setPartialChecksum(start: 0, offset: UDPHeader.Offset.checksum)
      } else {
        sum.add(header.sourcePort)
        sum.add(header.destinationPort)
        if isLite, let coverage = table.sockets[index].options.sendCoverage, coverage < total {
          // What the field says is covered; 0 says all of it. Linux: `udplite_csum()`.
          header.totalByteCount = Int(coverage)
          if coverage > 0 {
            datagram.sumAgain(first, upTo: Int(coverage), transportHeader: UDPHeader.byteCount)
          }
        }
        sum.add(UInt16(truncatingIfNeeded: header.totalByteCount))
        sum.add(datagram.sum, at: 0)
        // 0 means "no checksum" (RFC 768). Linux: CSUM_MANGLED_0.
        header.checksum = sum.checksum == 0 ? 0xFFFF : sum.checksum
      }
    }
    guard first.write(header) else { throw .ENOBUFS }
    if isSegmented {
      first.gsoSize = segment
      first.gsoType = .udpL4
      first.gsoSegments = (total - UDPHeader.byteCount + segment - 1) / segment
    }
    first.confirmsNeighbour = target.isConfirming
    if let time = target.control.transmitTime {
      datagram.setDeparture(of: &first, table.sockets[index].core.departure(time, net: host.net))
    }
    var options = table.sockets[index].sendOptions(self.protocol, target.control)
    options.optionByteCount = target.options.byteCount
    guard
      IPv4Layer.push(
        target.options, onto: &first, route: route, destination: target.destination, net: host.net)
    else { throw .ENOBUFS }
    host.net.tracer.record(
      .udp_send_skb, skb: first.serial, socket: id.rawValue, UInt64(total), UInt64(target.port))
    datagram.packets.prepend(first)
    let result = table.sockets[index].output(
      &datagram.packets, target.control, by: &route, options: options, host: &host)
    // Want of room is told to who asks for errors only. Linux: `udp_send_skb()`.
    if case .failed(let error) = result, error != .ENOBUFS { throw error }
    if result.isLost {
      host.net.counters.count(counters.sndbufErrors)
      if table.sockets[index].core.options.receiveErrors { throw .ENOBUFS }
    } else {
      host.net.counters.count(counters.outDatagrams)
    }
  }
}

extension DatagramSocket {
  /// An empty datagram for the socket's route.
  func collect(
    options optionByteCount: Int, header: Int, segments: Bool, deviceMTU: Int, corks: Bool = false,
    headroom: Int, scatterGather: Bool
  ) -> AppendData {
    let limits = fragmentation(device: deviceMTU)
    return AppendData(
      transportHeaderByteCount: header, mtu: segments ? 0xFFFF : limits.mtu,
      refusesFragments: segments || limits.refused, headroom: headroom, scatterGather: scatterGather,
      // SO_NO_CHECK is looked at once more when the datagram is sent.
      isSummed: corks || id.kind != .udp || !core.options.noChecksum, sumsCopies: !segments,
      optionByteCount: optionByteCount)
  }

  /// Adds bytes to the datagram that is being collected. An error throws the whole of it away.
  /// Linux: `udp_flush_pending_frames()`.
  ///
  /// - Parameter flags: with `.dontWait`, or without it when the send will not be tried again, EAGAIN is counted.
  mutating func appendPending(
    from iter: inout IovIter, count: Int, isFirst: Bool, flags: MessageFlags, deviceMTU: Int, net: inout Net
  ) throws(Errno) {
    if !isFirst {
      let refuses = pendingTarget.segment > 0 || fragmentation(device: deviceMTU).refused
      pending?.setRefusing(fragments: refuses)
    }
    if pending?.isExceeded(by: count) ?? false {
      pending = nil
      reportTooLong(deviceMTU: deviceMTU, net: &net)
      throw .EMSGSIZE
    }
    let notification: SendNotification?
    do { notification = try beginZeroCopy(&iter, flags: flags, net: net) } catch {
      pending = nil
      throw error
    }
    let control = pendingTarget.control
    let stamp = isFirst ? core.beginStamp(control.timestamping, number: control.stampNumber) : nil
    if let stamp { pending?.stamp = (stamp.request, stamp.key) }
    let copies = flags.contains(.zeroCopy) || id.kind == .udpLite
    do {
      // Where Linux takes memory for the packet: `sock_alloc_send_pskb()`.
      if isFirst { try core.checkSendable() }
      try pending?.append(
        from: &iter, count: count, lendingFor: notification,
        splicing: copies ? [] : flags.intersection([.splicePages, .noSharedFragments]),
        account: core.account, socket: core.id.rawValue,
        sendBuffer: core.sendBuffer, pool: net.pool)
      if let notification, !notification.isCallers { core.endZeroCopy(notification, net: net) }
    } catch {
      if let stamp { core.abortStamp(stamp) }
      if let notification, !notification.isCallers { core.abortZeroCopy(notification, net: net) }
      if error == .EAGAIN { core.account.isThrottled = true }
      if error != .EAGAIN || flags.contains(.dontWait) { net.counters.count(.IpOutDiscards) }
      pending = nil
      throw error
    }
  }

  /// Who is told of the bytes of a send that asks for no copy; `nil`: it does not, or may not.
  ///
  /// - Throws: ENOBUFS when too many notifications are under way; EINVAL for a second caller's own in a datagram.
  private mutating func beginZeroCopy(
    _ iter: inout IovIter, flags: MessageFlags, net: borrowing Net
  ) throws(Errno) -> SendNotification? {
    guard flags.contains(.zeroCopy), id.kind == .udp else { return nil }
    if let given = unsafe iter.notification?.takeUnretainedValue() {
      if let earlier = pending?.notification, earlier !== given { throw .EINVAL }
      return given
    }
    return core.options.zeroCopy ? try core.beginZeroCopy(iter.count, net: net) : nil
  }

  /// A datagram was refused for its length: with `IP_RECVERR` the error queue tells what would have fitted.
  /// Linux: `ip_local_error()`.
  private mutating func reportTooLong(deviceMTU: Int, net: inout Net) {
    guard core.options.receiveErrors else { return }
    let mtu =
      (pendingTarget.segment > 0 ? 0xFFFF : fragmentation(device: deviceMTU).mtu)
      - pendingTarget.options.byteCount
    core.queueError(
      ExtendedError(
        errno: .EMSGSIZE, origin: .local, kind: 0, code: 0, info: UInt32(mtu), offender: nil,
        destination: SocketAddress(pendingTarget.destination, port: core.tuple.remote.port)))
    net.wake(id)
  }
}
