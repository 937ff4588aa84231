import InetSocket
import NetNamespace
import Sockets
import SwiftStack
import TestSupport
import Testing
import Timers
import UDP
import Wire

/// What a datagram socket learns of packets that failed, and what may not leave. Values were tried on Linux 6.18.
@Suite struct ErrorQueueTests {
  private func socket(_ peer: FramePeer, port: UInt16 = 5000) throws -> Socket {
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: port))
    try socket.setsockopt(level: 0, name: 11, 1)
    return socket
  }
  /// A datagram of 10.0.0.2:5000 to 10.0.0.1:7 as an ICMP message quotes it.
  private func quoted(_ payload: [UInt8]) -> [UInt8] {
    let length = ScriptedPeer.bytes(UInt16(28 + payload.count))
    return [0x45, 0] + length + [0, 1, 0, 0, 64, 17, 0, 0] + FramePeer.hostAddress + [10, 0, 0, 1]
      + ScriptedPeer.bytes(UInt16(5000)) + ScriptedPeer.bytes(UInt16(7))
      + ScriptedPeer.bytes(UInt16(8 + payload.count)) + [0, 0] + payload
  }

  @Test("S7 no receive from an empty error queue waits, nor one of urgent data that is not there yet")
  func neverWaits() throws {
    let peer = try FramePeer()
    let socket = try socket(peer)
    socket.isNonBlocking = false
    #expect(throws: SocketError("receive", .EAGAIN)) { try socket.receive(upTo: 9, flags: .errorQueue) }
    var rooms: [[UInt8]] = [[0, 0]]
    #expect(throws: SocketError("readv", .EAGAIN)) { try socket.readv(into: &rooms, flags: .errorQueue) }
  }

  @Test("S7 who is told of changes only is told of each error that waits")
  func edges() throws {
    let peer = try FramePeer()
    let socket = try socket(peer)
    let poller = Poller(peer.host.stack)
    for byte in UInt8(1)...2 { peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, quoted([byte])))) }
    try poller.add(socket, for: .readable, .edge, token: 1)
    #expect(try poller.wait(timeout: .zero).count == 1)
    #expect(try poller.wait(timeout: .zero).isEmpty)
    _ = try socket.recvmsg(flags: .errorQueue)
    #expect(try poller.wait(timeout: .zero).count == 1)
    _ = try socket.recvmsg(flags: .errorQueue)
    #expect(try poller.wait(timeout: .zero).isEmpty)
  }

  @Test("S7 MSG_ERRQUEUE brings the quoted bytes of the datagram, cut to the room there is") func payload()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer)
    for count in [0, 12, 500, 520, 1200] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
      peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, quoted(bytes))))
      let message = try socket.recvmsg(flags: .errorQueue)
      // A message of 576 bytes has room for 520.
      #expect(message.bytes == Array(bytes.prefix(520)) && message.flags == .errorQueue, "\(count)")
      #expect(message.source == SocketAddress(IPv4Address(10, 0, 0, 1), port: 7))
    }
    peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, quoted([1, 2, 3, 4]))))
    let message = try socket.recvmsg(upTo: 3, flags: .errorQueue)
    #expect(message.bytes == [1, 2, 3] && message.flags == [.errorQueue, .truncate])
  }

  @Test("S7 MSG_ERRQUEUE of a ping socket brings the echo request, header and all") func ping() throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.ping)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 0, name: 11, 1)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)))
    _ = peer.takePackets()
    try socket.send([8, 0, 0, 0, 0, 0, 0, 9, 5, 6], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 0))
    let request = try #require(peer.takePackets().first)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(11, 0, request)))
    #expect(try socket.recvmsg(flags: .errorQueue).bytes == Array(request[20...]))
  }

  @Test("S7 a datagram that is too long leaves an error without data") func local() throws {
    let peer = try FramePeer()
    let socket = try socket(peer)
    try socket.setsockopt(level: 0, name: 10, 2)
    _ = try? socket.send(
      [UInt8](repeating: 1, count: 2000), to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7))
    let message = try socket.recvmsg(flags: .errorQueue)
    #expect(message.bytes.isEmpty && message.control.error?.origin == .local)
  }

  @Test("S7 the error behind the one that was read is the socket's only when it is next in line") func next()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer)
    try socket.setsockopt(level: 0, name: 10, 2)
    func fail() { peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, quoted([])))) }
    func tooLong() {
      _ = try? socket.send(
        [UInt8](repeating: 1, count: 2000), to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7))
    }
    func read() throws -> ExtendedError.Origin? {
      try socket.recvmsg(flags: .errorQueue).control.error?.origin
    }
    fail()
    #expect(socket.takeError() == .ECONNREFUSED)
    tooLong()
    fail()
    #expect(socket.takeError() == .ECONNREFUSED)
    #expect(try read() == .icmp && socket.takeError() == nil)
    #expect(try read() == .local && socket.takeError() == .ECONNREFUSED)
    #expect(try read() == .icmp && socket.takeError() == nil)
  }

  @Test("P1 RFC 1122 3.2.1.3 what has a source of 127.0.0.0/8 does not leave this host") func loopbackSource()
    throws
  {
    let peer = try FramePeer { $0.gateway = IPv4Address(10, 0, 0, 1) }
    for destination in ["10.0.0.1", "192.0.2.1", "10.0.0.255", "255.255.255.255", "239.1.1.1"] {
      let address = SocketAddress(IPv4Address(destination)!, port: 7)
      let socket = try peer.host.stack.socket(.udp)
      try socket.bind(to: SocketAddress(.loopback, port: 0))
      try socket.setBroadcast(true)
      #expect { try socket.send([1], to: address) } throws: { ($0 as? SocketError)?.errno == .EINVAL }
      #expect { try socket.connect(to: address) } throws: { ($0 as? SocketError)?.errno == .EINVAL }
    }
    let stream = try peer.host.stack.socket(.tcp)
    stream.isNonBlocking = true
    try stream.bind(to: SocketAddress(.loopback, port: 0))
    #expect { try stream.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7)) } throws: {
      ($0 as? SocketError)?.errno == .EINVAL
    }
    peer.advance(.seconds(1))
    #expect(peer.takePackets().isEmpty && peer.takeARP().isEmpty)
    // To ourselves it goes, either way.
    let receiver = try peer.host.stack.socket(.udp)
    receiver.isNonBlocking = true
    try receiver.bind(to: SocketAddress(.any, port: 9))
    for (from, to) in [("127.0.0.1", "10.0.0.2"), ("10.0.0.2", "127.0.0.1")] {
      let sender = try peer.host.stack.socket(.udp)
      try sender.bind(to: SocketAddress(IPv4Address(from)!, port: 0))
      try sender.send([4], to: SocketAddress(IPv4Address(to)!, port: 9))
      #expect(try receiver.receive(upTo: 9) == [4])
    }
  }
}
