import TestSupport
import Testing

@testable import SwiftStack

/// A poller says what epoll says, in virtual time: sockets of one stack, whose packets go round inside it.
@Suite struct PollerTests {
  private static let own = IPv4Address(10, 0, 0, 2)

  private struct Pair {
    let simulated: SimulatedStack
    let poller: Poller
    /// What is watched, and who sends to it.
    let server: Socket
    let client: Socket

    /// What is ready now.
    func ready() throws -> [PollEvent] { try poller.wait(timeout: .zero) }
  }

  private func pair(_ configure: (inout StackConfiguration) -> Void = { _ in }) throws -> Pair {
    var configuration = StackConfiguration()
    configure(&configuration)
    let simulated = try SimulatedStack(configuration)
    let listener = try simulated.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 4000))
    try listener.listen()
    let client = try simulated.stack.socket(.tcp)
    try client.connect(to: SocketAddress(Self.own, port: 4000))
    let server = try listener.accept()
    for socket in [server, client] { socket.isNonBlocking = true }
    return Pair(simulated: simulated, poller: Poller(simulated.stack), server: server, client: client)
  }

  private static let readable = PollEvent(token: 5, readiness: .readable)

  @Test("epoll: level-triggered, a socket is told as long as it is ready")
  func level() throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .readable, token: 5)
    #expect(try pair.ready() == [])
    try pair.client.send([1, 2])
    for _ in 0..<3 { #expect(try pair.ready() == [Self.readable]) }
    _ = try pair.server.receive(upTo: 1)
    #expect(try pair.ready() == [Self.readable])
    _ = try pair.server.receive(upTo: 1)
    #expect(try pair.ready() == [])
  }

  @Test("epoll: edge-triggered, once for what came, and again for what comes, read or not")
  func edge() throws {
    let pair = try pair()
    try pair.client.send([1])
    try pair.poller.add(pair.server, for: .readable, .edge, token: 5)
    #expect(try pair.ready() == [Self.readable], "what was there when it was added")
    #expect(try pair.ready() == [])
    try pair.client.send([2])
    #expect(try pair.ready() == [Self.readable])
    #expect(try pair.ready() == [])
    // EPOLL_CTL_MOD looks again.
    try pair.poller.modify(pair.server, for: .readable, .edge)
    #expect(try pair.ready() == [Self.readable])
  }

  @Test("epoll: EPOLLONESHOT is told once until it is asked for anew, whatever comes")
  func once() throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .readable, .once, token: 5)
    try pair.client.send([1])
    #expect(try pair.ready() == [Self.readable])
    try pair.client.send([2])
    #expect(try pair.ready() == [])
    try pair.poller.modify(pair.server, for: .readable, .once)
    #expect(try pair.ready() == [Self.readable])
    #expect(try pair.ready() == [])
  }

  @Test("epoll: removed while it is ready, a socket is not told; removed twice, it is ENOENT")
  func removal() throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .readable, token: 5)
    try pair.client.send([1])
    try pair.poller.remove(pair.server)
    #expect(try pair.ready() == [])
    #expect { try pair.poller.remove(pair.server) } throws: { ($0 as? SocketError)?.errno == .ENOENT }
    #expect { try pair.poller.modify(pair.server, for: .readable) } throws: {
      ($0 as? SocketError)?.errno == .ENOENT
    }
  }

  @Test("epoll: added twice, a socket is EEXIST; to another stack's poller, EINVAL")
  func added() throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .readable, token: 5)
    #expect { try pair.poller.add(pair.server, for: .readable, token: 6) } throws: {
      ($0 as? SocketError)?.errno == .EEXIST
    }
    let other = try SimulatedStack()
    #expect { try Poller(other.stack).add(pair.server, for: .readable, token: 6) } throws: {
      ($0 as? SocketError)?.errno == .EINVAL
    }
  }

  @Test(
    "epoll: closed while it is watched and ready, a socket is not told, and its place is free for the next")
  func close() throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .readable, token: 5)
    try pair.client.send([1])
    pair.server.close()
    #expect(try pair.ready() == [])
    #expect { try pair.poller.add(pair.server, for: .readable, token: 5) } throws: {
      ($0 as? SocketError)?.errno == .EBADF
    }
    // Whoever takes the number of the closed socket is not watched.
    let next = try pair.simulated.stack.socket(.udp)
    try next.bind(to: SocketAddress(Self.own, port: 6000))
    try pair.simulated.stack.socket(.udp).send([1], to: SocketAddress(Self.own, port: 6000))
    #expect(try pair.ready() == [])
    try pair.poller.add(next, for: .readable, token: 9)
    #expect(try pair.ready() == [PollEvent(token: 9, readiness: .readable)])
  }

  @Test("epoll: errors and hang-ups are told whether asked for or not; room is told when it comes")
  func others() throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .writable, token: 5)
    #expect(try pair.ready() == [PollEvent(token: 5, readiness: .writable)])
    while (try? pair.server.send([UInt8](repeating: 1, count: 65536))) != nil {}
    #expect(try pair.ready() == [])
    while let bytes = try? pair.client.receive(upTo: 1 << 20), !bytes.isEmpty {}
    #expect(try pair.ready() == [PollEvent(token: 5, readiness: .writable)])
    try pair.poller.modify(pair.server, for: [])
    #expect(try pair.ready() == [])
    try pair.client.setLinger(.zero)
    pair.client.close()
    let event = try #require(try pair.ready().first)
    #expect(event.readiness.contains(.error) && event.readiness.contains(.hangup), "\(event)")
  }

  @Test("first ready, first told; those that stay ready get in line behind the others")
  func order() throws {
    let pair = try pair()
    let receivers = try (0..<4).map { index in
      let socket = try pair.simulated.stack.socket(.udp)
      try socket.bind(to: SocketAddress(Self.own, port: UInt16(6000 + index)))
      try pair.poller.add(socket, for: .readable, token: UInt64(index))
      return socket
    }
    let sender = try pair.simulated.stack.socket(.udp)
    for index in [2, 0, 3, 1] {
      try sender.send([1], to: SocketAddress(Self.own, port: UInt16(6000 + index)))
    }
    #expect(try pair.poller.wait(upTo: 3, timeout: .zero).map(\.token) == [2, 0, 3])
    #expect(try pair.poller.wait(upTo: 3, timeout: .zero).map(\.token) == [1, 2, 0])
    _ = receivers
  }

  @Test(
    "a wait ends with an event, with its time on the stack's clock, with wake(), with the end of the stack")
  func waits() async throws {
    let pair = try pair()
    try pair.poller.add(pair.server, for: .readable, token: 5)
    func waiting(_ timeout: Duration? = nil) async throws -> Task<[PollEvent], any Error> {
      let task = Task { [poller = pair.poller] in try await poller.wait(timeout: timeout) }
      while !pair.poller.isAwaited { await Task.yield() }
      return task
    }
    var task = try await waiting()
    try await pair.client.send([1])
    #expect(try await task.value == [Self.readable])
    _ = try await pair.server.receive(upTo: 10)

    task = try await waiting(.seconds(3))
    pair.simulated.advance(to: pair.simulated.now + .seconds(2))
    #expect(pair.poller.isAwaited)
    pair.simulated.advance(to: pair.simulated.now + .seconds(1))
    #expect(try await task.value == [])

    task = try await waiting()
    pair.poller.wake()
    #expect(try await task.value == [])

    task = try await waiting()
    task.cancel()
    await #expect { try await task.value } throws: { ($0 as? SocketError)?.errno == .ECANCELED }

    task = try await waiting()
    pair.simulated.stack.close()
    await #expect { try await task.value } throws: { ($0 as? SocketError)?.errno == .ENETDOWN }
  }

  @Test("a poller that watches nothing is told of the end of the stack as well")
  func end() async throws {
    let simulated = try SimulatedStack()
    let poller = Poller(simulated.stack)
    let task = Task { try await poller.wait() }
    while !poller.isAwaited { await Task.yield() }
    simulated.stack.close()
    await #expect { try await task.value } throws: { ($0 as? SocketError)?.errno == .ENETDOWN }
  }

  @Test("one poller serves the sockets of several queues")
  func queues() throws {
    let simulated = try SimulatedStack(queues: 2)
    let poller = Poller(simulated.stack)
    let listeners = try (0..<2).map { queue in
      let socket = try simulated.stack.socket(.tcp, queue: queue)
      try socket.bind(to: SocketAddress(.any, port: UInt16(4000 + queue)))
      try socket.listen()
      try poller.add(socket, for: .readable, token: UInt64(queue))
      return socket
    }
    for queue in [1, 0] {
      let client = try simulated.stack.socket(.tcp, queue: queue)
      client.isNonBlocking = true
      try? client.connect(to: SocketAddress(Self.own, port: UInt16(4000 + queue)))
      _ = simulated.takeFrames()
      #expect(try poller.wait(timeout: .zero).map(\.token) == [UInt64(queue)])
      _ = try listeners[queue].accept()
    }
  }
}
