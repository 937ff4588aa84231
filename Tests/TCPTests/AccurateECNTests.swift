import SwiftStack
import TestSupport
import Testing

@testable import TCP

/// What the tests of RFC 9768 share. The numbers are those that Linux 6.18 has answered with.
struct AccurateECNConnection {
  static let mss: [UInt8] = [2, 4, 5, 0xB4]
  /// The option as it begins.
  static let initial: [UInt8] = [174, 11, 0, 0, 1, 0, 0, 0, 0, 0, 1]

  let peer: ScriptedPeer
  let socket: Socket
  /// The number behind the peer's SYN, and that behind ours.
  var sequence: UInt32
  let first: UInt32

  static func settings(_ ecn: Int, option: Int = 2, beacon: Int = 3) -> NetSettings {
    var settings = NetSettings()
    settings.tcpECN = ecn
    settings.tcpECNOption = option
    settings.tcpECNOptionBeacon = beacon
    return settings
  }

  /// One that the stack has opened.
  ///
  /// - Parameter options: of the SYN-ACK, behind its segment size.
  /// - Returns: with the third segment of the handshake.
  static func opened(
    ace: UInt8 = 0b010, mark: UInt8 = 0, options: [UInt8] = [], settings: NetSettings = Self.settings(3)
  ) throws -> (Self, ScriptedSegment) {
    let peer = try ScriptedPeer(settings: settings)
    let (socket, syn) = try peer.connecting()
    let initial = Variation.current.peerSequence
    var answer = ScriptedSegment(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1)
    answer.ace = ace
    answer.options = mss + options
    peer.send(answer, typeOfService: mark)
    guard let third = peer.next() else { throw SocketError("connect", .EPROTO) }
    return (Self(peer: peer, socket: socket, sequence: initial &+ 1, first: syn.sequence &+ 1), third)
  }

  /// A segment of the peer's.
  mutating func send(
    ace: UInt8 = 0b101, acknowledging bytes: Int = 0, options: [UInt8] = [], count: Int = 0, mark: UInt8 = 0
  ) {
    var segment = ScriptedSegment(
      count > 0 ? 0x18 : 0x10, sequence: sequence, acknowledgment: first &+ UInt32(bytes))
    segment.ace = ace
    segment.options = options
    segment.payload = [UInt8](repeating: 7, count: count)
    sequence &+= UInt32(count)
    peer.send(segment, typeOfService: mark)
  }

  /// ACKs of what has come, those that wait among them.
  func answers() -> [ScriptedSegment] {
    peer.advance(.milliseconds(300))
    return peer.all()
  }

  var info: TCPInfo { socket.tcpInfo ?? TCPInfo() }
  var state: TCPInfo.AccurateECN { info.accurateECN }

  /// ECT(1), CE and ECT(0) bytes as the option has them.
  static func option(_ ect1: UInt32, _ marked: UInt32, _ ect0: UInt32, kind: UInt8 = 174) -> [UInt8] {
    func field(_ value: UInt32) -> [UInt8] { Array(ScriptedPeer.bytes(value)[1...]) }
    let (one, zero) = (field(ect1 &+ 1), field(ect0 &+ 1))
    return [kind, 11] + (kind == 174 ? one : zero) + field(marked) + (kind == 174 ? zero : one)
  }
}

@Suite("RFC 9768 3.1 who agrees to Accurate ECN", .everyVariation)
struct AccurateECNHandshakeTests {
  private typealias Connection = AccurateECNConnection
  private let initial = Variation.current.peerSequence

  @Test(
    "3.1.1 tcp_ecn 3 asks with AE, CWR and ECE, 4 as RFC 3168 does, 5 for nothing; the SYN is not marked",
    arguments: [(0, 0), (1, 0b011), (2, 0), (3, 0b111), (4, 0b011), (5, 0)] as [(Int, UInt8)])
  func asks(ecn: Int, ace: UInt8) throws {
    let syn = try ScriptedPeer(settings: Connection.settings(ecn)).connecting().syn
    #expect(syn.ace == ace && syn.typeOfService == 0 && syn.option(174) == nil)
  }

  @Test("3.1.2 table 2: what the SYN-ACK says, and the third segment tells with which mark that came")
  func agrees() throws {
    for ace in UInt8(0)...7 {
      for mark in UInt8(0)...3 {
        let (connection, third) = try Connection.opened(ace: ace, mark: mark)
        _ = try connection.socket.send([1])
        let data = try #require(connection.peer.next())
        switch ace {
        case 0b000, 0b111:
          #expect(third.ace == 0 && third.typeOfService == 0 && data.typeOfService == 0)
          #expect(!connection.info.hasECN)
        case 0b001, 0b101:
          #expect(third.ace == 0 && third.typeOfService == 0 && data.ace == 0 && data.typeOfService == 2)
          #expect(connection.info.hasECN && connection.state.receivedMarked == 0)
        default:
          // Only of a SYN that came as it went can a SYN-ACK be marked.
          let fails = mark == 3 && ace != 0b010
          #expect(third.ace == [0b010, 0b011, 0b100, 0b110][Int(mark)])
          #expect(third.typeOfService == (fails ? 0 : 2) && data.typeOfService == (fails ? 0 : 2))
          #expect(data.ace == (mark == 3 && !fails ? 0b110 : 0b101))
          #expect(connection.state.failures == (fails ? 2 : 0) && connection.info.hasECN)
        }
      }
    }
  }

  @Test("a SYN that asks as RFC 3168 does, or for nothing, agrees to nothing else")
  func doesNotAskForMore() throws {
    for (ecn, ace, mark) in [(4, 0b010, 0), (1, 0b110, 0), (4, 0b001, 2), (5, 0b010, 0), (2, 0b001, 0)]
      as [(Int, UInt8, UInt8)]
    {
      let (connection, third) = try Connection.opened(ace: ace, settings: Connection.settings(ecn))
      #expect(third.ace == 0 && third.typeOfService == 0)
      _ = try connection.socket.send([1])
      #expect(connection.peer.next()?.typeOfService == mark)
    }
  }

  @Test(
    "3.1.2 what a listener grants, for each of the settings, each SYN, and each mark that it comes with",
    arguments: 0...5)
  func grants(ecn: Int) throws {
    for ace in UInt8(0)...7 {
      for mark in UInt8(0)...3 {
        let listening = try ListeningPeer(settings: Connection.settings(ecn))
        var syn = ScriptedSegment(0x02, sequence: initial)
        syn.ace = ace
        syn.options = Connection.mss
        listening.peer.send(syn, typeOfService: mark)
        let answer = try #require(listening.peer.next())
        let isClassic = ecn > 0 && (ace == 0b111 || ace == 0b011 && mark == 0)
        if ecn >= 3 && ace == 0b111 {
          #expect(answer.ace == [0b010, 0b011, 0b100, 0b110][Int(mark)])
          #expect(answer.option(174) == [0, 0, 1, 0, 0, 0, 0, 0, 1])
        } else {
          #expect(answer.ace == (isClassic ? 0b001 : 0) && answer.option(174) == nil)
        }
        #expect(answer.typeOfService == 0 && answer.flags & 0x3F == 0x12)
      }
    }
  }

  @Test("3.1.4.1 a SYN that goes again asks once more, then no longer; an answer to the first still counts")
  func synAgain() throws {
    for fallback in [true, false] {
      var settings = Connection.settings(3)
      settings.tcpECNFallback = fallback
      let peer = try ScriptedPeer(settings: settings)
      let (socket, syn) = try peer.connecting()
      peer.advance(.milliseconds(1100))
      #expect(peer.next()?.ace == 0b111)
      peer.advance(.milliseconds(3300))
      #expect(peer.next()?.ace == (fallback ? 0 : 0b111))
      _ = peer.all()
      var answer = ScriptedSegment(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1)
      answer.ace = 0b010
      peer.send(answer)
      #expect(peer.next()?.ace == 0b010)
      #expect(socket.tcpInfo?.hasECN == true)
    }
  }

  @Test("3.2.3.2.2 a SYN-ACK that goes again has no option, and the third one says nothing")
  func synAckAgain() throws {
    let listening = try ListeningPeer(settings: Connection.settings(3))
    var syn = ScriptedSegment(0x02, sequence: initial)
    syn.ace = 0b111
    syn.options = Connection.mss
    listening.peer.send(syn)
    var seen: [ScriptedSegment] = []
    for _ in 0..<3 {
      seen += listening.peer.all()
      listening.peer.advance(.milliseconds(seen.count < 2 ? 1100 : 2100))
    }
    seen += listening.peer.all()
    #expect(seen.map(\.ace) == [0b010, 0b010, 0])
    #expect(seen.map { $0.option(174) != nil } == [true, false, false])
  }

  /// A connection that a listener has accepted, by its third segment.
  private func accepted(
    ace: UInt8, mark: UInt8 = 0, payload: [UInt8] = [], options: [UInt8] = [],
    settings: NetSettings = Connection.settings(3), syn asked: UInt8 = 0b111, timestamps: Bool = false
  ) throws -> (peer: ScriptedPeer, child: Socket) {
    let listening = try ListeningPeer(settings: settings)
    var syn = ScriptedSegment(0x02, sequence: initial)
    syn.ace = asked
    syn.options =
      Connection.mss + (timestamps ? [1, 1, 8, 10] + ScriptedPeer.bytes(UInt32(5)) + [0, 0, 0, 0] : [])
    listening.peer.send(syn)
    let answer = try #require(listening.peer.next())
    var third = ScriptedSegment(0x10, sequence: initial &+ 1, acknowledgment: answer.sequence &+ 1)
    third.ace = ace
    third.payload = payload
    third.options = options
    if timestamps, let stamp = answer.option(8) {
      third.options += [1, 1, 8, 10] + ScriptedPeer.bytes(UInt32(6)) + stamp[0..<4]
    }
    listening.peer.send(third, typeOfService: mark)
    _ = listening.peer.all()
    return (listening.peer, try listening.server.accept())
  }

  @Test(
    "3.2.2.1 table 4: what the third segment says of the SYN-ACK; 3.2.2.4 a field that begins at 0 is cleared"
  )
  func third() throws {
    for (ace, payload, failures) in [
      (0b000, 0, 2), (0b001, 0, 0), (0b010, 0, 0), (0b011, 0, 2), (0b100, 0, 2), (0b101, 0, 0), (0b110, 0, 2),
      (0b111, 0, 0), (0b011, 9, 0), (0b110, 9, 0), (0b000, 9, 2),
    ] as [(UInt8, Int, UInt16)] {
      let (peer, child) = try accepted(ace: ace, payload: [UInt8](repeating: 1, count: payload))
      let state = try #require(child.tcpInfo).accurateECN
      #expect(state.failures == failures)
      _ = try child.send([1])
      let data = try #require(peer.all().last)
      // Feedback goes on, but nothing of ours is fit for marks.
      #expect(data.ace == 0b101 && data.typeOfService == (failures == 0 ? 2 : 0))
    }
  }

  @Test("the third segment is counted by its mark, as each is")
  func thirdIsMarked() throws {
    let (peer, child) = try accepted(ace: 0b010, mark: 3, payload: [1, 2, 3], options: Connection.initial)
    let state = try #require(child.tcpInfo).accurateECN
    #expect(state.receivedMarked == 1 && state.receivedBytes.marked == 3 && state.seenOption == 2)
    _ = try child.send([1])
    let data = try #require(peer.all().last)
    #expect(data.ace == 0b110 && data.option(174) == [0, 0, 1, 0, 0, 3, 0, 0, 1])
  }

  @Test("of a cookie is left that the SYN has asked; the third segment's bits tell for what")
  func cookie() throws {
    var settings = Connection.settings(3)
    settings.tcpSynCookies = 2
    for (ace, next) in [(0b000, 0), (0b001, 0), (0b010, 0b101), (0b101, 0b101), (0b111, 0b101)]
      as [(UInt8, UInt8)]
    {
      let (peer, child) = try accepted(ace: ace, settings: settings, timestamps: true)
      _ = try child.send([1])
      let data = try #require(peer.all().last)
      #expect(data.ace == next && data.typeOfService == 2)
    }
    // Without time stamps nothing is left.
    let (peer, child) = try accepted(ace: 0b010, settings: settings)
    _ = try child.send([1])
    #expect(peer.all().last?.typeOfService == 0)
  }

  @Test("3.1.5 SYNs that cross: both ask, and each SYN-ACK tells of the other's SYN")
  func crossing() throws {
    for (ace, mark, answer, isOn) in [
      (0b111, 0, 0b010, true), (0b111, 3, 0b110, true), (0b011, 0, 0b001, true), (0, 0, 0, false),
    ] as [(UInt8, UInt8, UInt8, Bool)] {
      let peer = try ScriptedPeer(settings: Connection.settings(3))
      let (socket, _) = try peer.connecting()
      var syn = ScriptedSegment(0x02, sequence: initial)
      syn.ace = ace
      syn.options = Connection.mss
      peer.send(syn, typeOfService: mark)
      let reply = try #require(peer.next())
      #expect(reply.flags & 0x3F == 0x12 && reply.ace == answer)
      #expect((reply.option(174) != nil) == (ace == 0b111) && socket.tcpInfo?.hasECN == isOn)
    }
  }
}

@Suite("RFC 9768 3.2 what Accurate ECN tells and hears", .everyVariation)
struct AccurateECNFeedbackTests {
  private typealias Connection = AccurateECNConnection

  @Test("3.2.2 the ACE field counts marked packets from 5 on, modulo 8, pure ACKs among them")
  func counts() throws {
    var (connection, _) = try Connection.opened()
    var seen: [UInt8] = []
    for mark in [2, 3, 3, 3, 2] as [UInt8] {
      connection.send(count: 100, mark: mark)
      seen += connection.answers().map(\.ace)
    }
    #expect(seen == [0b101, 0b110, 0b111, 0b000, 0b000])
    connection.send(mark: 3)
    connection.send(mark: 3)
    #expect(connection.answers().isEmpty)
    connection.send(count: 100, mark: 2)
    #expect(connection.answers().map(\.ace) == [0b010])
    let state = connection.state
    #expect(state.receivedMarked == 5 && state.receivedBytes == (0, 300, 300))
    #expect(connection.info.hasSeenECN)
  }

  @Test("3.2.2.5.1 the first packet of another mark is acknowledged at once")
  func edges() throws {
    var (connection, _) = try Connection.opened()
    // Until acknowledgments wait.
    for _ in 0..<40 {
      connection.send(count: 100, mark: 2)
      connection.peer.advance(.milliseconds(60))
    }
    _ = connection.peer.all()
    connection.send(count: 100, mark: 2)
    #expect(connection.peer.all().isEmpty)
    connection.send(count: 100, mark: 3)
    #expect(connection.peer.all().map(\.ace) == [0b110])
    connection.send(count: 100, mark: 3)
    #expect(connection.peer.all().isEmpty)
    connection.send(count: 100, mark: 2)
    #expect(connection.peer.all().map(\.ace) == [0b111])
  }

  @Test("all that leaves is ECT(0): ACKs, what goes again and resets, too")
  func marks() throws {
    var (connection, third) = try Connection.opened()
    #expect(third.typeOfService == 2)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 3000))
    connection.peer.advance(.seconds(1))
    connection.send(count: 1)
    connection.peer.advance(.milliseconds(300))
    let sent = connection.peer.all()
    #expect(sent.count >= 5 && sent.allSatisfy { $0.typeOfService == 2 && $0.ace == 0b101 })
    connection.socket.close()
    #expect(connection.peer.all().last.map { $0.isRst && $0.typeOfService == 2 } == true)
  }

  @Test("every segment of a large packet has the same bits")
  func largePackets() throws {
    var (connection, _) = try Connection.opened()
    connection.send(count: 10, mark: 3)
    _ = connection.answers()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 8000))
    let sent = connection.peer.all()
    #expect(sent.count == 6 && sent.allSatisfy { $0.ace == 0b110 })
  }

  /// Sends ten segments, has an ACK come, and tells how many of them came there marked.
  private func marked(
    acknowledging segments: Int, ace: UInt8, synAck: [UInt8] = [], _ options: [UInt8] = [],
    first: (ace: UInt8, options: [UInt8])? = nil
  ) throws -> UInt64 {
    var (connection, _) = try Connection.opened(options: synAck)
    let size = synAck.isEmpty ? 1460 : 1448
    _ = try connection.socket.send([UInt8](repeating: 1, count: 10 * size))
    if let first { connection.send(ace: first.ace, acknowledging: size, options: first.options) }
    connection.send(ace: ace, acknowledging: segments * size, options: options)
    return connection.info.deliveredMarked
  }

  @Test(
    "3.2.2.5.2 of more packets than the field can count as many were marked as can be, unless the bytes say no"
  )
  func wraps() throws {
    #expect(try marked(acknowledging: 7, ace: 0b110) == 1)
    #expect(try marked(acknowledging: 8, ace: 0b101) == 8)
    #expect(try marked(acknowledging: 8, ace: 0b000) == 3)
    #expect(try marked(acknowledging: 10, ace: 0b101) == 8)
    #expect(try marked(acknowledging: 10, ace: 0b110) == 9)
    let initial = Connection.initial
    // The first option says nothing of what the ones before would have.
    #expect(try marked(acknowledging: 10, ace: 0b101, synAck: initial, Connection.option(0, 0, 14480)) == 8)
    #expect(try marked(acknowledging: 10, ace: 0b101, synAck: initial) == 8)
    let known = (ace: 0b101 as UInt8, options: Connection.option(0, 0, 1448))
    #expect(try marked(acknowledging: 10, ace: 0b101, synAck: initial, first: known) == 0)
    #expect(
      try marked(
        acknowledging: 10, ace: 0b110, synAck: initial, Connection.option(0, 9 * 1448, 1448), first: known)
        == 9)
    #expect(
      try marked(acknowledging: 10, ace: 0b111, synAck: initial, Connection.option(0, 2896, 11584)) == 10)
  }

  @Test("an ACK that brings nothing new is old; a later time stamp makes it new")
  func oldAcks() throws {
    var (connection, _) = try Connection.opened(
      options: [1, 1, 8, 10] + ScriptedPeer.bytes(UInt32(5)) + [0, 0, 0, 0])
    func stamp(_ value: UInt32) -> [UInt8] {
      [1, 1, 8, 10] + ScriptedPeer.bytes(value) + [0, 0, 0, 0]
    }
    _ = try connection.socket.send([UInt8](repeating: 1, count: 1000))
    connection.send(acknowledging: 1000, options: stamp(6))
    connection.send(ace: 0b110, acknowledging: 1000, options: stamp(6))
    #expect(connection.info.deliveredMarked == 0)
    connection.send(ace: 0b110, acknowledging: 1000, options: stamp(7))
    #expect(connection.info.deliveredMarked == 1 && connection.info.congestionState == .open)
    connection.send(ace: 0b111, acknowledging: 1000, options: stamp(8), count: 3)
    #expect(connection.info.deliveredMarked == 2)
  }

  @Test("a mark reduces the window once a round trip, and nothing says CWR")
  func reduces() throws {
    var (connection, _) = try Connection.opened()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 100_000))
    let sent = connection.peer.all().count
    var before = connection.info.congestionWindow
    connection.send(ace: 0b101, acknowledging: 1460)
    #expect(connection.info.congestionState == .open && connection.info.slowStartThreshold == nil)
    before = connection.info.congestionWindow
    connection.send(ace: 0b110, acknowledging: 2 * 1460)
    #expect(connection.info.congestionState == .congestionWindowReduced)
    let threshold = try #require(connection.info.slowStartThreshold)
    #expect(threshold < before)
    for count in 3...sent { connection.send(ace: UInt8(count + 4) & 7, acknowledging: count * 1460) }
    #expect(connection.info.slowStartThreshold == threshold && connection.info.retransmitted == 0)
    #expect(connection.info.deliveredMarked == UInt64(sent - 1))
    let later = connection.peer.all()
    #expect(!later.isEmpty && later.allSatisfy { $0.ace == 0b101 })
  }

  @Test("TCPDeliveredCE and TCP_INFO tell what came there marked, and what came here")
  func info() throws {
    var (connection, _) = try Connection.opened(options: Connection.initial)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 3 * 1448))
    connection.send(
      ace: 0b110, acknowledging: 1448, options: Connection.option(3, 1448, 7), count: 50, mark: 1)
    connection.send(count: 60, mark: 2)
    connection.send(count: 70, mark: 3)
    let bytes = try connection.socket.getsockopt(level: 6, name: 11, maximum: 280)
    func word(_ place: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) }
    }
    #expect(stride(from: 248, to: 276, by: 4).map(word) == [1, 3, 7, 1448, 50, 60, 70])
    #expect(word(276) == 2 << 16 && word(196) == 1 && bytes[5] & 0x18 == 0x18)
    #expect(connection.peer.host.stack.counterReports.first { $0.name == "TcpExtTCPDeliveredCE" }?.value == 1)
  }

  @Test("without an agreement TCP_INFO counts what comes marked all the same, and nothing is told")
  func countsAnyway() throws {
    var (connection, _) = try Connection.opened(ace: 0, settings: Connection.settings(2))
    for mark in [2, 3, 1] as [UInt8] { connection.send(ace: 0, count: 10, mark: mark) }
    #expect(connection.state.receivedMarked == 1 && connection.state.receivedBytes == (10, 10, 10))
    #expect(connection.info.hasSeenECN && !connection.info.hasECN)
    #expect(connection.answers().allSatisfy { $0.ace == 0 && $0.typeOfService == 0 && $0.options.isEmpty })
  }
}
