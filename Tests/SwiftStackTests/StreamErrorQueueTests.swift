import InetSocket
import Sockets
import SwiftStack
import TestSupport
import Testing

/// The error queue of a stream. Values were tried on Linux 6.18.
@Suite("S7 error queue of a stream")
struct StreamErrorQueueTests {
  @Test("S7 a connect() that a router refuses: the error, and who sent it, with the SYN's header")
  func refusedConnect() throws {
    // Whoever has not asked with IP_RECVERR gets the entry too.
    for asks in [false, true] {
      let peer = try ScriptedPeer()
      let (socket, syn) = try peer.connecting()
      if asks { try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 1) }
      #expect(throws: SocketError("recvmsg", .EAGAIN)) { _ = try socket.recvmsg(flags: .errorQueue) }
      peer.sendICMP(type: 3, code: 1, about: syn)
      #expect(socket.readiness.contains(.error))
      let message = try socket.recvmsg(flags: .errorQueue)
      let ports = ScriptedPeer.bytes(syn.sourcePort) + ScriptedPeer.bytes(syn.destinationPort)
      #expect(message.bytes == ports + ScriptedPeer.bytes(syn.sequence))
      #expect(message.flags == .errorQueue)
      #expect(message.source == SocketAddress(IPv4Address(10, 0, 0, 1), port: syn.destinationPort))
      let error = try #require(message.control.error)
      #expect(error.errno == .EHOSTUNREACH && error.origin == .icmp && error.kind == 3 && error.code == 1)
      #expect(error.offender == IPv4Address(10, 0, 0, 1) && error.info == 0)
      // Whoever took the entry has been told. Linux: sock_dequeue_err_skb().
      #expect(socket.takeError() == nil && !socket.readiness.contains(.error))
      #expect(throws: SocketError("recvmsg", .EAGAIN)) { _ = try socket.recvmsg(flags: .errorQueue) }
    }
  }

  @Test("S7 the entry waits until it is read, also when SO_ERROR has told the error")
  func pollsUntilRead() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    peer.sendICMP(type: 3, code: 3, about: syn)
    #expect(socket.takeError() == .ECONNREFUSED)
    #expect(socket.readiness.contains(.error))
    // Setting the option off throws away what waits.
    try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 0)
    #expect(!socket.readiness.contains(.error))
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { _ = try socket.recvmsg(flags: .errorQueue) }
  }

  @Test(
    "S7 of an open connection an ICMP error is pending or soft, and never queued", arguments: [false, true])
  func openConnection(asks: Bool) throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    if asks { try open.socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 1) }
    try open.socket.send([1, 2, 3])
    let segment = try #require(open.peer.next())
    open.peer.sendICMP(type: 3, code: 1, about: segment)
    #expect(open.socket.readiness.contains(.error) == asks)
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { _ = try open.socket.recvmsg(flags: .errorQueue) }
    #expect(open.socket.takeError() == .EHOSTUNREACH)
  }

  @Test("S7 entries count in the receive buffer, and are given back as they are read")
  func bounded() throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 5000))
    try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 1)
    // The least receive buffer is 2,304 bytes: two entries, on Linux too.
    try socket.setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.receiveBuffer, 1)
    let quoted: [UInt8] =
      [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0] + FramePeer.hostAddress + [10, 0, 0, 1]
      + ScriptedPeer.bytes(UInt16(5000)) + [0, 7, 0, 8, 0, 0]
    for _ in 0..<3 {
      for _ in 0..<5 { peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, quoted))) }
      var count = 0
      while (try? socket.recvmsg(flags: .errorQueue)) != nil { count += 1 }
      #expect(count == 2)
      _ = socket.takeError()
    }
  }

  @Test("S7 setsockopt(SO_RCVTIMEO) and SO_SNDTIMEO are obeyed as the properties are")
  func timeouts() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    // struct timeval: 0 s, 250,000 us.
    let time: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0x90, 0xD0, 3, 0, 0, 0, 0, 0]
    for name in [SocketOptionName.receiveTimeoutOld, SocketOptionName.receiveTimeoutNew] {
      open.socket.receiveTimeout = nil
      // Safe: a byte has no padding.
      try open.socket.setsockopt(
        level: SocketOptionLevel.socket, name: name, value: unsafe time.span.bytes)
      #expect(open.socket.receiveTimeout == .milliseconds(250) && open.socket.sendTimeout == nil)
    }
    for name in [SocketOptionName.sendTimeoutOld, SocketOptionName.sendTimeoutNew] {
      open.socket.sendTimeout = nil
      // Safe: a byte has no padding.
      try open.socket.setsockopt(
        level: SocketOptionLevel.socket, name: name, value: unsafe time.span.bytes)
      #expect(open.socket.sendTimeout == .milliseconds(250))
    }
  }

  @Test("S an option of another protocol is an error that names it")
  func foreignOption() throws {
    let peer = try FramePeer()
    for kind in [SocketKind.udp, .ping] {
      let socket = try peer.host.stack.socket(kind)
      #expect(throws: SocketError("setsockopt(TCP_NODELAY)", .ENOPROTOOPT)) { try socket.setNoDelay(true) }
    }
  }
}
