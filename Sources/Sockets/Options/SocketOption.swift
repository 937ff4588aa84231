import InetSocket
import Internet
import NetNamespace
import Timers

/// Levels of socket options, with Linux's numbers.
public enum SocketOptionLevel {
  public static let ip: Int32 = 0
  public static let socket: Int32 = 1
  public static let tcp: Int32 = 6
  public static let udp: Int32 = 17
  /// The same options as at `udp`, for both protocols.
  public static let udpLite: Int32 = 136
}

/// Kinds of socket that take an option.
struct SocketKinds: OptionSet, Sendable {
  var rawValue: UInt8
  static let tcp = SocketKinds(rawValue: 1)
  static let udp = SocketKinds(rawValue: 2)
  static let ping = SocketKinds(rawValue: 4)
  static let udpLite = SocketKinds(rawValue: 8)
  static let datagram: SocketKinds = [udp, ping, udpLite]
  static let all: SocketKinds = [tcp, udp, ping, udpLite]

  init(rawValue: UInt8) { self.rawValue = rawValue }
  init(_ kind: SocketID.Kind) { rawValue = 1 << UInt8(truncatingIfNeeded: kind.rawValue) }
}

/// One option: an entry of the table. What it is called, what its value looks like, who takes it, and what reading and
/// setting it do.
struct SocketOption: Sendable {
  /// The bytes for a caller with so much room.
  typealias Reader = @Sendable (SocketID, inout SocketLayer, borrowing Host, Int) throws(Errno) -> [UInt8]
  /// The question's bytes, which stand where the value goes, and the caller's room for each struct of the value.
  typealias Answerer =
    @Sendable (RawSpan, SocketID, inout SocketLayer, inout Host, Int) throws(Errno) -> [UInt8]
  typealias Setter = @Sendable (RawSpan, SocketID, inout SocketLayer, inout Host) throws(Errno) -> Void

  let name: Int32
  /// As Linux's headers call it.
  let label: String
  /// Who may set it, and what the others are told. Every socket that has the level may read it.
  let takers: SocketKinds
  let refusal: Errno
  /// `nil`: it can only be set, or only be read, which is ENOPROTOOPT.
  let read: Reader?
  let set: Setter?
  /// Reading it answers a question, which stands where the value is read into.
  var answer: Answerer?
  /// Its value is a name of any length, at a level where values are an `int` at least.
  var isName = false
}

/// Every option of one level. A level's file fills it in, an entry a statement, so that another option is an entry there and the place where
/// it acts.
struct OptionTable: Sendable {
  let level: Int32
  let kinds: SocketKinds
  /// The length is looked at before the name: values are an `int` at least. Linux: `sk_setsockopt()`,
  /// `do_tcp_setsockopt()`, `udp_lib_setsockopt()`.
  let takesInts: Bool
  private(set) var options: [SocketOption] = []

  init(level: Int32, kinds: SocketKinds, takesInts: Bool) {
    self.level = level
    self.kinds = kinds
    self.takesInts = takesInts
  }

  static let levels: [OptionTable] = [.socketLevel, .ipLevel, .tcpLevel, .udpLevel]

  /// The table of a level that such a socket has.
  static func level(_ level: Int32, of kind: SocketID.Kind) -> OptionTable? {
    // Linux: `udp_setsockopt()`.
    let level = level == SocketOptionLevel.udpLite ? SocketOptionLevel.udp : level
    return levels.first { $0.level == level && $0.kinds.contains(SocketKinds(kind)) }
  }

  subscript(name: Int32) -> SocketOption? { options.first { $0.name == name } }

  // MARK: Entries

  /// An option of any shape.
  mutating func add<Value>(
    _ name: Int32, _ label: String, _ type: OptionType<Value>, takers: SocketKinds = .all,
    refusal: Errno = .ENOPROTOOPT, isName: Bool = false,
    get: (@Sendable (SocketID, inout SocketLayer, borrowing Host) throws(Errno) -> Value)?,
    set: (@Sendable (Value, SocketID, inout SocketLayer, inout Host) throws(Errno) -> Void)? = nil
  ) {
    var reader: SocketOption.Reader?
    if let get {
      reader = { (id, layer, host, room) throws(Errno) in type.encode(try get(id, &layer, host), room) }
    }
    var setter: SocketOption.Setter?
    if let set {
      setter = { (bytes, id, layer, host) throws(Errno) in
        try set(type.decode(bytes), id, &layer, &host)
      }
    }
    add(
      SocketOption(
        name: name, label: label, takers: takers, refusal: refusal, read: reader, set: setter,
        isName: isName))
  }

  mutating func add(_ option: SocketOption) { options.append(option) }

  /// One that every socket keeps as a number or flag, and that acts where it is looked at.
  mutating func keep<Value>(
    _ name: Int32, _ label: String, _ type: OptionType<Value>,
    _ field: any WritableKeyPath<SocketOptions, Value> & Sendable
  ) {
    add(
      name, label, type,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options[keyPath: field] }
      },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.options[keyPath: field] = value }
      })
  }
}

extension SocketLayer {
  /// What Linux's headers call an option; its numbers when there is none such here.
  public static func optionLabel(level: Int32, name: Int32) -> String {
    OptionTable.levels.first { $0.level == level }?[name]?.label ?? "\(level), \(name)"
  }

  /// Sets an option by Linux's numbers and bytes.
  ///
  /// - Throws: EBADF; ENOPROTOOPT for an option that is not there; EINVAL for a short or senseless value; EPERM.
  public mutating func setsockopt(
    _ id: SocketID, level: Int32, name: Int32, value: RawSpan, host: inout Host
  ) throws(Errno) {
    guard let kind = id.kind else { throw .ENOTSOCK }
    try withCore(id) { (_) throws(Errno) in }
    guard let table = OptionTable.level(level, of: kind) else { throw .ENOPROTOOPT }
    let option = table[name]
    if table.takesInts, value.byteCount < 4, !(option?.isName ?? false) { throw .EINVAL }
    guard let option, let set = option.set else { throw .ENOPROTOOPT }
    guard option.takers.contains(SocketKinds(kind)) else { throw option.refusal }
    try set(value, id, &self, &host)
  }

  /// An option's value by Linux's numbers, in Linux's bytes.
  ///
  /// - Parameter maximum: the caller's room; a longer value is cut to it.
  /// - Throws: EBADF; EINVAL when `maximum` is negative; ENOPROTOOPT; EOPNOTSUPP for a level that the socket has not;
  ///   ENOTCONN for `IP_MTU` without a peer.
  public mutating func getsockopt(
    _ id: SocketID, level: Int32, name: Int32, maximum: Int = 1024, host: borrowing Host
  ) throws(Errno) -> [UInt8] {
    guard maximum >= 0 else { throw .EINVAL }
    guard let kind = id.kind else { throw .ENOTSOCK }
    try withCore(id) { (_) throws(Errno) in }
    // Linux: ip_getsockopt(), where every other level ends.
    guard let table = OptionTable.level(level, of: kind) else { throw .EOPNOTSUPP }
    guard let read = table[name]?.read else { throw .ENOPROTOOPT }
    let value = try read(id, &self, host, maximum)
    return value.count <= maximum ? value : Array(value[..<maximum])
  }

  /// The same for an option that is asked by what stands where its value is read into: `TCP_AO_GET_KEYS`, `IP_MSFILTER`,
  /// `MCAST_MSFILTER`.
  ///
  /// - Parameters:
  ///   - question: the bytes that the caller has put there.
  ///   - maximum: the caller's room; the question's length when left out.
  public mutating func getsockopt(
    _ id: SocketID, level: Int32, name: Int32, asking question: RawSpan, maximum: Int? = nil, host: inout Host
  ) throws(Errno) -> [UInt8] {
    let room = maximum ?? question.byteCount
    guard let kind = id.kind else { throw .EBADF }
    guard let answer = OptionTable.level(level, of: kind)?[name]?.answer else {
      return try getsockopt(id, level: level, name: name, maximum: room, host: host)
    }
    guard room >= 0 else { throw .EINVAL }
    try withCore(id) { (_) throws(Errno) in }
    return try answer(question, id, &self, &host, room)
  }
}
