import Testing

@testable import SwiftStack

/// Several pollers, several shards, several waits at a time: as epoll has it.
@Suite struct PollerCrowdTests {
  private static let own = IPv4Address(10, 0, 0, 2)
  private let simulated: SimulatedStack
  private let poller: Poller

  init() throws {
    simulated = try SimulatedStack(queues: 2)
    poller = Poller(simulated.stack)
  }

  /// A connection within a shard: who is watched, and who sends to it.
  private func pair(_ port: UInt16, queue: Int = 0) throws -> (server: Socket, client: Socket) {
    let listener = try simulated.stack.socket(.tcp, queue: queue)
    try listener.bind(to: SocketAddress(Self.own, port: port))
    try listener.listen()
    let client = try simulated.stack.socket(.tcp, queue: queue)
    try client.connect(to: SocketAddress(Self.own, port: port))
    let server = try listener.accept()
    for socket in [server, client] { socket.isNonBlocking = true }
    return (server, client)
  }

  private func errno(_ body: () throws -> Void) -> Errno? {
    do { try body() } catch { return (error as? SocketError)?.errno }
    return nil
  }

  @Test("epoll: each of several pollers is told of a socket as it asked, until it, or the socket, is gone")
  func severalPollers() throws {
    let (server, client) = try pair(4000)
    let others = [Poller(simulated.stack), Poller(simulated.stack)]
    try poller.add(server, for: .readable, .edge, token: 1)
    try others[0].add(server, for: .readable, token: 2)
    try others[1].add(server, for: .writable, token: 3)
    try client.send([1])
    func told(_ poller: Poller) throws -> [PollEvent] { try poller.wait(timeout: .zero) }
    for poller in [poller, others[0]] { #expect(try told(poller).map(\.readiness) == [.readable]) }
    #expect(try told(others[1]) == [PollEvent(token: 3, readiness: .writable)])
    #expect(try told(poller) == [])
    #expect(try told(others[0]).map(\.token) == [2])
    // The one in the middle goes.
    try others[0].remove(server)
    #expect(errno { try others[0].remove(server) } == .ENOENT)
    #expect(try told(others[0]) == [])
    try client.send([2])
    #expect(try told(poller).map(\.token) == [1])
    #expect(try told(others[1]).map(\.token) == [3])
    try others[0].add(server, for: .readable, token: 4)
    #expect(errno { try others[0].add(server, for: .readable, token: 4) } == .EEXIST)
    #expect(try told(others[0]).map(\.token) == [4])
    // A poller that ends leaves the others theirs.
    do {
      let brief = Poller(simulated.stack)
      try brief.add(server, for: .readable, token: 5)
    }
    #expect(try told(others[1]).map(\.token) == [3])
    #expect(try told(others[0]).map(\.token) == [4])
    server.close()
    for poller in [poller] + others { #expect(try told(poller) == []) }
  }

  @Test("sockets of one shard that stay ready do not keep those of another from being told")
  func fairness() throws {
    let pairs = try (0..<2).map { try pair(UInt16(4000 + $0), queue: $0) }
    for (queue, pair) in pairs.enumerated() {
      try pair.client.send([1])
      try poller.add(pair.server, for: .readable, token: UInt64(queue))
    }
    let told = try (0..<6).flatMap { _ in try poller.wait(upTo: 1, timeout: .zero).map(\.token) }
    #expect(told.filter { $0 == 0 }.count == 3 && told.filter { $0 == 1 }.count == 3, "\(told)")
  }

  @Test("of two waits each ends at its own time-out")
  func twoTimeouts() async throws {
    let ended = Guarded<[Int]>([])
    func wait(_ seconds: Int64) -> Task<Void, any Error> {
      Task { [poller] in
        let events = try await poller.wait(timeout: .seconds(seconds))
        ended.withLock { $0.append(events.isEmpty ? Int(seconds) : -1) }
      }
    }
    let first = wait(1)
    while !poller.isAwaited { await Task.yield() }
    let second = wait(10)
    while poller.waitCount < 2 { await Task.yield() }
    simulated.advance(to: simulated.now + .seconds(1))
    for _ in 0..<100_000 where ended.withLock({ $0.isEmpty }) { await Task.yield() }
    #expect(ended.withLock { $0 } == [1])
    simulated.advance(to: simulated.now + .seconds(20))
    try await first.value
    try await second.value
    #expect(ended.withLock { $0 } == [1, 10])
  }

  @Test("epoll_wait: room for no event is EINVAL, a time-out below zero none at all")
  func arguments() throws {
    for limit in [0, -1, Int.min] {
      #expect(errno { _ = try poller.wait(upTo: limit, timeout: .zero) } == .EINVAL)
    }
    #expect(try poller.wait(timeout: .seconds(-5)) == [])
    #expect(try poller.wait(timeout: .seconds(Int64.min)) == [])
  }

  @Test("a stack that was closed has nothing due, whatever was on its way")
  func closed() throws {
    let socket = try simulated.stack.socket(.tcp)
    socket.isNonBlocking = true
    try? socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    #expect(simulated.nextDeadline != nil)
    simulated.stack.close()
    #expect(simulated.nextDeadline == nil)
    simulated.advance(to: simulated.now + .seconds(100))
    #expect(throws: Errno.ENETDOWN) {
      try simulated.stack.withShard { (shard) throws(Errno) in _ = try shard.socket(.udp) }
    }
  }
}
