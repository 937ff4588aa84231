import SkBuff
import SwiftStack
import TestSupport
import Testing
import Timers

@Suite("P6 memory of fragments")
struct ReassemblyMemoryTests {
  private static func receiver(_ peer: FramePeer) throws -> Socket {
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 7777))
    return socket
  }

  private static func drain(_ socket: Socket) -> [Int] {
    var lengths: [Int] = []
    while let bytes = try? socket.receive(upTo: 65536) { lengths.append(bytes.count) }
    return lengths
  }

  @Test(
    "P6 a datagram put together is charged what it holds: a receive buffer takes as many as memory allows",
    arguments: [(400, 120), (2000, 35), (9000, 11), (60_000, 3)])
  func charge(length: Int, least: Int) throws {
    let peer = try FramePeer()
    let socket = try Self.receiver(peer)
    let payload = FramePeer.udp([UInt8](repeating: 3, count: length), to: 7777)
    let cuts = Array(stride(from: length < 1480 ? 200 : 1480, to: payload.count, by: 1480))
    for index in 0..<300 {
      for part in FramePeer.fragments(17, payload, at: cuts, identification: UInt16(index)) {
        peer.receive(part)
      }
    }
    let held = Self.drain(socket)
    #expect(held.count >= least && held.allSatisfy { $0 == length })
    // No more than a buffer's worth of payload, and the one that exceeds it.
    #expect(held.count < 300 && (held.count - 1) * length <= 212_992)
  }

  @Test("P6 a datagram that was put together leaves no timer, one that is not leaves at 30 s")
  func timers() throws {
    let peer = try FramePeer()
    let socket = try Self.receiver(peer)
    let payload = FramePeer.udp([UInt8](repeating: 3, count: 100), to: 7777)
    let before = peer.host.timerCount
    for index in 0..<500 {
      for part in FramePeer.fragments(17, payload, at: [56], identification: UInt16(index)) {
        peer.receive(part)
      }
      _ = Self.drain(socket)
    }
    #expect(peer.host.timerCount <= before + 2)
    peer.receive(FramePeer.fragments(17, payload, at: [56], identification: 9999)[0])
    #expect(peer.host.timerCount >= before + 1)
    peer.advance(.seconds(31))
    #expect(peer.count("IpReasmTimeout") == 1)
  }

  @Test("P6 fragments that wait hold up to ipfrag_high_thresh; one beyond is dropped and counted")
  func threshold() throws {
    let peer = try FramePeer { $0.settings.reassemblyMemory = 64 << 10 }
    let payload = FramePeer.udp([UInt8](repeating: 3, count: 200), to: 7777)
    var kept = 0
    while peer.count("IpReasmFails") == 0 && kept < 1000 {
      peer.receive(FramePeer.fragments(17, payload, at: [104], identification: UInt16(kept))[0])
      kept += 1
    }
    // A copied frame costs what an sk_buff with a small linear area costs, about 1.2 KiB.
    // One more is begun while the limit is not passed. Linux: `inet_frag_alloc()`.
    #expect(kept == (64 << 10) / SkBuff.overhead + 2)
    let buffers = peer.host.buffersInUse
    for index in 0..<100 {
      peer.receive(FramePeer.fragments(17, payload, at: [104], identification: UInt16(2000 + index))[0])
    }
    #expect(peer.host.buffersInUse == buffers && peer.count("IpReasmFails") == 101)
    peer.advance(.seconds(31))
    #expect(peer.host.buffersInUse <= buffers - kept + 2)
  }

  @Test("P6 256 fragments make a datagram, the 257th ends it")
  func fragmentLimit() throws {
    for (count, isWhole) in [(256, true), (257, false)] {
      let peer = try FramePeer()
      let socket = try Self.receiver(peer)
      let payload = FramePeer.udp([UInt8](repeating: 3, count: count * 8 - 8), to: 7777)
      let cuts = Array(stride(from: 8, to: payload.count, by: 8))
      for part in FramePeer.fragments(17, payload, at: cuts) { peer.receive(part) }
      #expect(Self.drain(socket) == (isWhole ? [count * 8 - 8] : []))
    }
  }

  @Test(
    "B4 UDP: what may be kept ends above 3/4 of the pool; a socket that holds nothing gets one all the same")
  func datagrams() throws {
    let peer = try FramePeer {
      $0.packetMemory = 4 << 20
      $0.ring = 64
    }
    var sockets: [Socket] = []
    for port in UInt16(8000)..<8040 {
      let socket = try peer.host.stack.socket(.udp)
      socket.isNonBlocking = true
      try socket.bind(to: SocketAddress(.any, port: port))
      sockets.append(socket)
    }
    let late = try Self.receiver(peer)
    for port in UInt16(8000)..<8040 {
      let datagram = FramePeer.ip(17, FramePeer.udp([UInt8](repeating: 3, count: 100), to: port))
      for _ in 0..<200 { peer.receive(datagram) }
    }
    #expect(peer.count("UdpMemErrors") > 0 && peer.count("UdpRcvbufErrors") > 0)
    #expect(peer.host.packetMemory.used <= 3 << 20 + 5 << 15)
    peer.receive(FramePeer.ip(17, FramePeer.udp([1, 2, 3], to: 7777)))
    #expect(Self.drain(late) == [3])
    // Fragments are not kept, ping is answered.
    let fails = peer.count("IpReasmFails")
    peer.receive(
      FramePeer.fragments(17, FramePeer.udp([UInt8](repeating: 3, count: 200), to: 7777), at: [104])[0])
    #expect(peer.count("IpReasmFails") == fails + 1)
    _ = peer.takePackets()
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [1, 2, 3])))
    #expect(peer.takePackets().contains { $0[9] == 1 })
    for socket in sockets { _ = Self.drain(socket) }
    #expect(peer.host.packetMemory.used < 1 << 20)
  }
}
