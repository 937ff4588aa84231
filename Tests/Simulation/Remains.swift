/// What a stack holds beyond the memory of its values: what has to be as it was once everything is closed.
struct Remains: Equatable {
  var buffers = 0
  var pages = 0
  var mappings = 0
  var timers = 0
  var sockets = 0
  var requests = 0
  var timeWaits = 0
  var listeners = 0
  var orphans = 0

  /// No connection is left in any state.
  var isQuiet: Bool { sockets == 0 && requests == 0 && timeWaits == 0 && listeners == 0 }

  /// What there is more of than before; `nil`: nothing.
  func excess(over before: Remains) -> String? {
    let all: [(String, KeyPath<Remains, Int>, Int)] = [
      // The receive ring keeps a buffer mapped that it has not posted again, and the halves of its pages part.
      ("packet buffers", \.buffers, 0), ("pages", \.pages, before.mappings + 4),
      ("DMA mappings", \.mappings, 1),
      ("timers", \.timers, 0), ("sockets", \.sockets, 0), ("requests", \.requests, 0),
      ("TIME-WAIT", \.timeWaits, 0), ("listeners", \.listeners, 0), ("orphans", \.orphans, 0),
    ]
    let more = all.filter { self[keyPath: $0.1] > before[keyPath: $0.1] + $0.2 }
    guard !more.isEmpty else { return nil }
    return more.map { "\($0.0): \(before[keyPath: $0.1]), now \(self[keyPath: $0.1])" }.joined(
      separator: "; ")
  }
}

extension SimulatedHost {
  var remains: Remains {
    shard.run { shard in
      let tcp = shard.sockets.tcp.remains
      // Those of neighbours, the path and the device run on.
      let timers = shard.host.net.timers.count(of: .tcp) + shard.host.net.timers.count(of: .wait)
      return Remains(
        buffers: shard.host.net.pool.buffersInUse, pages: shard.host.net.pool.pagesInUse,
        mappings: shard.nic.mappedCount, timers: timers, sockets: tcp.sockets,
        requests: tcp.requests, timeWaits: tcp.timeWaits, listeners: tcp.listeners, orphans: tcp.orphans)
    }
  }

  /// Memory beyond its limit, and timers that do not agree; `nil`: neither.
  func brokenInvariant() -> String? {
    shard.run { shard in
      shard.host.net.timers.checkInvariants()
      let pool = shard.host.net.pool
      return pool.allocatedByteCount > pool.limit
        ? "\(pool.allocatedByteCount) bytes of packet memory, limit \(pool.limit)" : nil
    }
  }
}
