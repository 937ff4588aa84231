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
    let shard = stack.shards[0]
    let job: Int
    if let host = request.host {
      guard let address = IPv4Address(host) else {
        throw ControlError("perf: \"\(host)\" is not an IPv4 address")
      }
      let peer = SocketAddress(address, port: request.port)
      job = try Socket.calling("connect", peer) { () throws(Errno) in
        try shard.enter { (state) throws(Errno) in
          try state.startPerfSend(
            to: peer, streams: request.streams, time: time, length: request.length, waiter: waiter)
        }
      }
    } else {
      job = try Socket.calling("listen", SocketAddress(.any, port: request.port)) { () throws(Errno) in
        try shard.enter { (state) throws(Errno) in
          try state.startPerfReceive(
            port: request.port, streams: request.streams, time: time, length: request.length, waiter: waiter)
        }
      }
      try send(.listening(port: request.port))
    }
    let result = try waitForJob(job, shard, waiter)
    if let error = result.error {
      let verb = request.host.map { "send to \($0):\(request.port)" } ?? "receive on port \(request.port)"
      throw ControlError("perf: \(verb): \(error)")
    }
    try send(.perf(result.report))
  }

  private func waitForJob(
    _ job: Int, _ shard: Shard, _ waiter: SocketWaiter
  ) throws -> (report: PerfReport, error: Errno?) {
    while true {
      let generation = waiter.generation
      let state = shard.inspect { $0.jobs[job] }
      if let finished = state.finished {
        shard.inspect { $0.releaseJob(job) }
        let seconds = max(Double((finished - (state.started ?? finished)).rawValue) / 1e9, 1e-9)
        let report = PerfReport(
          bytes: state.bytes, seconds: seconds, bitsPerSecond: Double(state.bytes) * 8 / seconds,
          retransmits: state.retransmits, streams: state.streams)
        return (report, state.error)
      }
      if isClientGone(milliseconds: 0) {
        shard.enter { $0.cancelJob(job) }
        throw ControlError("the client has gone")
      }
      _ = waiter.wait(since: generation, until: MonotonicClock.now() + .milliseconds(100))
    }
  }
}
