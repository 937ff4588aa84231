import SwiftStack
import TestSupport
import Testing

@Suite("T11 RFC 3168 explicit congestion notification", .everyVariation)
struct CongestionNotificationTests {
  private let initial = Variation.current.peerSequence
  private static let mss: [UInt8] = [2, 4, 5, 0xB4]

  private func settings(_ ecn: Int, fallback: Bool = true) -> NetSettings {
    var settings = NetSettings()
    settings.tcpECN = ecn
    settings.tcpECNFallback = fallback
    return settings
  }

  /// A connection that the stack has opened, with ECN.
  private struct Connection {
    let peer: ScriptedPeer
    let socket: Socket
    var sequence: UInt32
    let first: UInt32

    func send(
      _ flags: UInt8 = 0x10, acknowledging bytes: UInt32 = 0, payload: [UInt8] = [], mark: UInt8 = 0
    ) {
      var segment = ScriptedSegment(flags, sequence: sequence, acknowledgment: first &+ bytes)
      segment.payload = payload
      peer.send(segment, typeOfService: mark)
    }
  }

  private func connected(_ answer: UInt8 = 0x52) throws -> Connection {
    let peer = try ScriptedPeer(settings: settings(1))
    let (socket, syn) = try peer.connecting()
    peer.send(answer, sequence: initial, acknowledgment: syn.sequence &+ 1, options: Self.mss)
    let ack = try #require(peer.next())
    #expect(ack.flags == 0x10 && ack.typeOfService == 0)
    return Connection(peer: peer, socket: socket, sequence: initial &+ 1, first: syn.sequence &+ 1)
  }

  @Test("tcp_ecn 1 asks for it with ECE and CWR, 0 and 2 do not; the SYN itself is not marked")
  func asks() throws {
    for (ecn, flags) in [(0, 0x02), (1, 0xC2), (2, 0x02)] as [(Int, UInt8)] {
      let syn = try ScriptedPeer(settings: settings(ecn)).connecting().syn
      #expect(syn.flags == flags && syn.typeOfService == 0)
    }
  }

  @Test("a SYN that goes again does not ask, unless tcp_ecn_fallback is 0")
  func fallsBack() throws {
    for (fallback, flags) in [(true, 0x02), (false, 0xC2)] as [(Bool, UInt8)] {
      let peer = try ScriptedPeer(settings: settings(1, fallback: fallback))
      let (socket, syn) = try peer.connecting()
      peer.advance(.milliseconds(1100))
      let again = try #require(peer.next())
      #expect(again.sequence == syn.sequence && again.flags == flags)
      // An answer to the first one still counts.
      peer.send(0x52, sequence: initial, acknowledgment: syn.sequence &+ 1, options: Self.mss)
      #expect(socket.tcpInfo?.hasECN == true)
    }
  }

  @Test("what the SYN-ACK says: ECE alone agrees, neither and both do not")
  func agrees() throws {
    for (flags, agrees) in [(0x12, false), (0x52, true), (0xD2, false), (0x92, false)] as [(UInt8, Bool)] {
      let connection = try connected(flags)
      #expect(connection.socket.tcpInfo?.hasECN == agrees)
      _ = try connection.socket.send([1])
      #expect(connection.peer.next()?.typeOfService == (agrees ? 2 : 0))
    }
  }

  @Test("new data is ECT(0); ACKs, what goes again and resets are not")
  func marks() throws {
    let connection = try connected()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 3000))
    #expect(connection.peer.all().allSatisfy { $0.typeOfService == 2 && $0.flags & 0xC0 == 0 })
    connection.peer.advance(.seconds(1))
    let again = connection.peer.all()
    #expect(!again.isEmpty && again.allSatisfy { $0.typeOfService == 0 })
    connection.send(acknowledging: 3000, payload: [1, 2], mark: 2)
    connection.peer.advance(.milliseconds(300))
    let acks = connection.peer.all()
    #expect(!acks.isEmpty && acks.allSatisfy { $0.typeOfService == 0 && $0.flags == 0x10 })
    #expect(connection.socket.tcpInfo?.hasSeenECN == true)
  }

  @Test("IP_TOS stays beside the mark")
  func typeOfService() throws {
    let connection = try connected()
    try connection.socket.setsockopt(level: 0, name: 1, 0x28)
    _ = try connection.socket.send([1])
    #expect(connection.peer.next()?.typeOfService == 0x2A)
  }

  @Test("a mark is echoed by every ACK until CWR comes, and again after it")
  func echoes() throws {
    var connection = try connected()
    func next(_ flags: UInt8, _ mark: UInt8) -> [ScriptedSegment] {
      connection.send(flags, payload: [1], mark: mark)
      connection.sequence &+= 1
      connection.peer.advance(.milliseconds(300))
      return connection.peer.all()
    }
    #expect(next(0x10, 2).map(\.flags) == [0x10])
    #expect(next(0x10, 3).map(\.flags) == [0x50])
    #expect(next(0x10, 2).map(\.flags) == [0x50])
    #expect(next(0x90, 2).map(\.flags) == [0x10])
    #expect(next(0x10, 2).map(\.flags) == [0x10])
    // CWR and a new mark at once.
    #expect(next(0x90, 3).map(\.flags) == [0x50])
    // Data of ours says so, too.
    _ = try connection.socket.send([9])
    #expect(connection.peer.next().map { $0.flags & 0x40 } == 0x40)
  }

  @Test(
    "ECE reduces the window once a round trip, without sending again; CWR goes with the next new data, once")
  func reduces() throws {
    let connection = try connected()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 100_000))
    let flight = connection.peer.all()
    let sent = flight.map(\.payload.count).reduce(0, +)
    let before = try #require(connection.socket.tcpInfo).congestionWindow
    connection.send(0x50, acknowledging: 1460)
    let info = try #require(connection.socket.tcpInfo)
    #expect(info.congestionState == .congestionWindowReduced && info.retransmitted == 0)
    let threshold = try #require(info.slowStartThreshold)
    #expect(threshold < before)
    for count in 2...sent / 1460 { connection.send(0x50, acknowledging: UInt32(1460 * count)) }
    let later = connection.peer.all()
    #expect(!later.isEmpty && later.allSatisfy { $0.typeOfService == 2 })
    #expect(later.filter { $0.flags & 0x80 != 0 }.count == 1)
    #expect(later[0].flags & 0x80 != 0 && later[0].payload.count <= 1460)
    #expect(connection.socket.tcpInfo?.slowStartThreshold == threshold)
    #expect(connection.socket.tcpInfo?.totalRetransmissions == 0)
  }

  @Test("tcpi_delivered_ce and TCPDeliveredCE count what ACKs with ECE have told of")
  func counts() throws {
    let connection = try connected()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 8 * 1460))
    #expect(connection.peer.all().count == 8)
    func counted() -> [UInt64] {
      let info = connection.socket.tcpInfo
      let bytes = (try? connection.socket.getsockopt(level: 6, name: 11, maximum: 280)) ?? []
      let field = (0..<4).reduce(UInt64(0)) { $0 | UInt64(bytes[196 + $1]) << UInt64(8 * $1) }
      let reports = connection.peer.host.stack.counterReports
      let counter = reports.first { $0.name == "TcpExtTCPDeliveredCE" }?.value ?? 0
      return [info?.delivered ?? 0, info?.deliveredMarked ?? 0, field, counter]
    }
    let shaken = counted()[0]
    connection.send(acknowledging: 1460)
    #expect(counted() == [shaken + 1, 0, 0, 0])
    connection.send(0x50, acknowledging: 3 * 1460)
    #expect(counted() == [shaken + 3, 2, 2, 2])
    connection.send(acknowledging: 4 * 1460)
    connection.send(0x50, acknowledging: 4 * 1460)
    // One that repeats: somewhat has arrived.
    #expect(counted() == [shaken + 5, 3, 3, 3])
    connection.send(0x50, acknowledging: 8 * 1460)
    #expect(counted() == [shaken + 8, 6, 6, 6])
  }

  @Test("a loss makes CWR due, too")
  func lossSaysCWR() throws {
    let connection = try connected()
    _ = try connection.socket.send([UInt8](repeating: 1, count: 2000))
    _ = connection.peer.all()
    connection.peer.advance(.seconds(1))
    #expect(connection.peer.all().allSatisfy { $0.flags & 0x80 == 0 })
    connection.send(acknowledging: 2000)
    _ = try connection.socket.send([2])
    let new = try #require(connection.peer.all().last)
    #expect(new.payload == [2] && new.flags & 0x80 != 0)
  }

  @Test("ECE without an agreement means nothing")
  func ignored() throws {
    let connection = try connected(0x12)
    _ = try connection.socket.send([UInt8](repeating: 1, count: 10_000))
    _ = connection.peer.all()
    connection.send(0x50, acknowledging: 1460)
    #expect(connection.socket.tcpInfo?.congestionState == .open)
    var other = connection
    other.send(payload: [1], mark: 3)
    other.sequence &+= 1
    connection.peer.advance(.milliseconds(300))
    #expect(connection.peer.all().allSatisfy { $0.flags & 0xC0 == 0 })
  }

  @Test(
    "a listener grants what a SYN asks for, unless tcp_ecn is 0 or the SYN came marked; no SYN is refused for it",
    arguments: [
      (0, 0xC2, 0, 0x12), (1, 0xC2, 0, 0x52), (2, 0xC2, 0, 0x52), (2, 0x42, 0, 0x12), (2, 0x82, 0, 0x12),
      (2, 0xC2, 2, 0x12), (2, 0xC2, 3, 0x12),
    ] as [(Int, UInt8, UInt8, UInt8)])
  func grants(ecn: Int, flags: UInt8, mark: UInt8, answer: UInt8) throws {
    let listening = try ListeningPeer(settings: settings(ecn))
    var syn = ScriptedSegment(flags, sequence: initial)
    syn.options = Self.mss
    listening.peer.send(syn, typeOfService: mark)
    let first = try #require(listening.peer.next())
    #expect(first.flags == answer && first.typeOfService == 0)
    listening.peer.advance(.milliseconds(1100))
    #expect(listening.peer.next()?.flags == answer)
    listening.peer.complete(first)
    let child = try listening.server.accept()
    #expect(child.tcpInfo?.hasECN == (answer == 0x52))
    _ = try child.send([1])
    #expect(listening.peer.next()?.typeOfService == (answer == 0x52 ? 2 : 0))
  }

  @Test("TCP_INFO shows it as Linux does")
  func info() throws {
    let connection = try connected()
    #expect(try connection.socket.getsockopt(level: 6, name: 11)[5] & 0x18 == 0x08)
    connection.send(payload: [1], mark: 2)
    #expect(try connection.socket.getsockopt(level: 6, name: 11)[5] & 0x18 == 0x18)
  }
}
