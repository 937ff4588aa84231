import IPv4
import InetSocket
import Internet
import NetNamespace
import Sockets
import Testing
import UDP
import Wire

/// `IP_UNICAST_IF`, heard in what the receiver of a datagram to ourselves is told of its device.
@Suite("U10 IP_UNICAST_IF")
struct UnicastInterfaceTests {
  private static let own = IPv4Address(10, 0, 0, 2)
  private static let ethernet = InterfaceIndex(rawValue: 2)

  private func control(_ interface: InterfaceIndex) -> SendControl {
    var control = SendControl()
    control.interface = interface
    return control
  }

  /// The option's bytes are the index in network byte order.
  private func set(_ bench: DatagramBench, _ socket: SocketID, _ index: UInt8) throws {
    try bench.setFlag(socket, level: 0, name: IPOptionName.unicastInterface, Int32(index) << 24)
  }

  @Test("a datagram leaves by the option's device, connected or not, unless a control message names one")
  func device() throws {
    let bench = DatagramBench()
    let receiver = try bench.udp(port: 5000)
    try bench.setFlag(receiver, level: 0, name: IPOptionName.packetInfo)
    let there = SocketAddress(Self.own, port: 5000)
    func device(_ sender: SocketID, _ control: SendControl = SendControl()) throws -> String {
      try bench.send(sender, [1], to: there, control: control)
      bench.settle()
      return try bench.receive(receiver, flags: .dontWait).message.control.interface.description
    }
    let sender = try bench.udp()
    #expect(try device(sender) == "2")
    try set(bench, sender, 1)
    #expect(try device(sender) == "1")
    #expect(try device(sender, control(Self.ethernet)) == "2")
    #expect(try device(sender) == "1")
    try set(bench, sender, 0)
    #expect(try device(sender) == "2")
    let connected = try bench.udp()
    try set(bench, connected, 1)
    try bench.sockets.connect(connected, to: there, host: &bench.host)
    try bench.send(connected, [1])
    bench.settle()
    #expect(try bench.receive(receiver, flags: .dontWait).message.control.interface == .loopback)
  }

  @Test("a group is not meant by it; everybody is")
  func many() throws {
    let bench = DatagramBench()
    let sender = try bench.udp()
    try bench.setFlag(sender, level: 1, name: SocketOptionName.broadcast)
    try set(bench, sender, 1)
    try bench.send(sender, [1], to: SocketAddress(.broadcast, port: 9))
    bench.settle()
    #expect(bench.sent.isEmpty)
    try bench.send(sender, [1], to: SocketAddress(IPv4Address(239, 1, 2, 3), port: 9))
    bench.settle()
    #expect(bench.sent.count == 1)
  }

  @Test("a destination that no route leads to is on the device's link: for a connect and for a ping, too")
  func onLink() throws {
    let bench = DatagramBench()
    let far = SocketAddress(IPv4Address(192, 0, 2, 7), port: 9)
    let connected = try bench.udp()
    #expect(throws: Errno.ENETUNREACH) {
      try bench.sockets.connect(connected, to: far, host: &bench.host)
    }
    try set(bench, connected, 2)
    try bench.sockets.connect(connected, to: far, host: &bench.host)
    let socket = try bench.sockets.socket(
      family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
    let echo: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 1]
    #expect(throws: Errno.ENETUNREACH) { try bench.send(socket, echo, to: far) }
    try set(bench, socket, 2)
    #expect(try bench.send(socket, echo, to: far) == 8)
  }

  @Test("EINVAL for anything but four bytes, EADDRNOTAVAIL for a device that is not there")
  func refused() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    #expect(throws: Errno.EADDRNOTAVAIL) { try set(bench, socket, 9) }
    try set(bench, socket, 2)
    let five: [UInt8] = [0, 0, 0, 1, 0]
    #expect(throws: Errno.EINVAL) {
      // Safe: a byte has no padding.
      let span = unsafe five.span.bytes
      try bench.sockets.setsockopt(
        socket, level: 0, name: IPOptionName.unicastInterface, value: span, host: &bench.host)
    }
    #expect(
      try bench.sockets.getsockopt(
        socket, level: 0, name: IPOptionName.unicastInterface, host: bench.host) == [0, 0, 0, 2])
  }
}
