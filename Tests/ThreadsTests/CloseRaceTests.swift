import NetNamespace
import Testing
import Wire

@testable import SwiftStack

/// A call that races with `close` acts on its own socket or on none.
@Suite struct CloseRaceTests {
  static let own = IPv4Address(10, 0, 0, 2)

  private func accepted(_ listener: Socket, _ stack: Stack) throws -> (client: Socket, peer: Socket) {
    let client = try stack.socket(.tcp)
    try client.connect(to: SocketAddress(Self.own, port: 5000))
    return (client, try listener.accept())
  }

  @Test("S1 an ID from before names no socket: EBADF, whoever has its number now")
  func generation() throws {
    let stack = try SimulatedStack().stack
    for kind in [SocketKind.tcp, .udp, .ping] {
      let first = try stack.socket(kind)
      let (shard, old) = (first.shard, first.id)
      first.close()
      let second = try stack.socket(kind)
      #expect(second.id.rawValue == old.rawValue && second.id != old, "the number was not used again")
      #expect(throws: Errno.EBADF) {
        try shard.enter { (state) throws(Errno) in
          try state.sockets.bind(old, to: SocketAddress(.any, port: 1), host: &state.host)
        }
      }
      #expect(throws: SocketError("getsockname", .EBADF)) { try first.localAddress }
      #expect(try second.localAddress.port == 0)
    }
  }

  @Test("S1 a socket whose last reference goes inside its shard is closed by the shard's own thread")
  func insideTheShard() throws {
    let simulated = try SimulatedStack()
    var socket: Socket? = try simulated.stack.socket(.udp)
    try socket?.bind(to: SocketAddress(Self.own, port: 6000))
    simulated.stack.withShard { _ in socket = nil }
    let other = try simulated.stack.socket(.udp)
    #expect(throws: SocketError.self) { try other.bind(to: SocketAddress(Self.own, port: 6000)) }
    simulated.advance(to: simulated.now)
    try other.bind(to: SocketAddress(Self.own, port: 6000))
  }

  @Test("S1 a call from inside a shard that would wait for itself traps, and says so")
  func callFromInside() async {
    await #expect(processExitsWith: .failure) {
      let simulated = try SimulatedStack()
      let socket = try simulated.stack.socket(.udp)
      simulated.stack.withShard { _ in _ = socket.readiness }
    }
  }

  @Test("S1 a wake-up that is late wakes nobody on the next socket with the number")
  func lateWakeUp() throws {
    let stack = try SimulatedStack().stack
    let first = try stack.socket(.udp)
    let (shard, old) = (first.shard, first.id)
    first.close()
    let second = try stack.socket(.udp)
    shard.inspect { state in
      state.await(second.id, for: .writable, until: nil)
      state.host.net.wake(old)
      state.notify()
    }
    #expect(second.isWaitedFor)
    shard.inspect { state in
      state.host.net.wake(second.id)
      state.notify()
    }
    #expect(!second.isWaitedFor)
  }

  @Test("S1 bytes sent while another thread closes never reach the next socket's peer")
  func bytes() throws {
    let simulated = try SimulatedStack()
    let stack = simulated.stack
    let listener = try stack.socket(.tcp)
    try listener.bind(to: SocketAddress(Self.own, port: 5000))
    try listener.listen()
    for round in 0..<150 {
      let (first, firstPeer) = try accepted(listener, stack)
      let hasBegun = Flag()
      let sender = try Call(blocking: {
        while true {
          do throws(SocketError) {
            _ = try first.send([0xAA], flags: .dontWait)
          } catch {
            if error.errno != .EAGAIN { return error.errno }
          }
          hasBegun.set()
        }
      })
      while !hasBegun.isSet {}
      first.close()
      let (second, secondPeer) = try accepted(listener, stack)
      while !sender.isDone {}
      #expect(sender.result == .EBADF)
      #expect(throws: SocketError("receive", .EAGAIN), "round \(round): another connection's bytes") {
        try secondPeer.receive(upTo: 10, flags: .dontWait)
      }
      second.close()
      secondPeer.close()
      firstPeer.close()
    }
  }

  @Test("S1 the address of a closed socket is never the next one's")
  func addresses() throws {
    let stack = try SimulatedStack().stack
    for _ in 0..<100 {
      let first = try stack.socket(.udp)
      try first.bind(to: SocketAddress(Self.own, port: 6001))
      let hasBegun = Flag()
      let asker = try Call(blocking: {
        var others = 0
        while true {
          do throws(SocketError) {
            if try first.localAddress.port != 6001 { others += 1 }
          } catch { return others }
          hasBegun.set()
        }
      })
      while !hasBegun.isSet {}
      first.close()
      let second = try stack.socket(.udp)
      try second.bind(to: SocketAddress(Self.own, port: 6002))
      while !asker.isDone {}
      #expect(asker.result == 0)
    }
  }
}
