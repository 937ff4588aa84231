import SwiftStack
import TestSupport
import Testing

@Suite("Loss recovery", .everyVariation)
struct RecoveryTests {
  private let sackOptions: [UInt8] = [2, 4, 5, 0xB4, 1, 1, 4, 2]

  @Test("RFC 8985 three segments SACKed above a hole: the hole alone is sent again, before any timer")
  func fastRetransmit() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions, rtt: .milliseconds(100))
    try open.socket.send([UInt8](repeating: 1, count: 10 * 1460))
    #expect(open.peer.all().count == 10)
    open.peer.advance(.milliseconds(100))
    let base = open.acknowledgment
    open.acknowledge(sack: [(base &+ 1460, base &+ 2 * 1460)])
    open.acknowledge(sack: [(base &+ 1460, base &+ 3 * 1460)])
    #expect(open.peer.all().isEmpty)
    open.acknowledge(sack: [(base &+ 1460, base &+ 4 * 1460)])
    let again = open.peer.all()
    #expect(again.map(\.sequence) == [base])
    #expect(again.map(\.payload.count) == [1460])
  }

  @Test("RFC 6582 NewReno: three duplicate ACKs, then one segment for each partial ACK")
  func newReno() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send([UInt8](repeating: 1, count: 10 * 1460))
    #expect(open.peer.all().count == 10)
    let base = open.acknowledgment
    for _ in 0..<3 { open.acknowledge() }
    #expect(open.peer.all().map(\.sequence) == [base])
    // The second segment was lost as well: a partial ACK says so.
    open.acknowledge(base &+ 1460)
    #expect(open.peer.all().map(\.sequence).contains(base &+ 1460))
  }

  @Test("RFC 6298 5.4-5.6 the timer sends the first segment again and doubles")
  func timeout() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send([UInt8](repeating: 1, count: 5 * 1460))
    let base = open.acknowledgment
    #expect(open.peer.all().count == 5)
    var times: [Nanoseconds] = []
    let start = open.peer.host.now
    for _ in 0..<400 where times.count < 4 {
      open.peer.advance(.milliseconds(10))
      for segment in open.peer.all() {
        #expect(segment.sequence == base)
        times.append(open.peer.host.now - start)
      }
    }
    #expect(times.count == 4)
    let gaps = zip(times.dropFirst(), times).map { ($0 - $1).milliseconds }
    #expect(abs(gaps[1] - 2 * gaps[0]) <= 20)
    #expect(abs(gaps[2] - 2 * gaps[1]) <= 20)
    // One ACK for all ends it.
    open.acknowledge(base &+ 5 * 1460)
    open.peer.advance(.seconds(5))
    #expect(open.peer.all().isEmpty)
  }

  @Test("RFC 3522 Eifel: a timeout whose original was answered is undone")
  func undo() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions, timestamps: true)
    try open.socket.send([UInt8](repeating: 1, count: 10 * 1448))
    let flight = open.peer.all()
    let original = try #require(flight.first?.timestamps?.value)
    open.peer.advance(.milliseconds(300))
    #expect(open.peer.all().first?.sequence == open.acknowledgment)
    let before = try #require(open.socket.tcpInfo)
    #expect(before.congestionState == .loss)
    // The answer to the original transmission arrives late.
    open.echo = original
    open.acknowledge(open.acknowledgment &+ 1448)
    let after = try #require(open.socket.tcpInfo)
    #expect(after.congestionState == .open)
    #expect(after.congestionWindow >= 10)
  }

  @Test("RFC 2018 section 8 a receiver that throws away what it had SACKed is served all the same")
  func reneging() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
    try open.socket.send([UInt8](repeating: 1, count: 6 * 1460))
    _ = open.peer.all()
    let base = open.acknowledgment
    open.acknowledge(sack: [(base &+ 1460, base &+ 6 * 1460)])
    _ = open.peer.all()
    // It now claims to have the first only.
    open.acknowledge(base &+ 1460)
    var seen = Set<UInt32>()
    for _ in 0..<40 {
      open.peer.advance(.milliseconds(200))
      for segment in open.peer.all() {
        seen.insert(segment.sequence)
        if segment.sequence == open.acknowledgment {
          open.acknowledge(open.acknowledgment &+ UInt32(segment.payload.count))
        }
      }
    }
    #expect(open.acknowledgment == base &+ 6 * 1460)
  }

  @Test("SACK blocks that lie outside what is outstanding, or are turned round, are ignored")
  func forgedSACK() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
    try open.socket.send([UInt8](repeating: 1, count: 4 * 1460))
    _ = open.peer.all()
    let base = open.acknowledgment
    open.acknowledge(sack: [(base &+ 100_000, base &+ 200_000), (base &+ 2920, base &+ 1460)])
    open.acknowledge(sack: [(base &- 5000, base &+ 100_000), (base &+ 1, base &+ 1)])
    #expect(open.socket.tcpInfo?.sacked == 0)
    open.acknowledge(base &+ 4 * 1460)
    #expect(open.socket.tcpInfo?.unacknowledged == 0)
  }

  @Test(
    "P3 fragmentation needed: outstanding data is cut anew and sent again; a forged report changes nothing")
  func pathMTU() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send([UInt8](repeating: 1, count: 3 * 1460))
    let flight = open.peer.all()
    #expect(flight.map(\.payload.count) == [1460, 1460, 1460])
    func report(sequence: UInt32) {
      var quoted: [UInt8] = [0x45, 0, 0x05, 0xDC, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]
      quoted += ScriptedPeer.bytes(open.peer.hostPort) + ScriptedPeer.bytes(open.peer.port)
      quoted += ScriptedPeer.bytes(sequence)
      var icmp: [UInt8] = [3, 4, 0, 0, 0, 0, 0x03, 0xE8] + quoted
      let check = ScriptedPeer.checksum(icmp)
      icmp[2] = UInt8(check >> 8)
      icmp[3] = UInt8(check & 0xFF)
      open.peer.host.receive(ScriptedPeer.frame(protocol: 1, icmp))
    }
    report(sequence: open.acknowledgment &+ 1_000_000)
    #expect(open.peer.all().isEmpty)
    report(sequence: open.acknowledgment)
    let again = open.peer.all()
    #expect(!again.isEmpty)
    #expect(again.allSatisfy { $0.payload.count <= 960 })
    #expect(again.first?.sequence == open.acknowledgment)
  }
}
