// echo-server IFNAME async|poller|program [PORT]
//
// Gives back what it gets, on a stack of its own at 10.0.0.2 behind the TAP IFNAME, which it creates in this network
// namespace. Needs CAP_NET_ADMIN. Port 7, or PORT. The same server three times:
//
//   async     a task for each connection, in plain async style; the tasks run on the shard's own thread
//   poller    one thread that serves every connection, as with epoll
//   program   inside the shard
//
//   sudo echo-server tap0 async &
//   nc 10.0.0.2 7

import Foundation
import SwiftStack

@main
struct EchoServer {
  static func main() async throws {
    let arguments = CommandLine.arguments
    let port = arguments.count > 3 ? UInt16(arguments[3]) : 7
    guard arguments.count >= 3, ["async", "poller", "program"].contains(arguments[2]), let port else {
      print("usage: echo-server IFNAME async|poller|program [PORT]")
      return
    }
    let stack = try Stack(tap: TapParameters(interface: InterfaceName(arguments[1])))
    let listener = try stack.socket(.tcp)
    if arguments[2] != "program" {
      try listener.bind(to: SocketAddress(.any, port: port))
      try listener.listen()
    }
    switch arguments[2] {
    case "async":
      say("tasks echo on port \(port)")
      try await withTaskExecutorPreference(stack.executor()) { try await serve(listener) }
    case "poller":
      say("a poller echoes on port \(port)")
      var server = try PollingServer(stack, listener)
      try server.run()
    default:
      try stack.start(EchoProgram()) { (program, shard) throws(Errno) in
        try program.listen(on: port, of: &shard)
      }
      say("a program echoes on port \(port)")
      while true { try await Task.sleep(for: .seconds(3600)) }
    }
  }

  /// A task for each connection.
  static func serve(_ listener: Socket) async throws {
    while true {
      let client = try await listener.accept()
      try client.setNoDelay(true)
      Task(executorPreference: listener.executor) {
        // An error is the end of one connection.
        while let bytes = try? await client.receive(upTo: 65536), !bytes.isEmpty {
          guard (try? await client.send(bytes)) != nil else { break }
        }
        client.close()
      }
    }
  }

  /// A line at once, also into a file.
  static func say(_ text: String) {
    FileHandle.standardOutput.write(Data((text + "\n").utf8))
  }
}

/// One thread, any number of connections.
struct PollingServer {
  private let poller: Poller
  private let listener: Socket
  private var clients: [UInt64: Client] = [:]
  private var lastToken: UInt64 = 0

  private struct Client {
    var socket: Socket
    /// What could not be sent yet.
    var rest: [UInt8] = []
  }

  init(_ stack: Stack, _ listener: Socket) throws {
    poller = Poller(stack)
    self.listener = listener
    listener.isNonBlocking = true
    try poller.add(listener, for: .readable, token: 0)
  }

  mutating func run() throws {
    while true {
      for event in try poller.wait() {
        if event.token == 0 { try accept() } else { serve(event.token) }
      }
    }
  }

  private mutating func accept() throws {
    while let socket = try? listener.accept() {
      socket.isNonBlocking = true
      lastToken += 1
      clients[lastToken] = Client(socket: socket)
      try poller.add(socket, for: .readable, token: lastToken)
    }
  }

  /// Sends what is left, then what is there to read. As long as something is left, the poller is asked for room instead.
  private mutating func serve(_ token: UInt64) {
    guard var client = clients.removeValue(forKey: token) else { return }
    let wasStuck = !client.rest.isEmpty
    do {
      if !wasStuck { client.rest = try client.socket.receive(upTo: 65536) }
      if client.rest.isEmpty { return client.socket.close() }
      let sent = try client.socket.send(client.rest)
      client.rest.removeFirst(sent)
    } catch  where error.errno != .EAGAIN {
      return client.socket.close()
    } catch {
      // No room, or nothing there after all.
    }
    let isStuck = !client.rest.isEmpty
    if isStuck != wasStuck { try? poller.modify(client.socket, for: isStuck ? .writable : .readable) }
    clients[token] = client
  }
}

/// Inside the shard: no lock, no thread.
final class EchoProgram: Program {
  private var listener: SocketID?

  func listen(on port: UInt16, of shard: inout Shard) throws(Errno) {
    let socket = try shard.socket(.tcp)
    try shard.bind(socket, to: SocketAddress(.any, port: port))
    try shard.listen(socket)
    listener = socket
    shard.give(socket, to: id)
  }

  override func ready(_ socket: SocketID, on shard: inout Shard) {
    if socket == listener {
      while let client = try? shard.accept(socket) { shard.give(client, to: id) }
      return
    }
    var room = InlineArray<4096, UInt8>(repeating: 0)
    do throws(Errno) {
      while true {
        var span = room.mutableSpan
        // Looked at first, and taken only as far as it could be sent: the peer's window is the buffer.
        var bytes = unsafe span.mutableBytes
        let count = try shard.receive(socket, into: &bytes, flags: .peek).byteCount
        if count == 0 { return shard.finish(socket) }
        let sent = try shard.send(socket, bytes.bytes.extracting(0..<count), flags: .noSignal)
        try shard.discard(socket, count: sent)
      }
    } catch {
      if error != .EAGAIN { shard.finish(socket, reset: true) }
    }
  }
}
