import Foundation
import Testing
import Wire

@testable import LinuxHost
@testable import SwiftStack

extension StackCycleTests {
  /// Datagrams of Linux at a TAP of eight queues, whose shards have threads of their own.
  /// One after the other with the stacks that come and go: a child holds every descriptor until it is the other program, and
  /// a TAP of this process would seem to be in use.
  @Suite("Datagrams over eight queues") struct DatagramTapTests {
    private func withStack(_ body: (Stack, borrowing NetworkNamespace) throws -> Void) throws {
      let namespace = try NetworkNamespace.anonymous()
      let stack = try namespace.run { () throws(LinuxError) in
        do {
          var tap = TapParameters(interface: try InterfaceName("tap0"))
          tap.hostAddress = IPv4Prefix(IPv4Address(10, 0, 0, 1), length: 24)
          tap.queues = 8
          var configuration = StackConfiguration()
          configuration.services = true
          return try Stack(tap: tap, configuration)
        } catch {
          throw LinuxError(EIO, "run", "a stack", reason: "\(error)")
        }
      }
      defer { stack.close() }
      try body(stack, namespace)
    }

    private func command(_ namespace: borrowing NetworkNamespace, _ path: String, _ arguments: [String])
      throws
      -> String
    {
      try namespace.run { () throws(LinuxError) in
        do { return try Command.run(path, arguments) } catch {
          throw LinuxError(EIO, "run", path, reason: "\(error)")
        }
      }
    }

    /// Sends each datagram back, until the stack ends.
    private static func echo(_ sockets: [Socket], of stack: Stack) {
      Thread.detachNewThread {
        let poller = Poller(stack)
        for (index, socket) in sockets.enumerated() {
          socket.isNonBlocking = true
          try? poller.add(socket, for: .readable, token: UInt64(index))
        }
        while let events = try? poller.wait(timeout: .seconds(60)), !events.isEmpty {
          for event in events {
            while let message = try? sockets[Int(event.token)].recvmsg(upTo: 70000) {
              _ = try? sockets[Int(event.token)].send(message.bytes, to: message.source)
            }
          }
        }
      }
    }

    @Test("U5 P6 datagrams of many senders, whole and in fragments, to sockets of every shard, and back")
    func datagrams() throws {
      try withStack { stack, namespace in
        let group = try (0..<8).map { queue in
          let socket = try stack.socket(.udp, queue: queue)
          try socket.setsockopt(level: 1, name: 15, 1)
          try socket.bind(to: SocketAddress(.any, port: 700))
          return socket
        }
        let single = try (0..<8).map { queue in
          let socket = try stack.socket(.udp, queue: queue)
          try socket.bind(to: SocketAddress(.any, port: UInt16(710 + queue)))
          return socket
        }
        Self.echo(group + single, of: stack)
        let answer = try command(namespace, "/usr/bin/python3", ["-c", Self.sender])
        #expect(answer == "answered=832 bad=0\n")
        let members = group.filter {
          $0.shard.inspect { $0.host.net.counters.all.first { $0.name == "UdpOutDatagrams" }?.value ?? 0 } > 0
        }
        #expect(members.count == 8)
      }
    }

    /// 64 senders ask the group, one of the eight single sockets, and the services' echo.
    private static let sender = """
      import socket, sys
      answered = bad = late = 0
      for sender in range(64):
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
          s.settimeout(1)
          for port in (700, 710 + sender % 8, 7):
              for size in (4, 100, 3000, 60000) + ((8000,) if port == 7 else ()):
                  data = bytes((i * 7 + sender) % 256 for i in range(size))
                  for attempt in range(3):
                      try:
                          s.sendto(data, ("10.0.0.2", port))
                          back, source = s.recvfrom(70000)
                      except TimeoutError:
                          late += 1
                          if late > 9: sys.exit(f"port {port}, {size} bytes, {answered} answered")
                          continue
                      answered += 1
                      if back != data or source != ("10.0.0.2", port): bad += 1
                      break
      print(f"answered={answered} bad={bad}")
      """

    @Test("R ICMP pings of Linux are answered, and those of every shard's sockets by Linux")
    func pings() throws {
      try withStack { stack, namespace in
        for size in ["56", "8000"] {
          let report = try command(
            namespace, "/usr/bin/ping", ["-c", "8", "-i", "0.05", "-W", "3", "-s", size, "10.0.0.2"])
          #expect(report.contains(" 8 received"), "\(report)")
        }
        for queue in 0..<8 {
          let socket = try stack.socket(.ping, queue: queue)
          socket.receiveTimeout = .seconds(5)
          for size in [1, 8000] {
            let body = [UInt8](repeating: UInt8(queue), count: size)
            try socket.send(
              [8, 0, 0, 0, 0, 0, 0, 1] + body, to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 0))
            let answer = try socket.receive(upTo: 70000)
            #expect(answer.first == 0 && Array(answer.dropFirst(8)) == body)
          }
        }
      }
    }
  }
}
