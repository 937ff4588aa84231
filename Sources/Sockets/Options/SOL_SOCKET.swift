import InetSocket
import Internet
import NetNamespace
import TCP

/// Names at `SocketOptionLevel.socket`.
public enum SocketOptionName {
  public static let debug: Int32 = 1
  public static let reuseAddress: Int32 = 2
  public static let type: Int32 = 3
  public static let error: Int32 = 4
  public static let dontRoute: Int32 = 5
  public static let broadcast: Int32 = 6
  public static let sendBuffer: Int32 = 7
  public static let receiveBuffer: Int32 = 8
  public static let keepAlive: Int32 = 9
  public static let outOfBandInline: Int32 = 10
  public static let noCheck: Int32 = 11
  public static let priority: Int32 = 12
  public static let linger: Int32 = 13
  public static let reusePort: Int32 = 15
  public static let receiveLowWater: Int32 = 18
  public static let sendLowWater: Int32 = 19
  public static let receiveTimeoutOld: Int32 = 20
  public static let sendTimeoutOld: Int32 = 21
  public static let bindToDevice: Int32 = 25
  public static let peerName: Int32 = 28
  public static let acceptConnections: Int32 = 30
  public static let sendBufferForce: Int32 = 32
  public static let receiveBufferForce: Int32 = 33
  public static let mark: Int32 = 36
  public static let `protocol`: Int32 = 38
  public static let domain: Int32 = 39
  public static let receiveOverflow: Int32 = 40
  public static let peekOffset: Int32 = 42
  public static let selectErrorQueue: Int32 = 45
  public static let maximumPacingRate: Int32 = 47
  public static let memoryInfo: Int32 = 55
  public static let zeroCopy: Int32 = 60
  public static let bindToInterface: Int32 = 62
  public static let timestamp: Int32 = 29
  public static let timestampNanoseconds: Int32 = 35
  public static let timestamping: Int32 = 37
  public static let transmitTime: Int32 = 61
  public static let timestampNew: Int32 = 63
  public static let timestampNanosecondsNew: Int32 = 64
  public static let timestampingNew: Int32 = 65
  public static let receiveTimeoutNew: Int32 = 66
  public static let sendTimeoutNew: Int32 = 67
  public static let bufferLock: Int32 = 72
  public static let receiveMark: Int32 = 75
}

/// Linux: `sk_setsockopt()`, `sk_getsockopt()`.
extension OptionTable {
  static let socketLevel: OptionTable = {
    var table = OptionTable(level: SocketOptionLevel.socket, kinds: .all, takesInts: true)
    table.keep(SocketOptionName.debug, "SO_DEBUG", .flag, \.debug)
    table.addReuse(SocketOptionName.reuseAddress, "SO_REUSEADDR", \.reuseAddress)
    table.addReuse(SocketOptionName.reusePort, "SO_REUSEPORT", \.reusePort)
    table.add(
      SocketOptionName.type, "SO_TYPE", .int,
      get: { (id, layer, _) throws(Errno) in try layer.operations(id).type.rawValue })
    table.add(
      SocketOptionName.error, "SO_ERROR", .int,
      get: { (id, layer, _) throws(Errno) in layer.takeError(id)?.rawValue ?? 0 })
    table.keep(SocketOptionName.dontRoute, "SO_DONTROUTE", .flag, \.dontRoute)
    table.keep(SocketOptionName.broadcast, "SO_BROADCAST", .flag, \.broadcast)
    table.addSendBuffer(SocketOptionName.sendBuffer, "SO_SNDBUF", isForced: false)
    table.addSendBuffer(SocketOptionName.sendBufferForce, "SO_SNDBUFFORCE", isForced: true)
    table.addReceiveBuffer(SocketOptionName.receiveBuffer, "SO_RCVBUF", isForced: false)
    table.addReceiveBuffer(SocketOptionName.receiveBufferForce, "SO_RCVBUFFORCE", isForced: true)
    table.add(
      SocketOptionName.keepAlive, "SO_KEEPALIVE", .flag,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options.keepAlive }
      },
      set: { (isOn, id, layer, host) throws(Errno) in
        let wasOn = try layer.withCore(id) { (core) throws(Errno) in
          let wasOn = core.options.keepAlive
          core.options.keepAlive = isOn
          return wasOn
        }
        if isOn != wasOn && id.kind == .tcp { try layer.tcp.keepAliveChanged(id, net: &host.net) }
      })
    table.keep(SocketOptionName.outOfBandInline, "SO_OOBINLINE", .flag, \.outOfBandInline)
    table.keep(SocketOptionName.noCheck, "SO_NO_CHECK", .flag, \.noChecksum)
    table.add(
      SocketOptionName.priority, "SO_PRIORITY", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(bitPattern: core.options.priority) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard layer.privileges.maySetPriority(UInt32(bitPattern: value)) else { throw .EPERM }
        try layer.withCore(id) { (core) throws(Errno) in core.options.priority = UInt32(bitPattern: value) }
      })
    table.add(
      SocketOptionName.linger, "SO_LINGER", .linger,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          SocketLinger(isOn: core.options.isLingering, seconds: core.options.lingerSeconds)
        }
      },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          core.options.isLingering = value.isOn
          if value.isOn { core.options.lingerSeconds = value.seconds }
        }
      })
    table.add(
      SocketOptionName.receiveLowWater, "SO_RCVLOWAT", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.options.receiveLowWater) }
      },
      set: { (value, id, layer, host) throws(Errno) in
        // At least 1; below zero is as much as can be.
        let count = value < 0 ? Int(Int32.max) : max(1, Int(value))
        if id.kind == .tcp {
          return try layer.tcp.setReceiveLowWater(id, count, net: &host.net)
        }
        try layer.withCore(id) { (core) throws(Errno) in core.options.receiveLowWater = count }
      })
    table.add(
      SocketOptionName.sendLowWater, "SO_SNDLOWAT", .flag, get: { (_, _, _) throws(Errno) in true })
    table.keep(SocketOptionName.receiveTimeoutOld, "SO_RCVTIMEO", .timeval, \.receiveTimeout)
    table.keep(SocketOptionName.receiveTimeoutNew, "SO_RCVTIMEO_NEW", .timeval, \.receiveTimeout)
    table.keep(SocketOptionName.sendTimeoutOld, "SO_SNDTIMEO", .timeval, \.sendTimeout)
    table.keep(SocketOptionName.sendTimeoutNew, "SO_SNDTIMEO_NEW", .timeval, \.sendTimeout)
    table.add(
      SocketOptionName.acceptConnections, "SO_ACCEPTCONN", .flag,
      get: { (id, layer, host) throws(Errno) in layer.tcpInfo(id, now: host.net.now)?.state == .listen })
    table.add(
      SocketOptionName.mark, "SO_MARK", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(bitPattern: core.options.mark) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard layer.privileges.mayMark else { throw .EPERM }
        try layer.withCore(id) { (core) throws(Errno) in
          // Rules about routing tables may ask for it.
          if core.options.mark != UInt32(bitPattern: value) { core.route = nil }
          core.options.mark = UInt32(bitPattern: value)
        }
      })
    table.add(
      SocketOptionName.protocol, "SO_PROTOCOL", .int,
      get: { (id, layer, _) throws(Errno) in Int32(try layer.operations(id).number.rawValue) })
    table.add(
      SocketOptionName.domain, "SO_DOMAIN", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.family.rawValue) }
      })
    table.add(.bindToDevice)
    table.add(
      SocketOptionName.bindToInterface, "SO_BINDTOIFINDEX", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options.boundIndex }
      },
      set: { (index, id, layer, _) throws(Errno) in try layer.bind(id, toDevice: index) })
    table.add(
      SocketOptionName.zeroCopy, "SO_ZEROCOPY", .int, takers: [.tcp, .udp], refusal: .EOPNOTSUPP,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options.zeroCopy ? 1 : 0 }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard value == 0 || value == 1 else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in core.options.zeroCopy = value == 1 }
      })
    table.add(
      SocketOptionName.memoryInfo, "SO_MEMINFO", .bytes,
      get: { (id, layer, host) throws(Errno) in try layer.memoryInfo(id, now: host.net.now) })
    table.add(
      SocketOptionName.maximumPacingRate, "SO_MAX_PACING_RATE", .rate,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options.maximumPacingRate }
      },
      set: { (rate, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options.maximumPacingRate = rate }
        if id.kind == .tcp { try layer.tcp.maximumPacingRateChanged(id) }
      })
    table.addTimestamps()
    table.addReport(SocketOptionName.receiveOverflow, "SO_RXQ_OVFL", .flag, \.drops)
    table.add(
      SocketOptionName.receiveMark, "SO_RCVMARK", .flag,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.messageReports.mark }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        guard layer.privileges.mayMark else { throw .EPERM }
        try layer.withCore(id) { (core) throws(Errno) in core.messageReports.mark = isOn }
      })
    table.add(
      SocketOptionName.peekOffset, "SO_PEEK_OFF", .int, takers: [.tcp, .udp, .udpLite], refusal: .EOPNOTSUPP,
      get: { (id, layer, _) throws(Errno) in
        // Linux: inet_sockraw_ops has no set_peek_off().
        if id.kind == .ping { throw .EOPNOTSUPP }
        return try layer.withCore(id) { (core) throws(Errno) in core.peekOffset }
      },
      set: { (offset, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.peekOffset = offset }
      })
    table.addReport(SocketOptionName.selectErrorQueue, "SO_SELECT_ERR_QUEUE", .flag, \.urgentErrors)
    table.add(
      SocketOptionName.bufferLock, "SO_BUF_LOCK", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          (core.isSendBufferFixed ? 1 : 0) | (core.isReceiveBufferFixed ? 2 : 0)
        }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard (0...3).contains(value) else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in
          core.isSendBufferFixed = value & 1 != 0
          core.isReceiveBufferFixed = value & 2 != 0
        }
      })
    table.add(.peerName)
    return table
  }()

  private mutating func addReuse(
    _ name: Int32, _ label: String, _ field: any WritableKeyPath<SocketOptions, Bool> & Sendable
  ) {
    add(
      name, label, .flag,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options[keyPath: field] }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options[keyPath: field] = isOn }
        try layer.operations(id).bindingChanged(id, &layer)
      })
  }

  private mutating func addSendBuffer(_ name: Int32, _ label: String, isForced: Bool) {
    add(
      name, label, .int,
      get: isForced ? nil : sendBufferSize,
      set: { (value, id, layer, host) throws(Errno) in
        if isForced && !layer.privileges.contains(.netAdmin) { throw .EPERM }
        let size = SocketOptionValue.buffer(
          value, isForced: isForced, maximum: host.net.settings.maximumWriteMemory,
          least: SocketOptionValue.leastSendBuffer)
        try layer.withCore(id) { (core) throws(Errno) in
          core.sendBuffer = size
          core.isSendBufferFixed = true
        }
        // A writer who waits may go on. Linux: `sk_write_space()` in `sk_setsockopt()`.
        host.net.wake(id, isForRoom: true)
      })
  }

  private mutating func addReceiveBuffer(_ name: Int32, _ label: String, isForced: Bool) {
    add(
      name, label, .int,
      get: isForced ? nil : receiveBufferSize,
      set: { (value, id, layer, host) throws(Errno) in
        if isForced && !layer.privileges.contains(.netAdmin) { throw .EPERM }
        let size = SocketOptionValue.buffer(
          value, isForced: isForced, maximum: host.net.settings.maximumReadMemory,
          least: SocketOptionValue.leastReceiveBuffer)
        try layer.withCore(id) { (core) throws(Errno) in
          core.receiveBuffer = size
          core.isReceiveBufferFixed = true
        }
      })
  }
}

extension SocketOption {
  /// `getpeername()` as an option, also of a connection that has ended or is on its way; all of its 16 bytes or nothing. Linux: `sk_getsockopt()`.
  fileprivate static let peerName = SocketOption(
    name: SocketOptionName.peerName, label: "SO_PEERNAME", takers: .all, refusal: .ENOPROTOOPT,
    read: { (id, layer, _, room) throws(Errno) in
      // Whether it is connected is not asked: an end that was there is told. Linux: `inet_getname()`.
      let peer = try layer.withCore(id) { (core) throws(Errno) in core.tuple.remote }
      guard peer.port != 0 else { throw .ENOTCONN }
      guard room <= SocketName.byteCount else { throw .EINVAL }
      return SocketName.bytes(peer)
    },
    set: nil)

  /// A device by its name; none unbinds. Linux: `sock_setbindtodevice()`, `sock_getbindtodevice()`.
  fileprivate static let bindToDevice = SocketOption(
    name: SocketOptionName.bindToDevice, label: "SO_BINDTODEVICE", takers: .all, refusal: .ENOPROTOOPT,
    read: { (id, layer, host, room) throws(Errno) in
      let device = try layer.withCore(id) { (core) throws(Errno) in core.options.boundDevice }
      if device == .none { return [] }
      // Linux: IFNAMSIZ.
      guard room >= 16 else { throw .EINVAL }
      guard host.link.devices.contains(device) else { throw .ENODEV }
      return Array(host.link.devices[device].name.utf8) + [0]
    },
    set: { (bytes, id, layer, host) throws(Errno) in
      let name = (0..<min(bytes.byteCount, 15)).map { bytes.load8($0) }.prefix { $0 != 0 }
      if name.isEmpty { return try layer.bind(id, toDevice: 0) }
      let device = host.link.devices.indices.first { host.link.devices[$0].name.utf8.elementsEqual(name) }
      guard let device else { throw .ENODEV }
      try layer.bind(id, toDevice: Int32(device.rawValue))
    },
    isName: true)
}

extension SocketLayer {
  /// Whoever has no device yet may take one; to change or leave it needs the privilege. Linux: `sock_bindtoindex_locked()`.
  fileprivate mutating func bind(_ id: SocketID, toDevice index: Int32) throws(Errno) {
    let isPrivileged = privileges.contains(.netRaw)
    try withCore(id) { (core) throws(Errno) in
      guard core.options.boundIndex == 0 || isPrivileged else { throw .EPERM }
      guard index >= 0 else { throw .EINVAL }
      core.options.boundIndex = index
      core.route = nil
    }
    try operations(id).bindingChanged(id, &self)
  }
}

/// What `SO_SNDBUF` and `SO_RCVBUF` read.
private let sendBufferSize: @Sendable (SocketID, inout SocketLayer, borrowing Host) throws(Errno) -> Int32 = {
  (id, layer, _) throws(Errno) in
  Int32(clamping: try layer.withCore(id) { (core) throws(Errno) in core.sendBuffer })
}
private let receiveBufferSize:
  @Sendable (SocketID, inout SocketLayer, borrowing Host) throws(Errno) -> Int32 =
    {
      (id, layer, _) throws(Errno) in
      Int32(clamping: try layer.withCore(id) { (core) throws(Errno) in core.receiveBuffer })
    }
