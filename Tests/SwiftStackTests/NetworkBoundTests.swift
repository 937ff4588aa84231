import Shard
import IceModel
import NetNamespace
import SkBuff
import Sockets
import TestSupport
import Testing
import Timers
import Trace
import UDP
import Wire

@testable import SwiftStack

/// Bounds of what others can make grow: at the bound, and one beyond.
@Suite struct NetworkBoundTests {
  /// As many as on Linux 6.18 with the same receive buffer of 212,992 bytes.
  @Test("S7 255 errors wait on a socket's error queue, the 256th finds the receive buffer full")
  func errorQueue() throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 5000))
    try socket.setsockopt(level: 0, name: 11, 1)
    func fail(_ port: UInt16) {
      let quoted: [UInt8] =
        [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0] + FramePeer.hostAddress + [10, 0, 0, 1]
        + ScriptedPeer.bytes(UInt16(5000)) + ScriptedPeer.bytes(port) + [0, 8, 0, 0]
      peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, quoted)))
    }
    func ports() -> [UInt16] {
      var ports: [UInt16] = []
      while let error = try? socket.recvmsg(flags: .errorQueue).control.error {
        ports.append(error.destination?.port ?? 0)
      }
      return ports
    }
    for count: UInt16 in [255, 256, 257] {
      for port in 1...count { fail(port) }
      #expect(ports() == Array(1...255))
    }
    fail(9)
    #expect(ports() == [9])
  }

  @Test("1,024 packets wait for another shard, the next is lost; all are taken at once") func inbox() throws {
    let inbox = ShardInbox()
    let skb = try #require(packet())
    for index in 0..<1025 { #expect(inbox.put(.fragment(skb)) == (index < 1024), "\(index)") }
    #expect(inbox.takeAll().count == 1024 && inbox.isEmpty)
    #expect(inbox.put(.fragment(skb)))
  }

  private func packet() -> HandedPacket? {
    let pool = SkBuffPool(limit: 4 << 20, tracer: Tracer(capacity: 16))
    defer { pool.destroy() }
    guard var skb = pool.allocate(headroom: 64, linear: 64) else { return nil }
    return HandedPacket(&skb, networkHeader: 0)
  }
}
