import InetSocket
import NetNamespace
import SkBuff
import Sockets
import Testing
import UDP
import Wire

/// A send whose name and control messages are bytes, as sendmsg(2) has them. What is expected is what Linux 6.18 answered.
@Suite("S3 names and control messages as bytes")
struct NameBytesTests {
  private static let name: [UInt8] = [2, 0, 0x17, 0x70, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]

  private func send(
    _ bench: DatagramBench, _ socket: SocketID, _ name: [UInt8], _ length: Int? = nil, control: [UInt8] = [],
    flags: MessageFlags = [], count: Int = 5, bytes: [UInt8]? = nil
  ) -> Errno? {
    do {
      _ = try unsafe (bytes ?? [UInt8](repeating: 8, count: count)).withUnsafeBytes { buffer in
        var iter = unsafe IovIter(source: buffer)
        // Safe: bytes have no padding.
        return try bench.sockets.sendmsg(
          socket, name: unsafe name.span.bytes, nameLength: length ?? name.count,
          control: unsafe control.span.bytes, flags: flags, iter: &iter, host: &bench.host)
      }
      return nil
    } catch { return error as? Errno }
  }
  private func message(_ level: UInt8, _ type: UInt8, _ data: [UInt8]) -> [UInt8] {
    [UInt8(16 + data.count), 0, 0, 0, 0, 0, 0, 0, level, 0, 0, 0, type, 0, 0, 0] + data
  }

  @Test("S3 U1 lengths and families, in Linux's order") func names() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let name = Self.name
    let long = name + [UInt8](repeating: 0, count: 200)
    #expect(send(bench, socket, name) == nil)
    #expect(send(bench, socket, long, 128) == nil)
    // As much of it as an address can have.
    #expect(send(bench, socket, long, 129) == nil)
    #expect(send(bench, socket, long, 216) == nil)
    #expect(send(bench, socket, Array(long[..<128]), 4096) == nil)
    #expect(send(bench, socket, Array(long[..<127]), 4096) == .EFAULT)
    #expect(send(bench, socket, long, -1) == .EINVAL)
    #expect(send(bench, socket, name, 17) == .EFAULT)
    for length in [1, 2, 15] { #expect(send(bench, socket, name, length) == .EINVAL) }
    #expect(send(bench, socket, [0] + name[1...]) == nil)
    #expect(send(bench, socket, [0] + name[1...], 15) == .EINVAL)
    #expect(send(bench, socket, [10] + name[1...]) == .EAFNOSUPPORT)
    #expect(send(bench, socket, name[..<2] + [0, 0] + name[4...]) == .EINVAL)
    #expect(send(bench, socket, []) == .EDESTADDRREQ)
    // What comes before the name.
    #expect(send(bench, socket, [10] + name[1...], count: 70000) == .EMSGSIZE)
    #expect(send(bench, socket, name, 15, flags: .outOfBand) == .EOPNOTSUPP)
    bench.settle()
    #expect(bench.sent.count == 6)
  }

  @Test("S3 an echo socket takes no name without a family") func echo() throws {
    let bench = DatagramBench()
    let socket = try bench.sockets.socket(
      family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
    let request: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 1]
    #expect(send(bench, socket, [0] + Self.name[1...], bytes: request) == .EAFNOSUPPORT)
    #expect(send(bench, socket, Self.name, 15, bytes: request) == .EINVAL)
  }

  @Test(
    "U1 S6 errors of length, flags, name, destination and control messages, in the order of udp_sendmsg()")
  func order() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let none = message(0, 99, [0, 0, 0, 0])
    let portless: [UInt8] = [2, 0, 0, 0] + Self.name[4...]
    #expect(send(bench, socket, [], control: none) == .EDESTADDRREQ)
    #expect(send(bench, socket, [], control: none, count: 65536) == .EMSGSIZE)
    #expect(send(bench, socket, [], count: 65508) == .EDESTADDRREQ)
    #expect(send(bench, socket, Self.name, control: none, count: 65508) == .EINVAL)
    #expect(send(bench, socket, Self.name, control: none, flags: .outOfBand) == .EOPNOTSUPP)
    #expect(send(bench, socket, [10] + Self.name[1...], control: none) == .EAFNOSUPPORT)
    bench.sockets.privileges = []
    let mark = message(1, 36, [1, 0, 0, 0])
    #expect(send(bench, socket, Self.name, control: mark) == .EPERM)
    #expect(send(bench, socket, Self.name, control: mark, count: 65508) == .EPERM)
    #expect(send(bench, socket, [], control: mark) == .EDESTADDRREQ)
    #expect(send(bench, socket, portless, control: mark) == .EINVAL)
    // As a value, too.
    var control = SendControl()
    control.mark = 1
    #expect(throws: Errno.EDESTADDRREQ) { try bench.send(socket, [1], control: control) }
    let peer = SocketAddress(DatagramBench.peer, port: 6000)
    #expect(throws: Errno.EPERM) { try bench.send(socket, [1], to: peer, control: control) }
  }

  @Test("U1 a send that its protocol refuses has bound its socket; one whose name cannot be read has not")
  func bound() throws {
    let bench = DatagramBench()
    func port(
      after name: [UInt8], _ length: Int? = nil, control: [UInt8] = [], count: Int = 5
    ) throws -> UInt16 {
      let socket = try bench.sockets.socket(
        family: .inet, type: .datagram, protocol: .udp, net: &bench.host.net)
      #expect(send(bench, socket, name, length, control: control, count: count) != nil)
      return try bench.sockets.localAddress(socket).port
    }
    #expect(try port(after: []) != 0)
    #expect(try port(after: [10] + Self.name[1...]) != 0)
    #expect(try port(after: Self.name, 15) != 0)
    #expect(try port(after: Self.name, control: message(0, 99, [0, 0, 0, 0])) != 0)
    #expect(try port(after: Self.name, count: 65_536) != 0)
    #expect(try port(after: Self.name, -1) == 0)
    #expect(try port(after: Self.name, 17) == 0)
  }

  @Test("S3 S6 errors of an echo socket, in the order of ping_v4_sendmsg()") func echoOrder() throws {
    let bench = DatagramBench()
    let socket = try bench.sockets.socket(
      family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
    let request: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 1]
    let none = message(0, 99, [0, 0, 0, 0])
    func told(_ name: [UInt8], _ length: Int? = nil, control: [UInt8] = [], bytes: [UInt8]) -> Errno? {
      send(bench, socket, name, length, control: control, bytes: bytes)
    }
    #expect(told([], bytes: request) == .EDESTADDRREQ)
    #expect(told([], control: none, bytes: request) == .EDESTADDRREQ)
    #expect(told(Self.name, control: none, bytes: request) == .EINVAL)
    #expect(told([10] + Self.name[1...], control: none, bytes: request) == .EAFNOSUPPORT)
    #expect(told([10] + Self.name[1...], bytes: [7] + request[1...]) == .EINVAL)
    #expect(told([0] + Self.name[1...], bytes: request) == .EAFNOSUPPORT)
    #expect(told([], bytes: request + [UInt8](repeating: 0, count: 65530)) == .EMSGSIZE)
    #expect(told(Self.name + [UInt8](repeating: 0, count: 284), 300, bytes: request) == nil)
    bench.sockets.privileges = []
    let mark = message(1, 36, [1, 0, 0, 0])
    #expect(told(Self.name, control: mark, bytes: [7] + request[1...]) == .EINVAL)
    #expect(told(Self.name, control: mark, bytes: request) == .EPERM)
  }

  @Test("U2 while a datagram collects, names and control messages are not looked at") func collecting() throws
  {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    #expect(send(bench, socket, Self.name, flags: .more) == nil)
    #expect(send(bench, socket, [10] + Self.name[1...], flags: .more) == nil)
    #expect(send(bench, socket, Self.name, 3, flags: .more) == nil)
    #expect(send(bench, socket, Self.name, -1, flags: .more) == .EINVAL)
    #expect(send(bench, socket, Self.name, 17, flags: .more) == .EFAULT)
    #expect(send(bench, socket, Self.name, control: message(0, 2, [0, 0, 0, 0])) == nil)
    bench.settle()
    #expect(bench.sent.map { Packet.read16($0, 2) } == [20 + 8 + 20])
    #expect(bench.sent.map { $0[8] } == [64])
  }

  @Test("S5 S6 U10 control messages: what each may be") func control() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    func told(_ level: UInt8, _ type: UInt8, _ data: [UInt8]) -> Errno? {
      send(bench, socket, Self.name, control: message(level, type, data))
    }
    #expect(told(1, 36, [7, 0, 0, 0]) == nil)
    #expect(told(1, 36, [7, 0]) == .EINVAL)
    #expect(told(1, 12, [99, 0, 0, 0]) == nil)
    #expect(told(1, 12, [3]) == .EINVAL)
    #expect(told(1, 9, [1, 0, 0, 0]) == .EINVAL)
    #expect(told(1, 1, [1, 0, 0, 0]) == nil)
    #expect(told(6, 1, [1, 0, 0, 0]) == nil)
    #expect(told(0, 1, [0x20, 0]) == .EINVAL)
    #expect(told(0, 2, [9]) == .EINVAL)
    #expect(told(0, 8, [2, 0, 0, 0, 0, 0, 0, 0]) == .EINVAL)
    #expect(told(0, 8, [99, 0, 0, 0] + [UInt8](repeating: 0, count: 8)) == .ENODEV)
    #expect(told(0, 8, [0, 0, 0, 0, 10, 0, 0, 9, 0, 0, 0, 0]) == .ENETUNREACH)
    #expect(told(0, 8, [2, 0, 0, 0, 10, 0, 0, 2, 0, 0, 0, 0]) == nil)
    #expect(told(17, 103, [5, 0, 0, 0]) == .EINVAL)
    // Whoever may not is told so before the length is looked at; a priority's length comes first.
    bench.sockets.privileges = []
    #expect(told(1, 36, [7, 0]) == .EPERM)
    #expect(told(1, 12, [7]) == .EINVAL)
    #expect(told(1, 12, [7, 0, 0, 0]) == .EPERM)
    #expect(told(1, 12, [6, 0, 0, 0]) == nil)
  }
}
