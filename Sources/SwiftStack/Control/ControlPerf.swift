import LinuxHost

/// Bulk transfers on behalf of a client. The bytes move inside the shard; this thread waits for the sum.
extension ControlConversation {
  func perf(_ request: PerfRequest) throws {
    guard request.port != 0 else { throw ControlError("perf: a port is 1 to 65535") }
    guard request.time > 0, request.time <= 86400, (1...1024).contains(request.streams),
      (1...ScratchBuffer.byteCount).contains(request.length)
    else { throw ControlError("perf: a time, a number of streams or a length is out of range") }
    let time = Nanoseconds(Int64(request.time * 1e9))
    let waiter = SocketWaiter()
    var run = PerfShards(waiter: waiter, streams: request.streams)
    defer { run.cancel() }
    if let host = request.host {
      guard let address = IPv4Address(host) else {
        throw ControlError("perf: \"\(host)\" is not an IPv4 address")
      }
      try send(.started)
      try run.send(on: stack.shards, to: SocketAddress(address, port: request.port), time, request.length)
    } else {
      try run.receive(on: stack.shards, port: request.port, time, request.length)
      try send(.listening(port: request.port))
    }
    while true {
      let generation = waiter.generation
      if run.isOver() { break }
      // Enough: the sum so far.
      if isAskedToEnd(milliseconds: 0) { break }
      _ = waiter.wait(since: generation, until: MonotonicClock.now() + .milliseconds(100))
    }
    let result = run.result
    if let error = result.error {
      let verb = request.host.map { "send to \($0):\(request.port)" } ?? "receive on port \(request.port)"
      throw ControlError("perf: \(verb): \(error)")
    }
    try send(.perf(result.report))
  }
}

/// One run's jobs, one for each shard that takes part.
private struct PerfShards {
  let waiter: SocketWaiter
  let streams: Int
  private var jobs: [(shard: Shard, job: Int)] = []
  private var final: [PerfJob] = []

  init(waiter: SocketWaiter, streams: Int) {
    self.waiter = waiter
    self.streams = streams
  }

  mutating func send(
    on shards: [Shard], to peer: SocketAddress, _ time: Nanoseconds, _ length: Int
  ) throws(SocketError) {
    for (index, shard) in shards.enumerated() {
      let share = streams / shards.count + (index < streams % shards.count ? 1 : 0)
      guard share > 0 else { continue }
      let waiter = waiter
      let job = try Socket.calling("connect", peer) { () throws(Errno) in
        try shard.enter { (state) throws(Errno) in
          try state.startPerfSend(to: peer, streams: share, time: time, length: length, waiter: waiter)
        }
      }
      jobs.append((shard, job))
    }
  }

  /// Every shard listens for all of the streams; together they take as many as there are.
  mutating func receive(
    on shards: [Shard], port: UInt16, _ time: Nanoseconds, _ length: Int
  ) throws(SocketError) {
    let (waiter, streams) = (waiter, streams)
    for shard in shards {
      let job = try Socket.calling("listen", SocketAddress(.any, port: port)) { () throws(Errno) in
        try shard.enter { (state) throws(Errno) in
          try state.startPerfReceive(
            port: port, streams: streams, time: time, length: length, waiter: waiter)
        }
      }
      jobs.append((shard, job))
    }
  }

  /// Whether every job has ended.
  mutating func isOver() -> Bool {
    var states = jobs.map { item in item.shard.inspect { $0.jobs[item.job] } }
    let accepted = states.reduce(0) { $0 + ($1.isSender ? 0 : streams - $1.awaited) }
    let isFull = accepted >= streams || states.contains { $0.finished != nil }
    if jobs.count > 1, isFull, states.contains(where: { $0.awaited > 0 }) {
      for item in jobs { item.shard.enter { $0.stopAccepting(item.job) } }
      states = jobs.map { item in item.shard.inspect { $0.jobs[item.job] } }
    }
    final = states
    return states.allSatisfy { $0.finished != nil }
  }

  var result: (report: PerfReport, error: Errno?) {
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
  mutating func cancel() {
    for item in jobs { item.shard.enter { $0.cancelJob(item.job) } }
    jobs = []
  }
}
