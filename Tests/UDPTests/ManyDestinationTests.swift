import IPv4
import InetSocket
import Internet
import NetNamespace
import Sockets
import Testing
import UDP
import Wire

/// What `IP_PKTINFO` says that a datagram for many was for, and what a host without an address sends from. What is
/// expected was tried on Linux 6.18.
@Suite("U6 datagrams for many, and from nobody")
struct ManyDestinationTests {
  private typealias Told = (specific: String, destination: String)

  private func told(_ bench: DatagramBench, _ socket: SocketID) throws -> Told {
    let control = try bench.receive(socket, flags: .dontWait).message.control
    return ("\(try #require(control.specificDestination))", "\(try #require(control.destination))")
  }

  @Test("IP_PKTINFO: ipi_spec_dst is the address of ours that an answer would have, ipi_addr the header's")
  func specific() throws {
    let bench = DatagramBench()
    let second = try #require(IPv4Prefix("10.8.0.1/24"))
    try bench.host.addAddress(try #require(IPv4Prefix("10.0.0.7/24")), on: bench.ethernet)
    try bench.host.addAddress(second, on: bench.ethernet)
    let behind = try #require(IPv4Prefix("10.20.0.0/16"))
    try bench.host.addRoute(
      RouteEntry(behind, gateway: IPv4Address(10, 8, 0, 9), interface: bench.ethernet))
    let socket = try bench.udp(port: 700)
    try bench.setFlag(socket, level: 0, name: IPOptionName.packetInfo)
    let group: [UInt8] = [224, 0, 0, 7]
    bench.host.joinGroup(IPv4Address(224, 0, 0, 7), on: bench.ethernet)
    let all: [UInt8] = [255, 255, 255, 255]
    let everybody = [UInt8](repeating: 0xFF, count: 6)
    for (source, destination, station, specific) in [
      ([10, 0, 0, 1], [10, 0, 0, 2], DatagramBench.mac, "10.0.0.2"),
      ([10, 0, 0, 1], [10, 0, 0, 7], DatagramBench.mac, "10.0.0.7"),
      ([10, 0, 0, 1], [10, 0, 0, 255], everybody, "10.0.0.2"), ([10, 0, 0, 1], all, everybody, "10.0.0.2"),
      ([10, 0, 0, 1], group, [1, 0, 0x5E, 0, 0, 7], "10.0.0.2"), ([10, 8, 0, 2], all, everybody, "10.8.0.1"),
      ([10, 8, 0, 2], [10, 0, 0, 255], everybody, "10.8.0.1"), ([0, 0, 0, 0], all, everybody, "10.0.0.2"),
      ([192, 0, 2, 1], all, everybody, "10.0.0.2"), ([10, 20, 0, 5], all, everybody, "10.8.0.1"),
    ] as [([UInt8], [UInt8], [UInt8], String)] {
      bench.receive(
        Packet.udp(from: 9, to: 700, [1], source: source, destination: destination), destinationMAC: station)
      let got = try told(bench, socket)
      #expect(got.specific == specific, "\(source) to \(destination)")
      #expect(got.destination == destination.map { "\($0)" }.joined(separator: "."))
    }
    let sender = try bench.udp()
    try bench.setFlag(sender, level: 1, name: SocketOptionName.broadcast)
    try bench.send(sender, [1], to: SocketAddress(IPv4Address(127, 255, 255, 255), port: 700))
    bench.settle()
    #expect(try told(bench, socket) == ("127.0.0.1", "127.255.255.255"))
  }

  @Test("U1 a datagram for all reaches the sockets of its device and of none, not another device's")
  func devices() throws {
    let bench = DatagramBench()
    var sockets: [SocketID] = []
    for device: Int32 in [0, 1, 2] {
      let id = try bench.udp()
      try bench.setFlag(id, level: 1, name: 2)
      try bench.setFlag(id, level: 1, name: SocketOptionName.bindToInterface, device)
      try bench.sockets.bind(id, to: SocketAddress(.any, port: 700), host: &bench.host)
      sockets.append(id)
    }
    bench.receive(
      Packet.udp(from: 9, to: 700, [1], source: [10, 0, 0, 1], destination: [255, 255, 255, 255]),
      destinationMAC: [UInt8](repeating: 0xFF, count: 6))
    #expect(sockets.map { (try? bench.receive($0, flags: .dontWait)) != nil } == [true, false, true])
  }

  @Test("IP_PKTINFO in bytes: index, ipi_spec_dst, ipi_addr")
  func bytes() {
    var control = ReceivedControl()
    control.destination = IPv4Address(10, 0, 0, 255)
    control.specificDestination = IPv4Address(10, 0, 0, 2)
    control.interface = InterfaceIndex(rawValue: 2)
    var bytes = [UInt8](repeating: 0xEE, count: 32)
    var span = bytes.mutableSpan
    // Safe: a byte has no padding.
    var room = unsafe span.mutableBytes
    let written = ControlMessages.write(control, to: &room)
    #expect(written.byteCount == 32)
    #expect(bytes[16..<28] == [2, 0, 0, 0, 10, 0, 0, 2, 10, 0, 0, 255])
  }

  @Test(
    "I4 a host without any address sends by its routes from 0.0.0.0: to one, to all, to a group, and its ARP asks so"
  )
  func nobody() throws {
    let bench = DatagramBench()
    try bench.host.removeAddress(DatagramBench.address)
    let anywhere = try #require(IPv4Prefix(.any, length: 0))
    try bench.host.addRoute(RouteEntry(anywhere, interface: bench.ethernet))
    for (address, isForAll) in [
      (DatagramBench.peer, false), (IPv4Address(192, 0, 2, 1), false), (IPv4Address.broadcast, true),
      (IPv4Address(239, 1, 2, 3), false),
    ] {
      let socket = try bench.udp()
      if isForAll { try bench.setFlag(socket, level: 1, name: SocketOptionName.broadcast) }
      try bench.sockets.connect(socket, to: SocketAddress(address, port: 67), host: &bench.host)
      #expect(try bench.sockets.localAddress(socket).address == IPAddress(.any))
      try bench.send(socket, [1])
    }
    bench.settle()
    // The peer answers for its own address; nobody has the other.
    #expect(bench.sent.map { Array($0[12..<16]) } == [[UInt8]](repeating: [0, 0, 0, 0], count: 3))
    let stream = try bench.sockets.socket(family: .inet, type: .stream, net: &bench.host.net)
    try bench.sockets.connect(stream, to: SocketAddress(DatagramBench.peer, port: 80), host: &bench.host)
    bench.settle()
    #expect(bench.sent.last.map { Array($0[9..<10] + $0[12..<20]) } == [6, 0, 0, 0, 0, 10, 0, 0, 1])
    let local = try bench.udp()
    try bench.sockets.connect(local, to: SocketAddress(.loopback, port: 9), host: &bench.host)
    #expect(try bench.sockets.localAddress(local).address == IPAddress(.loopback))
  }

  @Test("I4 255.255.255.255 by a device that is asked for goes to all on its link")
  func everybody() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    try bench.setFlag(socket, level: 1, name: SocketOptionName.bindToInterface, 2)
    #expect(throws: Errno.EACCES) { try bench.send(socket, [1], to: SocketAddress(.broadcast, port: 67)) }
    try bench.setFlag(socket, level: 1, name: SocketOptionName.broadcast)
    try bench.send(socket, [1], to: SocketAddress(.broadcast, port: 67))
    bench.settle()
    #expect(bench.sent.count == 1)
  }
}
