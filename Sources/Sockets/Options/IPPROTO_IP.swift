import IPv4
import InetSocket
import NetNamespace
import Wire

/// Names at `SocketOptionLevel.ip`.
public enum IPOptionName {
  public static let typeOfService: Int32 = 1
  public static let timeToLive: Int32 = 2
  public static let options: Int32 = 4
  public static let receiveOptions: Int32 = 6
  public static let returnOptions: Int32 = 7
  public static let packetInfo: Int32 = 8
  public static let mtuDiscover: Int32 = 10
  public static let receiveErrors: Int32 = 11
  public static let receiveTimeToLive: Int32 = 12
  public static let receiveTypeOfService: Int32 = 13
  public static let mtu: Int32 = 14
  public static let freeBind: Int32 = 15
  public static let receiveOriginalDestination: Int32 = 20
  public static let minimumTimeToLive: Int32 = 21
  public static let bindAddressNoPort: Int32 = 24
  public static let receiveFragmentSize: Int32 = 25
  public static let unicastInterface: Int32 = 50
  public static let localPortRange: Int32 = 51
}

/// Linux: `do_ip_setsockopt()`, `do_ip_getsockopt()`.
extension OptionTable {
  static let ipLevel: OptionTable = {
    var table = OptionTable(level: SocketOptionLevel.ip, kinds: .all, takesInts: false)
    table.add(
      IPOptionName.typeOfService, "IP_TOS", .intOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.options.typeOfService) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          var type = UInt8(truncatingIfNeeded: value)
          // The ECN bits are TCP's own. Linux: __ip_sock_set_tos().
          if id.kind == .tcp { type = type & ~3 | core.options.typeOfService & 3 }
          guard type != core.options.typeOfService else { return }
          core.options.typeOfService = type
          // Linux: `sk_dst_reset()`. A connection keeps its way.
          if id.kind != .tcp { core.route = nil }
          core.options.priority = TypeOfServicePriority.priority(of: type)
        }
      })
    table.add(
      IPOptionName.timeToLive, "IP_TTL", .intOrByte,
      get: { (id, layer, host) throws(Errno) in
        let value = try layer.withCore(id) { (core) throws(Errno) in core.options.timeToLive }
        return Int32(value == 0 ? host.net.settings.defaultTimeToLive : value)
      },
      set: { (value, id, layer, _) throws(Errno) in
        // -1 asks for the default.
        guard value == -1 || (1...255).contains(value) else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in
          core.options.timeToLive = value == -1 ? 0 : UInt8(value)
        }
      })
    table.add(.ipOptions)
    table.addReport(IPOptionName.receiveOptions, "IP_RECVOPTS", .flagOrByte, \.receivedOptions)
    table.addReport(IPOptionName.returnOptions, "IP_RETOPTS", .flagOrByte, \.returnedOptions)
    table.keep(IPOptionName.packetInfo, "IP_PKTINFO", .flagOrByte, \.packetInfo)
    table.add(
      IPOptionName.mtuDiscover, "IP_MTU_DISCOVER", .intOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.options.pathMTUDiscovery.rawValue) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard let byte = UInt8(exactly: value),
          let discovery = IPv4SendOptions.PathMTUDiscovery(rawValue: byte)
        else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in core.options.pathMTUDiscovery = discovery }
      })
    table.add(
      IPOptionName.receiveErrors, "IP_RECVERR", .flagOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options.receiveErrors }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          core.options.receiveErrors = isOn
          if !isOn { core.purgeErrorQueue() }
        }
      })
    table.keep(IPOptionName.receiveTimeToLive, "IP_RECVTTL", .flagOrByte, \.receiveTimeToLive)
    table.keep(IPOptionName.receiveTypeOfService, "IP_RECVTOS", .flagOrByte, \.receiveTypeOfService)
    table.add(
      IPOptionName.mtu, "IP_MTU", .intOrByte,
      get: { (id, layer, host) throws(Errno) in
        Int32(clamping: try layer.operations(id).pathMTU(id, &layer, net: host.net))
      })
    table.addBindingOptions()
    table.add(
      IPOptionName.minimumTimeToLive, "IP_MINTTL", .filledIntOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.options.minimumTimeToLive) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard let value = UInt8(exactly: value) else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in core.options.minimumTimeToLive = value }
      })
    table.addReport(
      IPOptionName.receiveOriginalDestination, "IP_ORIGDSTADDR", .flagOrByte, \.originalDestination)
    table.addReport(
      IPOptionName.receiveFragmentSize, "IP_RECVFRAGSIZE", .flagOrByte, \.fragmentSize, takers: .datagram,
      refusal: .EINVAL)
    table.addGroupOptions()
    table.add(
      IPOptionName.unicastInterface, "IP_UNICAST_IF", .networkOrderIndex,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.bindingOptions.unicastInterface.rawValue)
        }
      },
      set: { (value, id, layer, host) throws(Errno) in
        var interface = InterfaceIndex.none
        if value != 0 {
          guard let index = UInt16(exactly: value) else { throw .EADDRNOTAVAIL }
          interface = InterfaceIndex(rawValue: index)
          guard host.link.devices.contains(interface) else { throw .EADDRNOTAVAIL }
        }
        try layer.withCore(id) { (core) throws(Errno) in
          // A socket that is bound to a device sends by that.
          guard interface == .none || core.options.boundIndex == 0 else { throw .EINVAL }
          core.bindingOptions.unicastInterface = interface
        }
      })
    return table
  }()
}

extension OptionTable {
  mutating func addReport(
    _ name: Int32, _ label: String, _ type: OptionType<Bool>,
    _ field: any WritableKeyPath<MessageReports, Bool> & Sendable, takers: SocketKinds = .all,
    refusal: Errno = .ENOPROTOOPT
  ) {
    add(
      name, label, type, takers: takers, refusal: refusal,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.messageReports[keyPath: field] }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.messageReports[keyPath: field] = isOn }
      })
  }

  private mutating func addBinding(
    _ name: Int32, _ label: String, _ type: OptionType<Bool>,
    _ field: any WritableKeyPath<BindingOptions, Bool> & Sendable
  ) {
    add(
      name, label, type,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.bindingOptions[keyPath: field] }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.bindingOptions[keyPath: field] = isOn }
      })
  }

  /// What `bind()` may take, and what it chooses from.
  fileprivate mutating func addBindingOptions() {
    addBinding(IPOptionName.freeBind, "IP_FREEBIND", .filledFlagOrByte, \.freeBind)
    addBinding(IPOptionName.bindAddressNoPort, "IP_BIND_ADDRESS_NO_PORT", .flagOrByte, \.addressAlone)
    add(
      IPOptionName.localPortRange, "IP_LOCAL_PORT_RANGE", .portRange,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          UInt32(core.bindingOptions.lowestPort) | UInt32(core.bindingOptions.highestPort) << 16
        }
      },
      set: { (value, id, layer, _) throws(Errno) in
        let (low, high) = (UInt16(truncatingIfNeeded: value), UInt16(truncatingIfNeeded: value >> 16))
        guard low == 0 || high == 0 || low <= high else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in
          core.bindingOptions.lowestPort = low
          core.bindingOptions.highestPort = high
        }
      })
  }
}

extension SocketOption {
  /// As a list of bytes; an empty one takes them away.
  fileprivate static let ipOptions = SocketOption(
    name: IPOptionName.options, label: "IP_OPTIONS", takers: .all, refusal: .ENOPROTOOPT,
    read: { (id, layer, _, _) throws(Errno) in
      try layer.withCore(id) { (core) throws(Errno) in core.ipOptions?.given ?? [] }
    },
    set: { (bytes, id, layer, host) throws(Errno) in
      let list = try IPv4OptionList(
        sending: bytes, isPrivileged: layer.privileges.contains(.netRaw),
        isElsewhere: { host.internet.isElsewhere($0) })
      let given = IPv4Options.padded(bytes)
      let options = given.isEmpty ? nil : SocketIPOptions(given, list)
      if id.kind == .tcp { return try layer.tcp.setIPOptions(id, options) }
      try layer.withCore(id) { (core) throws(Errno) in
        core.ipOptions = options
        core.route = nil
      }
    },
    isName: true)
}

extension OptionType<Bool> {
  /// A flag that has a byte at least.
  fileprivate static let filledFlagOrByte = OptionType(
    decode: { (bytes) throws(Errno) in try OptionType<Int32>.filledIntOrByte.decode(bytes) != 0 },
    encode: flagOrByte.encode)
}

extension OptionType<Int32> {
  /// An `int`, or one byte; not nothing at all, which counts as 0 elsewhere.
  fileprivate static let filledIntOrByte = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount > 0 else { throw .EINVAL }
      return try SocketOptionValue.intOrByte(bytes)
    },
    encode: intOrByte.encode)

  /// An interface's index in network byte order, of four bytes and no other length.
  fileprivate static let networkOrderIndex = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount == 4 else { throw .EINVAL }
      return HostOrder.loadInt(bytes, 0).bigEndian
    },
    encode: { intOrByte.encode($0.bigEndian, $1) })
}

extension OptionType<UInt32> {
  /// The first port in the lower half, the last in the upper one, of four bytes and no other length.
  fileprivate static let portRange = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount == 4 else { throw .EINVAL }
      return HostOrder.load32(bytes, 0)
    },
    encode: { OptionType<Int32>.intOrByte.encode(Int32(bitPattern: $0), $1) })
}
