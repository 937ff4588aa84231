import IPv4
import NetNamespace
import Wire

/// What runs where a socket sends, connects or writes a header, and may refuse or change what it does. Linux: BPF programs
/// of a control group (`BPF_CGROUP_UDP4_SENDMSG`, `BPF_CGROUP_INET4_CONNECT`) and of sockets (`BPF_PROG_TYPE_SOCK_OPS`).
///
/// The closures run under the lock of the socket's shard: they must not call the stack, and cost what they do for every
/// send or segment. A socket without a program pays nothing for them.
public struct SocketProgram: Sendable {
  /// A datagram that is sent to a name, or with control messages; not one that only goes where the socket is connected to.
  /// Called after the control messages were read and before anything is looked up. What it throws, the send throws.
  public var send: (@Sendable (inout ProgramSend) throws(Errno) -> Void)?
  /// A connect of any socket, to the address that is then connected to. What it throws, `connect()` throws.
  public var connect: (@Sendable (SocketID, inout SocketAddress) throws(Errno) -> Void)?
  /// Bytes of options that a TCP segment is to have for `writeOptions`; more than there is room for is none. Also asked of
  /// segments that are only planned, so that they are cut short enough. Linux: `BPF_SOCK_OPS_HDR_OPT_LEN_CB`.
  public var optionByteCount: (@Sendable (ProgramSegment) -> Int)?
  /// The options, behind all others; what is left of the room that was kept for them is filled with no-operations, and what
  /// is beyond it is cut off. Linux: `BPF_SOCK_OPS_WRITE_HDR_OPT_CB`.
  public var writeOptions: (@Sendable (ProgramSegment) -> [UInt8])?
  /// A segment that the connection has accepted, with all options of its header. Linux: `BPF_SOCK_OPS_PARSE_HDR_OPT_CB`.
  public var readOptions: (@Sendable (ProgramSegment, [UInt8]) -> Void)?
  /// Labels a flow before its route is looked up; 0 is no label. Linux: `security_sk_classify_flow()`.
  public var label: (@Sendable (ProgramFlow) -> UInt32)?

  public init(
    send: (@Sendable (inout ProgramSend) throws(Errno) -> Void)? = nil,
    connect: (@Sendable (SocketID, inout SocketAddress) throws(Errno) -> Void)? = nil,
    optionByteCount: (@Sendable (ProgramSegment) -> Int)? = nil,
    writeOptions: (@Sendable (ProgramSegment) -> [UInt8])? = nil,
    readOptions: (@Sendable (ProgramSegment, [UInt8]) -> Void)? = nil,
    label: (@Sendable (ProgramFlow) -> UInt32)? = nil
  ) {
    self.send = send
    self.connect = connect
    self.optionByteCount = optionByteCount
    self.writeOptions = writeOptions
    self.readOptions = readOptions
    self.label = label
  }
}

/// A datagram on its way out. Linux: `struct bpf_sock_addr`.
public struct ProgramSend: Sendable {
  /// Whose send it is.
  public let socket: SocketID
  /// `nil`: where the socket is connected to, which a program cannot change. Port 0 makes the send EINVAL.
  public var destination: SocketAddress?
  /// The source that the message asks for; `nil`: the socket's, or what the route says.
  public var source: IPv4Address?

  public init(socket: SocketID, destination: SocketAddress?, source: IPv4Address?) {
    self.socket = socket
    self.destination = destination
    self.source = source
  }
}

/// A TCP segment on its way. Linux: `struct bpf_sock_ops`.
public struct ProgramSegment: Sendable {
  /// Whose it is; of the SYN-ACK of a connection that is not there yet, the listener.
  public let socket: SocketID
  /// Both ends of its connection.
  public let ends: FourTuple
  /// Its header's flags; of a planned segment ACK.
  public let flags: TCPFlags
  /// Its header's sequence number.
  public let sequence: SequenceNumber
  /// Bytes of payload; of a planned segment 0.
  public let byteCount: Int
  /// Bytes that options may still take; of one that came, none.
  public let room: Int

  public init(
    socket: SocketID, ends: FourTuple, flags: TCPFlags, sequence: SequenceNumber, byteCount: Int, room: Int
  ) {
    self.socket = socket
    self.ends = ends
    self.flags = flags
    self.sequence = sequence
    self.byteCount = byteCount
    self.room = room
  }
}

/// Where a socket is about to send. Linux: `struct flowi4`.
public struct ProgramFlow: Sendable {
  /// Whose flow it is.
  public let socket: SocketID
  /// An address of "any": the route will say.
  public let ends: FourTuple
  /// The device that was asked for; `.none`: as the routes say.
  public let interface: InterfaceIndex
  /// `SO_MARK`.
  public let mark: UInt32
  /// Whom the socket belongs to; 0: root. Linux: `flowi4_uid`.
  public let user: UInt32
}

/// The programs of a socket, in the order in which they were attached.
public final class SocketPrograms: Sendable {
  private let programs: [(handle: UInt32, program: SocketProgram)]
  /// One of them writes options of TCP.
  public let writesOptions: Bool
  /// One of them reads options of TCP.
  public let readsOptions: Bool
  let labels: Bool

  private init(_ programs: [(handle: UInt32, program: SocketProgram)]) {
    self.programs = programs
    writesOptions = programs.contains { $0.program.optionByteCount != nil && $0.program.writeOptions != nil }
    readsOptions = programs.contains { $0.program.readOptions != nil }
    labels = programs.contains { $0.program.label != nil }
  }

  /// Those that there are and one more.
  public static func adding(
    _ program: SocketProgram, handle: UInt32, to others: SocketPrograms?
  ) -> SocketPrograms {
    SocketPrograms((others?.programs ?? []) + [(handle, program)])
  }

  /// Those that there are but one; `nil`: none is left.
  public func removing(handle: UInt32) -> SocketPrograms? {
    let left = programs.filter { $0.handle != handle }
    return left.isEmpty ? nil : SocketPrograms(left)
  }

  /// Linux: `BPF_CGROUP_RUN_PROG_UDP4_SENDMSG_LOCK()`.
  ///
  /// - Throws: what a program says; EINVAL for port 0.
  public func run(send: inout ProgramSend) throws(Errno) {
    let isNamed = send.destination != nil
    for entry in programs {
      guard let body = entry.program.send else { continue }
      try body(&send)
      if !isNamed { send.destination = nil }
    }
    if isNamed && (send.destination?.port ?? 0) == 0 { throw .EINVAL }
  }

  /// Linux: `BPF_CGROUP_RUN_PROG_INET4_CONNECT_LOCK()`.
  public func run(connect socket: SocketID, to remote: inout SocketAddress) throws(Errno) {
    for entry in programs {
      guard let body = entry.program.connect else { continue }
      try body(socket, &remote)
    }
  }

  /// How much room all of them want, a multiple of 4. Linux: `bpf_skops_hdr_opt_len()`.
  public func optionByteCount(_ segment: ProgramSegment) -> Int {
    var sum = 0
    for entry in programs { sum += room(of: entry.program, segment, left: segment.room - sum) }
    return sum
  }

  private func room(of program: SocketProgram, _ segment: ProgramSegment, left: Int) -> Int {
    guard let count = program.optionByteCount, program.writeOptions != nil else { return 0 }
    let wanted = count(segment)
    let rounded = wanted > 0 && wanted <= 40 ? (wanted + 3) & ~3 : 0
    return rounded <= left ? rounded : 0
  }

  /// What all of them write into the room that they want. Linux: `bpf_skops_write_hdr_opt()`.
  public func options(of segment: ProgramSegment) -> [UInt8] {
    var bytes: [UInt8] = []
    for entry in programs {
      let room = room(of: entry.program, segment, left: segment.room - bytes.count)
      guard room > 0, let write = entry.program.writeOptions else { continue }
      let own = write(segment).prefix(room)
      bytes += own + [UInt8](repeating: 1, count: room - own.count)
    }
    return bytes
  }

  /// Linux: `bpf_skops_parse_hdr()`.
  public func read(_ options: [UInt8], of segment: ProgramSegment) {
    for entry in programs { entry.program.readOptions?(segment, options) }
  }

  func label(_ flow: ProgramFlow) -> UInt32 {
    var label: UInt32 = 0
    for entry in programs {
      let own = entry.program.label?(flow) ?? 0
      if own != 0 { label = own }
    }
    return label
  }
}

extension SocketCore {
  /// Before a route is looked up: programs label the flow. Linux: `security_sk_classify_flow()`.
  public mutating func labelFlow(to remote: SocketAddress, from local: IPAddress, by device: InterfaceIndex) {
    guard let programs, programs.labels else { return }
    let ends = FourTuple(local: SocketAddress(local, port: tuple.local.port), remote: remote)
    flowLabel = programs.label(
      ProgramFlow(socket: id, ends: ends, interface: device, mark: options.mark, user: user))
  }

  /// What a program has labelled the socket's flow with; 0: nothing.
  public var flowLabel: UInt32 {
    get { rare?.flowLabel ?? 0 }
    set { if newValue != 0 || rare != nil { withRare { $0.flowLabel = newValue } } }
  }

  /// What packets are marked with: `SO_MARK`, or else the flow's label.
  public var packetMark: UInt32 { options.mark != 0 || rare == nil ? options.mark : flowLabel }
}
