import Control
import LinuxHost
import Services
import Shard

/// One run's jobs, one for each shard that takes part.
package struct PerfShards {
  private let shards: [LockedShard]
  private let waiter: SocketWaiter
  private let streams: Int
  private var jobs: [(shard: LockedShard, job: ProgramID)] = []
  private var final: [PerfJob] = []

  /// Most bytes of one write or read.
  package static var longestTransfer: Int { PerfProgram.longestTransfer }

  package init(_ stack: Stack, waiter: SocketWaiter, streams: Int) {
    shards = stack.shards
    self.waiter = waiter
    self.streams = streams
  }

  /// Every shard sends its share of the streams.
  package mutating func send(
    to peer: SocketAddress, _ time: Nanoseconds, _ length: Int, zeroCopy: Bool = false
  ) throws(SocketError) {
    for (index, shard) in shards.enumerated() {
      let share = streams / shards.count + (index < streams % shards.count ? 1 : 0)
      guard share > 0 else { continue }
      let waiter = waiter
      let job = try Socket.calling("connect", peer) { () throws(Errno) in
        try shard.enter { (state) throws(Errno) in
          try PerfProgram.send(
            to: peer, streams: share, time: time, length: length, zeroCopy: zeroCopy, waiter: waiter,
            on: &state)
        }
      }
      jobs.append((shard, job))
    }
  }

  /// Every shard listens for all of the streams; together they take as many as there are.
  package mutating func receive(
    port: UInt16, _ time: Nanoseconds, _ length: Int
  ) throws(SocketError) {
    let (waiter, streams) = (waiter, streams)
    for shard in shards {
      let job = try Socket.calling("listen", SocketAddress(.any, port: port)) { () throws(Errno) in
        try shard.enter { (state) throws(Errno) in
          try PerfProgram.receive(
            port: port, streams: streams, time: time, length: length, waiter: waiter, on: &state)
        }
      }
      jobs.append((shard, job))
    }
  }

  /// Whether every job has ended.
  package mutating func isOver() -> Bool {
    var states = self.states
    let accepted = states.reduce(0) { $0 + ($1.isSender ? 0 : streams - $1.awaited) }
    let isFull = accepted >= streams || states.contains { $0.finished != nil }
    if jobs.count > 1, isFull, states.contains(where: { $0.awaited > 0 }) {
      for item in jobs {
        item.shard.enter { ($0.program(item.job) as? PerfProgram)?.stopAccepting(on: &$0) }
      }
      states = self.states
    }
    final = states
    return states.allSatisfy { $0.finished != nil }
  }

  private var states: [PerfJob] {
    jobs.compactMap { item in item.shard.inspect { ($0.program(item.job) as? PerfProgram)?.job } }
  }

  /// What has been moved so far.
  package var result: (report: PerfReport, error: Errno?) {
    let started = final.compactMap(\.started).min()
    let now = MonotonicClock.now()
    let finished = final.filter { $0.started != nil }.map { $0.finished ?? now }.max()
    let bytes = final.reduce(0) { $0 &+ $1.bytes }
    var seconds = 1e-9
    if let started, let finished { seconds = max(Double((finished - started).rawValue) / 1e9, 1e-9) }
    let report = PerfReport(
      bytes: bytes, seconds: seconds, bitsPerSecond: Double(bytes) * 8 / seconds,
      retransmits: final.reduce(0) { $0 &+ $1.retransmits }, streams: streams)
    return (report, final.compactMap(\.error).first)
  }

  /// Ends what is left of the jobs and gives their slots back.
  package mutating func cancel() {
    for item in jobs {
      item.shard.enter { ($0.program(item.job) as? PerfProgram)?.cancel(on: &$0) }
    }
    jobs = []
  }
}
