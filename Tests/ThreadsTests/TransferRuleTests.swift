import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// What sends and receives return when they wait, end early, or are not to wait.
@Suite struct TransferRuleTests {
  private func pair(_ wire: SimulatedWire) throws -> (client: Socket, server: Socket) {
    let (client, server) = try wire.connect()
    client.isNonBlocking = false
    server.isNonBlocking = true
    return (client, server)
  }

  private func abort(_ socket: Socket) throws {
    try socket.setLinger(.zero)
    socket.close()
  }

  /// Takes what is there; at a reset in the middle nothing more comes.
  private func drain(_ socket: Socket) -> Int {
    var count = 0
    while let bytes = try? socket.receive(upTo: 1 << 20), !bytes.isEmpty { count += bytes.count }
    return count
  }

  @Test("T9 a blocking send that had sent part leaves the reset for the next call")
  func partThenReset() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    let driver = Driver(wire)
    let call = try Call(blocking: {
      outcome { () throws(SocketError) in try client.send([UInt8](repeating: 1, count: 8 << 20)) }
    })
    #expect(await driver.run(until: { client.isWaitedFor }))
    try abort(server)
    #expect(await driver.run(until: { call.isDone }))
    let sent = try #require(try call.result?.get())
    #expect(sent > 0 && sent < 8 << 20)
    #expect(
      outcome { () throws(SocketError) in try client.receive(upTo: 1) }
        == .failure(SocketError("receive", .ECONNRESET)))
    #expect(
      outcome { () throws(SocketError) in try client.send([1]) } == .failure(SocketError("send", .EPIPE)))
  }

  @Test("S7 an async send that fails tells how many bytes were taken")
  func asyncFailure() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    let driver = Driver(wire)
    let call = Call {
      await outcome { () async throws(SocketError) in
        try await client.send([UInt8](repeating: 1, count: 8 << 20))
      }
    }
    #expect(await driver.run(until: { client.isWaitedFor }))
    try abort(server)
    #expect(await driver.run(until: { call.isDone }))
    guard case .failure(let error)? = call.result else {
      Issue.record("the send succeeded")
      return
    }
    #expect(error.errno == .ECONNRESET && error.byteCount > 0)
    #expect(error.description == "send: Connection reset by peer after \(error.byteCount) bytes")
  }

  @Test("S7 a cancelled async send carries its count and the error's name")
  func cancelledSend() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    let driver = Driver(wire)
    let call = Call {
      await outcome { () async throws(SocketError) in
        try await client.send([UInt8](repeating: 1, count: 8 << 20))
      }
    }
    #expect(await driver.run(until: { client.isWaitedFor }))
    call.cancel()
    #expect(await driver.run(until: { call.isDone }))
    guard case .failure(let error)? = call.result else {
      Issue.record("the send succeeded")
      return
    }
    #expect(error.errno == .ECANCELED && "\(error.errno)" == "Operation canceled")
    var arrived = 0
    await driver.run(steps: 3000) {
      arrived += self.drain(server)
      return arrived == error.byteCount
    }
    #expect(arrived == error.byteCount)
  }

  @Test(
    "S7 SO_SNDTIMEO ends a send with the count of what was taken, blocking, or with EAGAIN and the count, async"
  )
  func sendTimeout() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    defer { server.close() }
    let driver = Driver(wire)
    try Self.setTimeout(client, name: 21, milliseconds: 200)
    #expect(client.sendTimeout == .milliseconds(200))
    let big = [UInt8](repeating: 1, count: 16 << 20)
    let before = wire.now
    let sent = try await driver.runBlocking(pacedBy: client) { try? client.send(big) }
    #expect(try #require(sent ?? nil) > 0)
    #expect(wire.now - before >= .milliseconds(200) && wire.now - before < .milliseconds(300))
    let second = await driver.run(pacedBy: client) {
      await outcome { () async throws(SocketError) in try await client.send(big) }
    }
    guard case .failure(let error)? = second else {
      Issue.record("the send succeeded")
      return
    }
    #expect(error.errno == .EAGAIN)
  }

  @Test("S7 SO_RCVTIMEO set by setsockopt is what receive and accept obey, blocking and async")
  func receiveTimeout() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    defer { server.close() }
    let listener = try wire.left.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 5001))
    try listener.listen()
    let datagrams = try wire.left.stack.socket(.udp)
    let driver = Driver(wire)
    for socket in [client, listener, datagrams] {
      try Self.setTimeout(socket, name: 20, milliseconds: 50)
      #expect(socket.receiveTimeout == .milliseconds(50))
      var before = wire.now
      let isListener = socket === listener
      let blocking = try await driver.runBlocking(pacedBy: socket) {
        outcome { () throws(SocketError) in
          if isListener { _ = try socket.accept() } else { _ = try socket.receive(upTo: 1) }
          return true
        }
      }
      #expect(blocking == .failure(SocketError(isListener ? "accept" : "receive", .EAGAIN)))
      #expect(wire.now - before >= .milliseconds(50) && wire.now - before < .milliseconds(60))
      before = wire.now
      let suspending = await driver.run(pacedBy: socket) {
        await outcome { () async throws(SocketError) in
          if isListener { _ = try await socket.accept() } else { _ = try await socket.receive(upTo: 1) }
          return true
        }
      }
      #expect(suspending == blocking)
      #expect(wire.now - before >= .milliseconds(50) && wire.now - before < .milliseconds(60))
      socket.receiveTimeout = nil
      #expect(try socket.getsockopt(level: 1, name: 20) == [UInt8](repeating: 0, count: 16))
    }
  }

  /// SO_RCVTIMEO 20 or SO_SNDTIMEO 21 with a `struct timeval` in the machine's order.
  static func setTimeout(_ socket: Socket, name: Int32, milliseconds: Int) throws(SocketError) {
    var bytes = [UInt8](repeating: 0, count: 16)
    let microseconds = milliseconds * 1000
    for index in 0..<4 { bytes[8 + index] = UInt8(truncatingIfNeeded: microseconds >> (8 * index)) }
    try socket.setsockopt(level: 1, name: name, value: unsafe bytes.span.bytes)
  }

  @Test("S7 an async call on a non-blocking socket, or with MSG_DONTWAIT, does not wait")
  func asyncNonBlocking() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    defer { server.close() }
    let received = await outcome { () async throws(SocketError) in
      try await client.receive(upTo: 1, flags: .dontWait)
    }
    #expect(received == .failure(SocketError("receive", .EAGAIN)))
    client.isNonBlocking = true
    let again = await outcome { () async throws(SocketError) in try await client.receive(upTo: 1) }
    #expect(again == .failure(SocketError("receive", .EAGAIN)))
    // A stream takes what there is room for, and says so.
    let sent = try await client.send([UInt8](repeating: 1, count: 8 << 20))
    #expect(sent > 0 && sent < 8 << 20)
    let full = await outcome { () async throws(SocketError) in try await client.send([1]) }
    #expect(full == .failure(SocketError("send", .EAGAIN)))
    let other = try wire.left.stack.socket(.tcp)
    other.isNonBlocking = true
    let connecting = await outcome { () async throws(SocketError) in
      try await other.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 7))
      return true
    }
    #expect(
      connecting
        == .failure(SocketError("connect", .EINPROGRESS, SocketAddress(SimulatedWire.rightAddress, port: 7))))
  }

  @Test("S7 MSG_WAITALL waits for all, before the end of the stream", arguments: [true, false])
  func waitAll(isAsync: Bool) async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    let driver = Driver(wire)
    let call: Call<[UInt8]?>
    if isAsync {
      call = Call { try? await client.receive(upTo: 6, flags: .waitAll) }
    } else {
      call = try Call(blocking: { try? client.receive(upTo: 6, flags: .waitAll) })
    }
    try Self.send(server, [1, 2, 3])
    await driver.run(steps: 100) { call.isDone }
    #expect(!call.isDone, "part of it was taken for all")
    try Self.send(server, [4, 5, 6, 7])
    #expect(await driver.run(until: { call.isDone }))
    #expect(call.result == [1, 2, 3, 4, 5, 6])
    let rest = try Call(blocking: { try? client.receive(upTo: 6, flags: .waitAll) })
    await driver.run(steps: 100) { rest.isDone }
    #expect(!rest.isDone)
    try server.shutdown(write: true)
    #expect(await driver.run(until: { rest.isDone }))
    #expect(rest.result == [7])
  }

  private static func send(_ socket: Socket, _ bytes: [UInt8]) throws(SocketError) { try socket.send(bytes) }

  @Test("S7 MSG_WAITALL: what came before a reset is returned, the reset is the next call's")
  func waitAllReset() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    let driver = Driver(wire)
    try Self.send(server, [1, 2, 3])
    let call = try Call(blocking: { try? client.receive(upTo: 6, flags: .waitAll) })
    #expect(await driver.run(until: { client.isWaitedFor && !client.readiness.contains(.readable) }))
    await driver.run(steps: 50) { false }
    try abort(server)
    #expect(await driver.run(until: { call.isDone }))
    #expect(call.result == [1, 2, 3])
    #expect(
      outcome { () throws(SocketError) in try client.receive(upTo: 1) }
        == .failure(SocketError("receive", .ECONNRESET)))
  }

  @Test("S1 a blocking sendmsg of 8 MiB returns all of them")
  func largeMessage() async throws {
    let wire = try SimulatedWire(lendsEngines: true)
    let (client, server) = try pair(wire)
    let driver = Driver(wire)
    let call = try Call(blocking: {
      try? client.sendmsg(MessageHeader(), [UInt8](repeating: 1, count: 8 << 20))
    })
    var arrived = 0
    #expect(
      await driver.run(until: {
        arrived += self.drain(server)
        return call.isDone && arrived == 8 << 20
      }))
    #expect(call.result == 8 << 20)
  }

  @Test("S1 a non-blocking send takes as much as the buffer has room for")
  func nonBlockingRoom() throws {
    let wire = try SimulatedWire()
    let (client, server) = try pair(wire)
    defer { server.close() }
    client.isNonBlocking = true
    // SO_SNDBUFFORCE, which doubles: room for 8 MiB with its overhead.
    try client.setsockopt(level: 1, name: 32, 8 << 20)
    #expect(try client.send([UInt8](repeating: 1, count: 6 << 20)) == 6 << 20)
  }
}
