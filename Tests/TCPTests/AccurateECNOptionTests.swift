import SwiftStack
import TestSupport
import Testing

@testable import TCP

@Suite("RFC 9768 3.2.3 the AccECN option", .everyVariation)
struct AccurateECNOptionTests {
  private typealias Connection = AccurateECNConnection

  @Test("3.2.3.3 a peer that has sent one gets them, as tcp_ecn_option says: never, with news, or always")
  func modes() throws {
    for (mode, expected) in [
      (0, [false, false, false]), (1, [true, true, false]), (2, [true, true, true]),
    ] {
      let (connection, third) = try Connection.opened(
        options: Connection.initial, settings: Connection.settings(3, option: mode, beacon: 0))
      try connection.socket.setNoDelay(true)
      var seen = [third.option(174) != nil]
      for _ in 0..<2 {
        _ = try connection.socket.send([1])
        seen += connection.peer.all().map { $0.option(174) != nil }
      }
      #expect(seen == expected)
    }
    // One that has sent none would not understand it.
    let (connection, third) = try Connection.opened()
    _ = try connection.socket.send([1])
    #expect(third.options.isEmpty && connection.peer.next()?.options == [])
  }

  @Test("3.2.3.3 with nothing new it comes tcp_ecn_option_beacon times in a round trip")
  func beacon() throws {
    for (beacon, expected) in [(0, false), (3, true)] {
      var (connection, _) = try Connection.opened(
        options: Connection.initial, settings: Connection.settings(3, option: 1, beacon: beacon))
      try connection.socket.setNoDelay(true)
      var count = 0
      func send() throws -> Bool {
        _ = try connection.socket.send([1])
        count += 1
        return try #require(connection.peer.all().last).option(174) != nil
      }
      // The second of the two that the handshake asks for.
      #expect(try send())
      connection.peer.advance(.milliseconds(90))
      connection.send(acknowledging: count)
      _ = try send()
      #expect(try !send())
      connection.peer.advance(.milliseconds(100))
      connection.send(acknowledging: count)
      #expect(try send() == expected)
      #expect(try !send())
    }
  }

  @Test("it counts payload bytes by their mark, and has news in the next two segments")
  func counts() throws {
    var (connection, _) = try Connection.opened(
      options: Connection.initial, settings: Connection.settings(3, option: 1, beacon: 0))
    _ = try connection.socket.send([1])
    _ = connection.peer.all()
    var seen: [[UInt8]?] = []
    for (mark, count) in [(2, 100), (2, 100), (2, 100), (3, 50), (1, 20), (0, 30), (2, 0)] as [(UInt8, Int)] {
      connection.send(acknowledging: 1, count: count, mark: mark)
      seen += connection.answers().map { $0.option(174) }
    }
    #expect(
      seen == [
        [0, 0, 1, 0, 0, 0, 0, 0, 101], [0, 0, 1, 0, 0, 0, 0, 0, 201], nil, [0, 0, 1, 0, 0, 50, 0, 1, 45],
        [0, 0, 21, 0, 0, 50, 0, 1, 45], [0, 0, 21, 0, 0, 50, 0, 1, 45],
      ])
  }

  @Test("the bytes are where Linux has them: padded, or in the padding of SACK")
  func layout() throws {
    var (connection, _) = try Connection.opened(
      options: [4, 2, 8, 10] + ScriptedPeer.bytes(UInt32(5)) + [0, 0, 0, 0] + Connection.initial)
    var seen: [[UInt8]] = []
    let begin = connection.sequence
    for (place, mark) in [(2, 2), (4, 3), (6, 1), (8, 2)] as [(UInt32, UInt8)] {
      connection.sequence = begin &+ place * 100
      connection.send(
        options: [8, 10] + ScriptedPeer.bytes(4 + place) + [0, 0, 0, 0, 1, 1], count: 100, mark: mark)
      let answer = try #require(connection.peer.all().last)
      #expect(answer.options.count <= 40)
      seen.append(Array(answer.options[12...]))
    }
    #expect(seen[0][0..<16] == [174, 11, 0, 0, 1, 0, 0, 0, 0, 0, 101, 1, 1, 1, 5, 10])
    #expect(seen[1][0..<12] == [174, 8, 0, 0, 1, 0, 0, 100, 1, 1, 5, 18])
    // A block makes way for a counter that is new, where there are three.
    #expect(seen[2][0..<12] == [174, 8, 0, 0, 101, 0, 0, 100, 1, 1, 5, 18])
    // Three counters and two blocks are too many.
    #expect(seen[3][0..<4] == [1, 1, 5, 26])
  }

  @Test("segments are as much smaller as it takes")
  func segmentSize() throws {
    let (connection, _) = try Connection.opened(options: Connection.initial)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 3000))
    #expect(connection.peer.all().map(\.payload.count) == [1448, 1448, 104])
    #expect(connection.info.sendMSS == 1460)
  }

  @Test(
    "3.2.3.2 what is seen of the peer's: none, empty, counters, or 3.2.3.2.4 cleared ones, which are not believed",
    arguments: [
      ([], 0, 0), ([172, 2], 1, 0), ([174, 2], 1, 0), ([174, 4, 0, 1], 1, 0), (Connection.initial, 2, 0),
      ([172, 11, 0, 0, 1, 0, 0, 0, 0, 0, 1], 2, 0), ([172, 5, 0, 0, 1], 2, 0),
      ([174, 8, 0, 0, 1, 0, 0, 0], 2, 0), ([174, 5, 0, 0, 0], 3, 8),
      ([174, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0], 3, 8), ([174, 11, 0, 0, 1, 0, 0, 0, 0, 0, 0], 3, 8),
    ] as [([UInt8], UInt16, UInt16)])
  func seen(option: [UInt8], seen: UInt16, failures: UInt16) throws {
    let state = try Connection.opened(options: option).0.state
    #expect(state.seenOption == seen && state.failures == failures)
  }

  @Test("both orders are read, fields that are missing stay, and a count may go back")
  func reads() throws {
    var (connection, _) = try Connection.opened(options: Connection.initial)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 10 * 1448))
    func after(_ segments: Int, _ option: [UInt8]) -> [UInt32] {
      connection.send(acknowledging: segments * 1448, options: option)
      let bytes = connection.state.deliveredBytes
      return [bytes.ect1, bytes.marked, bytes.ect0]
    }
    #expect(after(1, Connection.option(0, 0, 1448)) == [0, 0, 1448])
    #expect(after(2, Connection.option(10, 20, 2000, kind: 172)) == [10, 20, 2000])
    #expect(after(3, [174, 5, 0, 0, 31]) == [30, 20, 2000])
    #expect(after(4, Connection.option(30, 20, 1900)) == [30, 20, 1900])
    #expect(after(5, Connection.option(30, 20, 0x100_0000 + 1900)) == [30, 20, 1900])
  }

  @Test("where only one count grows it is taken to grow on, where no option comes")
  func estimates() throws {
    var (connection, _) = try Connection.opened(options: Connection.initial)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 10 * 1448))
    connection.send(acknowledging: 1448, options: Connection.option(0, 0, 1448))
    connection.send(acknowledging: 4 * 1448)
    #expect(connection.state.deliveredBytes == (0, 4 * 1448, 0))
    // Two have grown: nothing is known.
    connection.send(acknowledging: 6 * 1448, options: Connection.option(1448, 1448, 4 * 1448))
    connection.send(acknowledging: 7 * 1448)
    #expect(connection.state.deliveredBytes == (1448, 4 * 1448, 1448))
  }

  @Test("cleared counters on an ACK are seen, too, if they are the first")
  func clearedLater() throws {
    var (connection, _) = try Connection.opened()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 2920))
    connection.send(acknowledging: 1460, options: [174, 11] + [UInt8](repeating: 0, count: 9))
    #expect(connection.state.seenOption == 3 && connection.state.failures == 8)
    connection.send(acknowledging: 2920, options: Connection.option(0, 1, 2))
    #expect(connection.state.deliveredBytes == (.max, .max, 0))
  }
}
