import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers

/// Asking whether an address is anybody's before it is used (RFC 5227 section 2.1), through the whole stack.
@Suite struct AddressProbeTests {
  private func change(_ stack: Stack, _ text: String) throws(StackError) {
    try stack.apply(StackChange(words: text.split(separator: " ").map(String.init), device: "sim0"))
  }

  private func errno(_ body: () throws(StackError) -> Void) -> Errno? {
    do throws(StackError) {
      try body()
      return nil
    } catch { return error.code }
  }

  @Test(
    "N5 RFC 5227 2.1.1: three probes 1 to 2 s apart, 2 s of waiting, then two announcements",
    arguments: [1, 3])
  func free(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    let start = peer.host.now
    try change(peer.host.stack, "addr add 10.0.0.77/24 probe")
    var times: [Int64] = []
    var announced: [Int64] = []
    for _ in 0..<110 {
      peer.advance(.milliseconds(100))
      for request in peer.takeARP() {
        #expect(Array(request[24..<28]) == [10, 0, 0, 77] && Array(request[8..<14]) == FramePeer.hostMAC)
        let time = (peer.host.now - start).milliseconds
        if Array(request[14..<18]) == [0, 0, 0, 0] { times.append(time) } else { announced.append(time) }
      }
      // Until it is announced it is nobody's.
      #expect(peer.host.stack.interfaceReport.addresses.contains("10.0.0.77/24") == !announced.isEmpty)
    }
    try #require(times.count == 3 && announced.count == 2)
    #expect(times[0] <= 1000 && (900...2100).contains(times[1] - times[0]))
    #expect((900...2100).contains(times[2] - times[1]))
    #expect((1900...2100).contains(announced[0] - times[2]) && announced[1] - announced[0] == 2000)
    #expect(peer.host.stack.takeAddressConflicts().isEmpty)
    let socket = try peer.host.stack.socket(.udp, queue: queues - 1)
    try socket.bind(to: SocketAddress(IPv4Address(10, 0, 0, 77), port: 7))
  }

  @Test(
    "N5 RFC 5227 2.1.1: somebody has the address, announces it, or asks for it too: it is not taken, and that is told",
    arguments: 0...3)
  func taken(how: Int) throws {
    let peer = try FramePeer(queues: how == 3 ? 3 : 1)
    try change(peer.host.stack, "addr add 10.0.0.77/24 probe")
    peer.advance(.milliseconds(1500))
    #expect(!peer.takeARP().isEmpty)
    let sender: [UInt8] = how == 2 ? [0, 0, 0, 0] : [10, 0, 0, 77]
    peer.host.receive(
      FramePeer.arp(how == 1 ? 2 : 1, FramePeer.mac(9), sender, [0, 0, 0, 0, 0, 0], [10, 0, 0, 77]),
      queue: how == 3 ? 2 : 0)
    peer.advance(.seconds(20))
    #expect(peer.takeARP().isEmpty)
    #expect(peer.host.stack.interfaceReport.addresses == ["10.0.0.2/24"])
    let conflicts = peer.host.stack.takeAddressConflicts()
    #expect(conflicts.map(\.address) == [IPv4Address(10, 0, 0, 77)] && conflicts.allSatisfy(\.isLost))
    #expect(conflicts.map(\.other) == [MACAddress(0x0200_0000_0009)])
    #expect(peer.host.stack.takeAddressConflicts().isEmpty)
    #expect(
      peer.host.stack.takeNotices().contains { $0.contains("10.0.0.77") && $0.contains("02:00:00:00:00:09") })
    #expect(peer.host.stack.counterReports.first { $0.name == "ArpConflicts" }?.value == 1)
    // It may be asked for again, and a probe of our own is no conflict.
    try change(peer.host.stack, "addr add 10.0.0.77/24 probe")
    peer.host.receive(
      FramePeer.arp(1, FramePeer.hostMAC, [0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [10, 0, 0, 77]))
    peer.advance(.seconds(9))
    #expect(peer.host.stack.interfaceReport.addresses == ["10.0.0.2/24", "10.0.0.77/24"])
  }

  @Test("N5 RFC 5227 2.1.1: after ten lost addresses the next probe waits a minute") func rateLimit() throws {
    let peer = try FramePeer()
    for _ in 0..<10 {
      try change(peer.host.stack, "addr add 10.0.0.77/24 probe")
      peer.host.receive(
        FramePeer.arp(2, FramePeer.mac(9), [10, 0, 0, 77], FramePeer.hostMAC, [10, 0, 0, 2]))
    }
    _ = peer.takeARP()
    try change(peer.host.stack, "addr add 10.0.0.77/24 probe")
    peer.advance(.milliseconds(59_900))
    #expect(peer.takeARP().isEmpty)
    peer.advance(.seconds(2))
    #expect(!peer.takeARP().isEmpty)
  }

  @Test("N5 an address that is asked for is EEXIST, can be given up, and lo asks nobody") func refused()
    throws
  {
    let peer = try FramePeer()
    let stack = peer.host.stack
    #expect(errno { () throws(StackError) in try change(stack, "addr add 10.0.0.2/24 probe") } == .EEXIST)
    #expect(
      errno { () throws(StackError) in try change(stack, "addr add 10.1.0.2/24 probe dev lo") } == .ENODEV)
    try change(stack, "addr add 10.0.0.77/24 probe")
    #expect(errno { () throws(StackError) in try change(stack, "addr add 10.0.0.77/24 probe") } == .EEXIST)
    try change(stack, "addr del 10.0.0.77/24")
    peer.advance(.seconds(10))
    #expect(stack.interfaceReport.addresses == ["10.0.0.2/24"])
  }

  @Test(
    "N5 the stack's own address is asked for, and its default route follows it", arguments: [true, false])
  func atStart(isFree: Bool) throws {
    var configuration = StackConfiguration(gateway: IPv4Address(10, 0, 0, 1))
    configuration.probesAddress = true
    let host = try SimulatedStack(configuration)
    host.advance(to: .origin + .milliseconds(1100))
    #expect(host.stack.interfaceReport.addresses.isEmpty && host.stack.routeReports.isEmpty)
    #expect(host.takeFrames().allSatisfy { Array($0.bytes[28..<32]) == [0, 0, 0, 0] })
    if !isFree {
      host.receive(
        FramePeer.arp(1, FramePeer.mac(9), [10, 0, 0, 2], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]))
    }
    host.advance(to: .origin + .seconds(8))
    #expect(host.stack.interfaceReport.addresses == (isFree ? ["10.0.0.2/24"] : []))
    #expect(host.stack.routeReports.contains { $0.destination == "default" } == isFree)
    #expect(host.stack.takeAddressConflicts().count == (isFree ? 0 : 1))
  }

  @Test("N5 a station that uses our address is told of by name: sentence, conflict, counter") func conflict()
    throws
  {
    let peer = try FramePeer()
    for _ in 0..<3 {
      peer.host.receive(
        FramePeer.arp(1, FramePeer.mac(9), [10, 0, 0, 2], [0, 0, 0, 0, 0, 0], [10, 0, 0, 1]))
    }
    let conflicts = peer.host.stack.takeAddressConflicts()
    #expect(conflicts.map(\.other) == [MACAddress(0x0200_0000_0009)] && conflicts.first?.isLost == false)
    #expect(peer.host.stack.counterReports.first { $0.name == "ArpConflicts" }?.value == 3)
    #expect(peer.takeARP().count == 1)
  }

  @Test(
    "N5 arp_notify: each address once when the interface comes up or has another station",
    arguments: [false, true])
  func notify(isOn: Bool) throws {
    let peer = try FramePeer()
    try change(peer.host.stack, "addr add 10.0.0.77/24")
    if isOn { try change(peer.host.stack, "sysctl net.ipv4.conf.sim0.arp_notify=1") }
    try change(peer.host.stack, "link set down")
    try change(peer.host.stack, "link set up")
    try change(peer.host.stack, "link set address 02:00:00:00:00:05")
    peer.advance(.seconds(5))
    #expect(peer.takeARP().map { $0[27] } == (isOn ? [2, 77, 2, 77] : []))
  }

  @Test("N1 link set arp off: NOARP neighbours, no ARP either way, and what was known goes") func noARP()
    throws
  {
    let peer = try FramePeer()
    let stack = peer.host.stack
    try change(stack, "neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 nud permanent")
    #expect(
      errno { () throws(StackError) in try change(stack, "neigh add 10.0.0.1 lladdr 02:00:00:00:00:01") }
        == .EEXIST)
    try change(stack, "link set arp off")
    #expect(stack.neighbourReports.isEmpty && !stack.interfaceReport.resolvesAddresses)
    let socket = try stack.socket(.udp)
    try socket.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    peer.collect()
    #expect(peer.packets.map(\.station) == [2])
    #expect(stack.neighbourReports.map(\.state) == ["NOARP"])
    peer.host.receive(
      FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]))
    try stack.announceAddresses()
    #expect(peer.takeARP().isEmpty)
    try change(stack, "link set arp on")
    #expect(stack.neighbourReports.isEmpty)
  }

  @Test("N5 settings reach every queue's neighbours and rules, by the interface's name", arguments: [1, 3])
  func settings(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    let stack = peer.host.stack
    try change(stack, "sysctl net.ipv4.neigh.default.mcast_solicit=1")
    peer.stations = [:]
    for queue in 0..<queues {
      let socket = try stack.socket(.udp, queue: queue)
      try socket.send([1], to: SocketAddress(IPv4Address(10, 0, 0, UInt8(50 + queue)), port: 9))
    }
    peer.advance(.seconds(5))
    #expect(peer.takeARP().count == queues)
    try change(stack, "sysctl net.ipv4.conf.sim0.arp_ignore=8")
    #expect(try stack.setting("net.ipv4.conf.sim0.arp_ignore") == "8")
    #expect(try stack.setting("net.ipv4.conf.all.arp_ignore") == "0")
    peer.host.receive(
      FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]))
    #expect(peer.takeARP().isEmpty)
    #expect(stack.settingReports.contains { $0.name == "net.ipv4.conf.sim0.arp_announce" })
  }
}
