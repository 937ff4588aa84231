import IPv4
import InetSocket
import NetNamespace
import UDP
import Wire

/// Control messages as bytes, laid out as on 64-bit Linux: `struct cmsghdr`, data, padding to 8.
/// ```
///  | length with header (8) | level (4) | type (4) | data ... |
/// ```
public enum ControlMessages {
  static let headerByteCount = 16

  enum Level {
    static let socket: Int32 = 1
    static let ip: Int32 = 0
    static let udp: Int32 = 17
    static let tcp: Int32 = 6
  }
  /// Types that a send may carry, with Linux's numbers.
  enum Kind {
    static let rights: Int32 = 1
    static let credentials: Int32 = 2
    static let priority: Int32 = 12
    static let timestamp: Int32 = 29
    static let timestampNanoseconds: Int32 = 35
    static let mark: Int32 = 36
    static let timestamping: Int32 = 37
    static let drops: Int32 = 40
    static let timestampStatistics: Int32 = 54
    static let txTime: Int32 = 61
    static let timestampNew: Int32 = 63
    static let timestampNanosecondsNew: Int32 = 64
    static let timestampingNew: Int32 = 65
    static let devmemDMABuf: Int32 = 79
    static let timestampID: Int32 = 81
    static let typeOfService: Int32 = 1
    static let timeToLive: Int32 = 2
    static let receiveOptions: Int32 = 6
    static let returnOptions: Int32 = 7
    static let packetInfo: Int32 = 8
    static let receiveErrors: Int32 = 11
    static let originalDestination: Int32 = 20
    static let fragmentSize: Int32 = 25
    static let unread: Int32 = 36
    static let udpSegment: Int32 = 103
    static let udpReceiveOffload: Int32 = 104
  }
  /// Reads the control messages of one send. Linux: `sock_cmsg_send()`, `ip_cmsg_send()`, `udp_cmsg_send()`.
  ///
  /// - Parameters:
  ///   - rules: what the socket's options allow.
  ///   - isElsewhere: whether an address is another host's, for prespecified time stamps.
  /// - Throws: EINVAL for an unknown type, a wrong length or a value out of range, and for what needs an option that is off;
  ///   EPERM without the privilege.
  public static func parse(
    _ bytes: RawSpan, for kind: SocketID.Kind, privileges: SocketPrivileges,
    rules: ControlRules = ControlRules(),
    isElsewhere: (IPv4Address) -> Bool = { _ in true }
  ) throws(Errno) -> SendControl {
    var control = SendControl()
    var offset = 0
    while bytes.byteCount - offset >= headerByteCount {
      let left = bytes.byteCount - offset
      let length = HostOrder.load64(bytes, offset)
      guard length >= UInt64(headerByteCount), length <= UInt64(left) else { throw .EINVAL }
      let byteCount = Int(length)
      let level = HostOrder.loadInt(bytes, offset + 8)
      let type = HostOrder.loadInt(bytes, offset + 12)
      let data = bytes.extracting(offset + headerByteCount..<offset + byteCount)
      switch level {
      case Level.socket:
        try socketLevel(type, data, into: &control, for: kind, privileges: privileges, rules)
      case Level.ip where kind != .tcp:
        try ipLevel(type, data, into: &control, privileges: privileges, isElsewhere)
      case Level.udp where kind == .udp || kind == .udpLite:
        guard type == Kind.udpSegment, data.byteCount == 2 else { throw .EINVAL }
        control.segmentByteCount = Int(HostOrder.load16(data, 0))
      default: break
      }
      offset += (byteCount + 7) & ~7
    }
    return control
  }

  /// Linux: `__sock_cmsg_send()`.
  private static func socketLevel(
    _ type: Int32, _ data: RawSpan, into control: inout SendControl, for kind: SocketID.Kind,
    privileges: SocketPrivileges, _ rules: ControlRules
  ) throws(Errno) {
    switch type {
    case Kind.mark:
      guard privileges.mayMark else { throw .EPERM }
      guard data.byteCount == 4 else { throw .EINVAL }
      control.mark = HostOrder.load32(data, 0)
    case Kind.timestamping, Kind.timestampingNew:
      guard data.byteCount == 4 else { throw .EINVAL }
      let records = TimestampingFlags(rawValue: HostOrder.load32(data, 0))
      guard records.isSubset(of: .transmitRecords) else { throw .EINVAL }
      control.timestamping = rules.timestamping.subtracting(.transmitRecords).union(records)
    case Kind.txTime:
      guard rules.hasTransmitTime, data.byteCount == 8 else { throw .EINVAL }
      control.transmitTime = HostOrder.load64(data, 0)
    case Kind.timestampID:
      guard kind != .tcp, rules.timestamping.contains(.identifiers), data.byteCount == 4 else {
        throw .EINVAL
      }
      control.stampNumber = HostOrder.load32(data, 0)
    case Kind.devmemDMABuf:
      guard data.byteCount == 4 else { throw .EINVAL }
      control.deviceMemory = HostOrder.load32(data, 0)
    case Kind.rights, Kind.credentials: break
    case Kind.priority:
      guard data.byteCount == 4 else { throw .EINVAL }
      let value = HostOrder.loadInt(data, 0)
      guard privileges.maySetPriority(UInt32(bitPattern: value)) else { throw .EPERM }
      control.priority = UInt32(bitPattern: value)
    default: throw .EINVAL
    }
  }

  /// What a caller says without bytes goes by the same rules.
  static func check(
    _ control: SendControl, for kind: SocketID.Kind, privileges: SocketPrivileges, _ rules: ControlRules
  ) throws(Errno) {
    if control.mark != nil && !privileges.mayMark { throw .EPERM }
    if let priority = control.priority, !privileges.maySetPriority(priority) { throw .EPERM }
    if control.transmitTime != nil && !rules.hasTransmitTime { throw .EINVAL }
    if control.stampNumber != nil {
      guard kind != .tcp, rules.timestamping.contains(.identifiers) else { throw .EINVAL }
    }
  }

  private static func ipLevel(
    _ type: Int32, _ data: RawSpan, into control: inout SendControl, privileges: SocketPrivileges,
    _ isElsewhere: (IPv4Address) -> Bool
  ) throws(Errno) {
    switch type {
    case Kind.typeOfService:
      let value: Int32
      switch data.byteCount {
      case 4: value = HostOrder.loadInt(data, 0)
      case 1: value = Int32(data.load8(0))
      default: throw .EINVAL
      }
      guard (0...255).contains(value) else { throw .EINVAL }
      control.typeOfService = UInt8(value)
    case Kind.timeToLive:
      guard data.byteCount == 4 else { throw .EINVAL }
      let value = HostOrder.loadInt(data, 0)
      guard (1...255).contains(value) else { throw .EINVAL }
      control.timeToLive = UInt8(value)
    case Kind.packetInfo:
      // struct in_pktinfo: interface index, source to use, destination (ignored).
      guard data.byteCount == 12 else { throw .EINVAL }
      // A number that no device can have is refused by the route.
      control.interface = InterfaceIndex(
        rawValue: UInt16(clamping: UInt32(bitPattern: HostOrder.loadInt(data, 0))))
      control.source = data.loadIPv4(4)
    case Kind.returnOptions:
      // Of more than there can be, the first; none at all: not the socket's either.
      control.options = try IPv4OptionList(
        sending: data.extracting(first: IPv4OptionList.maximumByteCount),
        isPrivileged: privileges.contains(.netRaw), isElsewhere: isElsewhere)
    default: throw .EINVAL
    }
  }

  // MARK: Received

  /// Writes the control messages of a receive. Linux: `ip_cmsg_recv()`, `put_cmsg()`.
  ///
  /// - Returns: bytes written, and whether something was cut off (`MSG_CTRUNC`).
  @_lifetime(bytes: copy bytes)
  public static func write(
    _ control: ReceivedControl, to bytes: inout MutableRawSpan
  ) -> (byteCount: Int, isTruncated: Bool) {
    var writer = Writer()
    if let times = control.times { writer.write(times, &bytes) }
    for (kind, value) in [(Kind.drops, control.dropCount), (Kind.mark, control.mark)] {
      if let value { writer.write(kind, value, level: Level.socket, &bytes) }
    }
    if let statistics = control.stampStatistics {
      writer.begin(Kind.timestampStatistics, statistics.count, level: Level.socket, &bytes)
      for byte in statistics { writer.byte(byte, &bytes) }
      writer.end(&bytes)
    }
    if let unread = control.unreadByteCount {
      writer.write(Kind.unread, UInt32(clamping: unread), level: Level.tcp, &bytes)
    }
    if let size = control.segmentByteCount {
      writer.write(Kind.udpReceiveOffload, UInt32(truncatingIfNeeded: size), level: Level.udp, &bytes)
    }
    if let destination = control.destination {
      writer.begin(Kind.packetInfo, 12, &bytes)
      writer.host(UInt32(control.interface.rawValue), &bytes)
      writer.network((control.specificDestination ?? destination).rawValue, &bytes)
      writer.network(destination.rawValue, &bytes)
      writer.end(&bytes)
    }
    if let timeToLive = control.timeToLive {
      writer.write(Kind.timeToLive, UInt32(timeToLive), &bytes)
    }
    if let type = control.typeOfService {
      writer.begin(Kind.typeOfService, 1, &bytes)
      writer.byte(type, &bytes)
      writer.end(&bytes)
    }
    for (kind, list) in [
      (Kind.receiveOptions, control.options), (Kind.returnOptions, control.returnOptions),
    ] {
      guard let list else { continue }
      writer.begin(kind, list.count, &bytes)
      for byte in list { writer.byte(byte, &bytes) }
      writer.end(&bytes)
    }
    if let destination = control.originalDestination {
      // struct sockaddr_in.
      writer.begin(Kind.originalDestination, 16, &bytes)
      writer.host(UInt32(AddressFamily.inet.rawValue) | UInt32(destination.port.byteSwapped) << 16, &bytes)
      writer.network(destination.address.v4?.rawValue ?? 0, &bytes)
      writer.host(0, &bytes)
      writer.host(0, &bytes)
      writer.end(&bytes)
    }
    if let byteCount = control.largestFragment {
      writer.write(Kind.fragmentSize, UInt32(byteCount), &bytes)
    }
    if let error = control.error {
      // struct sock_extended_err, then the offender's sockaddr_in.
      writer.begin(Kind.receiveErrors, 32, &bytes)
      writer.host(UInt32(bitPattern: error.errno.rawValue), &bytes)
      for value in [error.origin.rawValue, error.kind, error.code, 0] { writer.byte(value, &bytes) }
      writer.host(error.info, &bytes)
      writer.host(error.data, &bytes)
      writer.host(error.offender == nil ? 0 : UInt32(AddressFamily.inet.rawValue), &bytes)
      writer.network(error.offender?.rawValue ?? 0, &bytes)
      writer.host(0, &bytes)
      writer.host(0, &bytes)
      writer.end(&bytes)
    }
    return (writer.written, writer.isTruncated)
  }

  /// Writes messages one after the other; what does not fit is cut off.
  private struct Writer {
    var written = 0
    var isTruncated = false
    private var position = 0
    private var start = 0
    private var length = 0

    @_lifetime(bytes: copy bytes)
    mutating func begin(
      _ type: Int32, _ dataByteCount: Int, level: Int32 = Level.ip, _ bytes: inout MutableRawSpan
    ) {
      start = min(bytes.byteCount, (written + 7) & ~7)
      position = start
      length = headerByteCount + dataByteCount
      let room = bytes.byteCount - start
      guard room >= headerByteCount else {
        isTruncated = true
        position = bytes.byteCount
        start = bytes.byteCount
        return
      }
      if room < length {
        isTruncated = true
        length = room
      }
      HostOrder.store64(UInt64(length), to: &bytes, at: start)
      HostOrder.store32(UInt32(bitPattern: level), to: &bytes, at: start + 8)
      HostOrder.store32(UInt32(bitPattern: type), to: &bytes, at: start + 12)
      position = start + headerByteCount
    }
    /// A message of one number.
    @_lifetime(bytes: copy bytes)
    mutating func write(
      _ kind: Int32, _ value: UInt32, level: Int32 = Level.ip, _ bytes: inout MutableRawSpan
    ) {
      begin(kind, 4, level: level, &bytes)
      host(value, &bytes)
      end(&bytes)
    }
    /// Linux: the end of `__sock_recv_timestamp()`.
    @_lifetime(bytes: copy bytes)
    mutating func write(_ times: MessageTimes, _ bytes: inout MutableRawSpan) {
      let isNew = times.report.contains(.isNew)
      if let arrival = times.arrival {
        let isExact = times.report.contains(.inNanoseconds)
        let kind =
          isExact
          ? isNew ? Kind.timestampNanosecondsNew : Kind.timestampNanoseconds
          : isNew ? Kind.timestampNew : Kind.timestamp
        begin(kind, 16, level: Level.socket, &bytes)
        time(arrival, isExact ? 1 : 1000, &bytes)
        end(&bytes)
      }
      if let software = times.software {
        // struct scm_timestamping: software, one that is no more, hardware.
        begin(isNew ? Kind.timestampingNew : Kind.timestamping, 48, level: Level.socket, &bytes)
        time(software, 1, &bytes)
        time(0, 1, &bytes)
        time(0, 1, &bytes)
        end(&bytes)
      }
    }
    /// A `struct timespec`, or a `struct timeval`, of 64 bits each.
    @_lifetime(bytes: copy bytes)
    private mutating func time(_ nanoseconds: UInt64, _ unit: UInt64, _ bytes: inout MutableRawSpan) {
      for value in [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 / unit] {
        host(UInt32(truncatingIfNeeded: value), &bytes)
        host(UInt32(truncatingIfNeeded: value >> 32), &bytes)
      }
    }
    @_lifetime(bytes: copy bytes)
    mutating func byte(_ value: UInt8, _ bytes: inout MutableRawSpan) {
      guard position < min(bytes.byteCount, start + length) else { return }
      bytes.store8(value, position)
      position += 1
    }
    @_lifetime(bytes: copy bytes)
    mutating func host(_ value: UInt32, _ bytes: inout MutableRawSpan) {
      network(value.byteSwapped, &bytes)
    }
    @_lifetime(bytes: copy bytes)
    mutating func network(_ value: UInt32, _ bytes: inout MutableRawSpan) {
      for shift in [UInt32(24), 16, 8, 0] { byte(UInt8(truncatingIfNeeded: value >> shift), &bytes) }
    }
    @_lifetime(bytes: copy bytes)
    mutating func end(_ bytes: inout MutableRawSpan) {
      guard start < bytes.byteCount else { return }
      // The next message begins at a multiple of 8; the gap is part of what was written. Linux: CMSG_SPACE.
      let space = min(bytes.byteCount, (start + length + 7) & ~7)
      while position < space {
        bytes.store8(0, position)
        position += 1
      }
      written = space
    }
  }
}
