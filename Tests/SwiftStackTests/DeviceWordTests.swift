import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Wire

/// `dev NAME` in the doors: the stack's interface, `lo`, and what is neither. Linux 6.18's answers are the measure.
@Suite("§7 dev in the doors")
struct DeviceWordTests {
  private let peer = try! FramePeer()
  private var stack: Stack { peer.host.stack }

  private func change(_ text: String) throws(StackError) {
    try stack.apply(StackChange(words: text.split(separator: " ").map(String.init), device: "sim0"))
  }
  private func refusal(_ text: String) -> Errno? {
    do {
      try change(text)
      return nil
    } catch { return error.code }
  }
  /// How a datagram to an address fares, and the source it has.
  private func connect(_ address: String) -> Result<String, Errno> {
    do {
      let socket = try stack.socket(.udp)
      defer { socket.close() }
      try socket.connect(to: SocketAddress(try #require(IPv4Address(address)), port: 9))
      return .success("\(try socket.localAddress.address)")
    } catch { return .failure((error as? SocketError)?.errno ?? .EINVAL) }
  }

  @Test(
    "a device that is not there is named, by every door",
    arguments: [
      "addr add 10.0.0.9/24 dev eth9", "addr del 10.0.0.2/24 dev eth9", "route add 10.9.0.0/16 dev eth9",
      "route replace default via 10.0.0.1 dev eth9", "route del default dev eth9",
      "neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev eth9", "neigh del 10.0.0.1 dev eth9",
      "neigh flush dev eth9", "link set dev eth9 up", "link set eth9 mtu 900", "qdisc del dev eth9 root",
      "route add blackhole 10.9.0.0/16 dev eth9",
    ])
  func absent(text: String) throws {
    #expect(throws: StackError("Cannot find device \"eth9\"", code: .ENODEV)) { try change(text) }
  }

  @Test("by name in the library, too: ENODEV")
  func library() throws {
    let prefix = try #require(IPv4Prefix("10.77.0.1/24"))
    #expect(throws: StackError("Cannot find device \"eth9\"", code: .ENODEV)) {
      try stack.addAddress(prefix, on: "eth9")
    }
    try stack.addAddress(prefix, on: "sim0")
    #expect(stack.interfaceReport.addresses == ["10.0.0.2/24", "10.77.0.1/24"])
  }

  @Test("addr add dev lo: the whole network is local, with the address as its source; del takes it away")
  func loopbackAddress() throws {
    try change("addr add 10.77.2.1/24 dev lo")
    #expect(stack.interfaceReports.map(\.addresses) == [["127.0.0.1/8", "10.77.2.1/24"], ["10.0.0.2/24"]])
    #expect(stack.routeReports.allSatisfy { $0.device != "lo" })
    #expect(connect("10.77.2.1") == .success("10.77.2.1") && connect("10.77.2.9") == .success("10.77.2.1"))
    #expect(connect("10.77.2.255") == .failure(.EACCES))
    #expect(refusal("addr add 10.77.2.1/24 dev lo") == .EEXIST)
    #expect(refusal("addr del 10.77.2.1/24") == .EADDRNOTAVAIL)
    try change("addr del 10.77.2.1/24 dev lo")
    #expect(connect("10.77.2.9") == .failure(.ENETUNREACH))
    try change("addr add 127.5.0.1/8 dev lo")
    try change("addr del 127.5.0.1/8 dev lo")
    #expect(connect("127.9.9.9") == .success("127.0.0.1"))
    try change("addr del 127.0.0.1/8 dev lo")
    #expect(connect("127.0.0.1") == .failure(.ENETUNREACH))
    try change("addr add 127.0.0.1/8 dev lo")
    #expect(connect("127.0.0.1") == .success("127.0.0.1"))
  }

  @Test("one address on two devices: each has it for itself")
  func twice() throws {
    try change("addr add 10.0.0.2/24 dev lo")
    try change("addr del 10.0.0.2/24 dev lo")
    #expect(connect("10.0.0.1") == .success("10.0.0.2") && stack.routeReports.count == 1)
    try change("addr add 10.0.0.2/24 dev lo")
    try change("addr del 10.0.0.2/24 dev sim0")
    #expect(connect("10.0.0.2") == .success("10.0.0.2"))
  }

  @Test("one address on two devices: what one of them loses is not the other's route")
  func onceOfTwo() throws {
    try change("addr add 10.9.0.1/24 dev sim0")
    try change("addr add 10.9.0.1/32 dev lo")
    try change("addr del 10.9.0.1/32 dev lo")
    #expect(connect("10.9.0.7") == .success("10.9.0.1"))
    try change("addr del 10.9.0.1/24 dev sim0")
    #expect(connect("10.9.0.7") == .failure(.ENETUNREACH))
  }

  @Test("a route by lo delivers here; its gateway is any address that is local")
  func loopbackRoute() throws {
    try change("route add 10.78.0.0/16 dev lo")
    let shown = try #require(stack.routeReports.first { $0.destination == "10.78.0.0/16" })
    #expect(shown.device == "lo" && shown.scope == "link" && shown.gateway == nil)
    #expect(connect("10.78.0.5") == .success("10.0.0.2"))
    let (receiver, sender) = (try stack.socket(.udp), try stack.socket(.udp))
    try receiver.bind(to: SocketAddress(.any, port: 700))
    receiver.isNonBlocking = true
    try sender.send([7], to: SocketAddress(IPv4Address(10, 78, 0, 5), port: 700))
    #expect(try receiver.receive(upTo: 9) == [7] && peer.takePackets().isEmpty)
    #expect(stack.neighbourReports.allSatisfy { $0.device != "lo" })
    #expect(refusal("route add 10.78.0.0/16 dev sim0") == .EEXIST)
    try change("route add 10.79.0.0/16 via 127.0.0.5 dev lo")
    #expect(refusal("route add 10.80.0.0/16 via 10.0.0.1 dev lo") == .ENETUNREACH)
    #expect(refusal("route add 10.80.0.0/16 via 10.78.0.1 dev sim0") == .ENETUNREACH)
    try change("route add 10.80.0.0/16 via 10.0.0.1 dev sim0")
    #expect(refusal("route del 10.78.0.0/16 dev sim0") == .ESRCH)
    try change("route del 10.78.0.0/16 dev lo")
    try change("route add default dev lo metric 50")
    #expect(connect("192.0.2.1") == .success("10.0.0.2"))
  }

  @Test("neigh replace dev lo: one entry, for 0.0.0.0, which nobody asks for; del does not find another")
  func loopbackNeighbour() throws {
    try change("neigh replace 10.0.0.55 lladdr 02:00:00:00:00:01 dev lo")
    #expect(
      stack.neighbourReports.map { "\($0.address) \($0.device) \($0.state)" } == ["0.0.0.0 lo PERMANENT"])
    #expect(refusal("neigh del 10.0.0.55 dev lo") == .ENOENT && refusal("neigh del 10.0.0.55") == .ENOENT)
    try change("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 nud stale dev sim0")
    try change("neigh flush dev lo")
    #expect(stack.neighbourReports.count == 2)
    try change("neigh flush dev sim0")
    #expect(stack.neighbourReports.map(\.device) == ["lo"])
  }

  @Test("link set dev lo down: what is sent there is dropped, and nobody is told; bind() and routes stay")
  func loopbackDown() throws {
    let (receiver, sender) = (try stack.socket(.udp), try stack.socket(.udp))
    try receiver.bind(to: SocketAddress(.any, port: 700))
    receiver.isNonBlocking = true
    func send(_ address: IPv4Address) throws -> [UInt8]? {
      try sender.send([7], to: SocketAddress(address, port: 700))
      return try? receiver.receive(upTo: 9)
    }
    let own = IPv4Address(10, 0, 0, 2)
    try change("link set dev lo down")
    #expect(stack.interfaceReports[0].isUp == false && stack.interfaceReports[1].isUp)
    for address in [IPv4Address.loopback, IPv4Address(127, 0, 0, 2), own] {
      #expect(try send(address) == nil)
    }
    #expect(stack.interfaceReports[0].sent.dropped == 3)
    #expect(refusal("route add 10.78.0.0/16 dev lo") == .ENETDOWN)
    let client = try stack.socket(.tcp)
    client.isNonBlocking = true
    #expect(throws: SocketError("connect", .EINPROGRESS, SocketAddress(own, port: 9))) {
      try client.connect(to: SocketAddress(own, port: 9))
    }
    try change("link set lo up mtu 1400")
    #expect(try send(own) == [7] && stack.interfaceReports[0].mtu == 1400)
  }

  @Test("lo has no queueing discipline to replace: EOPNOTSUPP, not the interface's")
  func loopbackQdisc() throws {
    #expect(refusal("qdisc replace dev lo root netem delay 20ms") == .EOPNOTSUPP)
    #expect(refusal("qdisc del dev lo root") == .EOPNOTSUPP)
  }

  @Test(
    "link set: what it does not take is named, not taken for an interface",
    arguments: ["promisc", "multicast", "txqueuelen", "name", "vf"])
  func linkWord(word: String) throws {
    for text in ["link set \(word) on", "link set dev sim0 \(word) on", "link set sim0 \(word) on"] {
      #expect { try change(text) } throws: {
        "\($0)".hasPrefix("\"\(word)\" is unknown here: link set takes")
      }
    }
  }
}
