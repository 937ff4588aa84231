import IPv4
import Internet
import NetNamespace
import TCP
import Timers
import UDP
import Wire

/// Setting options. Linux: `sk_setsockopt()`, `do_tcp_setsockopt()`, `do_ip_setsockopt()`, `udp_lib_setsockopt()`.
extension SocketLayer {
  /// Sets an option by Linux's numbers and bytes.
  ///
  /// - Throws: EBADF; ENOPROTOOPT for an option that is not there; EINVAL for a short or senseless value; EPERM.
  public mutating func setsockopt(
    _ id: SocketID, level: Int32, name: Int32, value: RawSpan, host: inout Host
  ) throws(Errno) {
    if Self.takesInts(level, name, id.kind), value.byteCount < 4 { throw .EINVAL }
    switch id.kind {
    case .tcp:
      var options = try tcp.options(id)
      var extra = extra(id)
      switch level {
      case SocketOptionLevel.socket:
        try setSocketLevel(name, value, &options, &extra, net: host.net)
      case SocketOptionLevel.tcp:
        let state = try tcp.info(id, now: host.net.now).state
        try setTCPLevel(name, value, &options, state: state)
      case SocketOptionLevel.ip:
        if try setMembership(id, name, value, host: &host) { return }
        try setIPLevel(name, value, &options, &extra)
      default: throw .ENOPROTOOPT
      }
      extras[id] = extra
      try tcp.setOptions(id, options, host: &host)
      if level == SocketOptionLevel.tcp && name == TCPOptionName.noDelay && options.noDelay {
        try tcp.push(id, host: &host)
      }
      if level == SocketOptionLevel.tcp && name == TCPOptionName.quickAck {
        try tcp.setQuickAck(id, SocketOptionValue.int(value), host: &host)
      }
    case .udp, .ping:
      let isUDP = id.kind == .udp
      var options = isUDP ? try udp.options(id) : try ping.options(id)
      switch level {
      case SocketOptionLevel.socket:
        var extra = extra(id)
        try setSocketLevel(name, value, &options, &extra, net: host.net)
        extras[id] = extra
      case SocketOptionLevel.ip:
        if try setMembership(id, name, value, host: &host) { return }
        try setIPLevel(name, value, &options)
      case SocketOptionLevel.udp where isUDP:
        switch name {
        case UDPOptionName.cork: options.cork = try SocketOptionValue.flag(value)
        case UDPOptionName.segment:
          options.segmentByteCount = try SocketOptionValue.int(value, in: 0...0xFFFF)
        default: throw .ENOPROTOOPT
        }
      default: throw .ENOPROTOOPT
      }
      if isUDP {
        try udp.setOptions(id, options, host: &host)
        if level == SocketOptionLevel.udp && name == UDPOptionName.cork && !options.cork {
          try udp.pushPending(id, host: &host)
        }
      } else {
        try ping.setOptions(id, options)
      }
    case nil: throw .EBADF
    }
  }

  /// Levels at which the length is looked at before the name. Linux: `sk_setsockopt()`, `do_tcp_setsockopt()`,
  /// `udp_lib_setsockopt()`.
  private static func takesInts(_ level: Int32, _ name: Int32, _ kind: SocketID.Kind?) -> Bool {
    switch level {
    case SocketOptionLevel.socket: true
    case SocketOptionLevel.tcp: kind == .tcp && name != TCPOptionName.congestion
    case SocketOptionLevel.udp: kind == .udp
    default: false
    }
  }

  // MARK: SOL_SOCKET

  private func mayUsePriority(_ value: Int32) -> Bool {
    (0...6).contains(value) || privileges.contains(.netAdmin)
  }

  private func setSocketLevel(
    _ name: Int32, _ value: RawSpan, _ options: inout TCPSocketOptions, _ extra: inout SocketExtras,
    net: borrowing Net
  ) throws(Errno) {
    switch name {
    case SocketOptionName.debug: extra.debug = try SocketOptionValue.flag(value)
    // A segment always has its checksum; the flag is only kept, as Linux keeps it.
    case SocketOptionName.noCheck: extra.noChecksum = try SocketOptionValue.flag(value)
    case SocketOptionName.receiveLowWater:
      // More than half of the buffer could never be there. Linux: `tcp_set_rcvlowat()`.
      let most = options.receiveBuffer ?? net.settings.tcpReadMemory.most
      options.receiveLowWater = max(1, min(try Self.lowWater(value), most / 2))
    case SocketOptionName.reuseAddress: options.reuseAddress = try SocketOptionValue.flag(value)
    case SocketOptionName.reusePort: options.reusePort = try SocketOptionValue.flag(value)
    case SocketOptionName.dontRoute: options.dontRoute = try SocketOptionValue.flag(value)
    case SocketOptionName.broadcast: extra.broadcast = try SocketOptionValue.flag(value)
    case SocketOptionName.sendBuffer, SocketOptionName.sendBufferForce:
      options.sendBuffer = try sendBuffer(name, value, net: net)
    case SocketOptionName.receiveBuffer, SocketOptionName.receiveBufferForce:
      options.receiveBuffer = try receiveBuffer(name, value, net: net)
    case SocketOptionName.keepAlive: options.keepAlive = try SocketOptionValue.flag(value)
    case SocketOptionName.outOfBandInline: options.outOfBandInline = try SocketOptionValue.flag(value)
    case SocketOptionName.priority:
      let priority = try SocketOptionValue.int(value)
      guard mayUsePriority(priority) else { throw .EPERM }
      options.priority = UInt32(bitPattern: priority)
    case SocketOptionName.linger: try extra.setLinger(value)
    case SocketOptionName.receiveTimeoutOld, SocketOptionName.receiveTimeoutNew:
      extra.receiveTimeout = try SocketOptionValue.timeout(value)
    case SocketOptionName.sendTimeoutOld, SocketOptionName.sendTimeoutNew:
      extra.sendTimeout = try SocketOptionValue.timeout(value)
    case SocketOptionName.mark:
      let mark = try SocketOptionValue.int(value)
      guard privileges.contains(.netAdmin) else { throw .EPERM }
      options.mark = UInt32(bitPattern: mark)
    default: throw .ENOPROTOOPT
    }
  }

  private func setSocketLevel(
    _ name: Int32, _ value: RawSpan, _ options: inout DatagramOptions, _ extra: inout SocketExtras,
    net: borrowing Net
  ) throws(Errno) {
    switch name {
    // Kept on any socket; they mean something to streams only.
    case SocketOptionName.debug: extra.debug = try SocketOptionValue.flag(value)
    case SocketOptionName.keepAlive: extra.keepAlive = try SocketOptionValue.flag(value)
    case SocketOptionName.outOfBandInline: extra.outOfBandInline = try SocketOptionValue.flag(value)
    case SocketOptionName.receiveLowWater: extra.receiveLowWater = try Self.lowWater(value)
    case SocketOptionName.linger: try extra.setLinger(value)
    case SocketOptionName.reuseAddress: options.reuseAddress = try SocketOptionValue.flag(value)
    case SocketOptionName.reusePort: options.reusePort = try SocketOptionValue.flag(value)
    case SocketOptionName.dontRoute: options.dontRoute = try SocketOptionValue.flag(value)
    case SocketOptionName.broadcast: options.broadcast = try SocketOptionValue.flag(value)
    case SocketOptionName.noCheck: options.noChecksum = try SocketOptionValue.flag(value)
    case SocketOptionName.sendBuffer, SocketOptionName.sendBufferForce:
      options.sendBuffer = try sendBuffer(name, value, net: net)
    case SocketOptionName.receiveBuffer, SocketOptionName.receiveBufferForce:
      options.receiveBuffer = try receiveBuffer(name, value, net: net)
    case SocketOptionName.priority:
      let priority = try SocketOptionValue.int(value)
      guard mayUsePriority(priority) else { throw .EPERM }
      options.priority = UInt32(bitPattern: priority)
    case SocketOptionName.receiveTimeoutOld, SocketOptionName.receiveTimeoutNew:
      extra.receiveTimeout = try SocketOptionValue.timeout(value)
    case SocketOptionName.sendTimeoutOld, SocketOptionName.sendTimeoutNew:
      extra.sendTimeout = try SocketOptionValue.timeout(value)
    case SocketOptionName.mark:
      let mark = try SocketOptionValue.int(value)
      guard privileges.contains(.netAdmin) else { throw .EPERM }
      options.mark = UInt32(bitPattern: mark)
    default: throw .ENOPROTOOPT
    }
  }

  /// `SO_RCVLOWAT`: at least 1; below zero is as much as can be. Linux: `sk_setsockopt()`.
  private static func lowWater(_ value: RawSpan) throws(Errno) -> Int {
    let count = try SocketOptionValue.int(value)
    return count < 0 ? Int(Int32.max) : max(1, Int(count))
  }

  private func sendBuffer(_ name: Int32, _ value: RawSpan, net: borrowing Net) throws(Errno) -> Int {
    let wanted = try SocketOptionValue.int(value)
    let isForced = name == SocketOptionName.sendBufferForce
    if isForced && !privileges.contains(.netAdmin) { throw .EPERM }
    return SocketOptionValue.buffer(
      isForced ? max(0, wanted) : wanted,
      maximum: isForced ? Int(Int32.max) / 2 : net.settings.maximumWriteMemory,
      least: SocketOptionValue.leastSendBuffer)
  }
  private func receiveBuffer(_ name: Int32, _ value: RawSpan, net: borrowing Net) throws(Errno) -> Int {
    let wanted = try SocketOptionValue.int(value)
    let isForced = name == SocketOptionName.receiveBufferForce
    if isForced && !privileges.contains(.netAdmin) { throw .EPERM }
    return SocketOptionValue.buffer(
      isForced ? max(0, wanted) : wanted,
      maximum: isForced ? Int(Int32.max) / 2 : net.settings.maximumReadMemory,
      least: SocketOptionValue.leastReceiveBuffer)
  }

  // MARK: SOL_TCP

  private func setTCPLevel(
    _ name: Int32, _ value: RawSpan, _ options: inout TCPSocketOptions, state: TCPState
  ) throws(Errno) {
    switch name {
    case TCPOptionName.noDelay: options.noDelay = try SocketOptionValue.flag(value)
    case TCPOptionName.maximumSegment:
      let size = try SocketOptionValue.int(value)
      // Linux: TCP_MIN_MSS, MAX_TCP_WINDOW; 0 takes the limit away.
      guard size == 0 || (88...32767).contains(size) else { throw .EINVAL }
      options.maximumSegment = size == 0 ? nil : Int(size)
    case TCPOptionName.cork: options.cork = try SocketOptionValue.flag(value)
    case TCPOptionName.keepIdle:
      options.keepAliveIdle = .seconds(Int64(try SocketOptionValue.int(value, in: 1...32767)))
    case TCPOptionName.keepInterval:
      options.keepAliveInterval = .seconds(Int64(try SocketOptionValue.int(value, in: 1...32767)))
    case TCPOptionName.keepCount: options.keepAliveCount = try SocketOptionValue.int(value, in: 1...127)
    case TCPOptionName.synCount: options.synCount = try SocketOptionValue.int(value, in: 1...127)
    case TCPOptionName.linger2:
      let seconds = try SocketOptionValue.int(value)
      if seconds < 0 {
        options.finTimeout = .seconds(-1)
      } else {
        // Linux: TCP_FIN_TIMEOUT_MAX; 0 means the system's.
        options.finTimeout = seconds == 0 ? nil : .seconds(Int64(min(seconds, 120)))
      }
    case TCPOptionName.deferAccept:
      options.deferAcceptRetransmits = DeferAccept.retransmits(seconds: try SocketOptionValue.int(value))
    case TCPOptionName.windowClamp:
      let clamp = try SocketOptionValue.int(value)
      if clamp == 0 {
        guard state == .close else { throw .EINVAL }
        options.windowClamp = 0
      } else {
        options.windowClamp = max(Int(clamp), SocketOptionValue.leastReceiveBuffer / 2)
      }
    // Not a setting but a move: see below.
    case TCPOptionName.quickAck: break
    case TCPOptionName.congestion:
      guard value.byteCount >= 1 else { throw .EINVAL }
      var text: [UInt8] = []
      // Linux: TCP_CA_NAME_MAX.
      for offset in 0..<min(value.byteCount, 15) {
        let byte = value.load8(offset)
        if byte == 0 { break }
        text.append(byte)
      }
      let wanted = CongestionControlKind.allCases.first { Array($0.name.utf8) == text }
      // ENOENT: no such algorithm.
      guard let wanted else { throw Errno(rawValue: 2) }
      options.congestionControl = wanted
    case TCPOptionName.userTimeout:
      let milliseconds = try SocketOptionValue.int(value)
      guard milliseconds >= 0 else { throw .EINVAL }
      options.userTimeout = milliseconds == 0 ? nil : .milliseconds(Int64(milliseconds))
    case TCPOptionName.notSentLowWater:
      options.notSentLowWater = Int(UInt32(bitPattern: try SocketOptionValue.int(value)))
    default: throw .ENOPROTOOPT
    }
  }

  // MARK: SOL_IP

  private func setIPLevel(
    _ name: Int32, _ value: RawSpan, _ options: inout TCPSocketOptions, _ extra: inout SocketExtras
  ) throws(Errno) {
    let number = try SocketOptionValue.intOrByte(value)
    switch name {
    case IPOptionName.typeOfService:
      // The ECN bits are TCP's own. Linux: __ip_sock_set_tos().
      options.typeOfService = UInt8(truncatingIfNeeded: number) & ~3 | options.typeOfService & 3
      options.priority = TypeOfServicePriority.priority(of: options.typeOfService)
    case IPOptionName.timeToLive: options.timeToLive = try Self.timeToLive(number, default: 0)
    case IPOptionName.packetInfo: extra.packetInfo = number != 0
    case IPOptionName.mtuDiscover: options.pathMTUDiscovery = try Self.discovery(number)
    case IPOptionName.receiveErrors: options.receiveErrors = number != 0
    case IPOptionName.receiveTimeToLive: extra.receiveTimeToLive = number != 0
    case IPOptionName.receiveTypeOfService: extra.receiveTypeOfService = number != 0
    // A stream is never sent to a group.
    case IPOptionName.multicastTimeToLive: throw .EINVAL
    default: throw .ENOPROTOOPT
    }
  }

  private func setIPLevel(
    _ name: Int32, _ value: RawSpan, _ options: inout DatagramOptions
  ) throws(Errno) {
    let number = try SocketOptionValue.intOrByte(value)
    switch name {
    case IPOptionName.typeOfService:
      options.typeOfService = UInt8(truncatingIfNeeded: number)
      options.priority = TypeOfServicePriority.priority(of: options.typeOfService)
    case IPOptionName.timeToLive: options.timeToLive = try Self.timeToLive(number, default: 0)
    case IPOptionName.multicastTimeToLive:
      guard value.byteCount >= 1 else { throw .EINVAL }
      guard (-1...255).contains(number) else { throw .EINVAL }
      options.multicastTimeToLive = number == -1 ? 1 : UInt8(number)
    case IPOptionName.packetInfo: options.packetInfo = number != 0
    case IPOptionName.mtuDiscover: options.pathMTUDiscovery = try Self.discovery(number)
    case IPOptionName.receiveErrors: options.receiveErrors = number != 0
    case IPOptionName.receiveTimeToLive: options.receiveTimeToLive = number != 0
    case IPOptionName.receiveTypeOfService: options.receiveTypeOfService = number != 0
    default: throw .ENOPROTOOPT
    }
  }

  /// 1 to 255; -1 asks for the default.
  private static func timeToLive(_ number: Int32, default fallback: UInt8) throws(Errno) -> UInt8 {
    if number == -1 { return fallback }
    guard (1...255).contains(number) else { throw .EINVAL }
    return UInt8(number)
  }

  private static func discovery(_ number: Int32) throws(Errno) -> IPv4SendOptions.PathMTUDiscovery {
    guard let byte = UInt8(exactly: number),
      let discovery = IPv4SendOptions.PathMTUDiscovery(rawValue: byte)
    else { throw .EINVAL }
    return discovery
  }

  // MARK: Groups

  /// `IP_ADD_MEMBERSHIP` and `IP_DROP_MEMBERSHIP`: `struct ip_mreq` or `ip_mreqn`, of which the group counts: there is
  /// one device.
  ///
  /// - Returns: whether the option was one of them.
  private mutating func setMembership(
    _ id: SocketID, _ name: Int32, _ value: RawSpan, host: inout Host
  ) throws(Errno) -> Bool {
    guard name == IPOptionName.addMembership || name == IPOptionName.dropMembership else { return false }
    if id.kind == .tcp { throw .EPROTO }
    guard value.byteCount >= 8 else { throw .EINVAL }
    let group = value.loadIPv4(0)
    let joined = memberships[id] ?? []
    if name == IPOptionName.addMembership {
      guard group.isMulticast else { throw .EINVAL }
      guard !joined.contains(group) else { throw .EADDRINUSE }
      try host.internet.joinGroup(group)
      memberships[id] = joined + [group]
    } else {
      guard joined.contains(group) else { throw .EADDRNOTAVAIL }
      memberships[id] = joined.filter { $0 != group }
      try leaveUnused(group, host: &host)
    }
    return true
  }

  /// The layer leaves a group with the last socket in it.
  private func leaveUnused(_ group: IPv4Address, host: inout Host) throws(Errno) {
    for groups in memberships.values where groups.contains(group) { return }
    try host.internet.leaveGroup(group)
  }

  mutating func leaveGroups(_ id: SocketID, host: inout Host) throws(Errno) {
    guard let groups = memberships.removeValue(forKey: id) else { return }
    for group in groups { try leaveUnused(group, host: &host) }
  }
}
