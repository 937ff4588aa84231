import Shard
import Testing

@testable import SwiftStack

/// What wakes a poller, and whom: as epoll has it.
@Suite struct PollerRoomTests {
  private static let own = IPv4Address(10, 0, 0, 2)

  /// A connection within a stack, its server's send buffer full.
  private func full(_ stack: Stack) throws -> (server: Socket, client: Socket, sent: Int) {
    let listener = try stack.socket(.tcp)
    try listener.bind(to: SocketAddress(Self.own, port: 4000))
    try listener.listen()
    let client = try stack.socket(.tcp)
    try client.connect(to: SocketAddress(Self.own, port: 4000))
    let server = try listener.accept()
    for socket in [server, client] { socket.isNonBlocking = true }
    var sent = 0
    while let count = try? server.send([UInt8](repeating: 7, count: 1 << 16)) { sent += count }
    return (server, client, sent)
  }

  @Test(
    "epoll: an edge watch for bytes is not told when only room has come; one for room is, and of what else is there"
  )
  func room() throws {
    let simulated = try SimulatedStack()
    let (server, client, sent) = try full(simulated.stack)
    let pollers = [Poller(simulated.stack), Poller(simulated.stack)]
    try pollers[0].add(server, for: .readable, .edge, token: 1)
    try pollers[1].add(server, for: [.readable, .writable], .edge, token: 2)
    func told(_ poller: Poller) throws -> [Readiness] { try poller.wait(timeout: .zero).map(\.readiness) }
    try client.send([1])
    #expect(try told(pollers[0]) == [.readable])
    #expect(try told(pollers[1]) == [.readable])
    var taken = 0
    while taken < sent {
      guard let bytes = try? client.receive(upTo: 1 << 20) else {
        simulated.advance(to: simulated.now + .milliseconds(50))
        continue
      }
      taken += bytes.count
    }
    #expect(server.readiness.isSuperset(of: [.readable, .writable]))
    #expect(try told(pollers[0]) == [], "nothing came that it asked for")
    #expect(try told(pollers[1]) == [[.readable, .writable]])
    try client.send([2])
    #expect(try told(pollers[0]) == [.readable])
  }

  @Test("who takes events from a set does not keep another who sleeps from being woken")
  func sleeper() throws {
    let simulated = try SimulatedStack()
    let shard = simulated.stack.shards[0]
    let socket = try simulated.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(Self.own, port: 4000))
    let waiter = SocketWaiter()
    let set = shard.inspect { $0.makePollSet(waiter) }
    func take(wait: Bool) throws -> Int {
      try shard.enter { (state) throws(Errno) in
        var events: [PollEvent] = []
        try state.takeEvents(of: set, into: &events, limit: 8, wait: wait, until: nil)
        return events.count
      }
    }
    #expect(try take(wait: true) == 0)
    // Another has had an event of another shard, and looks here without meaning to sleep.
    #expect(try take(wait: false) == 0)
    let before = waiter.generation
    try shard.enter { [id = socket.id] (state) throws(Errno) in
      try state.watch(id, in: set, for: .writable, .edge, token: 1)
    }
    #expect(waiter.generation != before)
    shard.inspect { $0.removePollSet(set) }
  }
}
