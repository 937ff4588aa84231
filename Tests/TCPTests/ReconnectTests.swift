import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.10.1, 3.10.4 sockets from one connection to the next", .everyVariation)
struct ReconnectTests {
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

  private func connecting(_ peer: ScriptedPeer, _ socket: Socket) throws -> ScriptedSegment {
    socket.isNonBlocking = true
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EINPROGRESS)
    let syn = try #require(peer.next())
    #expect(syn.isSyn)
    peer.hostPort = syn.sourcePort
    return syn
  }

  private func errno(_ body: () throws -> Void) -> Errno? {
    do { try body() } catch { return (error as? SocketError)?.errno }
    return nil
  }

  @Test(
    "T8 connect() on a socket whose connection was reset: EISCONN, and nothing of the old one is mixed in")
  func afterReset() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    // Takes the outcome, as a blocking call does.
    try open.socket.connect(to: ScriptedPeer.address)
    open.send(text("OLD-CONNECTION-SECRET"))
    open.peer.send(0x04, sequence: open.sequence)
    #expect(open.socket.takeError() == .ECONNRESET)
    #expect(errno { try open.socket.connect(to: ScriptedPeer.address) } == .EISCONN)
    #expect(try open.socket.receive(upTo: 100) == text("OLD-CONNECTION-SECRET"))
    #expect(errno { try open.socket.connect(to: ScriptedPeer.address) } == .EISCONN)
    // The same after a close in order.
    let other = try ScriptedConnection(peer: ScriptedPeer())
    try other.socket.connect(to: ScriptedPeer.address)
    try other.socket.shutdown(write: true)
    other.acknowledge(other.acknowledgment &+ 1)
    other.send([], flags: 0x11)
    #expect(errno { try other.socket.connect(to: ScriptedPeer.address) } == .EISCONN)
  }

  @Test(
    "T8 what a connection left behind before anybody asked for it reaches no other: data, early data, SACK")
  func nothingLeft() throws {
    let sack: [UInt8] = [2, 4, 5, 0xB4, 1, 1, 4, 2]
    // Its outcome is not taken: the socket may connect anew when it has failed.
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sack)
    let peer = open.peer
    let initial = open.sequence &- 1
    open.send(text("SECRET"))
    peer.send(
      0x18, sequence: open.sequence &+ 4, acknowledgment: open.acknowledgment, payload: text("EARLY"))
    #expect(peer.all().last?.sackBlocks.count == 1)
    peer.send(0x04, sequence: open.sequence)
    #expect(errno { try open.socket.connect(to: ScriptedPeer.address) } == .ECONNRESET)
    #expect(open.socket.tcpInfo?.receiveQueue == 0)
    let syn = try connecting(peer, open.socket)
    peer.send(0x12, sequence: initial, acknowledgment: syn.sequence &+ 1, options: sack)
    #expect(peer.next()?.sackBlocks.isEmpty == true)
    #expect(errno { _ = try open.socket.receive(upTo: 100) } == .EAGAIN)
    let next = syn.sequence &+ 1
    peer.send(0x18, sequence: initial &+ 1, acknowledgment: next, payload: text("new bytes."))
    #expect(try open.socket.receive(upTo: 100) == text("new bytes."))
    // Early again, and only what this connection has.
    peer.send(0x18, sequence: initial &+ 31, acknowledgment: next, payload: text("x"))
    let answer = try #require(peer.all().last)
    #expect(answer.acknowledgment == initial &+ 11)
    #expect(answer.sackBlocks.map { $0.0 } == [initial &+ 31])
  }

  @Test("T8 after ETIMEDOUT a second connect() starts afresh: numbers, timers and tries")
  func afterTimeOut() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    let first = try connecting(peer, socket)
    peer.advance(.seconds(140))
    _ = peer.all()
    // The call that began it is told how it ended, then the socket is as new.
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .ETIMEDOUT)
    let again = try connecting(peer, socket)
    #expect(again.sequence != first.sequence)
    #expect(again.timestamps?.echo == 0)
    #expect(peer.timeline(for: .seconds(130)).map(\.second) == [1, 2, 3, 4, 5, 7, 11, 19, 35, 67])
    #expect(socket.tcpInfo?.totalRetransmissions == 10)
  }

  @Test(
    "T8 SO_ERROR taken first: connect() says ECONNABORTED once, then connects; a second call on success is 0")
  func phases() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    let syn = try connecting(peer, socket)
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EALREADY)
    peer.send(0x14, sequence: 0, acknowledgment: syn.sequence &+ 1)
    #expect(socket.takeError() == .ECONNREFUSED)
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .ECONNABORTED)
    let second = try connecting(peer, socket)
    peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: second.sequence &+ 1,
      options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.acknowledgment == Variation.current.peerSequence &+ 1)
    try socket.connect(to: ScriptedPeer.address)
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EISCONN)
    try socket.send(text("works"))
    #expect(peer.next()?.payload == text("works"))
  }

  @Test(
    "T18 shutdown of either side while connecting: error event, ECONNRESET; the socket may connect again",
    arguments: [(true, false), (false, true), (true, true)])
  func shutdownWhileConnecting(_ sides: (Bool, Bool)) throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    let syn = try connecting(peer, socket)
    try socket.shutdown(read: sides.0, write: sides.1)
    #expect(socket.readiness.contains([.error, .hangup, .writable]))
    #expect(errno { try socket.send(text("x")) } == .ECONNRESET)
    #expect(errno { try socket.send(text("x")) } == .EPIPE)
    // The handshake is over: a late answer is refused.
    peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 1,
      options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.isRst == true)
    let second = try connecting(peer, socket)
    peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: second.sequence &+ 1,
      options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.acknowledgment == Variation.current.peerSequence &+ 1)
    try socket.send(text("works"))
    #expect(peer.next()?.payload == text("works"))
  }

  @Test("T3 shutdown(write) on a listener does nothing: connections go on, and close leaves nothing behind")
  func shutdownListener() throws {
    let peer = try ScriptedPeer(port: 4000, hostPort: 80)
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    try listener.shutdown(write: true)
    peer.send(0x02, sequence: Variation.current.peerSequence, options: [2, 4, 5, 0xB4])
    let reply = try #require(peer.next())
    #expect(reply.flags & 0x12 == 0x12)
    peer.send(0x10, sequence: Variation.current.peerSequence &+ 1, acknowledgment: reply.sequence &+ 1)
    _ = try listener.accept()
    listener.close()
    _ = peer.all()
    peer.port = 4001
    peer.send(0x02, sequence: Variation.current.peerSequence, options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.isRst == true)
  }

  @Test(
    "T3 shutdown(read) on a listener refuses from then on; the bound port stays, and listen() opens it again")
  func shutdownListenerRead() throws {
    let peer = try ScriptedPeer(port: 4000, hostPort: 80)
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    try listener.shutdown(read: true)
    #expect(listener.readiness.contains(.hangup))
    #expect(errno { _ = try listener.accept() } == .EINVAL)
    peer.send(0x02, sequence: Variation.current.peerSequence, options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.isRst == true)
    let other = try peer.host.stack.socket(.tcp)
    #expect(errno { try other.bind(to: SocketAddress(.any, port: 80)) } == .EADDRINUSE)
    try listener.listen()
    #expect(try listener.localAddress.port == 80)
    peer.send(0x02, sequence: Variation.current.peerSequence, options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.flags == 0x12)
  }

  @Test("T3 shutdown(read) on a listener opens again what was shut before it listened")
  func shutdownBeforeAndAfter() throws {
    let peer = try ScriptedPeer(port: 4000, hostPort: 80)
    let listener = try peer.host.stack.socket(.tcp)
    #expect(errno { try listener.shutdown(read: true, write: true) } == .ENOTCONN)
    #expect(listener.readiness == [.readable, .writable, .hangup, .readHangup])
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    try listener.shutdown(read: true)
    #expect(listener.readiness == [.writable, .hangup])
  }

  @Test("S10 a connection that is bound to another device sends by it from then on")
  func boundElsewhere() throws {
    let open = try ScriptedConnection(peer: try ScriptedPeer(), timestamps: true)
    try open.socket.setNoDelay(true)
    try open.socket.send([1])
    #expect(open.peer.next()?.payload == [1])
    // SO_BINDTOIFINDEX: the loopback.
    try open.socket.setsockopt(level: 1, name: 62, 1)
    try open.socket.send([2])
    #expect(open.peer.next() == nil)
  }

  @Test("T16 ports in TIME-WAIT serve other destinations; one destination after a second, with timestamps")
  func portsInTimeWait() throws {
    var settings = NetSettings()
    settings.localPorts = 40000...40001
    let peer = try ScriptedPeer(settings: settings)
    var taken: Set<UInt16> = []
    for number in 0..<2 {
      let open = try ScriptedConnection(peer: peer, timestamps: true)
      taken.insert(peer.hostPort)
      open.socket.close()
      open.acknowledge(open.acknowledgment &+ 1)
      open.send([], flags: 0x11)
      _ = peer.all()
      _ = number
    }
    #expect(taken == [40000, 40001])
    let other = try peer.host.stack.socket(.tcp)
    other.isNonBlocking = true
    #expect(
      errno { try other.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7001)) } == .EINPROGRESS)
    #expect(peer.next()?.destinationPort == 7001)
    let third = try peer.host.stack.socket(.tcp)
    third.isNonBlocking = true
    #expect(
      errno { try third.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7002)) } == .EINPROGRESS)
    // The same destination: not within a second.
    let same = try peer.host.stack.socket(.tcp)
    same.isNonBlocking = true
    #expect(errno { try same.connect(to: ScriptedPeer.address) } == .EADDRNOTAVAIL)
    peer.advance(.milliseconds(1100))
    #expect(errno { try same.connect(to: ScriptedPeer.address) } == .EINPROGRESS)
  }

  @Test("RFC 6191 a tuple used again: its numbers begin beyond the old ones, its timestamps go on")
  func reusedTuple() throws {
    var settings = NetSettings()
    settings.localPorts = 40000...40000
    let peer = try ScriptedPeer(settings: settings)
    let open = try ScriptedConnection(peer: peer, timestamps: true)
    open.timestamp &+= 4711
    open.socket.close()
    open.acknowledge(open.acknowledgment &+ 1)
    open.send([], flags: 0x11)
    let last = try #require(peer.all().last)
    peer.advance(.milliseconds(1100))
    let socket = try peer.host.stack.socket(.tcp)
    let syn = try connecting(peer, socket)
    #expect(syn.sequence == last.sequence &+ 65537)
    #expect(syn.timestamps?.echo == open.timestamp)
    #expect((syn.timestamps?.value ?? 0) &- (last.timestamps?.value ?? 0) < 60_000)
  }

  @Test("T16 without timestamps a tuple stays taken for all of TIME-WAIT, 60 s")
  func timeWaitLasts() throws {
    var settings = NetSettings()
    settings.localPorts = 40000...40000
    settings.tcpTimestamps = false
    let peer = try ScriptedPeer(settings: settings)
    let open = try ScriptedConnection(peer: peer)
    open.socket.close()
    open.acknowledge(open.acknowledgment &+ 1)
    open.send([], flags: 0x11)
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    peer.advance(.milliseconds(59_900))
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EADDRNOTAVAIL)
    peer.advance(.milliseconds(200))
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EINPROGRESS)
  }

  @Test(
    "T16 connect() from a bound port whose tuple is taken: EADDRNOTAVAIL; from TIME-WAIT with timestamps at once"
  )
  func boundPort() throws {
    let peer = try ScriptedPeer()
    let local = SocketAddress(.any, port: 4567)
    let open = try ScriptedConnection(peer: peer, timestamps: true) {
      try $0.setReuseAddress(true)
      try $0.bind(to: local)
    }
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.setReuseAddress(true)
    try socket.bind(to: local)
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EADDRNOTAVAIL)
    open.socket.close()
    open.acknowledge(open.acknowledgment &+ 1)
    open.send([], flags: 0x11)
    #expect(errno { try socket.connect(to: ScriptedPeer.address) } == .EINPROGRESS)
  }

  @Test("T16 a connection that the peer ended gives its port back though its socket is still open")
  func portOfDeadConnection() throws {
    var settings = NetSettings()
    settings.localPorts = 40000...40000
    let peer = try ScriptedPeer(settings: settings)
    let open = try ScriptedConnection(peer: peer)
    let other = try peer.host.stack.socket(.tcp)
    #expect(errno { try other.bind(to: SocketAddress(.any, port: 40000)) } == .EADDRINUSE)
    peer.send(0x04, sequence: open.sequence)
    try other.bind(to: SocketAddress(.any, port: 40000))
    other.close()
    let socket = try peer.host.stack.socket(.tcp)
    _ = try connecting(peer, socket)
    #expect(open.socket.takeError() == .ECONNRESET)
    // One that was asked for by bind() stays.
    let bound = try ScriptedConnection(peer: ScriptedPeer()) {
      try $0.bind(to: SocketAddress(.any, port: 5000))
    }
    bound.peer.send(0x04, sequence: bound.sequence)
    let stranger = try bound.peer.host.stack.socket(.tcp)
    #expect(errno { try stranger.bind(to: SocketAddress(.any, port: 5000)) } == .EADDRINUSE)
  }
}
