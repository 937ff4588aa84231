import SwiftStack
import Wire

/// A TCP segment as a test writes it and reads it: its own encoder and decoder, from RFC 791 and RFC 9293, sharing nothing
/// with the stack's.
public struct ScriptedSegment: Equatable, CustomStringConvertible, Sendable {
  public var sourcePort: UInt16 = 0
  public var destinationPort: UInt16 = 0
  public var sequence: UInt32
  public var acknowledgment: UInt32 = 0
  /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
  public var flags: UInt8
  /// The four bits in front of the flags, of which the last is AE.
  public var reserved: UInt8 = 0
  public var window: UInt16 = 65535
  public var urgentPointer: UInt16 = 0
  public var options: [UInt8] = []
  public var payload: [UInt8] = []
  /// The options of the IP header that it came with.
  public var networkOptions: [UInt8] = []
  /// Of the IP header that it came with.
  public var typeOfService: UInt8 = 0
  public var identification: UInt16 = 0
  public var dontFragment = false
  /// The destination of that header: with a source route the first hop.
  public var networkDestination: [UInt8] = []

  public init(_ flags: UInt8, sequence: UInt32, acknowledgment: UInt32 = 0) {
    self.flags = flags
    self.sequence = sequence
    self.acknowledgment = acknowledgment
  }

  /// AE, CWR and ECE as a number (RFC 9768).
  public var ace: UInt8 {
    get { reserved << 2 & 4 | flags >> 6 & 1 | flags >> 6 & 2 }
    set {
      reserved = newValue >> 2
      flags = flags & 0x3F | newValue << 6
    }
  }
  public var isSyn: Bool { flags & 2 != 0 }
  public var isFin: Bool { flags & 1 != 0 }
  public var isRst: Bool { flags & 4 != 0 }
  public var isAck: Bool { flags & 16 != 0 }
  public var isPush: Bool { flags & 8 != 0 }

  /// The value bytes of the first option of a kind; `nil` when it is not there.
  public func option(_ kind: UInt8) -> [UInt8]? {
    var index = 0
    while index < options.count {
      if options[index] == 0 { return nil }
      if options[index] == 1 {
        index += 1
        continue
      }
      guard index + 1 < options.count else { return nil }
      let length = Int(options[index + 1])
      guard length >= 2, index + length <= options.count else { return nil }
      if options[index] == kind { return Array(options[index + 2..<index + length]) }
      index += length
    }
    return nil
  }

  /// SACK blocks, start and end.
  public var sackBlocks: [(UInt32, UInt32)] {
    guard let bytes = option(5) else { return [] }
    return stride(from: 0, to: bytes.count - 7, by: 8).map {
      (Self.word(bytes, $0), Self.word(bytes, $0 + 4))
    }
  }
  public var timestamps: (value: UInt32, echo: UInt32)? {
    option(8).map { (Self.word($0, 0), Self.word($0, 4)) }
  }

  static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  public var description: String {
    var text = "\(sourcePort) > \(destinationPort): Flags [\(TCPFlags(rawValue: flags))], seq \(sequence)"
    if isAck { text += ", ack \(acknowledgment)" }
    // Safe: any byte is a valid `UInt8`.
    let words = unsafe TCPOptions.describe(options.span.bytes)
    return text + ", win \(window), options [\(words)], length \(payload.count)"
  }
}

/// The far end of a wire, written by hand: answers ARP, and sends and expects TCP segments one by one.
///
/// The stack under test is 10.0.0.2; this end is 10.0.0.1.
public final class ScriptedPeer {
  public let host: SimulatedStack
  public var port: UInt16
  /// The stack's port, learnt from its segments or set.
  public var hostPort: UInt16
  private var arrived: [ScriptedSegment] = []
  /// Whole frames that are neither ARP nor TCP.
  public private(set) var otherFrames: [[UInt8]] = []
  public var answersARP = true
  /// Whose addresses ours is the station of: their last bytes.
  public var stations: Set<UInt8> = [1]
  private static let ownMAC: [UInt8] = [2, 0, 0, 0, 0, 1]
  private static let hostMAC: [UInt8] = [2, 0, 0, 0, 0, 2]

  /// - Parameter probesTails: as Linux does by default; else the retransmission timer is the only one, as in most scripts.
  public init(
    port: UInt16 = 7000, hostPort: UInt16 = 0, settings: NetSettings = NetSettings(), seed: UInt64 = 1,
    probesTails: Bool = false
  ) throws {
    var settings = settings
    if !probesTails { settings.tcpEarlyRetransmit = 0 }
    let start = try Self.start(for: .current, port: port, hostPort: hostPort, settings: settings, seed: seed)
    host = try Self.host(settings, seed: seed, start: start)
    self.port = port
    self.hostPort = hostPort
  }

  private static func host(_ settings: NetSettings, seed: UInt64, start: Instant) throws -> SimulatedStack {
    var configuration = StackConfiguration()
    configuration.settings = settings
    configuration.announcesAddress = false
    let host = try SimulatedStack(configuration, seed: seed, now: start)
    // Some time after the start, as on a real clock.
    host.advance(to: start + .seconds(100))
    _ = host.takeFrames()
    return host
  }

  /// When a stack has to start so that its first connection has the sequence number and time stamp of a variation. A
  /// second stack of the same seed tells what they are when it starts at the origin; the number then counts up every
  /// 64 ns (RFC 6528's clock), the time stamp every millisecond.
  private static func start(
    for variation: Variation, port: UInt16, hostPort: UInt16, settings: NetSettings, seed: UInt64
  ) throws -> Instant {
    guard let wanted = variation.ownSequence else { return .origin }
    let trial = try ScriptedPeer(
      host: host(settings, seed: seed, start: .origin), port: port, hostPort: hostPort)
    let socket = try trial.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    if hostPort != 0 {
      try socket.bind(to: SocketAddress(.any, port: hostPort))
      try socket.listen()
      trial.send(0x02, sequence: 0, options: [2, 4, 5, 0xB4, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0])
    } else {
      try? socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: port))
    }
    guard let first = trial.next(), first.isSyn else { throw SocketError("connect", .EPROTO) }
    let steps = Int64(wanted &- first.sequence)
    var start = Instant.origin + Nanoseconds(steps * 64)
    if let stamp = variation.ownTimestamp, let stamps = first.timestamps {
      // A whole turn of the sequence clock leaves the number and moves the stamp.
      let turn: Int64 = 64 << 32
      let missing = Int64(stamp &- stamps.value &- UInt32(truncatingIfNeeded: steps * 64 / 1_000_000))
      start = start + Nanoseconds(missing * 1_000_000 / turn * turn)
    }
    return start
  }

  private init(host: SimulatedStack, port: UInt16, hostPort: UInt16) {
    self.host = host
    self.port = port
    self.hostPort = hostPort
  }

  public static var address: SocketAddress { SocketAddress(IPv4Address(10, 0, 0, 1), port: 7000) }

  // MARK: Time

  public func advance(_ span: Nanoseconds) {
    let end = host.now + span
    while true {
      collect()
      guard let next = host.nextDeadline, next <= end else { break }
      host.advance(to: max(next, host.now))
    }
    host.advance(to: end)
    collect()
  }

  // MARK: Sending

  /// RFC 1071, the plain way.
  public static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var total: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      total += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
    }
    while total >> 16 != 0 { total = total & 0xFFFF + total >> 16 }
    return ~UInt16(truncatingIfNeeded: total)
  }
  public static func bytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
  public static func bytes(_ value: UInt32) -> [UInt8] {
    bytes(UInt16(value >> 16)) + bytes(UInt16(value & 0xFFFF))
  }

  /// An Ethernet frame to the stack around an IPv4 payload.
  public static func frame(
    protocol number: UInt8, _ payload: [UInt8], source: [UInt8] = [10, 0, 0, 1],
    destination: [UInt8] = [10, 0, 0, 2], typeOfService: UInt8 = 0
  ) -> [UInt8] {
    var ip: [UInt8] =
      [0x45, typeOfService] + bytes(UInt16(20 + payload.count)) + [0, 1, 0x40, 0, 64, number, 0, 0]
    ip += source + destination
    let check = checksum(ip)
    ip[10] = UInt8(check >> 8)
    ip[11] = UInt8(check & 0xFF)
    return hostMAC + ownMAC + [8, 0] + ip + payload
  }

  /// The bytes of a segment, with its checksum.
  public func encode(_ segment: ScriptedSegment, destination: [UInt8] = [10, 0, 0, 2]) -> [UInt8] {
    var options = segment.options
    while options.count % 4 != 0 { options.append(0) }
    var tcp = Self.bytes(segment.sourcePort) + Self.bytes(segment.destinationPort)
    tcp += Self.bytes(segment.sequence) + Self.bytes(segment.acknowledgment)
    tcp +=
      [UInt8(((20 + options.count) / 4) << 4) | segment.reserved, segment.flags] + Self.bytes(segment.window)
      + [0, 0]
    tcp += Self.bytes(segment.urgentPointer) + options + segment.payload
    let check = Self.checksum([10, 0, 0, 1] + destination + [0, 6] + Self.bytes(UInt16(tcp.count)) + tcp)
    tcp[16] = UInt8(check >> 8)
    tcp[17] = UInt8(check & 0xFF)
    return tcp
  }

  public func send(
    _ segment: ScriptedSegment, typeOfService: UInt8 = 0, destination: [UInt8] = [10, 0, 0, 2]
  ) {
    var segment = segment
    if segment.sourcePort == 0 { segment.sourcePort = port }
    if segment.destinationPort == 0 { segment.destinationPort = hostPort }
    host.receive(
      Self.frame(
        protocol: 6, encode(segment, destination: destination), destination: destination,
        typeOfService: typeOfService))
    collect()
  }

  /// An ICMP error (RFC 792) about a segment of the stack's, as a router on the way would quote it.
  ///
  /// - Parameters:
  ///   - sequence: what the quotation says.
  ///   - rest: the second word of the ICMP header: the next hop's MTU for type 3 code 4.
  public func sendICMP(
    type: UInt8, code: UInt8, quoting segment: ScriptedSegment, sequence: UInt32, rest: UInt32 = 0
  ) {
    var quoted: [UInt8] = [0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]
    quoted += Self.bytes(segment.sourcePort) + Self.bytes(segment.destinationPort) + Self.bytes(sequence)
    var message = [type, code, 0, 0] + Self.bytes(rest) + quoted
    let check = Self.checksum(message)
    message[2] = UInt8(check >> 8)
    message[3] = UInt8(check & 0xFF)
    host.receive(Self.frame(protocol: 1, message))
    collect()
  }

  /// An IP packet to the stack, as it is.
  public func receiveRaw(_ packet: [UInt8]) {
    host.receive(Self.hostMAC + Self.ownMAC + [8, 0] + packet)
    collect()
  }

  public func send(
    _ flags: UInt8, sequence: UInt32, acknowledgment: UInt32 = 0, window: UInt16 = 65535,
    options: [UInt8] = [],
    payload: [UInt8] = []
  ) {
    var segment = ScriptedSegment(flags, sequence: sequence, acknowledgment: acknowledgment)
    segment.window = window
    segment.options = options
    segment.payload = payload
    send(segment)
  }

  /// An ICMP error that quotes a segment of the stack's (RFC 792: its IP header and eight bytes).
  public func sendICMP(
    type: UInt8, code: UInt8, about segment: ScriptedSegment, rest: [UInt8] = [0, 0, 0, 0]
  ) {
    let tcp =
      Self.bytes(segment.sourcePort) + Self.bytes(segment.destinationPort) + Self.bytes(segment.sequence)
    let quoted =
      [0x45, 0] + Self.bytes(UInt16(40 + segment.payload.count)) + [0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2]
      + [10, 0, 0, 1] + tcp
    var icmp: [UInt8] = [type, code, 0, 0] + rest + quoted
    let check = Self.checksum(icmp)
    icmp[2] = UInt8(check >> 8)
    icmp[3] = UInt8(check & 0xFF)
    host.receive(Self.frame(protocol: 1, icmp))
    collect()
  }

  // MARK: Opening a connection to a listener on `hostPort`

  /// The stack connects to this end; its SYN is still to be answered.
  public func connecting() throws -> (socket: Socket, syn: ScriptedSegment) {
    let socket = try host.stack.socket(.tcp)
    socket.isNonBlocking = true
    // The answer is still to come: EINPROGRESS.
    try? socket.connect(to: Self.address)
    guard let syn = next(), syn.isSyn else { throw SocketError("connect", .EPROTO) }
    hostPort = syn.sourcePort
    return (socket, syn)
  }

  /// SYN, and the SYN-ACK that answers it.
  ///
  /// - Parameter initial: of the SYN; the default is the variation's.
  public func open(initial: UInt32? = nil, options: [UInt8] = []) throws -> ScriptedSegment {
    send(0x02, sequence: initial ?? Variation.current.peerSequence, options: options)
    guard let answer = next(), answer.flags == 0x12 else { throw SocketError("open", .EPROTO) }
    return answer
  }

  /// The ACK that ends the handshake.
  public func complete(_ answer: ScriptedSegment, options: [UInt8] = []) {
    send(0x10, sequence: answer.acknowledgment, acknowledgment: answer.sequence &+ 1, options: options)
  }

  /// SYN, SYN-ACK, ACK; returns the SYN-ACK.
  @discardableResult
  public func handshake(initial: UInt32? = nil, options: [UInt8] = [2, 4, 5, 0xB4]) throws -> ScriptedSegment
  {
    let answer = try open(initial: initial, options: options)
    complete(answer)
    return answer
  }

  // MARK: Receiving

  private func collect() {
    while true {
      let frames = host.takeFrames()
      if frames.isEmpty { return }
      for frame in frames { take(frame.bytes) }
    }
  }

  private func take(_ frame: [UInt8]) {
    guard frame.count >= 34 else { return }
    if frame[12] == 8, frame[13] == 6 {
      // A request for our address, or for a router's that we stand for.
      if answersARP, frame[21] == 1, frame[38] == 10, stations.contains(frame[41]) {
        host.receive(
          Self.hostMAC + Self.ownMAC + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + Self.ownMAC + frame[38..<42]
            + Self.hostMAC + [10, 0, 0, 2])
      }
      return
    }
    guard frame[12] == 8, frame[13] == 0, frame[23] == 6 else {
      otherFrames.append(frame)
      return
    }
    let total = Int(frame[16]) << 8 | Int(frame[17])
    let start = 14 + Int(frame[14] & 0xF) * 4
    let tcp = Array(frame[start..<min(frame.count, 14 + total)])
    let header = Int(tcp[12] >> 4) * 4
    var segment = ScriptedSegment(
      tcp[13], sequence: ScriptedSegment.word(tcp, 4), acknowledgment: ScriptedSegment.word(tcp, 8))
    segment.reserved = tcp[12] & 0xF
    segment.sourcePort = UInt16(tcp[0]) << 8 | UInt16(tcp[1])
    segment.destinationPort = UInt16(tcp[2]) << 8 | UInt16(tcp[3])
    segment.window = UInt16(tcp[14]) << 8 | UInt16(tcp[15])
    segment.urgentPointer = UInt16(tcp[18]) << 8 | UInt16(tcp[19])
    segment.options = Array(tcp[20..<header])
    segment.payload = Array(tcp[header...])
    segment.networkOptions = Array(frame[34..<start])
    segment.typeOfService = frame[15]
    segment.identification = UInt16(frame[18]) << 8 | UInt16(frame[19])
    segment.dontFragment = frame[20] & 0x40 != 0
    segment.networkDestination = Array(frame[30..<34])
    // The sum is over the last hop's address (RFC 793 section 3.1).
    var addresses = Array(frame[26..<34])
    if let kind = segment.networkOptions.first, kind == 131 || kind == 137 {
      let length = Int(segment.networkOptions[1])
      addresses.replaceSubrange(4..<8, with: segment.networkOptions[length - 4..<length])
    }
    let check = Self.checksum(addresses + [0, 6] + Self.bytes(UInt16(tcp.count)) + tcp)
    precondition(check == 0, "the stack sent a TCP checksum that does not hold")
    arrived.append(segment)
  }

  /// The next segment from the stack; `nil` when it has sent nothing more.
  public func next() -> ScriptedSegment? {
    collect()
    return arrived.isEmpty ? nil : arrived.removeFirst()
  }

  /// Every segment that has arrived and was not looked at.
  public func all() -> [ScriptedSegment] {
    collect()
    defer { arrived = [] }
    return arrived
  }
}
