import NetNamespace
import SkBuff
import TestSupport
import Testing

@testable import SwiftStack
@testable import TCP

/// Linux: the order of the first half of `tcp_sendmsg_locked()`.
@Suite("T2 which error of a send comes first", .everyVariation)
struct SendErrorOrderTests {
  private static let wrong = Errno.EPERM

  /// A send whose control messages cannot be.
  private func send(
    _ socket: Socket, on host: SimulatedStack, _ flags: MessageFlags = .dontWait,
    to remote: SocketAddress? = nil
  ) -> Errno? {
    let id = socket.id
    return host.stack.shards[0].inspect { state in
      let bytes: [UInt8] = [1, 2, 3]
      do {
        _ = try unsafe bytes.withUnsafeBytes { buffer in
          var iter = unsafe IovIter(source: buffer)
          return try state.sockets.tcp.sendmsg(
            id, iter: &iter, to: remote, flags: flags, controlError: Self.wrong, host: &state.host)
        }
      } catch { return error as? Errno }
      return nil
    }
  }

  @Test(
    "T2 not connected EPIPE, on its way EAGAIN, then the control message, and the pending error behind it")
  func control() throws {
    let peer = try ScriptedPeer()
    let early = try peer.host.stack.socket(.tcp)
    #expect(send(early, on: peer.host) == .EPIPE)
    let open = try ScriptedConnection(peer: peer) { socket in
      try? socket.connect(to: ScriptedPeer.address)
      #expect(send(socket, on: peer.host) == .EAGAIN)
    }
    #expect(send(open.socket, on: peer.host) == Self.wrong)
    open.inspect { $0.core.pendingError = .EHOSTUNREACH }
    #expect(send(open.socket, on: peer.host) == Self.wrong)
    #expect(open.inspect { $0.core.pendingError } == .EHOSTUNREACH)
    #expect(throws: SocketError.self) { try open.socket.send([1]) }
    #expect(open.inspect { $0.core.pendingError } == nil)
    #expect(open.peer.all().isEmpty)
  }

  @Test("T2 after shutdown the connection's state comes first: EPIPE, or the error that it ended with")
  func shutdown() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(write: true)
    #expect(send(open.socket, on: open.peer.host) == .EPIPE)
    open.peer.send(0x04, sequence: open.sequence, acknowledgment: open.acknowledgment &+ 1)
    #expect(send(open.socket, on: open.peer.host) == .ECONNRESET)
    #expect(send(open.socket, on: open.peer.host) == .EPIPE)
  }

  @Test(
    "T2 repair without a queue comes before the control message, the control message before the send queue")
  func repair() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.inspect {
      $0.isInRepair = true
      $0.core.pendingError = .EHOSTUNREACH
    }
    #expect(send(open.socket, on: open.peer.host) == .EINVAL)
    open.inspect { $0.repairQueue = .send }
    #expect(send(open.socket, on: open.peer.host) == Self.wrong)
    // The receive queue takes the bytes whatever the messages say.
    open.inspect { $0.repairQueue = .receive }
    #expect(send(open.socket, on: open.peer.host) == nil)
    open.inspect { $0.isInRepair = false }
  }

  @Test("T2 zero copy without room for its notification comes before Fast Open, Fast Open before the rest")
  func opening() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    #expect(send(socket, on: peer.host, [.dontWait, .fastOpen]) == .EINVAL)
    try socket.setsockopt(level: 1, name: 60, 1)
    try peer.host.stack.set("net.core.optmem_max", to: "0")
    #expect(send(socket, on: peer.host, [.dontWait, .fastOpen, .zeroCopy]) == .ENOBUFS)
    try peer.host.stack.set("net.core.optmem_max", to: "131072")
    #expect(send(socket, on: peer.host, [.dontWait, .fastOpen, .zeroCopy]) == .EINVAL)
  }
}
