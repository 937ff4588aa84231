import IPv4
import Internet
import NetNamespace
import Wire

/// Names at `SocketOptionLevel.ip` that are about groups.
public enum GroupOptionName {
  public static let interface: Int32 = 32
  public static let timeToLive: Int32 = 33
  public static let loop: Int32 = 34
  public static let join: Int32 = 35
  public static let leave: Int32 = 36
  public static let unblockSource: Int32 = 37
  public static let blockSource: Int32 = 38
  public static let joinSource: Int32 = 39
  public static let leaveSource: Int32 = 40
  public static let filter: Int32 = 41
  public static let joinAny: Int32 = 42
  public static let blockSourceAny: Int32 = 43
  public static let unblockSourceAny: Int32 = 44
  public static let leaveAny: Int32 = 45
  public static let joinSourceAny: Int32 = 46
  public static let leaveSourceAny: Int32 = 47
  public static let filterAny: Int32 = 48
  public static let all: Int32 = 49
}

/// Linux: what `do_ip_setsockopt()` has for groups.
extension OptionTable {
  mutating func addGroupOptions() {
    add(
      GroupOptionName.interface, "IP_MULTICAST_IF", .groupInterface, takers: .datagram, refusal: .EINVAL,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          GroupRequest(group: .any, address: core.multicast.address, index: 0)
        }
      },
      set: { (request, id, layer, host) throws(Errno) in
        try layer.setMulticastInterface(id, request.address, index: request.index, &host)
      })
    // A stream is never sent to a group.
    add(
      GroupOptionName.timeToLive, "IP_MULTICAST_TTL", .multicastTimeToLive, takers: .datagram,
      refusal: .EINVAL,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in Int32(core.options.multicastTimeToLive) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in
          core.options.multicastTimeToLive = value == -1 ? 1 : UInt8(value)
        }
      })
    add(
      GroupOptionName.loop, "IP_MULTICAST_LOOP", .someIntOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.multicast.loop ? 1 : 0 }
      },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.multicast.loop = value != 0 }
      })
    add(
      GroupOptionName.all, "IP_MULTICAST_ALL", .someIntOrByte,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.multicast.all ? 1 : 0 }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard (0...1).contains(value) else { throw .EINVAL }
        try layer.withCore(id) { (core) throws(Errno) in core.multicast.all = value != 0 }
      })
    addMembership(GroupOptionName.join, "IP_ADD_MEMBERSHIP", .group, isJoin: true)
    addMembership(GroupOptionName.leave, "IP_DROP_MEMBERSHIP", .group, isJoin: false)
    addMembership(GroupOptionName.joinAny, "MCAST_JOIN_GROUP", .anyGroup, isJoin: true)
    addMembership(GroupOptionName.leaveAny, "MCAST_LEAVE_GROUP", .anyGroup, isJoin: false)
    addSource(GroupOptionName.unblockSource, "IP_UNBLOCK_SOURCE", .source(.unblock))
    addSource(GroupOptionName.blockSource, "IP_BLOCK_SOURCE", .source(.block))
    addSource(GroupOptionName.joinSource, "IP_ADD_SOURCE_MEMBERSHIP", .source(.join))
    addSource(GroupOptionName.leaveSource, "IP_DROP_SOURCE_MEMBERSHIP", .source(.leave))
    addSource(GroupOptionName.unblockSourceAny, "MCAST_UNBLOCK_SOURCE", .anySource(.unblock))
    addSource(GroupOptionName.blockSourceAny, "MCAST_BLOCK_SOURCE", .anySource(.block))
    addSource(GroupOptionName.joinSourceAny, "MCAST_JOIN_SOURCE_GROUP", .anySource(.join))
    addSource(GroupOptionName.leaveSourceAny, "MCAST_LEAVE_SOURCE_GROUP", .anySource(.leave))
    addFilter(GroupOptionName.filter, "IP_MSFILTER", .filter)
    addFilter(GroupOptionName.filterAny, "MCAST_MSFILTER", .anyFilter)
  }

  private mutating func addMembership(
    _ name: Int32, _ label: String, _ type: OptionType<GroupRequest>, isJoin: Bool
  ) {
    // The newer pair does not ask whether the socket is a stream.
    let isOld = name == GroupOptionName.join || name == GroupOptionName.leave
    add(
      name, label, type, takers: isOld ? .datagram : .all, refusal: .EPROTO, get: nil,
      set: { (group, id, layer, host) throws(Errno) in
        if isJoin { try layer.joinGroup(id, group, &host) } else { try layer.leaveGroup(id, group, &host) }
      })
  }

  private mutating func addSource(_ name: Int32, _ label: String, _ type: OptionType<SourceRequest>) {
    add(
      name, label, type, get: nil,
      set: { (source, id, layer, host) throws(Errno) in try layer.changeSource(id, source, &host) })
  }

  private mutating func addFilter(_ name: Int32, _ label: String, _ type: OptionType<FilterRequest>) {
    let isOld = name == GroupOptionName.filter
    add(
      SocketOption(
        name: name, label: label, takers: .all, refusal: .ENOPROTOOPT,
        // Which group is asked about stands in the caller's bytes, and none are brought along.
        read: { (_, _, _, _) throws(Errno) in throw .EINVAL },
        set: { (bytes, id, layer, host) throws(Errno) in
          try layer.setFilter(id, type.decode(bytes), &host)
        },
        answer: { (bytes, id, layer, host, room) throws(Errno) in
          let asked = try FilterRequest(asking: bytes, isOld: isOld)
          let value = try layer.filter(id, asked, isOld: isOld, &host).bytes(
            answering: asked, bytes, isOld: isOld)
          return value.count <= room ? value : Array(value[..<room])
        }))
  }
}

/// A source of a group, and what is wanted of it. Linux: `struct ip_mreq_source`, `struct group_source_req`.
struct SourceRequest: Sendable {
  enum Verb: Sendable {
    case block, unblock, join, leave
    var isExcluding: Bool { self == .block || self == .unblock }
    var isAdding: Bool { self == .block || self == .join }
  }
  var verb: Verb
  var group: GroupRequest
  var source: IPv4Address
}

/// All sources of a group. Linux: `struct ip_msfilter`, `struct group_filter`.
struct FilterRequest: Sendable {
  var group: GroupRequest
  /// 0: all but these; 1: only these. Linux: MCAST_EXCLUDE, MCAST_INCLUDE.
  var mode: UInt32
  /// How many sources it says that it has; whether its bytes have them.
  var count: Int
  var byteCount: Int
  var isWhole: Bool
  /// `nil`: an address of another family is among them.
  var sources: [IPv4Address]?
}

extension FilterRequest {
  /// What a reader has in its bytes: the group, and how many sources it has room for.
  ///
  /// - Throws: EINVAL for too few bytes or what is no group.
  fileprivate init(asking bytes: RawSpan, isOld: Bool) throws(Errno) {
    guard bytes.byteCount >= (isOld ? 16 : StorageLayout.second + 8) else { throw .EINVAL }
    let group = isOld ? bytes.loadIPv4(0) : StorageLayout.address(bytes, StorageLayout.first)
    guard let group, group.isMulticast else { throw .EINVAL }
    self.init(
      group: GroupRequest(
        group: group, address: isOld ? bytes.loadIPv4(4) : .any,
        index: isOld ? 0 : HostOrder.loadInt(bytes, 0)),
      mode: 0, count: Int(HostOrder.load32(bytes, isOld ? 12 : StorageLayout.second + 4)),
      byteCount: bytes.byteCount, isWhole: true, sources: nil)
  }
}

/// The filter of a group as it is read.
struct FilterAnswer {
  var mode: UInt32
  var sources: [IPv4Address]

  /// As many sources as the reader has room for, and how many there are. Linux: `ip_mc_msfget()`, `ip_mc_gsfget()`.
  fileprivate func bytes(answering asked: FilterRequest, _ head: RawSpan, isOld: Bool) -> [UInt8] {
    let shown = sources.prefix(asked.count)
    let start = isOld ? 8 : StorageLayout.second
    var bytes = (0..<start).map { head.load8($0) }
    bytes += SocketOptionValue.bytes(mode) + SocketOptionValue.bytes(UInt32(sources.count))
    for source in shown {
      let address = SocketOptionValue.bytes(source.rawValue.byteSwapped)
      if isOld {
        bytes += address
      } else {
        bytes += [UInt8(AddressFamily.inet.rawValue), 0, 0, 0] + address
        bytes += [UInt8](repeating: 0, count: StorageLayout.byteCount - 8)
      }
    }
    return bytes
  }
}

extension OptionType<GroupRequest> {
  /// `struct ip_mreq` or `ip_mreqn`.
  static let group = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= 8 else { throw .EINVAL }
      return GroupRequest(
        group: bytes.loadIPv4(0), address: bytes.loadIPv4(4),
        index: bytes.byteCount >= 12 ? HostOrder.loadInt(bytes, 8) : 0)
    },
    encode: { SocketOptionValue.bytes($0.group.rawValue.byteSwapped) })
}

/// A group, and the interface to join it on.
struct GroupRequest: Sendable {
  var group: IPv4Address
  /// One of the interface's addresses; any: it is not named by one.
  var address: IPv4Address
  /// The interface's index, which comes before its address; 0: it is not named by one.
  var index: Int32

  /// No interface is named.
  var isAnywhere: Bool { index == 0 && address.isAny }

  /// The interface that is named, or else the one that a route to the group leads over; `nil`: there is none.
  /// Linux: `ip_mc_find_dev()`.
  func interface(_ host: inout Host) -> InterfaceIndex? {
    if index != 0 {
      guard let index = UInt16(exactly: index) else { return nil }
      let interface = InterfaceIndex(rawValue: index)
      return host.link.devices.contains(interface) ? interface : nil
    }
    if address.isLoopback { return .loopback }
    if !address.isAny { return host.internet.addresses.first { $0.address == address }?.interface }
    return (try? host.route(to: group, from: nil))?.interface
  }
}

extension OptionType<GroupRequest> {
  /// `struct in_addr`, `ip_mreq` or `ip_mreqn`: who sends to groups.
  fileprivate static let groupInterface = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= 4 else { throw .EINVAL }
      return GroupRequest(
        group: .any, address: bytes.loadIPv4(bytes.byteCount >= 8 ? 4 : 0),
        index: bytes.byteCount >= 12 ? HostOrder.loadInt(bytes, 8) : 0)
    },
    encode: { SocketOptionValue.bytes($0.address.rawValue.byteSwapped) })

  /// `struct group_req`.
  fileprivate static let anyGroup = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= StorageLayout.second else { throw .EINVAL }
      guard let group = StorageLayout.address(bytes, StorageLayout.first) else { throw .EINVAL }
      return GroupRequest(group: group, address: .any, index: HostOrder.loadInt(bytes, 0))
    },
    encode: { SocketOptionValue.bytes($0.group.rawValue.byteSwapped) })
}

extension OptionType<SourceRequest> {
  /// `struct ip_mreq_source`.
  fileprivate static func source(_ verb: SourceRequest.Verb) -> OptionType {
    OptionType(
      decode: { (bytes) throws(Errno) in
        guard bytes.byteCount == 12 else { throw .EINVAL }
        return SourceRequest(
          verb: verb,
          group: GroupRequest(group: bytes.loadIPv4(0), address: bytes.loadIPv4(4), index: 0),
          source: bytes.loadIPv4(8))
      }, encode: { (_) in [] })
  }

  /// `struct group_source_req`.
  fileprivate static func anySource(_ verb: SourceRequest.Verb) -> OptionType {
    OptionType(
      decode: { (bytes) throws(Errno) in
        guard bytes.byteCount == StorageLayout.second + StorageLayout.byteCount else { throw .EINVAL }
        guard let group = StorageLayout.address(bytes, StorageLayout.first),
          let source = StorageLayout.address(bytes, StorageLayout.second)
        else { throw .EADDRNOTAVAIL }
        return SourceRequest(
          verb: verb, group: GroupRequest(group: group, address: .any, index: HostOrder.loadInt(bytes, 0)),
          source: source)
      }, encode: { (_) in [] })
  }
}

extension OptionType<FilterRequest> {
  /// `struct ip_msfilter`.
  fileprivate static let filter = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= 16 else { throw .EINVAL }
      let count = Int(HostOrder.load32(bytes, 12))
      let isWhole = 16 + 4 * count <= bytes.byteCount
      return FilterRequest(
        group: GroupRequest(group: bytes.loadIPv4(0), address: bytes.loadIPv4(4), index: 0),
        mode: HostOrder.load32(bytes, 8), count: count, byteCount: bytes.byteCount, isWhole: isWhole,
        sources: isWhole ? (0..<count).map { bytes.loadIPv4(16 + 4 * $0) } : [])
    }, encode: { (_) in [] })

  /// `struct group_filter`.
  fileprivate static let anyFilter = OptionType(
    decode: { (bytes) throws(Errno) in
      let first = StorageLayout.second + 8
      guard bytes.byteCount >= first else { throw .EINVAL }
      let count = Int(HostOrder.load32(bytes, StorageLayout.second + 4))
      let isWhole = first + StorageLayout.byteCount * count <= bytes.byteCount
      let group = StorageLayout.address(bytes, StorageLayout.first)
      var sources: [IPv4Address]? = group == nil ? nil : []
      for index in 0..<(isWhole ? count : 0) {
        let source = StorageLayout.address(bytes, first + StorageLayout.byteCount * index)
        guard let source else { sources = nil; break }
        sources?.append(source)
      }
      return FilterRequest(
        group: GroupRequest(group: group ?? .any, address: .any, index: HostOrder.loadInt(bytes, 0)),
        mode: HostOrder.load32(bytes, StorageLayout.second), count: count, byteCount: bytes.byteCount,
        isWhole: isWhole, sources: sources)
    }, encode: { (_) in [] })
}

/// Where the addresses lie behind an interface's index, and an address in a `struct sockaddr_storage`.
private enum StorageLayout {
  static let byteCount = 128
  static let first = 8
  static let second = first + byteCount

  /// `nil` for an address of another family.
  static func address(_ bytes: RawSpan, _ offset: Int) -> IPv4Address? {
    guard HostOrder.load16(bytes, offset) == AddressFamily.inet.rawValue else { return nil }
    return bytes.loadIPv4(offset + 4)
  }
}

extension OptionType<Int32> {
  /// As `intOrByte`; no bytes are EINVAL.
  fileprivate static let someIntOrByte = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= 1 else { throw .EINVAL }
      return try SocketOptionValue.intOrByte(bytes)
    },
    encode: intOrByte.encode)

  /// What is out of range is EINVAL, too.
  fileprivate static let multicastTimeToLive = OptionType(
    decode: { (bytes) throws(Errno) in
      let value = try someIntOrByte.decode(bytes)
      guard (-1...255).contains(value) else { throw .EINVAL }
      return value
    },
    encode: intOrByte.encode)
}
