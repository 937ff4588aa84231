import Sockets
import Timers
import UDP

/// What a shard holds just now: once everything is closed it is what a stack holds that nobody has used. Sockets and fragments have
/// the names of /proc/net/sockstat, sk_buffs that of /proc/slabinfo.
extension Shard {
  package var holdings: [(name: String, value: Int)] {
    let tcp = sockets.tcp.remains
    let fragments = host.internet.reassemblyUse
    let pool = host.net.pool
    var mappings = nic.mappedCount
    for index in 0..<cards.count { mappings += cards[index].nic.mappedCount }
    return [
      ("skbuff_head_cache", pool.buffersInUse), ("pages", pool.pagesInUse), ("mem_used", pool.usedByteCount),
      ("mem_allocated", pool.allocatedByteCount), ("mem_limit", pool.limit), ("dma_mappings", mappings),
      ("TCP_inuse", tcp.sockets), ("TCP_listen", tcp.listeners), ("TCP_request", tcp.requests),
      ("TCP_orphan", tcp.orphans), ("TCP_tw", tcp.timeWaits), ("UDP_inuse", sockets.udp.table.all.count),
      ("UDPLITE_inuse", sockets.udpLite.table.all.count), ("PING_inuse", sockets.ping.table.all.count),
      ("FRAG_inuse", fragments.count), ("FRAG_memory", fragments.memory),
      ("neighbours", host.link.neighbours.count), ("programs", programs.count), ("watches", polls.count),
    ] + TimerKind.allCases.map { ("timers_\($0)", host.net.timers.count(of: $0)) }
  }
}
