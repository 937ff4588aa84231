import InetSocket
import SwiftStack
import TestSupport
import Testing
import Timers

@testable import TCP

/// Each was tried on Linux 6.18, which does the same.
@Suite("T corners of what is sent, and when", .everyVariation)
struct SendCornerTests {
  private func data(_ count: Int) -> [UInt8] { FastOpenServerPeer.data(count) }

  private func fill(_ socket: Socket, by count: Int = 10_000) {
    while (try? socket.send(data(count))) != nil {}
  }

  // MARK: Fast Open

  @Test(
    "T4 T6 MSG_ZEROCOPY in a send that opens by Fast Open has a number; one that sends nothing gives it back")
  func zeroCopyOpening() throws {
    let server = try FastOpenServerPeer()
    let memory = ExternalMemory(copying: data(100))
    let asking = try server.peer.host.stack.socket(.tcp)
    asking.isNonBlocking = true
    try asking.setZeroCopy(true)
    #expect {
      try asking.send(memory, to: ScriptedPeer.address, flags: [.fastOpen, .zeroCopy])
    } throws: {
      ($0 as? SocketError)?.errno == .EINPROGRESS
    }
    let first = try #require(server.peer.next())
    server.answer(first, data: 0)
    try asking.send(memory)
    server.peer.advance(.milliseconds(1))
    let sent = try #require(server.peer.all().last)
    server.peer.send(0x10, sequence: server.initial &+ 1, acknowledgment: sent.sequence &+ 100)
    server.peer.advance(.milliseconds(1))
    #expect(try asking.completion() == SendCompletion(first: 0, last: 0, isCopied: false))
  }

  @Test("T4 T6 what MSG_ZEROCOPY sends in a SYN was copied, and its completion says so")
  func zeroCopySyn() throws {
    let server = try FastOpenServerPeer()
    let memory = ExternalMemory(copying: data(100))
    try server.teach()
    let socket = try server.peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.setZeroCopy(true)
    #expect(try socket.send(memory, to: ScriptedPeer.address, flags: [.fastOpen, .zeroCopy]) == 100)
    let syn = try #require(server.peer.next())
    #expect(syn.payload == data(100))
    server.answer(syn, data: 100)
    server.peer.advance(.milliseconds(1))
    #expect(try socket.completion() == SendCompletion(first: 0, last: 0, isCopied: true))
    _ = server.peer.all()
    try socket.send(memory)
    #expect(server.peer.next()?.payload.count == 100)
    server.peer.send(0x10, sequence: server.initial &+ 1, acknowledgment: syn.sequence &+ 201)
    server.peer.advance(.milliseconds(1))
    #expect(try socket.completion() == SendCompletion(first: 1, last: 1, isCopied: false))
  }

  @Test("T6 U7 data in a SYN leaves room for IP options, as every segment does", arguments: [1460, 1000])
  func optionsBesideSynData(mss: UInt16) throws {
    let server = try FastOpenServerPeer()
    try server.teach(mss: mss)
    let (_, sent, _) = try server.open(5000) {
      let bytes = [UInt8](repeating: 1, count: 40)
      // Safe: a byte has no padding.
      try $0.setsockopt(level: 0, name: 4, value: unsafe bytes.span.bytes)
    }
    #expect(sent == Int(mss) - 80)
    let syn = try #require(server.peer.next())
    #expect(syn.payload.count == sent && syn.networkOptions.count == 40 && syn.dontFragment)
  }

  // MARK: What is held back

  @Test("T8 TCP_CORK 0 sends what MSG_MORE holds, corked or not") func uncorking() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(10), flags: .more)
    #expect(open.peer.all().isEmpty)
    try open.socket.set(Option.cork, 0)
    #expect(open.peer.all().map(\.payload.count) == [10])
  }

  @Test("T9 Minshall: a small segment that the probe timer sent holds no other back") func probedSegment()
    throws
  {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.set(Option.cork, 1)
    try open.socket.send(data(20))
    open.peer.advance(.milliseconds(250))
    #expect(open.peer.all().first?.payload.count == 20)
    try open.socket.set(Option.cork, 0)
    try open.socket.send(data(30))
    #expect(open.peer.all().map(\.payload.count).contains(30))
  }

  // MARK: The send buffer

  @Test("T3 the send buffer of a connection: two initial windows; it grows when a writer waits for it")
  func sendBuffer() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    #expect(open.info.sendBuffer == 46080)
    for _ in 0..<3 {
      try open.socket.send(data(14_600))
      #expect(open.takeData().count == 14_600)
      open.acknowledge()
    }
    #expect(open.info.sendBuffer == 46080)
    // The congestion window holds the data, not the buffer.
    open.inspect {
      $0.sender.window.segments = 14; $0.sender.window.threshold = 14
    }
    fill(open.socket)
    open.acknowledge(open.acknowledgment &+ 1460)
    #expect(open.info.notSentByteCount > 0 && open.info.sendBuffer == 46080)
    open.inspect { $0.sender.window.segments = 100 }
    #expect(!open.takeData().isEmpty)
    open.acknowledge()
    #expect(open.info.sendBuffer >= 200 * 2304)
  }

  @Test("T13 tcpi_sndbuf_limited: all has gone, the window would take more, and the writer waits for room")
  func limitedByBuffer() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.sendBuffer, 25_000) }
    open.inspect {
      $0.sender.window.segments = 1; $0.sender.window.threshold = 1
    }
    fill(open.socket, by: 5000)
    open.peer.advance(.milliseconds(30))
    // The congestion window holds it back.
    #expect(open.info.notSentByteCount > 0 && open.info.sendBufferLimitedTime == .zero)
    open.inspect {
      $0.sender.window.segments = 100; $0.sender.window.threshold = 10
    }
    open.acknowledge(open.acknowledgment &+ 1460)
    open.peer.advance(.milliseconds(50))
    #expect(open.info.notSentByteCount == 0)
    #expect(open.info.sendBufferLimitedTime == .milliseconds(50))
    let end = try #require(open.peer.all().filter { !$0.payload.isEmpty }.last)
    // Half of it makes room, and the rest is on its way.
    open.acknowledge(end.sequence &- 20_000)
    open.peer.advance(.milliseconds(20))
    #expect(open.info.unacknowledged > 0 && open.info.sendBufferLimitedTime == .milliseconds(50))
    open.acknowledge(end.sequence &+ UInt32(end.payload.count))
    open.peer.advance(.milliseconds(50))
    #expect(open.info.sendBufferLimitedTime == .milliseconds(50))
  }

  @Test("T13 tcpi_sndbuf_limited: what the peer's window holds back is not the buffer's doing")
  func limitedByPeer() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 4000) {
      try $0.set(Option.sendBuffer, 10_000)
    }
    fill(open.socket)
    open.peer.advance(.milliseconds(30))
    #expect(open.info.notSentByteCount > 0 && open.info.sendBufferLimitedTime == .zero)
    #expect(open.info.receiveWindowLimitedTime == .milliseconds(30))
    // Something goes when an ACK comes, and the window is full again.
    open.acknowledge(open.acknowledgment &+ 1460)
    open.peer.advance(.milliseconds(30))
    #expect(open.info.notSentByteCount > 0 && open.info.sendBufferLimitedTime == .zero)
  }

  // MARK: What an ACK tells

  @Test("T13 RFC 2883 what was sent again without need counts as delivered, too") func needlessDelivered()
    throws
  {
    let open = try ScriptedConnection.withSACK()
    let before = open.info.delivered
    let base = open.acknowledgment
    try open.socket.send(data(100))
    open.peer.advance(.seconds(2))
    #expect(open.peer.all().count > 1)
    open.acknowledge(base &+ 100, sack: [(base, base &+ 100)])
    #expect(open.info.delivered == before + 2)
  }

  // MARK: Packets that no socket sends

  @Test(
    "T11, RFC 3168 6.1.5 a reset has the TOS of what it answers without its mark, DF and the identifier 0")
  func resets() throws {
    let peer = try ScriptedPeer(hostPort: 9)
    for (flags, mark) in [(0x02, 0), (0x10, 1), (0x10, 2), (0x10, 3)] as [(UInt8, UInt8)] {
      peer.send(ScriptedSegment(flags, sequence: 1000, acknowledgment: 5), typeOfService: 16 + mark)
      let reset = try #require(peer.next())
      #expect(reset.isRst && reset.typeOfService == 16)
      #expect(reset.dontFragment && reset.identification == 0)
    }
    // Of a socket that opens, and of a request.
    let (_, syn) = try peer.connecting()
    peer.send(ScriptedSegment(0x10, sequence: 1000, acknowledgment: syn.sequence), typeOfService: 19)
    #expect(peer.next()?.typeOfService == 16)
    let listening = try ListeningPeer()
    let answer = try listening.open()
    listening.peer.send(
      ScriptedSegment(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 9),
      typeOfService: 19)
    let reset = try #require(listening.peer.next())
    #expect(reset.isRst && reset.typeOfService == 16)
  }

  @Test(
    "T11 P7 SYN-ACKs have DF and the identifier 0 whatever IP_MTU_DISCOVER says; one that is long has not")
  func synAcks() throws {
    for (value, isLong) in [(0, false), (1, false), (0, true)] as [(Int32, Bool)] {
      let listening = try ListeningPeer { try $0.setsockopt(level: 0, name: 10, value) }
      var syn = ScriptedSegment(0x02, sequence: listening.sequence &- 1)
      syn.options = [2, 4, 5, 0xB4, 1, 3, 3, 7, 1, 1, 4, 2, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]
      if isLong {
        try addRoute(listening, syn)
      } else {
        listening.peer.send(syn)
      }
      let answer = try #require(listening.peer.next())
      #expect(answer.flags == 0x12 && answer.dontFragment == !isLong)
      #expect(isLong || answer.identification == 0)
    }
  }

  /// A SYN with a record-route option, which its answer has too.
  private func addRoute(_ listening: ListeningPeer, _ syn: ScriptedSegment) throws {
    var segment = syn
    segment.sourcePort = listening.peer.port
    segment.destinationPort = listening.peer.hostPort
    let tcp = listening.peer.encode(segment)
    let route: [UInt8] = [7, 15, 4] + [UInt8](repeating: 0, count: 12) + [0]
    var ip: [UInt8] = [0x49, 0] + ScriptedPeer.bytes(UInt16(36 + tcp.count)) + [0, 1, 0x40, 0, 64, 6, 0, 0]
    ip += [10, 0, 0, 1, 10, 0, 0, 2] + route
    let check = ScriptedPeer.checksum(ip)
    (ip[10], ip[11]) = (UInt8(check >> 8), UInt8(check & 0xFF))
    listening.peer.receiveRaw(ip + tcp)
  }

  /// What Linux 6.18 does was seen on the wire.
  @Test("T11, RFC 3168 6.1.4 the ACK of a request has the TOS of what it answers, without its mark")
  func requestTOS() throws {
    let listening = try ListeningPeer { try $0.setsockopt(level: 0, name: 1, 16) }
    let request = try listening.open()
    for (flags, distance) in [(0x10, 0x1000_0000), (0x04, 5)] as [(UInt8, UInt32)] {
      listening.peer.advance(.milliseconds(550))
      _ = listening.peer.all()
      listening.peer.send(
        ScriptedSegment(
          flags, sequence: listening.sequence &+ distance, acknowledgment: request.sequence &+ 1),
        typeOfService: 43)
      let answer = try #require(listening.peer.next())
      #expect(answer.flags == 0x10 && answer.typeOfService == 40 && answer.identification == 0)
    }
  }

  @Test("T11 a SYN that comes again puts the next SYN-ACK off") func repeatedSyn() throws {
    let listening = try ListeningPeer()
    _ = try listening.open()
    listening.peer.advance(.milliseconds(1500))
    // The timer's, at 1 s; the next would be at 3 s.
    #expect(listening.peer.all().count == 1)
    _ = try listening.open()
    listening.peer.advance(.milliseconds(1950))
    #expect(listening.peer.all().isEmpty)
    listening.peer.advance(.milliseconds(100))
    #expect(listening.peer.all().map(\.flags) == [0x12])
  }

  @Test("S a child does not have its listener's SO_PRIORITY, and has what IP_TOS says of later sends")
  func priorityOfChildren() throws {
    let listening = try ListeningPeer { try $0.set(Option.priority, 3) }
    listening.peer.complete(try listening.open())
    let child = try listening.server.accept()
    #expect(try child.getsockopt(level: 1, name: 12)[0] == 0)
    #expect(try listening.server.getsockopt(level: 1, name: 12)[0] == 3)
  }
}
