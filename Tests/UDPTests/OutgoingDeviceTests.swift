import IPv4
import InetSocket
import NetNamespace
import Sockets
import Testing
import Wire

@testable import UDP

/// Which device a datagram leaves by, and which one it says it came in by: what was tried on Linux 6.18 with python's
/// `sendmsg` and `IP_PKTINFO`, `lo` being 1 there, too.
@Suite("IP_PKTINFO names the device")
struct OutgoingDeviceTests {
  private static let own = IPv4Address(10, 0, 0, 2)
  private static let ethernet = InterfaceIndex(rawValue: 2)

  private func control(_ interface: InterfaceIndex, _ source: IPv4Address? = nil) -> SendControl {
    var control = SendControl()
    control.interface = interface
    control.source = source
    return control
  }

  /// What the receiver of a datagram to ourselves is told: the device, and its sender's address.
  private func deliver(
    _ bench: DatagramBench, to address: IPv4Address, _ control: SendControl = SendControl()
  ) throws -> String {
    let receiver = try bench.udp(port: 5000)
    defer { try? bench.sockets.close(receiver, host: &bench.host) }
    try bench.setFlag(receiver, level: 0, name: 8)
    let sender = try bench.udp()
    do {
      try bench.send(sender, [1], to: SocketAddress(address, port: 5000), control: control)
      bench.settle()
      let got = try bench.receive(receiver, flags: .dontWait)
      return "\(got.message.control.interface) \(got.message.source?.address.description ?? "nobody")"
    } catch { return "\(error)" }
  }

  @Test(
    "U10 to ourselves: the address's device, or lo when that is named; another one's device is not by way of us"
  )
  func local() throws {
    let bench = DatagramBench()
    let loopback = IPv4Address.loopback
    for (address, control, expected) in [
      (loopback, SendControl(), "1 127.0.0.1"), (Self.own, SendControl(), "2 10.0.0.2"),
      (loopback, control(.loopback), "1 127.0.0.1"), (Self.own, control(.loopback), "1 10.0.0.2"),
      (Self.own, control(Self.ethernet), "2 10.0.0.2"), (loopback, control(.none, Self.own), "1 10.0.0.2"),
      (Self.own, control(.none, loopback), "2 127.0.0.1"),
      (loopback, control(Self.ethernet), "\(Errno.EAGAIN)"),
    ] { #expect(try deliver(bench, to: address, control) == expected, "\(address) \(control.interface)") }
  }

  @Test("U10 no such device is ENODEV, one that is down and a source that is not ours ENETUNREACH")
  func errors() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    let far = SocketAddress(DatagramBench.peer, port: 9)
    for (control, errno) in [
      (control(InterfaceIndex(rawValue: 99)), Errno.ENODEV),
      (control(InterfaceIndex(rawValue: .max)), .ENODEV),
      (control(.none, IPv4Address(10, 0, 0, 77)), .ENETUNREACH), (control(.none, .loopback), .EINVAL),
    ] { #expect(throws: errno) { try bench.send(socket, [1], to: far, control: control) } }
    bench.host.setLink(Self.ethernet, up: false)
    #expect(throws: Errno.ENETUNREACH) {
      try bench.send(socket, [1], to: far, control: control(Self.ethernet))
    }
  }

  @Test(
    "U10 by a device that no route leads over, the destination is on its link, as where a route refuses")
  func onLink() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    let far = IPv4Address(192, 0, 2, 7)
    #expect(throws: Errno.ENETUNREACH) { try bench.send(socket, [1], to: SocketAddress(far, port: 9)) }
    let route = try bench.host.route(to: far, from: nil, by: Self.ethernet)
    #expect(route.nextHop == far && route.interface == Self.ethernet && route.source == Self.own)
    #expect(
      try bench.send(socket, [1], to: SocketAddress(far, port: 9), control: control(Self.ethernet)) == 1)
    // The next one, without a device, is refused as before.
    #expect(throws: Errno.ENETUNREACH) { try bench.send(socket, [1], to: SocketAddress(far, port: 9)) }
    let prefix = try #require(IPv4Prefix("192.0.2.0/24"))
    // Tried on Linux 6.18.
    for kind in [RouteEntry.Kind.unreachable, .prohibit, .blackhole] {
      try bench.host.replaceRoute(RouteEntry(prefix, kind: kind))
      let route = try bench.host.route(to: far, from: nil, by: Self.ethernet)
      #expect(route.nextHop == far && route.interface == Self.ethernet)
    }
    #expect(throws: Errno.EINVAL) { try bench.host.route(to: far, from: nil) }
  }

  @Test("U10 groups and everybody are reached by the device that is named")
  func many() throws {
    let bench = DatagramBench()
    for address in [IPv4Address.broadcast, IPv4Address(239, 1, 2, 3)] {
      let route = try bench.host.route(to: address, from: nil, by: .loopback)
      #expect(route.interface == .loopback)
      #expect(try bench.host.route(to: address, from: nil).interface == Self.ethernet)
    }
  }
}
