import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers

/// Changes to the interface and the NIC of a running stack.
@Suite struct LinkChangeTests {
  private static let one = IPv4Address(10, 0, 0, 1)

  private func change(_ stack: Stack, _ text: String) throws(StackError) {
    try stack.apply(StackChange(words: text.split(separator: " ").map(String.init), device: "sim0"))
  }
  private func refusal(_ stack: Stack, _ text: String) -> Errno? {
    do {
      try change(stack, text)
      return nil
    } catch {
      return error.code
    }
  }
  private func send(_ peer: FramePeer, _ count: Int = 1) -> Errno? {
    do {
      let socket = try peer.host.stack.socket(.udp)
      defer { socket.close() }
      socket.isNonBlocking = true
      try socket.send([UInt8](repeating: 1, count: count), to: SocketAddress(Self.one, port: 9))
      return nil
    } catch {
      return error.errno
    }
  }

  @Test("link set mtu: packets are cut to it from then on, on every queue, and it is shown") func mtu() throws
  {
    let peer = try FramePeer(queues: 2)
    #expect(send(peer, 1400) == nil)
    #expect(peer.takePackets().count == 1)
    try change(peer.host.stack, "link set dev sim0 mtu 1000")
    #expect(send(peer, 1400) == nil)
    let packets = peer.takePackets()
    #expect(packets.count == 2 && packets.allSatisfy { $0.count <= 1000 })
    #expect(peer.host.stack.interfaceReport.mtu == 1000)
    try change(peer.host.stack, "link set sim0 mtu 1500")
    #expect(send(peer, 1400) == nil)
    #expect(peer.takePackets().count == 1)
    for text in ["link set mtu 67", "link set mtu 9703 down"] {
      #expect(refusal(peer.host.stack, text) == .EINVAL)
    }
    #expect(peer.host.stack.interfaceReport.mtu == 1500 && peer.host.stack.interfaceReport.isUp)
  }

  @Test(
    "link set mtu: beyond what the NIC was opened for it is opened anew, and takes and sends the longer packets"
  )
  func longerMTU() throws {
    let peer = try FramePeer(queues: 2)
    let echo = FramePeer.ip(1, FramePeer.icmp(8, 0, [UInt8](repeating: 7, count: 8000)))
    peer.receive(echo)
    #expect(peer.takePackets().isEmpty)
    let before = peer.host.stack.nicReports[0]
    try change(peer.host.stack, "link set mtu 9000")
    for queue in 0..<2 {
      peer.receive(echo, queue: queue)
      #expect(peer.takePackets().map(\.count) == [8028])
    }
    #expect(send(peer, 8900) == nil)
    #expect(peer.takePackets().map(\.count) == [8928])
    // What was counted stays counted.
    let after = peer.host.stack.nicReports[0]
    #expect(value(after, "rx_oversize.nic") == 1 && value(before, "rx_oversize.nic") == 1)
    try change(peer.host.stack, "link set mtu 1500")
    #expect(send(peer, 8900) == nil)
    #expect(peer.takePackets().count == 7)
  }

  @Test("link set mtu: a connection's segments follow it") func mtuOfConnection() throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9))
    try wire.run(for: .seconds(1))
    try change(wire.left.stack, "link set mtu 600")
    var longest = 0
    wire.tap = { frame, fromLeft in if fromLeft { longest = max(longest, frame.bytes.count) } }
    #expect(try socket.send([UInt8](repeating: 1, count: 9000)) == 9000)
    try wire.run(for: .seconds(5))
    #expect(longest == 614)
  }

  @Test("link set down: nothing comes or goes; up: all does again, and the addresses are announced")
  func downUp() throws {
    let peer = try FramePeer {
      $0.announcesAddress = true
      $0.gateway = Self.one
    }
    peer.advance(.seconds(10))
    #expect(send(peer) == nil)
    _ = peer.takePackets()
    _ = peer.takeARP()
    try change(peer.host.stack, "route add blackhole 10.8.0.0/16")
    try change(peer.host.stack, "neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09")
    try change(peer.host.stack, "link set down")
    // As Linux: the gateway's network went with the link.
    #expect(refusal(peer.host.stack, "route add default via 10.0.0.1") == .ENETUNREACH)
    #expect(refusal(peer.host.stack, "route add default dev sim0") == .ENETDOWN)
    #expect(peer.host.stack.routeReports.map(\.kind) == ["blackhole"])
    #expect(!peer.host.stack.interfaceReport.isUp)
    #expect(send(peer) == .ENETUNREACH)
    let received = peer.count("IpInReceives")
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)))
    peer.advance(.seconds(5))
    #expect(peer.count("IpInReceives") == received)
    #expect(peer.takePackets().isEmpty && peer.takeARP().isEmpty && peer.host.stack.neighbourReports.isEmpty)
    try change(peer.host.stack, "link set up")
    #expect(peer.takeARP().first.map { Array($0[14..<18]) } == [10, 0, 0, 2])
    // As in Linux: the network's route comes back, the gateway's does not.
    #expect(peer.host.stack.routeReports.map(\.destination).sorted() == ["10.0.0.0/24", "10.8.0.0/16"])
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)))
    #expect(peer.takePackets().count == 1)
    // Up already: nothing to tell.
    peer.advance(.seconds(10))
    _ = peer.takeARP()
    try change(peer.host.stack, "link set up")
    #expect(peer.takeARP().isEmpty)
  }

  @Test("link set address: frames come from it and to it only, neighbours are told and asked anew")
  func address() throws {
    let peer = try FramePeer(queues: 2) { $0.announcesAddress = true }
    peer.advance(.seconds(10))
    #expect(send(peer) == nil)
    _ = peer.takePackets()
    _ = peer.takeARP()
    try change(peer.host.stack, "link set address 02:00:00:00:00:42")
    let announcement = try #require(peer.takeARP().first)
    #expect(Array(announcement[8..<14]) == FramePeer.mac(0x42))
    #expect(peer.host.stack.interfaceReport.macAddress == "02:00:00:00:00:42")
    for queue in 0..<2 {
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)), queue: queue)
      #expect(peer.takePackets().isEmpty)
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)), to: FramePeer.mac(0x42), queue: queue)
      #expect(peer.takePackets().count == 1)
    }
    for text in ["link set address 01:00:00:00:00:01", "link set address 00:00:00:00:00:00"] {
      #expect(refusal(peer.host.stack, text) == .EADDRNOTAVAIL)
    }
  }

  private func bulk(_ change: (Stack) throws -> Void) throws -> (longest: Int, report: NICReport) {
    let wire = try SimulatedWire(lendsEngines: true)
    try change(wire.left.stack)
    var longest = 0
    wire.tap = { frame, fromLeft in if fromLeft { longest = max(longest, frame.bytes.count) } }
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9))
    try wire.run(for: .seconds(1))
    var sent = 0
    wire.run(for: .seconds(20)) {
      if sent < 200_000 { sent += (try? socket.send([UInt8](repeating: 1, count: 20_000))) ?? 0 }
      return false
    }
    #expect(sent >= 200_000)
    return (longest, try #require(wire.left.stack.nicReports.first))
  }
  private func value(_ report: NICReport, _ name: String) -> UInt64 {
    report.statistics.first { $0.name == name }?.value ?? .max
  }

  @Test("nic set tso, tx-checksum: the NIC's work is software's from the next packet on, and is shown")
  func features() throws {
    let (with, before) = try bulk { _ in }
    #expect(with > 1514 && value(before, "tx_software_gso") == 0)
    #expect(before.features.contains("tx-tcp-segmentation") && before.features.contains("rx-gro"))
    let (without, after) = try bulk { try self.change($0, "nic set tso off") }
    #expect(without == 1514 && value(after, "tx_software_gso") > 0)
    #expect(!after.features.contains("tx-tcp-segmentation"))
    let (longest, none) = try bulk { try self.change($0, "nic set tx-checksum off") }
    #expect(longest == 1514 && none.features == ["rx-gro"])
    let left = ["tx-scatter-gather", "tx-tcp-segmentation", "tx-udp-segmentation"]
    #expect(none.requestedFeatures == left)
    // As in Linux: what is off for want of another feature comes on with that one, unless it was turned off, too.
    let stack = try SimulatedStack().stack
    for text in ["nic set tx-checksum off", "nic set tx-udp-segmentation off", "nic set gro off"] {
      try change(stack, text)
    }
    #expect(stack.nicReports.first?.features == [])
    try change(stack, "nic set tx-checksum on")
    #expect(
      stack.nicReports.first?.features == ["tx-scatter-gather", "tx-checksum-ipv4", "tx-tcp-segmentation"])
    #expect(stack.nicReports.first?.requestedFeatures == [])
    for text in ["nic set gro on", "nic set sg off", "nic set tso on"] { try change(stack, text) }
    #expect(stack.nicReports.first?.features == ["tx-checksum-ipv4", "rx-gro"])
    #expect(stack.nicReports.first?.requestedFeatures == ["tx-tcp-segmentation"])
  }

  @Test("nic set rx-ring, tx-ring: rounded up as in Linux, shown, and packets go on; what waits is not lost")
  func rings() throws {
    let peer = try FramePeer(queues: 2)
    let stack = peer.host.stack
    #expect(send(peer) == nil)
    #expect(peer.takePackets().count == 1)
    try change(stack, "nic set rx-ring 100")
    try change(stack, "nic set tx-ring 64")
    for report in stack.nicReports { #expect(report.receiveRing == 128 && report.transmitRing == 64) }
    #expect(stack.nicReports.reduce(0) { $0 + value($1, "tx_packets") } >= 1)
    #expect(send(peer) == nil)
    #expect(peer.takePackets().count == 1)
    for queue in 0..<2 {
      for _ in 0..<300 {
        peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)), queue: queue)
        #expect(peer.takePackets().count == 1)
      }
    }
    for text in ["nic set rx-ring 63", "nic set tx-ring 8161"] { #expect(refusal(stack, text) == .EINVAL) }
    // A stalled ring is full; what is above it goes when there is a new one.
    try change(stack, "nic fault stall")
    for _ in 0..<100 { #expect(send(peer) == nil) }
    #expect(peer.takePackets().isEmpty)
    try change(stack, "nic set tx-ring 128")
    try change(stack, "nic fault off")
    peer.advance(.milliseconds(10))
    #expect((1..<100).contains(peer.takePackets().count))
    #expect(stack.nicReports.allSatisfy { $0.transmitRing == 128 })
  }

  @Test("nic fault: stall, drop N%, late-writeback, map-fail, off, and they are shown") func faults() throws {
    let peer = try FramePeer(queues: 2)
    let stack = peer.host.stack
    func arrivals(_ count: Int) -> Int {
      for _ in 0..<count { _ = send(peer) }
      return peer.takePackets().count
    }
    #expect(arrivals(1) == 1)
    try change(stack, "nic fault drop 30%")
    #expect(arrivals(40) == 28)
    try change(stack, "nic fault drop 100%")
    #expect(arrivals(10) == 0)
    try change(stack, "nic fault off")
    #expect(arrivals(10) == 10)
    try change(stack, "nic fault map-fail 3")
    #expect(arrivals(10) == 7)
    try change(stack, "nic fault stall")
    try change(stack, "nic fault late-writeback 20")
    try change(stack, "nic set rx-ring 256")
    #expect(
      stack.nicReports.map(\.faults) == [["stall", "late-writeback 20"], ["stall", "late-writeback 20"]])
    #expect(arrivals(3) == 0)
    try change(stack, "nic fault off")
    #expect(stack.nicReports.allSatisfy { $0.faults.isEmpty })
    peer.advance(.seconds(20))
    #expect(arrivals(3) >= 3)
    #expect(throws: StackError.self) { try stack.commit(.drop(percent: 101)) }
    #expect(throws: StackError.self) { try stack.commit(.lateWriteBack(milliseconds: -1)) }
  }

  @Test(
    "words of link and nic that make no change are refused with what was wrong",
    arguments: [
      ("link", "set"), ("link set", "needs"), ("link set dev", "an interface"),
      ("link set dev eth9 up", "Cannot find device \"eth9\""), ("link set mtu", "an MTU"),
      ("link set mtu many", "\"many\""), ("link set address 1:2", "\"1:2\""),
      ("link set sideways", "\"sideways\""),
      ("nic", "set, fault"), ("nic set", "tso"), ("nic set warp on", "\"warp\""),
      ("nic set tso", "on or off"),
      ("nic set tso maybe", "\"maybe\""), ("nic fault", "stall"), ("nic fault fire", "\"fire\""),
      ("nic fault drop", "N%"), ("nic fault drop 10", "\"10\""), ("nic fault drop 101%", "0 to 100"),
      ("nic fault late-writeback soon", "\"soon\""), ("nic fault map-fail -1", "\"-1\""),
      ("nic fault off now", "\"now\""), ("nic set rx-ring", "descriptors"),
      ("nic set tx-ring some", "\"some\""),
      ("link set mtu 900 mtu 901", "duplicate \"mtu\""),
    ])
  func refused(text: String, reason: String) {
    #expect {
      try StackChange(words: text.split(separator: " ").map(String.init), device: "sim0")
    } throws: { "\($0)".contains(reason) }
  }
}
