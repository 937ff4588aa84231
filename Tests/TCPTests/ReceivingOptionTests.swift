import SwiftStack
import TestSupport
import Testing

/// What a kernel (6.18) takes and tells.
@Suite("R TCP options of receivers and acceptors", .everyVariation)
struct ReceivingOptionTests {
  private static let (save, saved, upperLayer, unread, isMultipath): (Int32, Int32, Int32, Int32, Int32) =
    (27, 28, 31, 36, 43)

  private func errno(_ body: () throws -> Void) -> Errno? {
    do { try body() } catch { return (error as? SocketError)?.errno }
    return nil
  }

  @Test("R TCP_INQ: each receive tells what it has left, and that the end is there")
  func unread() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    #expect(try open.socket.getsockopt(level: 6, name: Self.unread) == [0, 0, 0, 0])
    #expect(errno { try open.socket.setsockopt(level: 6, name: Self.unread, 2) } == .EINVAL)
    func left(_ room: Int, _ flags: MessageFlags = []) throws -> Int? {
      try open.socket.recvmsg(upTo: room, flags: flags).control.unreadByteCount
    }
    open.send([UInt8](repeating: 1, count: 10))
    #expect(try left(1) == nil)
    try open.socket.setsockopt(level: 6, name: Self.unread, 1)
    #expect(try open.socket.getsockopt(level: 6, name: Self.unread) == [1, 0, 0, 0])
    #expect(try left(3) == 6)
    #expect(try left(3, .peek) == 6)
    #expect(try left(0) == 6)
    var rooms: [[UInt8]] = [[0]]
    #expect(try open.socket.readv(into: &rooms, flags: .peek).control.unreadByteCount == 6)
    let bytes = try open.socket.recvmsg(upTo: 2).controlMessages().bytes
    #expect(bytes == [20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 36, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0])
    #expect(try left(100) == 0)
    #expect(errno { _ = try left(100) } == .EAGAIN)
    open.send([1, 2, 3, 4], flags: 0x11)
    #expect(try left(2) == 3 && left(2) == 1 && left(2) == 1)
  }

  @Test("R TCP_INQ: in one call with when it came, and for what a listener accepts")
  func unreadOfAccepted() throws {
    let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: Self.unread, 1) }
    let answer = try listening.peer.handshake()
    let child = try listening.server.accept()
    try child.setsockopt(level: 1, name: 35, 1)
    listening.peer.send(
      0x18, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1, payload: [1, 2, 3])
    let message = try child.recvmsg(upTo: 1)
    #expect(message.control.unreadByteCount == 2 && message.control.times != nil)
    // struct cmsghdr of SO_TIMESTAMPNS first.
    let bytes = message.controlMessages().bytes
    #expect(bytes[12] == 35 && bytes[32 + 12] == 36)
  }

  /// The SYN of a peer, as `ScriptedPeer` writes it, in front of what it holds.
  private func check(_ bytes: [UInt8], options: Int, link: Bool) {
    let start = link ? 14 : 0
    #expect(bytes.count == start + 40 + options)
    guard bytes.count == start + 40 + options else { return }
    if link { #expect(bytes[12] == 8 && bytes[13] == 0 && bytes[0] == 2 && bytes[5] == 2) }
    #expect(bytes[start] == 0x45 && bytes[start + 9] == 6)
    #expect(bytes[(start + 12)..<(start + 20)] == [10, 0, 0, 1, 10, 0, 0, 2])
    #expect(bytes[start + 33] == 2 && bytes[start + 22] == 0 && bytes[start + 23] == 80)
    #expect(bytes[start + 32] >> 4 == UInt8(20 + options) / 4)
  }

  @Test("R TCP_SAVE_SYN: the headers of a SYN, read once, of the accepted connection", arguments: [1, 2])
  func savedSyn(mode: Int32) throws {
    let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: Self.save, mode) }
    listening.peer.send(
      0x02, sequence: Variation.current.peerSequence, options: [2, 4, 5, 0xB4], payload: [1, 2, 3])
    let answer = try #require(listening.peer.next())
    listening.peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1)
    let child = try listening.server.accept()
    let size = (mode == 2 ? 14 : 0) + 44
    #expect(errno { _ = try child.getsockopt(level: 6, name: Self.saved, maximum: size - 1) } == .EINVAL)
    check(try child.getsockopt(level: 6, name: Self.saved, maximum: size), options: 4, link: mode == 2)
    #expect(try child.getsockopt(level: 6, name: Self.saved).isEmpty)
    #expect(try child.getsockopt(level: 6, name: Self.save) == [UInt8(mode), 0, 0, 0])
    #expect(try listening.server.getsockopt(level: 6, name: Self.saved).isEmpty)
    for wrong: Int32 in [-1, 3] {
      #expect(errno { try child.setsockopt(level: 6, name: Self.save, wrong) } == .EINVAL)
    }
    #expect(errno { try child.setsockopt(level: 6, name: Self.saved, 1) } == .ENOPROTOOPT)
  }

  @Test("R TCP_SAVE_SYN: what was kept of a SYN ends with it")
  func forgotten() throws {
    let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: Self.save, 1) }
    _ = try listening.open()
    listening.peer.send(0x04, sequence: listening.sequence)
    try listening.server.setsockopt(level: 6, name: Self.save, 0)
    listening.peer.port += 1
    try listening.peer.handshake()
    #expect(try listening.server.accept().getsockopt(level: 6, name: Self.saved).isEmpty)
  }

  @Test("R TCP_IS_MPTCP is 0 and cannot be set; there is no protocol for TCP_ULP")
  func others() throws {
    let socket = try ScriptedPeer().host.stack.socket(.tcp)
    #expect(try socket.getsockopt(level: 6, name: Self.isMultipath) == [0, 0, 0, 0])
    #expect(errno { try socket.setsockopt(level: 6, name: Self.isMultipath, 0) } == .ENOPROTOOPT)
    #expect(try socket.getsockopt(level: 6, name: Self.upperLayer).isEmpty)
    for (name, wanted) in [("tls", Errno(rawValue: 2)), ("", .EINVAL)] {
      // Safe: a byte has no padding.
      let error = errno {
        try socket.setsockopt(level: 6, name: Self.upperLayer, value: unsafe Array(name.utf8).span.bytes)
      }
      #expect(error == wanted)
    }
  }
}
