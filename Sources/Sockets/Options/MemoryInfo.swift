import InetSocket
import NetNamespace
import Timers

extension SocketLayer {
  /// What a socket holds in memory and may hold, as nine words. Linux: `sk_get_meminfo()`, `SK_MEMINFO_*`.
  ///
  /// Nothing is reserved for a socket ahead (`sk_forward_alloc`), nothing waits for one that a call has locked
  /// (`sk_backlog`), and options have no memory of their own (`sk_omem_alloc`): these are 0. Only datagrams are counted when
  /// they are lost (`sk_drops`).
  mutating func memoryInfo(_ id: SocketID, now: Instant) throws(Errno) -> [UInt8] {
    var words = try withCore(id) { (core) throws(Errno) in
      [core.account.receiveAllocated, core.receiveBuffer, core.account.writeAllocated, core.sendBuffer]
    }
    let (forward, options, backlog) = (0, 0, 0)
    words += [forward, tcpInfo(id, now: now)?.writeQueuedMemory ?? 0, options, backlog]
    words.append(Int(clamping: datagramInfo(id)?.dropCount ?? 0))
    return words.flatMap { SocketOptionValue.bytes(UInt32(clamping: $0)) }
  }
}
