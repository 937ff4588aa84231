import InetSocket
import NetNamespace
import Tables
import Timers
import Wire

/// Connections that took data with their SYN, while their handshake lasts. Linux: `struct fastopen_queue`.
struct FastOpenQueue: ~Copyable {
  /// How many there are, those counted that were reset in the last minute. Linux: `qlen`.
  private(set) var count = 0
  /// When the place of each that was reset is free again: a client that resets them all may have a forged address
  /// (RFC 7413 section 5.1). Linux: `rskq_rst_head`.
  private var resets = Fifo(capacity: 8, blank: Instant.origin)
  /// Linux: `reqsk_fastopen_remove()`.
  static let resetHold = Nanoseconds.seconds(60)

  /// Linux: `tcp_fastopen_queue_check()`.
  mutating func hasRoom(_ limit: Int, net: inout Net) -> Bool {
    guard limit > 0 else { return false }
    guard count >= limit else { return true }
    guard let free = resets.first, free <= net.now else {
      net.counters.count(.TcpExtTCPFastOpenListenOverflow)
      return false
    }
    _ = resets.popFirst()
    count -= 1
    return true
  }

  mutating func enter() { count += 1 }

  /// A handshake is over.
  ///
  /// - Parameter isReset: by the peer's reset, after somebody has accepted the connection.
  mutating func leave(isReset: Bool, now: Instant) {
    if isReset { resets.append(now + Self.resetHold) } else { count -= 1 }
  }
}
