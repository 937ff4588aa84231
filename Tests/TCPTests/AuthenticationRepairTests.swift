import SwiftStack
import TestSupport
import Testing
import Wire

@testable import TCP

@Suite("RFC 5925 TCP_AO_REPAIR", .everyVariation)
struct AuthenticationRepairTests {
  private static let option: Int32 = 42

  private func numbers(_ socket: Socket) throws -> AuthenticationRepair {
    let bytes = try socket.getsockopt(level: 6, name: Self.option)
    let words = (0..<4).map { word in
      (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[word * 4 + $1]) << (8 * $1) }
    }
    return AuthenticationRepair(
      localInitial: words[0].byteSwapped, remoteInitial: words[1].byteSwapped, sentExtension: words[2],
      receivedExtension: words[3])
  }
  private static func bytes(_ numbers: AuthenticationRepair) -> [UInt8] {
    MovedConnection.words([
      numbers.localInitial.byteSwapped, numbers.remoteInitial.byteSwapped, numbers.sentExtension,
      numbers.receivedExtension,
    ])
  }

  @Test(
    "T14 T7 AO: an authenticated connection moves, and its peer believes it; with other numbers it does not")
  func moves() throws {
    let key = AuthenticationBytes.add(send: 5, receive: 6)
    for isRestored in [true, false] {
      let (wire, near, far) = try AuthenticatedPair.make(
        [key], [AuthenticationBytes.add(send: 6, receive: 5)])
      #expect(try AuthenticatedPair.exchange(wire, near, far, 3000))
      #expect(try AuthenticatedPair.exchange(wire, far, near, 3000))
      try near.setsockopt(level: 6, name: 19, 1)
      let state = try numbers(near)
      let moved = try MovedConnection(takenFrom: near)
      #expect(state.localInitial == moved.sendSequence &- 3001)
      #expect(state.remoteInitial == moved.receiveSequence &- 3001)

      let other = try moved.put(into: wire.left.stack, keys: [key])
      if isRestored { try MovedConnection.set(other, Self.option, Self.bytes(state)) }
      #expect(try numbers(other) == state || !isRestored)
      try other.setsockopt(level: 6, name: 19, 0)
      #expect(try AuthenticatedPair.exchange(wire, other, far, 3000) == isRestored)
      #expect(try AuthenticatedPair.exchange(wire, far, other, 3000) == isRestored)
      #expect((wire.right.counter("TcpExtTCPAOBad") == 0) == isRestored)
      guard isRestored else { continue }
      // Set once more, while keys are in use that were made with the numbers from before.
      try other.setsockopt(level: 6, name: 19, 1)
      var wrong = try numbers(other)
      wrong.localInitial ^= 1
      try MovedConnection.set(other, Self.option, Self.bytes(wrong))
      try other.setsockopt(level: 6, name: 19, -1)
      #expect(try !AuthenticatedPair.exchange(wire, other, far, 3000))
    }
  }

  @Test(
    "T14 RFC 5925 6.2 AO: the upper halves are those of the first byte on its way and the next one expected")
  func extensions() {
    var state = Authentication()
    let numbers = AuthenticationRepair(
      localInitial: 7, remoteInitial: 9, sentExtension: 3, receivedExtension: 5)
    state.restore(numbers, send: SequenceNumber(0xFFFF_FF00), receive: SequenceNumber(100))
    #expect(state.repair(send: SequenceNumber(0xFFFF_FF00), receive: SequenceNumber(100)) == numbers)
    #expect(
      state.repair(send: SequenceNumber(0x10), receive: SequenceNumber(0xFFFF_FFFF))
        == AuthenticationRepair(localInitial: 7, remoteInitial: 9, sentExtension: 4, receivedExtension: 4))
    #expect(state.receivedExtension(of: SequenceNumber(101)) == 5)
  }

  @Test("T14 AO: TCP_AO_REPAIR wants privileges, repair mode, keys, and 16 bytes")
  func refusals() throws {
    let host = try SimulatedStack()
    let value = [UInt8](repeating: 0, count: 16)
    let socket = try host.stack.socket(.tcp)
    func read() -> Int32? {
      do throws(SocketError) {
        _ = try socket.getsockopt(level: 6, name: Self.option)
        return nil
      } catch { return error.errno.rawValue }
    }
    #expect(socket.tryOption(Self.option, value) == 1 && read() == 1)
    try socket.setsockopt(level: 6, name: 19, 1)
    #expect(socket.tryOption(Self.option, value) == 2 && read() == 2)
    try socket.authenticate()
    #expect(socket.tryOption(Self.option, Array(value.dropLast())) == 22)
    #expect(socket.tryOption(Self.option, value + [0]) == nil)
    #expect(socket.tryOption(Self.option, value + [1]) == 7)
    #expect(socket.tryOption(Self.option, value) == nil && read() == nil)
    let server = try host.stack.socket(.tcp)
    try server.bind(to: SocketAddress(.any, port: 9))
    try server.listen()
    #expect(server.tryOption(Self.option, value) == 1)
    let plain = try host.stack.socket(.udp)
    #expect(plain.tryOption(Self.option, value) == 92)
  }
}
