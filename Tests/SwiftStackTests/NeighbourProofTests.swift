import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import UDP
import Wire

/// Who proves that a neighbour is there, through the whole stack: how many ARP requests two minutes of traffic need.
@Suite struct NeighbourProofTests {
  /// A datagram every 200 ms to each of two destinations in turn.
  private func requests(_ flags: MessageFlags, count: Int = 300, stations: [UInt8] = [1, 9]) throws -> Int {
    let peer = try FramePeer()
    peer.stations = [1: 1, 9: 9]
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    for index in 0..<count {
      let last = stations[index % stations.count]
      try socket.send([1], to: SocketAddress(IPv4Address(10, 0, 0, last), port: 99), flags: flags)
      peer.advance(.milliseconds(200))
    }
    #expect(peer.takePackets().count == count)
    return peer.takeARP().count
  }

  @Test("U3 N5 MSG_CONFIRM proves the neighbour of every send, whatever the last destination was")
  func confirmed() throws {
    #expect(try requests(.confirm) == 2)
    #expect(try requests(.confirm, stations: [1]) == 1)
    // A minute without it needs probes.
    #expect(try requests([]) > 2)
  }

  @Test("U3 MSG_CONFIRM with MSG_PROBE proves at once and sends nothing") func probed() throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    let address = SocketAddress(IPv4Address(10, 0, 0, 1), port: 99)
    // No entry is made for a neighbour that is not known.
    #expect(try socket.send([], to: address, flags: [.confirm, .probe]) == 0)
    #expect(peer.takeARP().isEmpty)
    try socket.send([1], to: address)
    peer.collect()
    #expect(peer.takeARP().count == 1 && peer.takePackets().count == 1)
    for _ in 0..<300 {
      peer.advance(.milliseconds(200))
      let other = try peer.host.stack.socket(.udp)
      #expect(try other.send([5, 5], to: address, flags: [.confirm, .probe]) == 2)
      other.close()
    }
    try socket.send([1], to: address)
    peer.advance(.seconds(6))
    #expect(peer.takeARP().isEmpty && peer.takePackets().count == 1)
  }

  @Test(
    "N5 acknowledgments of new data prove a TCP peer's neighbour; old ones do not", arguments: [true, false])
  func progress(isNew: Bool) throws {
    let peer = try FramePeer()
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 6000))
    try listener.listen()
    func segment(_ flags: UInt8, _ sequence: UInt32, _ acknowledgment: UInt32, _ options: [UInt8] = []) {
      peer.receive(
        FramePeer.ip(
          6,
          FramePeer.tcp(
            flags, from: 40000, to: 6000, sequence: sequence, acknowledgment: acknowledgment, options: options
          )))
    }
    segment(2, 1000, 0, [2, 4, 5, 0xB4])
    let answer = try #require(peer.takePackets().first)
    var next = answer[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
    segment(16, 1001, next)
    let server = try listener.accept()
    server.isNonBlocking = true
    _ = peer.takeARP()
    for _ in 0..<120 {
      if isNew {
        _ = try server.send([7])
        peer.collect()
        next &+= 1
        segment(16, 1001, next)
      } else {
        // A window update is no news of what was sent, and asks for an answer by its number.
        segment(16, 1000, next)
      }
      peer.advance(.milliseconds(500))
    }
    let probes = peer.takeARP().count
    #expect(isNew ? probes == 0 : probes > 0, "\(probes) probes")
  }

  @Test("N2 packets that wait for one neighbour do not push out another's") func waitingApart() throws {
    let peer = try FramePeer()
    peer.stations = [:]
    let flood = try peer.host.stack.socket(.udp)
    let other = try peer.host.stack.socket(.udp)
    for socket in [flood, other] { socket.isNonBlocking = true }
    try other.send([4, 2], to: SocketAddress(IPv4Address(10, 0, 0, 9), port: 9))
    try flood.setsockopt(level: 1, name: 7, 2_000_000)
    for _ in 0..<1000 {
      _ = try? flood.send(
        [UInt8](repeating: 1, count: 1000), to: SocketAddress(IPv4Address(10, 0, 0, 8), port: 9))
    }
    peer.stations = [9: 9]
    peer.advance(.milliseconds(1100))
    #expect(peer.takePackets().map { Array($0[28...]) } == [[4, 2]])
    #expect(peer.host.stack.neighbourReports.first { $0.address == "10.0.0.8" }?.state == "INCOMPLETE")
  }

  // MARK: Announcements and conflicts

  @Test("N5 RFC 5227 2.3 the address is announced twice at the start, 2 s apart") func announced() throws {
    let host = try SimulatedStack()
    let announcement = FramePeer.arp(
      1, FramePeer.hostMAC, FramePeer.hostAddress, [0, 0, 0, 0, 0, 0], FramePeer.hostAddress)
    func taken() -> [[UInt8]] { host.takeFrames().map { Array($0.bytes[..<42]) } }
    #expect(taken() == [announcement])
    host.advance(to: .origin + .milliseconds(1999))
    #expect(taken().isEmpty)
    host.advance(to: .origin + .milliseconds(2000))
    #expect(taken() == [announcement])
    host.advance(to: .origin + .seconds(100))
    #expect(taken().isEmpty)
  }

  @Test("N5 one shard announces for all") func announcedOnce() throws {
    let host = try SimulatedStack(queues: 4)
    host.advance(to: .origin + .seconds(10))
    #expect(host.takeFrames().count == 2)
  }

  @Test("N5 the address is announced again when the carrier comes back", arguments: [false, true])
  func carrier(byReceiving: Bool) throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    let address = SocketAddress(IPv4Address(10, 0, 0, 1), port: 99)
    try socket.send([1], to: address)
    peer.collect()
    _ = peer.takeARP()
    peer.host.setCarrier(false)
    try socket.send([2], to: address)
    peer.advance(.seconds(3))
    #expect(peer.takePackets().count == 1 && peer.takeARP().isEmpty)
    peer.host.setCarrier(true)
    peer.advance(.seconds(1))
    #expect(peer.takeARP().isEmpty, "nothing was sent or received yet")
    if byReceiving {
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [1])))
    } else {
      try socket.send([3], to: address, flags: .confirm)
      peer.collect()
    }
    peer.advance(.seconds(5))
    let own = peer.takeARP().filter {
      Array($0[14..<18]) == FramePeer.hostAddress && Array($0[24..<28]) == FramePeer.hostAddress
    }
    #expect(own.count == 2)
    try socket.send([4], to: address, flags: .confirm)
    peer.advance(.seconds(5))
    #expect(peer.takeARP().filter { Array($0[24..<28]) == FramePeer.hostAddress }.isEmpty)
  }

  @Test("N5 RFC 5227 2.4 a conflict is defended once in 10 s and told once, with both stations")
  func conflict() throws {
    let peer = try FramePeer()
    #expect(peer.host.stack.takeNotices().isEmpty)
    func claim(_ station: UInt8) {
      peer.host.receive(
        FramePeer.arp(
          1, FramePeer.mac(station), FramePeer.hostAddress, [0, 0, 0, 0, 0, 0], FramePeer.hostAddress))
      peer.collect()
    }
    claim(9)
    #expect(peer.takeARP().count == 1)
    let notices = peer.host.stack.takeNotices()
    #expect(notices.count == 1)
    for part in ["10.0.0.2", "02:00:00:00:00:09", "02:00:00:00:00:02"] {
      #expect(notices.first?.contains(part) ?? false)
    }
    peer.advance(.milliseconds(9900))
    claim(9)
    #expect(peer.takeARP().isEmpty && peer.host.stack.takeNotices().isEmpty)
    peer.advance(.milliseconds(200))
    claim(9)
    #expect(peer.takeARP().count == 1 && peer.host.stack.takeNotices().isEmpty)
    // Another station is news, any number of them is not.
    for station in UInt8(10)..<60 { claim(station) }
    #expect(peer.host.stack.takeNotices().count == 15)
  }
}
