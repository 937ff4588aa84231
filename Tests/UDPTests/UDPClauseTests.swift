import InetSocket
import IPv4
import NetNamespace
import SkBuff
import Sockets
import Testing
import UDP
import Wire

/// What udp(7) says in its clauses: corking, segments, errors of a send, and what each of them counts. Values were tried
/// on Linux 6.18.
@Suite struct UDPClauseTests {
  static let ip: Int32 = 0
  static let socket: Int32 = 1
  static let udp: Int32 = 17

  private func pair() throws -> (DatagramBench, SocketID) {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    try bench.connect(id, 7)
    return (bench, id)
  }

  private func option(_ bench: DatagramBench, _ id: SocketID, _ level: Int32, _ name: Int32) throws -> Int {
    let bytes = try bench.sockets.getsockopt(id, level: level, name: name, host: bench.host)
    return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  // MARK: Collecting

  @Test("U2 an option that is set while MSG_MORE collects sends nothing") func optionWhileCollecting() throws
  {
    let (bench, id) = try pair()
    try bench.send(id, [1, 2], flags: .more)
    try bench.setFlag(id, level: Self.ip, name: 2, 33)
    try bench.setFlag(id, level: Self.socket, name: 6)
    bench.settle()
    #expect(bench.sent.isEmpty)
    try bench.send(id, [3])
    bench.settle()
    #expect(bench.sent.map { Array($0[28..<Packet.read16($0, 2)]) } == [[1, 2, 3]])
  }

  @Test("U2 UDP_CORK 0 sends what is collected, whoever collected it", arguments: [false, true])
  func uncork(byFlag: Bool) throws {
    let (bench, id) = try pair()
    if !byFlag { try bench.setFlag(id, level: Self.udp, name: 1) }
    try bench.send(id, [1, 2], flags: byFlag ? .more : [])
    bench.settle()
    #expect(bench.sent.isEmpty)
    try bench.setFlag(id, level: Self.udp, name: 1, 0)
    bench.settle()
    #expect(bench.sent.map { Array($0[28..<Packet.read16($0, 2)]) } == [[1, 2]])
  }

  @Test("U2 while a datagram collects, later names and control messages are ignored") func laterName() throws
  {
    let (bench, id) = try pair()
    var control = SendControl()
    control.timeToLive = 9
    try bench.send(id, [1], control: control, flags: .more)
    control.timeToLive = 11
    try bench.send(id, [2], to: SocketAddress(DatagramBench.peer, port: 99), control: control)
    bench.settle()
    #expect(bench.sent.map { [$0[8], $0[23]] } == [[9, 7]])
  }

  @Test("U2 MSG_PROBE while a datagram collects adds nothing to it") func probeWhileCollecting() throws {
    let (bench, id) = try pair()
    try bench.send(id, [1], flags: .more)
    #expect(try bench.send(id, [2, 2, 2], flags: [.probe, .more]) == 3)
    try bench.send(id, [3])
    bench.settle()
    #expect(bench.sent.map { Array($0[28..<Packet.read16($0, 2)]) } == [[1, 3]])
  }

  // MARK: Segments

  @Test("U6 UDP_SEGMENT by option: read back, range, effect, and the control message goes before it")
  func segmentOption() throws {
    let (bench, id) = try pair()
    #expect(try option(bench, id, Self.udp, 103) == 0)
    for value: Int32 in [0, 1, 1000, 65535] {
      try bench.setFlag(id, level: Self.udp, name: 103, value)
      #expect(try option(bench, id, Self.udp, 103) == Int(value))
    }
    for value: Int32 in [-1, 65536, 70000] {
      #expect(throws: Errno.EINVAL) { try bench.setFlag(id, level: Self.udp, name: 103, value) }
      #expect(try option(bench, id, Self.udp, 103) == 65535)
    }
    try bench.setFlag(id, level: Self.udp, name: 103, 400)
    func sizes(_ control: SendControl = SendControl()) throws -> [Int] {
      bench.sent = []
      try bench.send(id, [UInt8](repeating: 5, count: 1000), control: control)
      bench.settle()
      return bench.sent.map { Packet.read16($0, 24) - 8 }
    }
    #expect(try sizes() == [400, 400, 200])
    var control = SendControl()
    control.segmentByteCount = 700
    #expect(try sizes(control) == [700, 300])
    control.segmentByteCount = 0
    #expect(try sizes(control) == [1000])
    let ping = try bench.sockets.socket(family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
    #expect(throws: Errno.ENOPROTOOPT) { try bench.setFlag(ping, level: Self.udp, name: 103, 400) }
  }

  @Test("U6 segments carry DF when all of them together would fit into one packet, as Linux asks")
  func segmentsDontFragment() throws {
    let (bench, id) = try pair()
    var control = SendControl()
    control.segmentByteCount = 700
    for (count, dontFragment) in [(1472, true), (1473, false), (3500, false)] {
      bench.sent = []
      try bench.send(id, [UInt8](repeating: 5, count: count), control: control)
      bench.settle()
      #expect(bench.sent.count == (count + 699) / 700)
      #expect(bench.sent.allSatisfy { ($0[6] & 0x40 != 0) == dontFragment })
    }
  }

  @Test(
    "U6 a segment over the path MTU is EMSGSIZE; what is one segment is measured as it is",
    arguments: [
      (1472, 1900, nil), (1473, 1900, .EMSGSIZE), (2000, 1900, .EMSGSIZE), (2000, 1473, .EMSGSIZE),
      (2000, 10, nil),
    ] as [(Int, Int, Errno?)])
  func longSegment(segment: Int, count: Int, errno: Errno?) throws {
    let (bench, id) = try pair()
    var control = SendControl()
    control.segmentByteCount = segment
    let bytes = [UInt8](repeating: 1, count: count)
    if let errno {
      #expect(throws: errno) { try bench.send(id, bytes, control: control) }
      bench.settle()
      #expect(bench.sent.isEmpty)
    } else {
      try bench.send(id, bytes, control: control)
    }
    #expect(bench.count(.UdpSndbufErrors) == 0)
    // What was refused is gone.
    bench.settle()
    bench.sent = []
    try bench.send(id, [9])
    bench.settle()
    #expect(bench.sent.map { Array($0[28..<Packet.read16($0, 2)]) } == [[9]])
  }

  @Test("U6 a segment size that is no size is EINVAL", arguments: [-5, -1, 65536, 70000])
  func noSegment(size: Int) throws {
    let (bench, id) = try pair()
    var control = SendControl()
    control.segmentByteCount = size
    #expect(throws: Errno.EINVAL) { try bench.send(id, [1], control: control) }
  }

  @Test("U6 128 segments go, 129 are EINVAL, also when MSG_MORE collected them") func mostSegments() throws {
    let (bench, id) = try pair()
    var control = SendControl()
    control.segmentByteCount = 10
    try bench.send(id, [UInt8](repeating: 1, count: 1280), control: control)
    bench.settle()
    #expect(bench.sent.count == 128)
    try bench.send(id, [UInt8](repeating: 1, count: 700), control: control, flags: .more)
    #expect(throws: Errno.EINVAL) { try bench.send(id, [UInt8](repeating: 1, count: 581)) }
    try bench.setFlag(id, level: Self.socket, name: 11)
    #expect(throws: Errno.EINVAL) { try bench.send(id, [UInt8](repeating: 1, count: 100), control: control) }
    bench.settle()
    #expect(bench.sent.count == 128)
  }

  // MARK: Errors

  @Test("U1 the checks come in Linux's order") func order() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    let long = [UInt8](repeating: 0, count: 65536)
    let nowhere = SocketAddress(DatagramBench.peer, port: 0)
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, long, to: nowhere, flags: .outOfBand) }
    #expect(throws: Errno.EOPNOTSUPP) { try bench.send(id, [1], to: nowhere, flags: .outOfBand) }
    #expect(throws: Errno.EINVAL) { try bench.send(id, [1], to: nowhere) }
    #expect(throws: Errno.EDESTADDRREQ) { try bench.send(id, [1]) }
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(id, [UInt8](repeating: 0, count: 65508), to: SocketAddress(DatagramBench.peer, port: 9))
    }
  }

  @Test("U1 a destination of 0.0.0.0 is this host") func anyDestination() throws {
    let bench = DatagramBench()
    let server = try bench.udp(port: 53)
    let id = try bench.udp()
    try bench.send(id, [4, 2], to: SocketAddress(.any, port: 53))
    bench.settle()
    #expect(try bench.receive(server).bytes == [4, 2])
    #expect(bench.sent.isEmpty)
  }

  @Test(
    "U5 EMSGSIZE leaves a local error with destination, the connected port and the MTU",
    arguments: [(2, 1900), (3, 1900), (2, 65530), (1, 65530), (0, 65530)] as [(Int32, Int)])
  func localError(discovery: Int32, count: Int) throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.setFlag(id, level: Self.ip, name: 10, discovery)
    let bytes = [UInt8](repeating: 1, count: count)
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(id, bytes, to: SocketAddress(DatagramBench.peer, port: 9))
    }
    #expect(throws: Errno.EAGAIN) { try bench.receive(id, flags: .errorQueue) }
    try bench.setFlag(id, level: Self.ip, name: 11)
    for port: UInt16 in [0, 77] {
      if port != 0 { try bench.connect(id, port) }
      #expect(throws: Errno.EMSGSIZE) {
        try bench.send(id, bytes, to: port == 0 ? SocketAddress(DatagramBench.peer, port: 9) : nil)
      }
      #expect(bench.sockets.readiness(id).contains(.error))
      let error = try #require(try bench.receive(id, flags: .errorQueue).message.control.error)
      #expect(
        error
          == ExtendedError(
            errno: .EMSGSIZE, origin: .local, kind: 0, code: 0, info: 1500, offender: nil,
            destination: SocketAddress(DatagramBench.peer, port: port)))
      #expect(bench.sockets.takeError(id) == nil)
    }
    // Refused before anything was allocated.
    #expect(bench.count(.IpOutDiscards) == 0 && bench.count(.UdpSndbufErrors) == 0)
  }

  @Test("U5 the same for a ping socket") func localErrorOfPing() throws {
    let bench = DatagramBench()
    let id = try bench.sockets.socket(family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
    try bench.setFlag(id, level: Self.ip, name: 10, 2)
    try bench.setFlag(id, level: Self.ip, name: 11)
    let request = [8, 0, 0, 0, 0, 0, 0, 1] + [UInt8](repeating: 1, count: 1900)
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(id, request, to: SocketAddress(DatagramBench.peer, port: 0))
    }
    let error = try bench.receive(id, flags: .errorQueue).message.control.error
    #expect(error?.origin == .local && error?.info == 1500)
  }

  @Test("U9 a full send buffer counts when the sender gives up, not when it will try again")
  func sendBufferErrors() throws {
    let (bench, id) = try pair()
    try bench.send(id, [0])
    bench.settle()
    try bench.setFlag(id, level: Self.socket, name: 7, 8192)
    let bytes = [UInt8](repeating: 1, count: 1000)
    while (try? bench.send(id, bytes)) != nil {}
    #expect(throws: Errno.EAGAIN) { try bench.send(id, bytes) }
    #expect(bench.count(.UdpSndbufErrors) == 0 && bench.count(.IpOutDiscards) == 0)
    #expect(throws: Errno.EAGAIN) { try bench.send(id, bytes, flags: .dontWait) }
    #expect(bench.count(.UdpSndbufErrors) == 1 && bench.count(.IpOutDiscards) == 1)
    bench.sockets.countTimedOutSend(id, net: &bench.host.net)
    #expect(bench.count(.UdpSndbufErrors) == 2 && bench.count(.IpOutDiscards) == 2)
  }

  @Test("U5 a datagram that overruns twice the send buffer by itself is ENOBUFS, and counted") func overrun()
    throws
  {
    let (bench, id) = try pair()
    try bench.setFlag(id, level: Self.socket, name: 7, 4096)
    #expect(throws: Errno.ENOBUFS) { try bench.send(id, [UInt8](repeating: 1, count: 40000)) }
    #expect(bench.count(.UdpSndbufErrors) == 1 && bench.count(.IpOutDiscards) == 1)
    bench.settle()
    #expect(bench.sent.isEmpty)
    // Under twice the buffer it goes, though it is over the buffer.
    try bench.send(id, [UInt8](repeating: 1, count: 8000))
    bench.settle()
    #expect(bench.sent.count == 6)
  }

  // MARK: Groups

  @Test("U4 a datagram to a group that leaves in fragments: three go, one comes back, counted as nstat does")
  func fragmentsToGroup() throws {
    let bench = DatagramBench()
    let group = IPv4Address(239, 1, 1, 1)
    let server = try bench.udp(port: 99)
    let id = try bench.udp(port: 40000)
    try join(bench, server, group)
    let payload = (0..<4000).map { UInt8(truncatingIfNeeded: $0 &* 5) }
    try bench.send(id, payload, to: SocketAddress(group, port: 99))
    bench.settle()
    #expect(bench.sent.count == 3)
    #expect(try bench.receive(server).bytes == payload)
    #expect(bench.count(.IpExtOutMcastPkts) == 3 && bench.count(.IpExtOutMcastOctets) == 4068)
    #expect(bench.count(.IpExtInMcastPkts) == 1 && bench.count(.IpExtInMcastOctets) == 4028)
    #expect(bench.count(.IpInReceives) == 1 && bench.count(.IpOutTransmits) == 3)
    #expect(bench.count(.IpExtOutOctets) == 4068 && bench.count(.IpReasmReqds) == 0)
    #expect(bench.count(.IpOutRequests) == 1 && bench.count(.IpFragCreates) == 3)
  }

  @Test("U4 a datagram to a group that fits: one goes, one comes back; nothing after the socket has left")
  func group() throws {
    let bench = DatagramBench()
    let group = IPv4Address(239, 1, 1, 1)
    let server = try bench.udp(port: 99)
    let id = try bench.udp(port: 40000)
    try join(bench, server, group)
    try bench.send(id, [1, 2, 3], to: SocketAddress(group, port: 99))
    bench.settle()
    // TTL 1 unless IP_MULTICAST_TTL says otherwise.
    #expect(bench.sent.map { $0[8] } == [1])
    #expect(try bench.receive(server).bytes == [1, 2, 3])
    #expect(bench.count(.IpExtOutMcastPkts) == 1 && bench.count(.IpExtOutMcastOctets) == 31)
    #expect(bench.count(.IpExtInMcastPkts) == 1 && bench.count(.IpOutTransmits) == 1)
    try bench.setFlag(id, level: Self.ip, name: 33, 5)
    try bench.setFlag(id, level: Self.ip, name: 2, 77)
    try bench.sockets.close(server, host: &bench.host)
    try bench.send(id, [4], to: SocketAddress(group, port: 99))
    bench.settle()
    #expect(bench.sent.map { $0[8] } == [1, 5])
    #expect(bench.count(.IpExtInMcastPkts) == 1)
  }

  private func join(_ bench: DatagramBench, _ id: SocketID, _ group: IPv4Address) throws {
    let value =
      (0..<4).map { UInt8(truncatingIfNeeded: group.rawValue >> UInt32(24 - 8 * $0)) } + [0, 0, 0, 0]
    let span = unsafe value.span.bytes
    try bench.sockets.setsockopt(id, level: 0, name: 35, value: span, host: &bench.host)
  }

  @Test("U4 broadcast: EACCES without SO_BROADCAST; counted and looped with it") func broadcast() throws {
    let bench = DatagramBench()
    let server = try bench.udp(port: 99)
    let id = try bench.udp(port: 40000)
    let everybody = SocketAddress(IPv4Address(10, 0, 0, 255), port: 99)
    #expect(throws: Errno.EACCES) { try bench.send(id, [1], to: everybody) }
    try bench.setFlag(id, level: Self.socket, name: 6)
    let payload = [UInt8](repeating: 3, count: 2000)
    try bench.send(id, payload, to: everybody)
    bench.settle()
    #expect(bench.sent.count == 2)
    #expect(try bench.receive(server).bytes == payload)
    #expect(bench.count(.IpExtOutBcastPkts) == 2 && bench.count(.IpExtOutBcastOctets) == 2048)
    #expect(bench.count(.IpExtInBcastPkts) == 1 && bench.count(.IpExtInBcastOctets) == 2028)
  }
}
