import Sockets
import SwiftStack
import TestSupport
import Testing
import Timers

/// What `swiftstack stats --memory` shows.
@Suite struct HoldingsTests {
  private func held(_ peer: FramePeer) -> [String: UInt64] {
    Dictionary(uniqueKeysWithValues: peer.host.stack.memoryReports.map { ($0.name, $0.value) })
  }

  @Test(
    "B4 what the stack holds is counted: sk_buffs, sockets, requests, fragments, timers; and it is as before when all is over",
    arguments: [1, 3])
  func holdings(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    for queue in 0..<queues {
      peer.host.receive(
        FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]), queue: queue)
    }
    let before = held(peer)
    // A ring of buffers for each queue.
    #expect(before["dma_mappings"]! >= UInt64(queues) * 63 && before["pages"]! >= UInt64(queues) * 32)
    #expect(before["mem_used"]! > 0 && before["mem_used"]! <= before["mem_allocated"]!)
    #expect(before["skbuff_head_cache"] == 0 && before["TCP_inuse"] == 0 && before["timers_tcp"] == 0)

    let datagram = try peer.host.stack.socket(.udp)
    let listener = try peer.host.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 6000))
    try listener.listen()
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(2, from: 40000, to: 6000, sequence: 1, options: [2, 4, 5, 0xB4])))
    // The first half of a datagram.
    peer.receive(
      FramePeer.fragments(17, FramePeer.udp([UInt8](repeating: 0, count: 3000), to: 7), at: [1480])[0])
    var now = held(peer)
    #expect(now["UDP_inuse"] == 1 && now["TCP_listen"] == 1 && now["TCP_request"] == 1)
    #expect(now["FRAG_inuse"] == 1 && now["FRAG_memory"]! >= 1480 && now["timers_reassembly"] == 1)
    #expect(now["skbuff_head_cache"]! >= 1 && now["timers_tcp"]! >= 1)

    datagram.close()
    listener.close()
    peer.advance(.seconds(200))
    now = held(peer)
    for (name, value) in before where !["mem_used", "mem_allocated", "pages"].contains(name) {
      if name == "neighbours" || name == "timers_neighbour" { continue }
      // Less: a watchdog that has nothing to watch, a buffer that waits to be posted.
      #expect(now[name]! <= value, "\(name)")
    }
  }
}
