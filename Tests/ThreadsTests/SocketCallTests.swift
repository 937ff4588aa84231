import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Blocking and `async` calls, on a stack that talks to its own address: no wire is needed, every call runs the whole
/// stack on its own thread.
@Suite struct SocketCallTests {
  static let own = IPv4Address(10, 0, 0, 2)

  static func stack() throws -> SimulatedStack {
    var configuration = StackConfiguration()
    configuration.services = true
    return try SimulatedStack(configuration)
  }

  @Test("connect, send and receive block until they are done")
  func blocking() throws {
    let simulated = try Self.stack()
    let socket = try simulated.stack.socket(.tcp)
    try socket.connect(to: SocketAddress(Self.own, port: 7))
    let text = Array("twice around the house".utf8)
    #expect(try socket.send(text) == text.count)
    #expect(try socket.receive(upTo: 100) == text)
    try socket.shutdown(write: true)
    #expect(try socket.receive(upTo: 100).isEmpty)
  }

  @Test("T9 a large send to a peer on another thread waits for space and goes through whole")
  func waitsForSpace() async throws {
    let simulated = try Self.stack()
    let listener = try simulated.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(Self.own, port: 5000))
    try listener.listen()
    let total = 8 << 20
    async let counted: Int = Task.detached {
      let server = try await listener.accept()
      var count = 0
      while true {
        let bytes = try await server.receive(upTo: 65536)
        if bytes.isEmpty { return count }
        #expect(bytes.first == UInt8(truncatingIfNeeded: count / 4096))
        count += bytes.count - bytes.count % 4096
        if bytes.count % 4096 != 0 {
          var rest = bytes.count % 4096
          while rest < 4096 { rest += try await server.receive(upTo: 4096 - rest).count }
          count += 4096
        }
      }
    }.value
    let client = try simulated.stack.socket(.tcp)
    try await client.connect(to: SocketAddress(Self.own, port: 5000))
    let bytes = (0..<total).map { UInt8(truncatingIfNeeded: $0 / 4096) }
    #expect(try await client.send(bytes) == total)
    try client.shutdown(write: true)
    #expect(try await counted == total)
  }

  @Test("SO_RCVTIMEO ends a receive with EAGAIN")
  func receiveTimeout() async throws {
    let simulated = try Self.stack()
    let socket = try simulated.stack.socket(.udp)
    try socket.bind(to: SocketAddress(Self.own, port: 6000))
    socket.receiveTimeout = .milliseconds(20)
    let result = try await Driver(simulated).runBlocking {
      outcome { () throws(SocketError) in try socket.receive(upTo: 10) }
    }
    #expect(result == .failure(SocketError("receive", .EAGAIN)))
    #expect(simulated.now >= Instant.origin + .milliseconds(20))
  }

  @Test("poll tells what is there, waits no longer than it may")
  func poll() async throws {
    let simulated = try Self.stack()
    let socket = try simulated.stack.socket(.udp)
    let nothing = try await Driver(simulated).runBlocking {
      socket.poll(.readable, timeout: .milliseconds(5))
    }
    #expect(nothing == [])
    #expect(try await socket.poll([.readable, .writable], timeout: nil) == .writable)
    try await socket.send([1, 2, 3], to: SocketAddress(Self.own, port: 7))
    #expect(try await socket.poll(.readable, timeout: .seconds(1)) == .readable)
    let echoed = try await socket.recvmsg()
    #expect(echoed.bytes == [1, 2, 3] && echoed.source == SocketAddress(Self.own, port: 7))
  }

  @Test("many tasks on one stack: every echo comes back to its own")
  func concurrent() async throws {
    let simulated = try Self.stack()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<32 {
        group.addTask {
          let socket = try simulated.stack.socket(.tcp)
          try await socket.connect(to: SocketAddress(Self.own, port: 7))
          for round in 0..<20 {
            let message = Array("task \(number) round \(round)".utf8)
            _ = try await socket.send(message)
            var answer: [UInt8] = []
            while answer.count < message.count {
              answer += try await socket.receive(upTo: message.count - answer.count)
            }
            #expect(answer == message)
          }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test("a cancelled task stops waiting")
  func cancelled() async throws {
    let socket = try Self.stack().stack.socket(.udp)
    let task = Task { try await socket.receive(upTo: 10) }
    task.cancel()
    await #expect(throws: SocketError("receive", .ECANCELED)) { try await task.value }
  }

  @Test("close from elsewhere ends a wait with EBADF")
  func closedMeanwhile() async throws {
    let socket = try Self.stack().stack.socket(.udp)
    let task = Task.detached { try socket.receive(upTo: 10) }
    // Whether the close comes before the wait or during it, the answer is the same.
    socket.close()
    await #expect(throws: SocketError("receive", .EBADF)) { try await task.value }
  }

  @Test("after the stack has closed every call fails with ENETDOWN")
  func closedStack() throws {
    let simulated = try Self.stack()
    let socket = try simulated.stack.socket(.tcp)
    simulated.stack.close()
    #expect(throws: SocketError.self) { try socket.send([1]) }
    #expect(throws: SocketError("socket", .ENETDOWN)) { try simulated.stack.socket(.tcp) }
  }

  @Test("errors say what was tried and on what")
  func description() throws {
    let stack = try Self.stack().stack
    let socket = try stack.socket(.tcp)
    let error = #expect(throws: SocketError.self) {
      try socket.connect(to: SocketAddress(Self.own, port: 81))
    }
    #expect(error.map { "\($0)" } == "connect to 10.0.0.2:81: Connection refused")
    let other = try stack.socket(.tcp)
    let busy = #expect(throws: SocketError.self) { try other.bind(to: SocketAddress(Self.own, port: 7)) }
    #expect(busy.map { "\($0)" } == "bind 10.0.0.2:7: Address already in use")
  }
}
