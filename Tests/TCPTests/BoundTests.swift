import SwiftStack
import TestSupport
import Testing

/// What peers can make grow: each bound reached, and passed by one.
@Suite("R bounds of what peers can make grow", .everyVariation)
struct BoundTests {
  @Test("RFC 4987 half-open requests: as many as tcp_max_syn_backlog are kept, one more costs the oldest")
  func requests() throws {
    var settings = NetSettings()
    settings.maximumSynBacklog = 8
    settings.tcpSynCookies = 0
    for excess in [0, 1] {
      let listening = try ListeningPeer(settings: settings)
      let peer = listening.peer
      var answers: [ScriptedSegment] = []
      for port in 0..<8 + excess {
        peer.port = UInt16(9000 + port)
        answers.append(try listening.open())
      }
      #expect(peer.host.counter("TcpExtTCPReqQFullDrop") == excess)
      for (port, answer) in answers.enumerated() {
        peer.port = UInt16(9000 + port)
        peer.complete(answer)
        #expect((peer.next()?.isRst == true) == (port < excess))
      }
      var accepted = 0
      while (try? listening.server.accept()) != nil { accepted += 1 }
      #expect(accepted == 8)
    }
  }

  @Test(
    "R accept queue: one more than the backlog wait; the next one's ACK and SYN find no room, nothing is lost"
  )
  func acceptQueue() throws {
    let listening = try ListeningPeer(backlog: 2)
    let peer = listening.peer
    var answers: [ScriptedSegment] = []
    for port in 0..<4 {
      peer.port = UInt16(9000 + port)
      answers.append(try listening.open())
    }
    for port in 0..<3 {
      peer.port = UInt16(9000 + port)
      peer.complete(answers[port])
    }
    #expect(peer.host.counter("TcpPassiveOpens") == 3)
    #expect(peer.host.counter("TcpExtListenOverflows") == 0)
    peer.port = 9003
    peer.complete(answers[3])
    #expect(peer.host.counter("TcpExtListenOverflows") == 1)
    peer.port = 9004
    #expect(throws: SocketError.self) { try listening.open() }
    #expect(peer.host.counter("TcpExtListenOverflows") == 2)
    _ = try listening.server.accept()
    peer.port = 9003
    peer.complete(answers[3])
    #expect(peer.host.counter("TcpPassiveOpens") == 4)
  }

  @Test(
    "tcp_max_tw_buckets: as many wait as it says, one more ends at once, and there is room again after 60 s")
  func timeWait() throws {
    var settings = NetSettings()
    settings.maximumTimeWait = 2
    let peer = try ScriptedPeer(settings: settings)
    func finish() throws -> ScriptedConnection {
      let open = try ScriptedConnection(peer: peer)
      open.socket.close()
      open.acknowledge(open.acknowledgment &+ 1)
      open.send([], flags: 0x11)
      #expect(peer.all().last?.acknowledgment == open.sequence)
      return open
    }
    _ = try finish()
    #expect(peer.host.timeWaitCount == 1)
    _ = try finish()
    #expect(peer.host.timeWaitCount == 2)
    let third = try finish()
    #expect(peer.host.timeWaitCount == 2)
    #expect(peer.host.counter("TcpExtTW") == 2)
    // Nothing knows it any more.
    third.acknowledge()
    #expect(peer.all().map(\.isRst) == [true])
    peer.advance(.seconds(61))
    #expect(peer.host.timeWaitCount == 0)
    _ = try finish()
    #expect(peer.host.timeWaitCount == 1)
  }
}
