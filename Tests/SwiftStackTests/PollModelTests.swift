import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// Random socket calls on both ends of a connection, against a model of what poll may say.
@Suite struct PollModelTests {
  /// One end as its caller knows it.
  struct End {
    let socket: Socket
    var unread = 0
    var isSendShut = false
    var isReceiveShut = false
    var isReset = false
    /// A reset that no call has returned yet.
    var hasError = false
  }

  @Test("S7 poll says what the calls then do", arguments: 1...24)
  func model(seed: UInt64) throws {
    var random = RandomSource(seed: seed)
    let wire = try SimulatedWire(seed: seed)
    let (client, server) = try wire.connect()
    client.isNonBlocking = true
    server.isNonBlocking = true
    var ends = [End(socket: client), End(socket: server)]
    for _ in 0..<120 {
      let own = Int(random.next(below: 2))
      try step(&ends, own, 1 - own, &random)
      // All that is under way arrives.
      wire.run(for: .seconds(3), until: { false })
      for end in 0..<2 { try check(&ends, end, 1 - end) }
      if ends[0].isReset || ends[1].isReset { break }
    }
  }

  private func step(_ ends: inout [End], _ own: Int, _ far: Int, _ random: inout RandomSource) throws {
    let socket = ends[own].socket
    switch random.next(below: 32) {
    case 0..<12:
      let count = Int(random.next(below: 4000)) + 1
      let result = outcome { () throws(SocketError) in
        try socket.send([UInt8](repeating: 1, count: count))
      }
      switch result {
      case .success(let sent):
        #expect(!ends[own].isSendShut)
        ends[far].unread += sent
      case .failure(let error):
        #expect(error.errno == (ends[own].isSendShut ? .EPIPE : .EAGAIN))
        if !ends[own].isSendShut { #expect(!socket.readiness.contains(.writable)) }
      }
    case 12..<29:
      let limit = Int(random.next(below: 3000)) + 1
      let result = outcome { () throws(SocketError) in try socket.receive(upTo: limit) }
      switch result {
      case .success(let bytes):
        if bytes.isEmpty {
          #expect(ends[own].unread == 0 && (ends[far].isSendShut || ends[own].isReceiveShut))
        }
        ends[own].unread -= bytes.count
      case .failure(let error):
        #expect(error.errno == .EAGAIN && ends[own].unread == 0)
      }
    case 29 where !ends[own].isSendShut:
      try socket.shutdown(write: true)
      ends[own].isSendShut = true
    case 30 where random.next(below: 8) == 0:
      try socket.setLinger(.zero)
      socket.close()
      ends[own].isReset = true
      ends[far].hasError = true
    default: break
    }
  }

  private func check(_ ends: inout [End], _ own: Int, _ far: Int) throws {
    let end = ends[own]
    let ready = end.socket.readiness
    if end.isReset { return #expect(ready == [.error, .hangup]) }
    if end.hasError {
      // A connection that both ends had closed is gone without a word. Linux: tcp_reset().
      if end.isSendShut && ends[far].isSendShut { return #expect(ready.contains(.hangup)) }
      #expect(ready.isSuperset(of: [.error, .hangup, .readable, .writable]))
      #expect(end.socket.takeError() == (ends[far].isSendShut ? .EPIPE : .ECONNRESET))
      return #expect(!end.socket.readiness.contains(.error))
    }
    let isEnd = ends[far].isSendShut
    #expect(ready.contains(.readable) == (end.unread > 0 || isEnd))
    #expect(ready.contains(.readHangup) == isEnd)
    #expect(ready.contains(.hangup) == (isEnd && end.isSendShut))
    #expect(!ready.contains(.error))
    if end.isSendShut { #expect(ready.contains(.writable)) }
    // Peeking says the same without taking anything.
    let peeked = outcome { () throws(SocketError) in try end.socket.receive(upTo: 1, flags: .peek).count }
    #expect(
      peeked
        == (end.unread > 0 ? .success(1) : isEnd ? .success(0) : .failure(SocketError("receive", .EAGAIN))))
  }
}
