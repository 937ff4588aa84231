import NetNamespace
import Sockets
import Testing
import Timers
import Wire

/// Levels, names and values as Linux numbers them (`<sys/socket.h>`, `<netinet/tcp.h>`, `<netinet/in.h>`).
@Suite struct SocketOptionTests {
  let bench = SocketBench()

  @Test("S7 SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN")
  func identity() throws {
    let stream = try bench.socket(.stream)
    let datagram = try bench.socket(.datagram)
    let ping = try bench.sockets.socket(domain: 2, type: 2, protocol: 1, net: &bench.host.net)
    #expect(try [stream, datagram, ping].map { try bench.get($0, 1, 3) } == [1, 2, 2])
    #expect(try [stream, datagram, ping].map { try bench.get($0, 1, 39) } == [2, 2, 2])
    #expect(try [stream, datagram, ping].map { try bench.get($0, 1, 38) } == [6, 17, 1])
    #expect(try bench.get(stream, 1, 30) == 0)
    try bench.sockets.listen(stream, backlog: 1, net: &bench.host.net)
    #expect(try bench.get(stream, 1, 30) == 1)
    #expect(throws: Errno.EOPNOTSUPP) { try bench.sockets.listen(datagram, backlog: 1, net: &bench.host.net) }
    #expect(throws: Errno.EOPNOTSUPP) { try bench.sockets.accept(datagram, net: &bench.host.net) }
  }

  @Test("S1 socket(2)'s refusals")
  func socketErrors() {
    #expect(throws: Errno.EAFNOSUPPORT) {
      try bench.sockets.socket(domain: 10, type: 1, protocol: 0, net: &bench.host.net)
    }
    #expect(throws: Errno.ESOCKTNOSUPPORT) {
      try bench.sockets.socket(domain: 2, type: 5, protocol: 0, net: &bench.host.net)
    }
    #expect(throws: Errno.EINVAL) {
      try bench.sockets.socket(domain: 2, type: 15, protocol: 0, net: &bench.host.net)
    }
    #expect(throws: Errno.EINVAL) {
      try bench.sockets.socket(domain: 2, type: 1, protocol: -1, net: &bench.host.net)
    }
    #expect(throws: Errno.EINVAL) {
      try bench.sockets.socket(domain: 2, type: 1, protocol: 263, net: &bench.host.net)
    }
    #expect(throws: Errno.EPROTONOSUPPORT) {
      try bench.sockets.socket(domain: 2, type: 1, protocol: 17, net: &bench.host.net)
    }
    #expect(throws: Errno.EPROTONOSUPPORT) {
      try bench.sockets.socket(domain: 2, type: 2, protocol: 6, net: &bench.host.net)
    }
  }

  @Test("S1 EBADF for a number that names no socket, or none any more")
  func badDescriptor() throws {
    let id = try bench.socket(.datagram)
    try bench.sockets.close(id, host: &bench.host)
    for dead in [id, .none, SocketID(.tcp, index: 5), SocketID(.udpLite, index: 5)] {
      #expect(throws: Errno.EBADF) { try bench.send(dead, [1]) }
      #expect(throws: Errno.EBADF) { try bench.receive(dead) }
      #expect(throws: Errno.EBADF) { try bench.get(dead, 1, 3) }
      #expect(throws: Errno.EBADF) { try bench.sockets.close(dead, host: &bench.host) }
    }
  }

  @Test("S7 SO_SNDBUF and SO_RCVBUF are doubled and clamped", arguments: [SocketType.stream, .datagram])
  func buffers(type: SocketType) throws {
    let id = try bench.socket(type)
    for (name, least) in [(Int32(7), Int32(4608)), (8, 2304)] {
      try bench.set(id, 1, name, 10000)
      #expect(try bench.get(id, 1, name) == 20000)
      try bench.set(id, 1, name, 1)
      #expect(try bench.get(id, 1, name) == least)
      try bench.set(id, 1, name, .max)
      #expect(try bench.get(id, 1, name) == 2 * (4 << 20))
      #expect(throws: Errno.EINVAL) { try bench.set(id, 1, name, [1, 2, 3]) }
    }
    try bench.set(id, 1, 32, 16 << 20)
    #expect(try bench.get(id, 1, 7) == 32 << 20)
    bench.sockets.privileges = []
    #expect(throws: Errno.EPERM) { try bench.set(id, 1, 32, 1 << 20) }
  }

  @Test("S7 Flags read back as they were set", arguments: [SocketType.stream, .datagram])
  func flags(type: SocketType) throws {
    let id = try bench.socket(type)
    var names: [(Int32, Int32)] = [(1, 2), (1, 15), (1, 5), (1, 6), (0, 8), (0, 11), (0, 12), (0, 13)]
    names += type == .stream ? [(1, 9), (1, 10), (6, 1), (6, 3)] : [(1, 11), (17, 1)]
    for (level, name) in names {
      #expect(try bench.get(id, level, name) == 0)
      try bench.set(id, level, name, 7)
      #expect(try bench.get(id, level, name) == 1)
      try bench.set(id, level, name, 0)
      #expect(try bench.get(id, level, name) == 0)
    }
  }

  @Test("S7 SO_RCVTIMEO and SO_SNDTIMEO", arguments: [SocketType.stream, .datagram])
  func timeouts(type: SocketType) throws {
    let id = try bench.socket(type)
    #expect(bench.sockets.timeouts(id).receive == nil)
    let value: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0, 0x20, 0xA1, 7, 0, 0, 0, 0, 0]
    for name: Int32 in [20, 66] {
      try bench.set(id, 1, name, value)
      #expect(bench.sockets.timeouts(id).receive == .milliseconds(2500))
      #expect(try bench.bytes(id, 1, name) == value)
      try bench.set(id, 1, name, [UInt8](repeating: 0, count: 16))
      #expect(bench.sockets.timeouts(id).receive == nil)
    }
    try bench.set(id, 1, 21, value)
    #expect(bench.sockets.timeouts(id).send == .milliseconds(2500))
    // EDOM: a million microseconds.
    #expect(throws: Errno(rawValue: 33)) {
      try bench.set(id, 1, 20, [0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x42, 0x0F, 0, 0, 0, 0, 0])
    }
    #expect(throws: Errno.EINVAL) { try bench.set(id, 1, 20, 1) }
  }

  @Test("S7 SO_LINGER, SO_PRIORITY, SO_MARK")
  func others() throws {
    let id = try bench.socket(.stream)
    try bench.set(id, 1, 13, [1, 0, 0, 0, 5, 0, 0, 0])
    #expect(try bench.bytes(id, 1, 13) == [1, 0, 0, 0, 5, 0, 0, 0])
    try bench.set(id, 1, 13, [0, 0, 0, 0, 5, 0, 0, 0])
    #expect(try bench.bytes(id, 1, 13)[0] == 0)
    #expect(throws: Errno.EINVAL) { try bench.set(id, 1, 13, 1) }
    for id in [id, try bench.socket(.datagram)] {
      bench.sockets.privileges = .netAdmin
      try bench.set(id, 1, 12, 7)
      #expect(try bench.get(id, 1, 12) == 7)
      try bench.set(id, 1, 36, 99)
      #expect(try bench.get(id, 1, 36) == 99)
      bench.sockets.privileges = []
      #expect(throws: Errno.EPERM) { try bench.set(id, 1, 12, 7) }
      #expect(throws: Errno.EPERM) { try bench.set(id, 1, 36, 1) }
      try bench.set(id, 1, 12, 6)
    }
  }

  @Test("S7 IP_TOS sets the priority, IP_TTL has a range, IP_MTU_DISCOVER four values")
  func ipLevel() throws {
    let id = try bench.socket(.datagram)
    try bench.set(id, 0, 1, 0x10)
    #expect(try bench.get(id, 0, 1) == 0x10)
    #expect(try bench.get(id, 1, 12) == 6)
    try bench.set(id, 0, 1, [0x08])
    #expect(try bench.get(id, 1, 12) == 2)
    #expect(try bench.get(id, 0, 2) == 64)
    try bench.set(id, 0, 2, 9)
    #expect(try bench.get(id, 0, 2) == 9)
    try bench.set(id, 0, 2, -1)
    #expect(try bench.get(id, 0, 2) == 64)
    for bad: Int32 in [0, 256, -2] { #expect(throws: Errno.EINVAL) { try bench.set(id, 0, 2, bad) } }
    #expect(try bench.get(id, 0, 10) == 1)
    for value: Int32 in 0...3 {
      try bench.set(id, 0, 10, value)
      #expect(try bench.get(id, 0, 10) == value)
    }
    #expect(throws: Errno.EINVAL) { try bench.set(id, 0, 10, 9) }
    #expect(throws: Errno.ENOTCONN) { try bench.get(id, 0, 14) }
    // ECN bits of a stream are TCP's.
    let stream = try bench.socket(.stream)
    try bench.set(stream, 0, 1, 0x13)
    #expect(try bench.get(stream, 0, 1) == 0x10)
  }

  @Test("S7 TCP options and their ranges")
  func tcpLevel() throws {
    let id = try bench.socket(.stream)
    for (name, good, low, high) in [
      (Int32(4), Int32(60), Int32(0), Int32(32768)), (5, 10, 0, 32768), (6, 4, 0, 128), (7, 3, 0, 128),
      (2, 1000, 87, 32768),
    ] {
      try bench.set(id, 6, name, good)
      #expect(try bench.get(id, 6, name) == good)
      #expect(throws: Errno.EINVAL) { try bench.set(id, 6, name, low) }
      #expect(throws: Errno.EINVAL) { try bench.set(id, 6, name, high) }
    }
    try bench.set(id, 6, 18, 1500)
    #expect(try bench.get(id, 6, 18) == 1500)
    #expect(throws: Errno.EINVAL) { try bench.set(id, 6, 18, -1) }
    #expect(try bench.get(id, 6, 8) == 60)
    try bench.set(id, 6, 8, 1000)
    #expect(try bench.get(id, 6, 8) == 120)
    try bench.set(id, 6, 8, -5)
    #expect(try bench.get(id, 6, 8) == -1)
    try bench.set(id, 6, 13, Array("reno".utf8))
    #expect(try bench.bytes(id, 6, 13) == Array("reno".utf8) + [UInt8](repeating: 0, count: 12))
    // ENOENT.
    #expect(throws: Errno(rawValue: 2)) { try bench.set(id, 6, 13, Array("none".utf8)) }
    #expect(try bench.bytes(id, 6, 11).count == 280)
    #expect(try bench.bytes(id, 6, 11, maximum: 8).count == 8)
    #expect(try bench.bytes(id, 6, 11)[0] == 7)
  }

  @Test("S7 Names and levels that are not there are ENOPROTOOPT, foreign levels EOPNOTSUPP to read")
  func unknown() throws {
    let stream = try bench.socket(.stream)
    let datagram = try bench.socket(.datagram)
    for (id, level, name) in [
      (stream, Int32(1), Int32(9999)), (stream, 6, 9999), (stream, 0, 9999), (stream, 17, 1), (stream, 77, 1),
      (datagram, 1, 9999), (datagram, 6, 1), (datagram, 17, 2), (datagram, 0, 9999),
    ] {
      #expect(throws: Errno.ENOPROTOOPT) { try bench.set(id, level, name, 1) }
      // Reading, Linux says EOPNOTSUPP for a level that is not the socket's.
      let isForeign = id == stream && level > 6 || id == datagram && level == 6
      #expect(throws: isForeign ? Errno.EOPNOTSUPP : .ENOPROTOOPT) { try bench.get(id, level, name) }
    }
    #expect(throws: Errno.ENOPROTOOPT) { try bench.set(stream, 1, 3, 1) }
    #expect(throws: Errno.EINVAL) { try bench.bytes(stream, 1, 3, maximum: -1) }
  }

  @Test("S2 The policy sees a send before its protocol does")
  func policy() throws {
    let id = try bench.socket(.datagram)
    bench.sockets.policy = SendPolicy(rules: [.init(kind: .udp, veto: .EPERM)])
    // Without the policy this would be EDESTADDRREQ.
    #expect(throws: Errno.EPERM) { try bench.send(id, [1]) }
  }

  @Test("S7 A stream and its TCP_INFO over loopback; EPIPE after shutdown")
  func stream() throws {
    let server = try bench.socket(.stream)
    let address = SocketAddress(IPv4Address(10, 0, 0, 2), port: 80)
    try bench.sockets.bind(server, to: address, host: &bench.host)
    try bench.sockets.listen(server, backlog: 5, net: &bench.host.net)
    try bench.set(server, 1, 20, [1] + [UInt8](repeating: 0, count: 15))
    let client = try bench.socket(.stream)
    do throws(Errno) {
      try bench.sockets.connect(client, to: address, host: &bench.host)
    } catch { #expect(error == .EINPROGRESS) }
    bench.settle()
    let child = try bench.sockets.accept(server, net: &bench.host.net)
    // Inherited from the listener.
    #expect(bench.sockets.timeouts(child).receive == .seconds(1))
    #expect(try bench.sockets.remoteAddress(client) == address)
    #expect(try bench.send(client, Array("hello".utf8)) == 5)
    bench.settle()
    #expect(try bench.receive(child) == Array("hello".utf8))
    let info = try bench.bytes(client, 6, 11)
    #expect(info[0] == 1)
    #expect(info[5] & 7 == 7)
    try bench.sockets.shutdown(client, read: false, write: true, host: &bench.host)
    #expect(throws: Errno.EPIPE) { try bench.send(client, [1]) }
    bench.settle()
    #expect(try bench.receive(child) == [])
  }
}
