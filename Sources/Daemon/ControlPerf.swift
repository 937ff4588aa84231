import Control
import LinuxHost
import SwiftStack

/// Bulk transfers on behalf of a client. The bytes move inside the shard; this thread waits for the sum.
extension StackConversation {
  func perf(_ request: PerfRequest) throws {
    guard request.port != 0 else { throw ControlError("perf: a port is 1 to 65535") }
    guard request.time > 0, request.time <= 86400, (1...1024).contains(request.streams),
      (1...PerfShards.longestTransfer).contains(request.length)
    else { throw ControlError("perf: a time, a number of streams or a length is out of range") }
    let time = Nanoseconds(Int64(request.time * 1e9))
    let waiter = SocketWaiter()
    var run = PerfShards(stack, waiter: waiter, streams: request.streams)
    defer { run.cancel() }
    if let host = request.host {
      guard let address = IPv4Address(host) else {
        throw ControlError("perf: \"\(host)\" is not an IPv4 address")
      }
      try client.send(.started)
      try run.send(
        to: SocketAddress(address, port: request.port), time, request.length, zeroCopy: request.zeroCopy)
    } else {
      try run.receive(port: request.port, time, request.length)
      try client.send(.listening(port: request.port))
    }
    while true {
      let generation = waiter.generation
      if run.isOver() { break }
      // Enough: the sum so far.
      if client.isAskedToEnd(milliseconds: 0) { break }
      _ = waiter.wait(since: generation, until: MonotonicClock.now() + .milliseconds(100))
    }
    let result = run.result
    if let error = result.error {
      let verb = request.host.map { "send to \($0):\(request.port)" } ?? "receive on port \(request.port)"
      throw ControlError("perf: \(verb): \(error)")
    }
    try client.send(.perf(result.report))
  }
}
