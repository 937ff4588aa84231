import InetSocket
import NetNamespace
import Sockets
import SwiftStack
import TestSupport
import Testing

/// A datagram socket whose peer's port is closed, call by call: the answers are those of Linux 6.18 to the same calls.
@Suite("S7 the error queue, call by call")
struct ErrorQueueScriptTests {
  /// One call of a script, written as its name; what it answers is a word.
  final class Caller {
    let stack: SimulatedStack
    let socket: Socket
    let closed = SocketAddress(.loopback, port: 9)

    init(connected: Bool, asks: Bool) throws {
      stack = try SimulatedStack()
      socket = try stack.stack.socket(.udp)
      socket.isNonBlocking = true
      if asks { try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 1) }
      if connected { try socket.connect(to: closed) }
    }

    private static func name(_ errno: Errno) -> String {
      switch errno {
      case .ECONNREFUSED: "ECONNREFUSED"
      case .EAGAIN: "EAGAIN"
      case .EPIPE: "EPIPE"
      default: "\(errno)"
      }
    }
    private func word(_ body: () throws(SocketError) -> String) -> String {
      do throws(SocketError) { return try body() } catch { return Self.name(error.errno) }
    }
    func run(_ call: String) -> String {
      let words = call.split(separator: " ")
      let count = words.count > 1 ? Int(words[1])! : 100
      switch words[0] {
      case "send":
        return word { () throws(SocketError) in
          "\(try socket.send([UInt8](repeating: 7, count: count), to: words.count > 2 ? closed : nil))"
        }
      case "queue", "peek":
        return word { () throws(SocketError) in
          let flags: MessageFlags = words[0] == "peek" ? [.errorQueue, .peek] : .errorQueue
          let message = try socket.recvmsg(upTo: count, flags: flags)
          return "\(message.bytes.count)\(message.flags.contains(.truncate) ? "t" : "")"
            + (message.control.error?.errno == .ECONNREFUSED ? "" : "?")
        }
      case "recv": return word { () throws(SocketError) in "\(try socket.receive(upTo: 100).count)" }
      case "error": return socket.takeError().map(Self.name) ?? "0"
      case "poll": return socket.readiness.contains(.error) ? "err" : "-"
      case "small":
        return word { () throws(SocketError) in
          try socket.setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.receiveBuffer, 1)
          return "0"
        }
      case "off":
        return word { () throws(SocketError) in
          try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 0)
          return "0"
        }
      case "df":
        return word { () throws(SocketError) in
          try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.mtuDiscover, 2)
          return "0"
        }
      case "shutdown":
        return word { () throws(SocketError) in
          try socket.shutdown(read: true, write: true)
          return "0"
        }
      default: return "?"
      }
    }
  }

  static let scripts: [(connected: Bool, asks: Bool, calls: [(String, String)])] = [
    (
      true, true,
      [
        ("send 3", "3"), ("poll", "err"), ("send 2", "ECONNREFUSED"), ("poll", "err"), ("send 1", "1"),
        ("queue", "3"), ("poll", "err"), ("error", "ECONNREFUSED"), ("queue", "1"), ("poll", "-"),
        ("queue", "EAGAIN"), ("poll", "-"), ("error", "0"),
      ]
    ),
    (
      true, true,
      [
        ("send 3", "3"), ("recv", "ECONNREFUSED"), ("poll", "err"), ("recv", "EAGAIN"), ("queue", "3"),
        ("queue", "EAGAIN"), ("poll", "-"),
      ]
    ),
    (
      true, true,
      [
        ("send 3", "3"), ("error", "ECONNREFUSED"), ("poll", "err"), ("error", "0"), ("queue", "3"),
        ("poll", "-"), ("error", "0"),
      ]
    ),
    (
      true, true,
      [
        ("send 3", "3"), ("off", "0"), ("poll", "err"), ("queue", "EAGAIN"), ("error", "ECONNREFUSED"),
        ("poll", "-"),
      ]
    ),
    (
      false, true,
      [
        ("send 3 to", "3"), ("poll", "err"), ("send 2 to", "ECONNREFUSED"), ("queue", "3"),
        ("queue", "EAGAIN"),
        ("error", "0"),
      ]
    ),
    (
      false, false,
      [("send 3 to", "3"), ("poll", "-"), ("send 2 to", "2"), ("queue", "EAGAIN"), ("error", "0")]
    ),
    (
      true, false,
      [("send 3", "3"), ("poll", "err"), ("queue", "EAGAIN"), ("send 1", "ECONNREFUSED"), ("error", "0")]
    ),
    (true, true, [("send 6", "6"), ("queue 3", "3t"), ("queue", "EAGAIN")]),
    (true, true, [("send 6", "6"), ("queue 0", "0t"), ("queue", "EAGAIN")]),
    (true, true, [("send 6", "6"), ("peek 3", "3t"), ("queue", "EAGAIN")]),
    (
      true, true,
      [
        ("small", "0"), ("send 1", "1"), ("send 2", "ECONNREFUSED"), ("send 3", "3"),
        ("send 4", "ECONNREFUSED"),
        ("send 5", "5"), ("send 6", "ECONNREFUSED"), ("poll", "err"), ("queue", "1"), ("queue", "3"),
        ("queue", "EAGAIN"), ("error", "0"),
      ]
    ),
    (
      false, true,
      [
        ("small", "0"), ("send 1 to", "1"), ("send 2 to", "ECONNREFUSED"), ("send 3 to", "3"),
        ("send 4 to", "ECONNREFUSED"), ("send 5 to", "5"), ("send 6 to", "ECONNREFUSED"), ("poll", "err"),
        ("queue", "1"), ("queue", "3"), ("queue", "EAGAIN"), ("error", "0"),
      ]
    ),
    (true, true, [("send 0", "0"), ("poll", "err"), ("queue", "0"), ("error", "0")]),
    (
      true, true,
      [
        ("send 3", "3"), ("shutdown", "0"), ("poll", "err"), ("queue", "3"), ("error", "0"),
        ("recv", "EAGAIN"),
        ("send 1", "EPIPE"),
      ]
    ),
  ]

  @Test("S7 error queue, SO_ERROR, poll and the next call agree with Linux", arguments: scripts.indices)
  func script(_ index: Int) throws {
    let script = Self.scripts[index]
    let caller = try Caller(connected: script.connected, asks: script.asks)
    for (step, (call, answer)) in script.calls.enumerated() {
      #expect(caller.run(call) == answer, "step \(step): \(call)")
    }
  }
}
