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
  public static let unicastInterface: Int32 = 50
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
          core.options.typeOfService = type
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
    table.addReport(IPOptionName.receiveOptions, "IP_RECVOPTS", \.received)
    table.addReport(IPOptionName.returnOptions, "IP_RETOPTS", \.returned)
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
    table.addGroupOptions()
    table.add(
      IPOptionName.unicastInterface, "IP_UNICAST_IF", .networkOrderIndex,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.options.unicastInterface.rawValue) }
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
          core.options.unicastInterface = interface
        }
      })
    return table
  }()
}

extension OptionTable {
  fileprivate mutating func addReport(
    _ name: Int32, _ label: String, _ field: any WritableKeyPath<IPOptionReports, Bool> & Sendable
  ) {
    add(
      name, label, .flagOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.ipOptionReports[keyPath: field] }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.ipOptionReports[keyPath: field] = isOn }
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

extension OptionType<Int32> {
  /// An interface's index in network byte order, of four bytes and no other length.
  fileprivate static let networkOrderIndex = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount == 4 else { throw .EINVAL }
      return HostOrder.loadInt(bytes, 0).bigEndian
    },
    encode: { intOrByte.encode($0.bigEndian, $1) })
}
