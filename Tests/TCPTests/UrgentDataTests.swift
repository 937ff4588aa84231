import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.8.5, RFC 6093 urgent data from the peer", .everyVariation)
struct UrgentDataTests {
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

  /// `bytes` arrive in one segment; the urgent pointer is one behind the byte at `urgent`.
  private func take(_ open: ScriptedConnection, _ bytes: String, urgent: Int?) {
    var segment = ScriptedSegment(
      urgent == nil ? 0x18 : 0x38, sequence: open.sequence, acknowledgment: open.acknowledgment)
    segment.payload = text(bytes)
    segment.urgentPointer = UInt16((urgent ?? -1) + 1)
    open.peer.send(segment)
    open.sequence &+= UInt32(bytes.utf8.count)
  }

  @Test("T6 MSG_PEEK does not make the urgent byte part of the stream, and passes no byte twice")
  func peek() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    take(open, "ab!cdefgh", urgent: 2)
    #expect(try open.socket.receive(upTo: 20, flags: .peek) == text("ab"))
    #expect(try open.socket.receive(upTo: 20) == text("ab"))
    for _ in 0..<2 { #expect(try open.socket.receive(upTo: 2, flags: .peek) == text("cd")) }
    #expect(try open.socket.receive(upTo: 2) == text("cd"))
    #expect(try open.socket.receive(upTo: 20, flags: .peek) == text("efgh"))
    #expect(try open.socket.receive(upTo: 20) == text("efgh"))
    // The reader has passed it. Linux: EINVAL.
    #expect(throws: SocketError("receive", .EINVAL)) {
      _ = try open.socket.receive(upTo: 1, flags: .outOfBand)
    }
  }

  @Test("T6 the urgent byte alone in its segment, between others, peeked at and discarded")
  func peekAcrossSegments() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    take(open, "ab", urgent: nil)
    take(open, "!", urgent: 0)
    take(open, "cd", urgent: nil)
    #expect(try open.socket.receive(upTo: 20, flags: .peek) == text("ab"))
    #expect(try open.socket.receive(upTo: 2, flags: .truncate).count == 2)
    #expect(try open.socket.receive(upTo: 20, flags: .peek) == text("cd"))
    #expect(try open.socket.receive(upTo: 20) == text("cd"))
  }

  @Test("T6 MSG_OOB at the end of the stream, or of reading, cuts nothing off", arguments: [true, false])
  func nothingCut(isFin: Bool) throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var segment = ScriptedSegment(
      isFin ? 0x31 : 0x30, sequence: open.sequence, acknowledgment: open.acknowledgment)
    segment.urgentPointer = 10
    open.peer.send(segment)
    if !isFin { try open.socket.shutdown(read: true) }
    for room in 0...1 {
      let message = try open.socket.recvmsg(upTo: room, flags: .outOfBand)
      #expect(message.byteCount == 0 && message.flags == [])
    }
  }

  @Test("R only an urgent byte waits: priority, not readable; receive has nothing")
  func readiness() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    take(open, "!", urgent: 0)
    #expect(open.socket.readiness.contains(.priority))
    #expect(!open.socket.readiness.contains(.readable))
    #expect(throws: SocketError("receive", .EAGAIN)) { _ = try open.socket.receive(upTo: 1, flags: .peek) }
    #expect(try open.socket.receive(upTo: 1, flags: [.outOfBand, .peek]) == text("!"))
    #expect(open.socket.readiness.contains(.priority))
    #expect(try open.socket.receive(upTo: 1, flags: .outOfBand) == text("!"))
    #expect(!open.socket.readiness.contains(.priority))
    #expect(throws: SocketError("receive", .EINVAL)) {
      _ = try open.socket.receive(upTo: 1, flags: .outOfBand)
    }
    take(open, "a", urgent: nil)
    #expect(open.socket.readiness.contains(.readable))
  }

  @Test("The pointer comes before its byte: EAGAIN until then, EINVAL without urgent data")
  func announced() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    #expect(throws: SocketError("receive", .EINVAL)) {
      _ = try open.socket.receive(upTo: 1, flags: .outOfBand)
    }
    take(open, "ab", urgent: 2)
    #expect(throws: SocketError("receive", .EAGAIN)) {
      _ = try open.socket.receive(upTo: 1, flags: .outOfBand)
    }
    take(open, "!c", urgent: nil)
    #expect(try open.socket.receive(upTo: 1, flags: .outOfBand) == text("!"))
    #expect(try open.socket.receive(upTo: 9) == text("ab"))
    #expect(try open.socket.receive(upTo: 9) == text("c"))
  }

  @Test(
    "SO_OOBINLINE: the byte stays in the stream, a read stops in front of it, and the mark is forgotten behind it"
  )
  func inline() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setsockopt(level: 1, name: 10, 1) }
    take(open, "ab!cd", urgent: 2)
    #expect(open.socket.readiness.contains(.priority))
    #expect(throws: SocketError("receive", .EINVAL)) {
      _ = try open.socket.receive(upTo: 1, flags: .outOfBand)
    }
    #expect(try open.socket.receive(upTo: 9) == text("ab"))
    #expect(try open.socket.receive(upTo: 9) == text("!cd"))
    #expect(!open.socket.readiness.contains(.priority))
  }

  @Test("A newer mark replaces one that nobody read; the older byte does not enter the stream")
  func newerMark() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    take(open, "!ab", urgent: 0)
    take(open, "cd?ef", urgent: 2)
    #expect(try open.socket.receive(upTo: 1, flags: .outOfBand) == text("?"))
    #expect(try open.socket.receive(upTo: 20) == text("abcd"))
    #expect(try open.socket.receive(upTo: 20) == text("ef"))
  }

  @Test("An old or repeated urgent pointer marks nothing")
  func oldPointer() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    take(open, "ab!", urgent: 2)
    #expect(try open.socket.receive(upTo: 1, flags: .outOfBand) == text("!"))
    var again = ScriptedSegment(0x38, sequence: open.sequence &- 3, acknowledgment: open.acknowledgment)
    again.payload = text("ab!")
    again.urgentPointer = 3
    open.peer.send(again)
    #expect(!open.socket.readiness.contains(.priority))
    #expect(try open.socket.receive(upTo: 9) == text("ab"))

    // Bytes that were received as ordinary ones stay such.
    let second = try ScriptedConnection(peer: ScriptedPeer())
    take(second, "abcd", urgent: nil)
    second.sequence &-= 4
    take(second, "abcd", urgent: 2)
    #expect(!second.socket.readiness.contains(.priority))
    #expect(try second.socket.receive(upTo: 9) == text("abcd"))
  }
}
