import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// connect(2) called again while the first attempt is on its way: what Linux 6.18 answers.
@Suite struct ConnectAgainTests {
  private static let peer = SocketAddress(SimulatedWire.rightAddress, port: 5000)

  @Test("S7 a connect that may wait waits for the attempt that is on its way", arguments: [true, false])
  func waits(isAsync: Bool) async throws {
    let wire = try SimulatedWire(services: false)
    let listener = try wire.right.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 5000))
    try listener.listen()
    let socket = try wire.left.stack.socket(.tcp)
    try Self.start(socket)
    let call =
      isAsync
      ? Call {
        await outcome { () async throws(SocketError) in try await socket.connect(to: Self.peer) }.errno == nil
      }
      : try Call(blocking: {
        outcome { () throws(SocketError) in try socket.connect(to: Self.peer) }.errno == nil
      })
    #expect(await Driver(wire).run(until: { call.isDone }))
    #expect(call.result == true)
  }

  @Test("S7 SO_SNDTIMEO of a first connect ends in EINPROGRESS, of a second in EALREADY")
  func timeouts() async throws {
    let wire = try SimulatedWire(services: false)
    wire.leftToRight = .loss(1)
    let socket = try wire.left.stack.socket(.tcp)
    socket.sendTimeout = .milliseconds(50)
    for expected in [Errno.EINPROGRESS, .EALREADY, .EALREADY] {
      let call = try Call(blocking: {
        outcome { () throws(SocketError) in try socket.connect(to: Self.peer) }.errno
      })
      #expect(await Driver(wire).run(until: { call.isDone }))
      #expect(call.result == expected)
    }
    socket.isNonBlocking = true
    #expect(Self.again(socket) == .EALREADY)
  }

  /// A first call that does not wait, and a second.
  private static func start(_ socket: Socket) throws {
    socket.isNonBlocking = true
    #expect(again(socket) == .EINPROGRESS)
    #expect(again(socket) == .EALREADY)
    socket.isNonBlocking = false
  }
  private static func again(_ socket: Socket) -> Errno? {
    outcome { () throws(SocketError) in try socket.connect(to: peer) }.errno
  }
}

extension Result where Success == Void, Failure == SocketError {
  fileprivate var errno: Errno? {
    if case .failure(let error) = self { error.errno } else { nil }
  }
}
