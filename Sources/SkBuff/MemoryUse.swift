/// What packet memory is asked for; it decides how full the pool may be. See `SkBuffPool`.
@frozen
public enum MemoryUse: UInt8, Sendable, CaseIterable {
  /// Bytes to keep for somebody: a writer's data, what waits for a reader, fragments. Refused above `high`.
  case ordinary
  /// The first bytes of a socket that keeps less than its least (`tcp_wmem[0]`, `tcp_rmem[0]`, `udp_rmem_min`):
  /// refused in the last eighth only. Linux: the minimum that `__sk_mem_raise_allocated()` grants above the limit.
  case guaranteed
  /// A packet on its way, which ends soon: the receive ring, a frame being received, ACK, RST, SYN, FIN, ARP, ICMP, the
  /// clone that a transmission needs. Up to the limit. Linux: `GFP_ATOMIC` and `SOCK_MEMALLOC`'s reserve.
  case transit
}
