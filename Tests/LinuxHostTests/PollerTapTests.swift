import Foundation
import Testing
import Wire

@testable import LinuxHost
@testable import SwiftStack

/// A stack on a TAP with its own thread.
@Suite("One poller, a thousand sockets", .enabled(if: isPrivileged)) struct PollerTapTests {
  private static let count = 1000

  private func withStack(_ body: (Stack) throws -> Void) throws {
    let stack = try NetworkNamespace.anonymous().run { () throws(LinuxError) in
      do { return try Stack(tap: TapParameters(interface: InterfaceName("tap0"))) } catch {
        throw LinuxError(EIO, "run", "a stack", reason: "\(error)")
      }
    }
    try body(stack)
    stack.close()
  }

  @Test("1,000 connections are accepted, echoed and closed by one thread with one poller")
  func thousand() throws {
    try withStack { stack in
      let listener = try stack.socket(.tcp)
      try listener.bind(to: SocketAddress(.any, port: 4000))
      try listener.listen()
      listener.isNonBlocking = true
      let poller = Poller(stack)
      try poller.add(listener, for: .readable, token: 0)
      let clients = try (0..<Self.count).map { _ in
        let client = try stack.socket(.tcp)
        client.isNonBlocking = true
        try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 4000))
        return client
      }
      for (index, client) in clients.enumerated() {
        client.isNonBlocking = false
        _ = client.poll(.writable, timeout: .seconds(20))
        try client.send([UInt8(truncatingIfNeeded: index), UInt8(index >> 8)])
      }
      var servers: [UInt64: Socket] = [:]
      var ended = 0
      while ended < Self.count {
        let events = try poller.wait(timeout: .seconds(20))
        guard !events.isEmpty else {
          Issue.record("\(servers.count) are open, \(ended) ended")
          return
        }
        for event in events {
          guard let server = servers[event.token] else {
            while let server = try? listener.accept() {
              server.isNonBlocking = true
              let token = UInt64(servers.count + ended + 1)
              servers[token] = server
              try poller.add(server, for: .readable, token: token)
            }
            continue
          }
          let bytes = try server.receive(upTo: 100)
          if bytes.isEmpty {
            server.close()
            servers[event.token] = nil
            ended += 1
          } else {
            try server.send(bytes)
            try server.shutdown(write: true)
            let client = clients[Int(bytes[0]) | Int(bytes[1]) << 8]
            #expect(try client.receive(upTo: 100) == bytes)
            client.close()
          }
        }
      }
      #expect(servers.isEmpty)
    }
  }

  @Test("a stack whose last user is a task on its own thread ends there")
  func endsOnItsOwnThread() throws {
    let done = DispatchSemaphore(value: 0)
    try withStack { stack in
      let executor = stack.executor()
      Task(executorPreference: executor) {
        stack.close()
        done.signal()
      }
      #expect(done.wait(timeout: .now() + 20) == .success)
    }
  }

  @Test("a stack that several threads and a task of its own close at once ends once, for all of them")
  func closedByMany() throws {
    for _ in 0..<100 {
      try withStack { stack in
        let done = DispatchSemaphore(value: 0)
        let close: @Sendable () -> Void = {
          stack.close()
          done.signal()
        }
        Task(executorPreference: stack.executor()) { close() }
        for _ in 0..<3 { try StackThread.start(close) }
        for _ in 0..<4 {
          guard done.wait(timeout: .now() + 100) == .success else {
            Issue.record("a close() does not return")
            return
          }
        }
      }
    }
  }
}
