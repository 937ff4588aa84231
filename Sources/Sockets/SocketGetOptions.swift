import IPv4
import NetNamespace
import TCP
import Timers
import UDP
import Wire

/// Reading options. Linux: `sk_getsockopt()`, `do_tcp_getsockopt()`, `do_ip_getsockopt()`.
extension SocketLayer {
  /// An option's value by Linux's numbers, in Linux's bytes.
  ///
  /// - Parameter maximum: the caller's room; a longer value is cut to it.
  /// - Throws: EBADF; EINVAL when `maximum` is negative; ENOPROTOOPT; ENOTCONN for `IP_MTU` without a peer.
  public mutating func getsockopt(
    _ id: SocketID, level: Int32, name: Int32, maximum: Int = 1024, net: borrowing Net
  ) throws(Errno) -> [UInt8] {
    guard maximum >= 0 else { throw .EINVAL }
    let value: [UInt8]
    switch id.kind {
    case .tcp:
      let options = try tcp.options(id)
      let extra = extra(id)
      switch level {
      case SocketOptionLevel.socket: value = try socketLevel(id, name, options, extra, net: net)
      case SocketOptionLevel.tcp: value = try tcpLevel(id, name, options, net: net)
      case SocketOptionLevel.ip: value = try ipLevel(id, name, options, extra, net: net)
      // Linux: ip_getsockopt(), where every other level ends.
      default: throw .EOPNOTSUPP
      }
    case .udp, .ping:
      let isUDP = id.kind == .udp
      let options = isUDP ? try udp.options(id) : try ping.options(id)
      switch level {
      case SocketOptionLevel.socket:
        value = try socketLevel(id, name, options, extra(id))
      case SocketOptionLevel.ip: value = try ipLevel(id, name, options, net: net)
      case SocketOptionLevel.udp where isUDP:
        switch name {
        case UDPOptionName.cork: value = SocketOptionValue.bytes(options.cork)
        case UDPOptionName.segment: value = SocketOptionValue.bytes(options.segmentByteCount)
        default: throw .ENOPROTOOPT
        }
      default: throw .EOPNOTSUPP
      }
    case nil: throw .EBADF
    }
    return value.count <= maximum ? value : Array(value[..<maximum])
  }

  // MARK: SOL_SOCKET

  /// What reads alike on every socket; `nil` for other names.
  private mutating func common(_ id: SocketID, _ name: Int32) -> [UInt8]? {
    switch name {
    case SocketOptionName.type:
      return SocketOptionValue.bytes(
        Int(id.kind == .tcp ? SocketType.stream.rawValue : SocketType.datagram.rawValue))
    case SocketOptionName.error: return SocketOptionValue.bytes(Int(takeError(id)?.rawValue ?? 0))
    case SocketOptionName.domain: return SocketOptionValue.bytes(Int(AddressFamily.inet.rawValue))
    case SocketOptionName.protocol:
      let number: IPProtocol =
        switch id.kind {
        case .tcp: .tcp
        case .ping: .icmp
        default: .udp
        }
      return SocketOptionValue.bytes(Int(number.rawValue))
    case SocketOptionName.debug: return SocketOptionValue.bytes(extra(id).debug)
    case SocketOptionName.linger: return extra(id).lingerBytes
    case SocketOptionName.receiveTimeoutOld, SocketOptionName.receiveTimeoutNew:
      return SocketOptionValue.bytes(timeout: extra(id).receiveTimeout)
    case SocketOptionName.sendTimeoutOld, SocketOptionName.sendTimeoutNew:
      return SocketOptionValue.bytes(timeout: extra(id).sendTimeout)
    case SocketOptionName.sendLowWater: return SocketOptionValue.bytes(true)
    default: return nil
    }
  }

  private mutating func socketLevel(
    _ id: SocketID, _ name: Int32, _ options: TCPSocketOptions, _ extra: SocketExtras, net: borrowing Net
  ) throws(Errno) -> [UInt8] {
    if let value = common(id, name) { return value }
    switch name {
    case SocketOptionName.reuseAddress: return SocketOptionValue.bytes(options.reuseAddress)
    case SocketOptionName.reusePort: return SocketOptionValue.bytes(options.reusePort)
    case SocketOptionName.dontRoute: return SocketOptionValue.bytes(options.dontRoute)
    case SocketOptionName.broadcast: return SocketOptionValue.bytes(extra.broadcast)
    case SocketOptionName.noCheck: return SocketOptionValue.bytes(extra.noChecksum)
    case SocketOptionName.receiveLowWater: return SocketOptionValue.bytes(options.receiveLowWater)
    case SocketOptionName.sendBuffer:
      return SocketOptionValue.bytes(try tcp.info(id, now: net.now).sendBuffer)
    case SocketOptionName.receiveBuffer:
      return SocketOptionValue.bytes(try tcp.info(id, now: net.now).receiveBuffer)
    case SocketOptionName.keepAlive: return SocketOptionValue.bytes(options.keepAlive)
    case SocketOptionName.outOfBandInline: return SocketOptionValue.bytes(options.outOfBandInline)
    case SocketOptionName.priority: return SocketOptionValue.bytes(options.priority)
    case SocketOptionName.mark: return SocketOptionValue.bytes(options.mark)
    case SocketOptionName.acceptConnections:
      return SocketOptionValue.bytes(try tcp.info(id, now: net.now).state == .listen)
    default: throw .ENOPROTOOPT
    }
  }

  private mutating func socketLevel(
    _ id: SocketID, _ name: Int32, _ options: DatagramOptions, _ extra: SocketExtras
  ) throws(Errno) -> [UInt8] {
    if let value = common(id, name) { return value }
    switch name {
    case SocketOptionName.reuseAddress: return SocketOptionValue.bytes(options.reuseAddress)
    case SocketOptionName.reusePort: return SocketOptionValue.bytes(options.reusePort)
    case SocketOptionName.dontRoute: return SocketOptionValue.bytes(options.dontRoute)
    case SocketOptionName.broadcast: return SocketOptionValue.bytes(options.broadcast)
    case SocketOptionName.noCheck: return SocketOptionValue.bytes(options.noChecksum)
    case SocketOptionName.sendBuffer: return SocketOptionValue.bytes(options.sendBuffer)
    case SocketOptionName.receiveBuffer: return SocketOptionValue.bytes(options.receiveBuffer)
    case SocketOptionName.priority: return SocketOptionValue.bytes(options.priority)
    case SocketOptionName.mark: return SocketOptionValue.bytes(options.mark)
    case SocketOptionName.keepAlive: return SocketOptionValue.bytes(extra.keepAlive)
    case SocketOptionName.outOfBandInline: return SocketOptionValue.bytes(extra.outOfBandInline)
    case SocketOptionName.receiveLowWater: return SocketOptionValue.bytes(extra.receiveLowWater)
    case SocketOptionName.acceptConnections: return SocketOptionValue.bytes(false)
    default: throw .ENOPROTOOPT
    }
  }

  // MARK: SOL_TCP

  private func tcpLevel(
    _ id: SocketID, _ name: Int32, _ options: TCPSocketOptions, net: borrowing Net
  ) throws(Errno) -> [UInt8] {
    let settings = net.settings
    switch name {
    case TCPOptionName.noDelay: return SocketOptionValue.bytes(options.noDelay)
    case TCPOptionName.maximumSegment:
      let info = try tcp.info(id, now: net.now)
      // Before the handshake: what was asked for, else the default (RFC 9293 section 3.7.1).
      let isOpen = info.state != .close && info.state != .listen
      return SocketOptionValue.bytes(isOpen ? info.sendMSS : options.maximumSegment ?? 536)
    case TCPOptionName.cork: return SocketOptionValue.bytes(options.cork)
    case TCPOptionName.keepIdle:
      return Self.seconds(options.keepAliveIdle ?? settings.tcpKeepaliveTime)
    case TCPOptionName.keepInterval:
      return Self.seconds(options.keepAliveInterval ?? settings.tcpKeepaliveInterval)
    case TCPOptionName.keepCount:
      return SocketOptionValue.bytes(options.keepAliveCount ?? settings.tcpKeepaliveProbes)
    case TCPOptionName.synCount: return SocketOptionValue.bytes(options.synCount ?? settings.tcpSynRetries)
    case TCPOptionName.linger2:
      if let timeout = options.finTimeout, timeout < .zero { return SocketOptionValue.bytes(-1) }
      return Self.seconds(options.finTimeout ?? settings.tcpFinTimeout)
    case TCPOptionName.deferAccept:
      return SocketOptionValue.bytes(DeferAccept.seconds(retransmits: options.deferAcceptRetransmits))
    case TCPOptionName.windowClamp: return SocketOptionValue.bytes(options.windowClamp)
    case TCPOptionName.info: return TCPInfoBytes.bytes(of: try tcp.info(id, now: net.now))
    case TCPOptionName.quickAck: return SocketOptionValue.bytes(try tcp.quickAck(id))
    case TCPOptionName.congestion:
      let kind = options.congestionControl ?? settings.tcpCongestionControl
      // Linux: TCP_CA_NAME_MAX bytes, filled with zeros.
      let text = Array(kind.name.utf8)
      return text + [UInt8](repeating: 0, count: 16 - text.count)
    case TCPOptionName.userTimeout:
      return SocketOptionValue.bytes(Int(options.userTimeout?.milliseconds ?? 0))
    case TCPOptionName.notSentLowWater: return SocketOptionValue.bytes(options.notSentLowWater)
    default: throw .ENOPROTOOPT
    }
  }

  private static func seconds(_ span: Nanoseconds) -> [UInt8] {
    SocketOptionValue.bytes(Int(span.milliseconds / 1000))
  }

  // MARK: SOL_IP

  private func ipLevel(
    _ id: SocketID, _ name: Int32, _ options: TCPSocketOptions, _ extra: SocketExtras, net: borrowing Net
  ) throws(Errno) -> [UInt8] {
    switch name {
    case IPOptionName.typeOfService: return SocketOptionValue.bytes(Int(options.typeOfService))
    case IPOptionName.timeToLive:
      return Self.timeToLive(options.timeToLive, net: net)
    case IPOptionName.packetInfo: return SocketOptionValue.bytes(extra.packetInfo)
    case IPOptionName.mtuDiscover: return SocketOptionValue.bytes(Int(options.pathMTUDiscovery.rawValue))
    case IPOptionName.receiveErrors: return SocketOptionValue.bytes(options.receiveErrors)
    case IPOptionName.receiveTimeToLive: return SocketOptionValue.bytes(extra.receiveTimeToLive)
    case IPOptionName.receiveTypeOfService: return SocketOptionValue.bytes(extra.receiveTypeOfService)
    case IPOptionName.multicastTimeToLive: return SocketOptionValue.bytes(1)
    case IPOptionName.mtu:
      _ = try tcp.remoteAddress(id)
      return SocketOptionValue.bytes(try tcp.info(id, now: net.now).pathMTU)
    default: throw .ENOPROTOOPT
    }
  }

  private func ipLevel(
    _ id: SocketID, _ name: Int32, _ options: DatagramOptions, net: borrowing Net
  ) throws(Errno) -> [UInt8] {
    switch name {
    case IPOptionName.typeOfService: return SocketOptionValue.bytes(Int(options.typeOfService))
    case IPOptionName.timeToLive: return Self.timeToLive(options.timeToLive, net: net)
    case IPOptionName.multicastTimeToLive: return SocketOptionValue.bytes(Int(options.multicastTimeToLive))
    case IPOptionName.packetInfo: return SocketOptionValue.bytes(options.packetInfo)
    case IPOptionName.mtuDiscover: return SocketOptionValue.bytes(Int(options.pathMTUDiscovery.rawValue))
    case IPOptionName.receiveErrors: return SocketOptionValue.bytes(options.receiveErrors)
    case IPOptionName.receiveTimeToLive: return SocketOptionValue.bytes(options.receiveTimeToLive)
    case IPOptionName.receiveTypeOfService: return SocketOptionValue.bytes(options.receiveTypeOfService)
    case IPOptionName.mtu:
      return SocketOptionValue.bytes(id.kind == .udp ? try udp.pathMTU(id) : try ping.pathMTU(id))
    default: throw .ENOPROTOOPT
    }
  }

  private static func timeToLive(_ value: UInt8, net: borrowing Net) -> [UInt8] {
    SocketOptionValue.bytes(Int(value == 0 ? net.settings.defaultTimeToLive : value))
  }
}
