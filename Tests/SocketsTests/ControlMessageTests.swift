import InetSocket
import NetNamespace
import Sockets
import Testing
import UDP
import Wire

/// Bytes as `CMSG_*` macros lay them out on x86-64.
@Suite struct ControlMessageTests {
  func message(_ level: UInt8, _ type: UInt8, _ data: [UInt8]) -> [UInt8] {
    let length = UInt8(16 + data.count)
    let padding = [UInt8](repeating: 0, count: (8 - data.count % 8) % 8)
    return [length, 0, 0, 0, 0, 0, 0, 0, level, 0, 0, 0, type, 0, 0, 0] + data + padding
  }
  func parse(
    _ bytes: [UInt8], _ kind: SocketID.Kind = .udp, privileges: SocketPrivileges = .netAdmin
  ) throws -> SendControl {
    let span = unsafe bytes.span.bytes
    return try ControlMessages.parse(span, for: kind, privileges: privileges)
  }

  @Test("S6 IP_TOS, IP_TTL, IP_PKTINFO and UDP_SEGMENT in one buffer")
  func ipLevel() throws {
    let control = try parse(
      message(0, 1, [0x10]) + message(0, 2, [5, 0, 0, 0])
        + message(0, 8, [1, 0, 0, 0, 10, 0, 0, 2, 9, 9, 9, 9]) + message(17, 103, [0xB0, 4]))
    #expect(control.typeOfService == 0x10)
    #expect(control.timeToLive == 5)
    #expect(control.source == IPv4Address(10, 0, 0, 2))
    #expect(control.interface == .loopback)
    #expect(control.segmentByteCount == 1200)
    #expect(try parse(message(0, 1, [0x20, 0, 0, 0])).typeOfService == 0x20)
  }

  @Test("S5 SO_MARK and SO_PRIORITY, with and without the privilege")
  func socketLevel() throws {
    let control = try parse(message(1, 36, [1, 2, 0, 0]) + message(1, 12, [6, 0, 0, 0]))
    #expect(control.mark == 0x201 && control.priority == 6)
    #expect(throws: Errno.EPERM) { try parse(message(1, 36, [1, 0, 0, 0]), privileges: []) }
    #expect(throws: Errno.EPERM) { try parse(message(1, 12, [7, 0, 0, 0]), privileges: []) }
    #expect(try parse(message(1, 12, [7, 0, 0, 0])).priority == 7)
    #expect(try parse(message(1, 12, [6, 0, 0, 0]), privileges: []).priority == 6)
  }

  @Test("S5 SCM_RIGHTS and SCM_CREDENTIALS are ignored, other levels skipped")
  func ignored() throws {
    #expect(try parse(message(1, 1, [3, 0, 0, 0]) + message(1, 2, [0, 0, 0, 0])) == SendControl())
    #expect(try parse(message(99, 1, [1])) == SendControl())
    // A stream looks at SOL_SOCKET only.
    #expect(try parse(message(0, 2, [0, 0, 0, 0]), .tcp) == SendControl())
    #expect(try parse([]) == SendControl())
  }

  @Test(
    "S5 S6 Unknown types, wrong lengths and values out of range are EINVAL",
    arguments: [
      (UInt8(1), UInt8(99), [UInt8](repeating: 0, count: 4)), (1, 36, [1]), (1, 12, [1, 0]),
      (1, 61, [UInt8](repeating: 0, count: 8)), (1, 81, [1, 0, 0, 0]), (1, 79, [1, 0]),
      (1, 37, [16, 0, 0, 0]), (1, 65, [2, 0]), (0, 2, [0, 0, 0, 0]), (0, 2, [0, 1, 0, 0]), (0, 2, [1]),
      (0, 1, [0, 1, 0, 0]),
      (0, 1, [1, 1]), (0, 8, [1, 0, 0, 0]), (0, 99, [1, 0, 0, 0]), (17, 103, [1]), (17, 1, [1, 0]),
    ])
  func invalid(level: UInt8, type: UInt8, data: [UInt8]) {
    #expect(throws: Errno.EINVAL) { try parse(message(level, type, data)) }
  }

  @Test("S5 A length below the header's or past the end is EINVAL; a trailing scrap is not a message")
  func lengths() throws {
    var short = message(0, 2, [1, 0, 0, 0])
    short[0] = 15
    #expect(throws: Errno.EINVAL) { try parse(short) }
    short[0] = 25
    #expect(throws: Errno.EINVAL) { try parse(short) }
    short[0] = 20
    short[7] = 0xFF
    #expect(throws: Errno.EINVAL) { try parse(short) }
    short[7] = 0
    #expect(try parse(short + [1, 2, 3]).timeToLive == 1)
    #expect(try parse([1, 2, 3]) == SendControl())
  }

  @Test("S5 Any bytes parse or are refused; none trap")
  func anyBytes() {
    var random = RandomSource(seed: 5)
    for _ in 0..<20_000 {
      var bytes = (0..<Int(random.next(below: 64))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      // Lengths near the truth reach further.
      if bytes.count >= 16 {
        for index in 1..<8 { bytes[index] = 0 }
        for index in 9..<12 { bytes[index] = 0 }
        bytes[8] &= 17
        for index in 13..<16 { bytes[index] = 0 }
      }
      _ = try? parse(bytes)
    }
  }

  // MARK: Received

  func write(_ control: ReceivedControl, room: Int = 256) -> (bytes: [UInt8], isTruncated: Bool) {
    var buffer = [UInt8](repeating: 0xEE, count: room)
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    let (count, isTruncated) = ControlMessages.write(control, to: &bytes)
    return (Array(buffer[..<count]), isTruncated)
  }

  @Test("S6 IP_PKTINFO, IP_TTL and IP_TOS as a receiver gets them")
  func received() {
    var control = ReceivedControl()
    control.destination = IPv4Address(10, 0, 0, 2)
    control.interface = InterfaceIndex(rawValue: 1)
    control.timeToLive = 61
    control.typeOfService = 8
    let (bytes, isTruncated) = write(control)
    #expect(!isTruncated)
    #expect(
      bytes == message(0, 8, [1, 0, 0, 0, 10, 0, 0, 2, 10, 0, 0, 2]) + message(0, 2, [61, 0, 0, 0])
        + message(0, 1, [8]))
  }

  @Test("S7 IP_RECVERR: sock_extended_err and the offender")
  func extendedError() {
    var control = ReceivedControl()
    control.error = ExtendedError(
      errno: .EMSGSIZE, origin: .icmp, kind: 3, code: 4, info: 1000, offender: IPv4Address(10, 0, 0, 1),
      destination: SocketAddress(IPv4Address(192, 0, 2, 1), port: 7))
    #expect(
      write(control).bytes
        == message(
          0, 11,
          [90, 0, 0, 0, 2, 3, 4, 0, 0xE8, 3, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 10, 0, 0, 1] + [
            0, 0, 0, 0, 0, 0, 0, 0,
          ]))
  }

  @Test("S6 Too little room cuts messages off and says so")
  func truncated() {
    var control = ReceivedControl()
    control.timeToLive = 61
    control.typeOfService = 8
    #expect(write(control, room: 48) == (message(0, 2, [61, 0, 0, 0]) + message(0, 1, [8]), false))
    for room in 0..<40 {
      let (bytes, isTruncated) = write(control, room: room)
      #expect(isTruncated && bytes.count <= room)
    }
  }
}
