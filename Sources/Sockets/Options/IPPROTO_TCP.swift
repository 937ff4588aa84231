import Internet
import NetNamespace
import TCP
import Timers

/// Names at `SocketOptionLevel.tcp`.
public enum TCPOptionName {
  public static let noDelay: Int32 = 1
  public static let maximumSegment: Int32 = 2
  public static let cork: Int32 = 3
  public static let keepIdle: Int32 = 4
  public static let keepInterval: Int32 = 5
  public static let keepCount: Int32 = 6
  public static let synCount: Int32 = 7
  public static let linger2: Int32 = 8
  public static let deferAccept: Int32 = 9
  public static let windowClamp: Int32 = 10
  public static let info: Int32 = 11
  public static let quickAck: Int32 = 12
  public static let congestion: Int32 = 13
  public static let signatureKey: Int32 = 14
  public static let userTimeout: Int32 = 18
  public static let repair: Int32 = 19
  public static let repairQueue: Int32 = 20
  public static let queueSequence: Int32 = 21
  public static let repairOptions: Int32 = 22
  public static let fastOpen: Int32 = 23
  public static let timestamp: Int32 = 24
  public static let notSentLowWater: Int32 = 25
  public static let congestionInfo: Int32 = 26
  public static let repairWindow: Int32 = 29
  public static let fastOpenConnect: Int32 = 30
  public static let signatureKeyForPrefix: Int32 = 32
  public static let authenticationAddKey: Int32 = 38
  public static let authenticationDeleteKey: Int32 = 39
  public static let authenticationInfo: Int32 = 40
  public static let authenticationKeys: Int32 = 41
  public static let authenticationRepair: Int32 = 42
  public static let fastOpenKey: Int32 = 33
  public static let fastOpenNoCookie: Int32 = 34
  public static let transmitDelay: Int32 = 37
  public static let thinLinearTimeouts: Int32 = 16
  public static let thinDuplicateAck: Int32 = 17
  public static let saveSyn: Int32 = 27
  public static let savedSyn: Int32 = 28
  public static let upperLayerProtocol: Int32 = 31
  public static let unreadByteCount: Int32 = 36
  public static let isMultipath: Int32 = 43
  public static let greatestTimeout: Int32 = 44
  public static let leastTimeout: Int32 = 45
  public static let greatestAckDelay: Int32 = 46
}

/// Linux: `do_tcp_setsockopt()`, `do_tcp_getsockopt()`.
extension OptionTable {
  static let tcpLevel: OptionTable = {
    var table = OptionTable(level: SocketOptionLevel.tcp, kinds: .tcp, takesInts: true)
    table.add(
      TCPOptionName.noDelay, "TCP_NODELAY", .flag,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.options(id).noDelay },
      set: { (isOn, id, layer, host) throws(Errno) in try layer.tcp.setNoDelay(id, isOn, host: &host) })
    table.add(
      TCPOptionName.maximumSegment, "TCP_MAXSEG", .int,
      get: { (id, layer, host) throws(Errno) in
        let info = try layer.tcp.info(id, now: host.net.now)
        // Without a connection what was asked for; else that of the connection, also one that has ended, or the default.
        let isOpen = info.state != .close && info.state != .listen
        let asked = isOpen ? nil : try layer.tcp.options(id).maximumSegment
        return Int32(clamping: asked ?? info.sendMSS)
      },
      set: { (size, id, layer, _) throws(Errno) in
        // Linux: TCP_MIN_MSS, MAX_TCP_WINDOW; 0 takes the limit away.
        guard size == 0 || (88...32767).contains(size) else { throw .EINVAL }
        try layer.tcp.withOptions(id) { (options) throws(Errno) in
          options.maximumSegment = size == 0 ? nil : Int(size)
        }
      })
    table.add(
      TCPOptionName.cork, "TCP_CORK", .flag,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.options(id).cork },
      set: { (isOn, id, layer, host) throws(Errno) in try layer.tcp.setCork(id, isOn, host: &host) })
    table.add(
      TCPOptionName.keepIdle, "TCP_KEEPIDLE", .seconds(1...32767),
      get: { (id, layer, host) throws(Errno) in
        try layer.tcp.options(id).keepAliveIdle ?? host.net.settings.tcpKeepaliveTime
      },
      set: { (time, id, layer, host) throws(Errno) in
        try layer.tcp.setKeepAliveIdle(id, time, net: &host.net)
      })
    table.add(
      TCPOptionName.keepInterval, "TCP_KEEPINTVL", .seconds(1...32767),
      get: { (id, layer, host) throws(Errno) in
        try layer.tcp.options(id).keepAliveInterval ?? host.net.settings.tcpKeepaliveInterval
      },
      set: { (time, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in options.keepAliveInterval = time }
      })
    table.add(
      TCPOptionName.keepCount, "TCP_KEEPCNT", .count(1...127),
      get: { (id, layer, host) throws(Errno) in
        try layer.tcp.options(id).keepAliveCount ?? host.net.settings.tcpKeepaliveProbes
      },
      set: { (count, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in options.keepAliveCount = count }
      })
    table.add(
      TCPOptionName.synCount, "TCP_SYNCNT", .count(1...127),
      get: { (id, layer, host) throws(Errno) in
        try layer.tcp.options(id).synCount ?? host.net.settings.tcpSynRetries
      },
      set: { (count, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in options.synCount = count }
      })
    table.add(
      TCPOptionName.linger2, "TCP_LINGER2", .int,
      get: { (id, layer, host) throws(Errno) in
        let timeout = try layer.tcp.options(id).finTimeout ?? host.net.settings.tcpFinTimeout
        return timeout < .zero ? -1 : Int32(clamping: timeout.milliseconds / 1000)
      },
      set: { (seconds, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in
          // Linux: TCP_FIN_TIMEOUT_MAX; 0 means the system's.
          options.finTimeout =
            seconds < 0 ? .seconds(-1) : seconds == 0 ? nil : .seconds(Int64(min(seconds, 120)))
        }
      })
    table.add(
      TCPOptionName.deferAccept, "TCP_DEFER_ACCEPT", .int,
      get: { (id, layer, _) throws(Errno) in
        Int32(clamping: DeferAccept.seconds(retransmits: try layer.tcp.options(id).deferAcceptRetransmits))
      },
      set: { (seconds, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in
          options.deferAcceptRetransmits = DeferAccept.retransmits(seconds: seconds)
        }
      })
    table.add(
      TCPOptionName.windowClamp, "TCP_WINDOW_CLAMP", .int,
      get: { (id, layer, _) throws(Errno) in Int32(clamping: try layer.tcp.windowClamp(id)) },
      set: { (clamp, id, layer, _) throws(Errno) in
        let least = SocketOptionValue.leastReceiveBuffer / 2
        try layer.tcp.setWindowClamp(id, clamp == 0 ? 0 : max(Int(clamp), least))
      })
    table.add(
      TCPOptionName.info, "TCP_INFO", .bytes,
      get: { (id, layer, host) throws(Errno) in
        TCPInfoBytes.bytes(of: try layer.tcp.info(id, now: host.net.now))
      })
    table.add(
      TCPOptionName.quickAck, "TCP_QUICKACK", .int,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.quickAck(id) ? 1 : 0 },
      set: { (value, id, layer, host) throws(Errno) in try layer.tcp.setQuickAck(id, value, host: &host) })
    table.add(
      TCPOptionName.congestion, "TCP_CONGESTION", .name, isName: true,
      get: { (id, layer, host) throws(Errno) in
        let kind = try layer.tcp.options(id).congestionControl ?? host.net.settings.tcpCongestionControl
        return Array(kind.name.utf8)
      },
      set: { (name, id, layer, host) throws(Errno) in
        let wanted = CongestionControlKind.allCases.first { Array($0.name.utf8) == name }
        // ENOENT: no such algorithm.
        guard let wanted else { throw Errno(rawValue: 2) }
        try layer.tcp.setCongestionControl(id, wanted, net: host.net)
      })
    table.add(
      TCPOptionName.congestionInfo, "TCP_CC_INFO", .bytes,
      get: { (id, layer, _) throws(Errno) in
        try layer.tcp.congestionInfo(id).flatMap { SocketOptionValue.bytes($0) }
      })
    table.add(
      TCPOptionName.userTimeout, "TCP_USER_TIMEOUT", .int,
      get: { (id, layer, _) throws(Errno) in
        Int32(clamping: try layer.tcp.options(id).userTimeout?.milliseconds ?? 0)
      },
      set: { (milliseconds, id, layer, _) throws(Errno) in
        guard milliseconds >= 0 else { throw .EINVAL }
        try layer.tcp.withOptions(id) { (options) throws(Errno) in
          options.userTimeout = milliseconds == 0 ? nil : .milliseconds(Int64(milliseconds))
        }
      })
    table.add(
      TCPOptionName.notSentLowWater, "TCP_NOTSENT_LOWAT", .int,
      get: { (id, layer, _) throws(Errno) in
        Int32(truncatingIfNeeded: try layer.tcp.options(id).notSentLowWater)
      },
      set: { (value, id, layer, host) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in
          options.notSentLowWater = Int(UInt32(bitPattern: value))
        }
        // A writer who waits may go on.
        host.net.wake(id, isForRoom: true)
      })
    table.add(
      TCPOptionName.transmitDelay, "TCP_TX_DELAY", .int,
      get: { (id, layer, _) throws(Errno) in
        Int32(truncatingIfNeeded: try layer.tcp.options(id).transmitDelay)
      },
      set: { (microseconds, id, layer, _) throws(Errno) in
        // What the smoothed round trip holds, which is kept times eight.
        guard (0..<1 << 28).contains(microseconds) else { throw .EINVAL }
        try layer.tcp.setTransmitDelay(id, microseconds: UInt32(microseconds))
      })
    table.addTiming()
    table.addReceiving()
    table.addFastOpen()
    table.addSignatures()
    table.addAuthentication()
    table.addRepair()
    return table
  }()
}

extension OptionType<Int> {
  /// An `int` inside a range; EINVAL outside.
  static func count(_ range: ClosedRange<Int32>) -> OptionType {
    OptionType(
      decode: { (bytes) throws(Errno) in try SocketOptionValue.int(bytes, in: range) },
      encode: { SocketOptionValue.bytes($0) })
  }
}

extension OptionType<Nanoseconds> {
  /// Whole seconds inside a range; EINVAL outside.
  fileprivate static func seconds(_ range: ClosedRange<Int32>) -> OptionType {
    OptionType(
      decode: { (bytes) throws(Errno) in .seconds(Int64(try SocketOptionValue.int(bytes, in: range))) },
      encode: { SocketOptionValue.bytes(Int($0.milliseconds / 1000)) })
  }
}
