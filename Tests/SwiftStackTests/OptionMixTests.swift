import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Options together, and in states that no program means them for: what a kernel (6.18) makes of it. The oracle's scripts
/// `mixed-*.txt` ask it.
@Suite struct OptionMixTests: LoopbackPrograms {
  let simulated = try! SimulatedStack()

  private func receiver(_ sizes: [Int]) throws -> Socket {
    let (receiver, sender) = (try socket(.udp), try socket(.udp))
    try receiver.bind(to: Self.at(5000))
    for size in sizes { try sender.send([UInt8](repeating: UInt8(size), count: size), to: Self.at(5000)) }
    wait()
    return receiver
  }

  // MARK: SO_PEEK_OFF

  @Test("R6 SO_PEEK_OFF: a peek sees an empty datagram once, and then what is behind it")
  func peekBehindEmpty() throws {
    let socket = try receiver([0, 20])
    try socket.setsockopt(level: 1, name: SocketOptionName.peekOffset, 0)
    #expect(try socket.recvmsg(upTo: 10, flags: .peek).byteCount == 0)
    #expect(try socket.recvmsg(upTo: 10, flags: .peek).byteCount == 10)
    #expect(try value(socket, 1, SocketOptionName.peekOffset) == 10)
    #expect(try socket.recvmsg(upTo: 100, flags: .peek).byteCount == 10)
    #expect(errno { () throws(SocketError) in _ = try socket.recvmsg(upTo: 9, flags: .peek) } == .EAGAIN)
    // Without the option it is always the first.
    try socket.setsockopt(level: 1, name: SocketOptionName.peekOffset, -1)
    #expect(try socket.recvmsg(upTo: 10, flags: .peek).byteCount == 0)
    #expect(try socket.recvmsg(upTo: 10).byteCount == 0)
    #expect(try socket.recvmsg(upTo: 10).byteCount == 10)
  }

  @Test("R6 SO_PEEK_OFF: a peek of a longer datagram than the first has room for it")
  func peekLonger() throws {
    let socket = try receiver([5, 50])
    try socket.setsockopt(level: 1, name: SocketOptionName.peekOffset, 5)
    let message = try socket.recvmsg(upTo: 100, flags: .peek)
    #expect(message.bytes == [UInt8](repeating: 50, count: 50) && !message.flags.contains(.truncate))
  }

  @Test("R6 SO_PEEK_OFF of a listener is its children's, and a disconnect ends it")
  func peekOffsetOfChild() throws {
    let (_, server) = try stream { try $0.setsockopt(level: 1, name: SocketOptionName.peekOffset, 5) }
    #expect(try value(server, 1, SocketOptionName.peekOffset) == 5)
    try server.disconnect()
    #expect(try value(server, 1, SocketOptionName.peekOffset) == -1)
  }

  // MARK: Of SOL_SOCKET

  @Test("S7 SO_RCVLOWAT: a buffer that nobody has fixed grows until its window holds it")
  func lowWaterGrowsBuffer() throws {
    let (client, server) = try stream {
      try $0.setsockopt(level: 1, name: SocketOptionName.receiveLowWater, 100_000)
    }
    #expect(try value(server, 1, SocketOptionName.receiveBuffer) == 200_000)
    #expect(try value(client, 1, SocketOptionName.receiveBuffer) == 131_072)
    let clamp = try value(client, 6, TCPOptionName.windowClamp)
    #expect(clamp <= 65_536)
    try client.setsockopt(level: 1, name: SocketOptionName.receiveLowWater, 10)
    #expect(try value(client, 1, SocketOptionName.receiveBuffer) == 131_072)
    try client.setsockopt(level: 1, name: SocketOptionName.receiveLowWater, 70_000)
    #expect(try value(client, 1, SocketOptionName.receiveBuffer) == 140_000)
    #expect(try value(client, 6, TCPOptionName.windowClamp) == 70_000)
    try client.setsockopt(level: 1, name: SocketOptionName.receiveBuffer, 5000)
    try client.setsockopt(level: 1, name: SocketOptionName.receiveLowWater, 70_000)
    #expect(try value(client, 1, SocketOptionName.receiveBuffer) == 10_000)
    #expect(try value(client, 1, SocketOptionName.receiveLowWater) == 5000)
  }

  @Test("S7 SO_RCVLOWAT: a fixed buffer stays, also where segments waste so much that its half does not fit")
  func lowWaterKeepsFixedBuffer() throws {
    let (fixed, free) = try stream()
    try fixed.setsockopt(level: 1, name: SocketOptionName.receiveBuffer, 5000)
    for (socket, peer) in [(fixed, free), (free, fixed)] {
      try peer.send([UInt8](repeating: 1, count: 600))
      wait()
      let space = try value(socket, 1, SocketOptionName.receiveBuffer)
      try socket.setsockopt(level: 1, name: SocketOptionName.receiveLowWater, space / 2)
      let grown = try value(socket, 1, SocketOptionName.receiveBuffer)
      #expect(socket === fixed ? grown == 10_000 : grown > space)
    }
  }

  @Test(
    "S3 SO_PEERNAME tells the other end while a connection opens and when it has ended, getpeername() does not"
  )
  func nameOfEnded() throws {
    let (client, server) = try stream()
    let name = try server.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 16)
    client.close()
    wait()
    try server.shutdown(write: true)
    wait()
    #expect(errno { () throws(SocketError) in _ = try server.remoteAddress } == .ENOTCONN)
    #expect(try server.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 16) == name)
    let opening = try socket(.tcp)
    #expect(
      errno { () throws(SocketError) in
        try opening.connect(to: SocketAddress(IPv4Address(10, 0, 0, 77), port: 9))
      }
        == .EINPROGRESS)
    #expect(
      try opening.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 16)[4..<8] == [10, 0, 0, 77])
    try opening.disconnect()
    #expect(
      errno { () throws(SocketError) in
        _ = try opening.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 16)
      }
        == .ENOTCONN)
  }

  @Test("S7 SIOCINQ, SIOCOUTQ, SIOCOUTQNSD and SIOCATMARK of a stream")
  func queuesOfStream() throws {
    let (client, server) = try stream()
    try client.send([1, 2, 3, 4, 5])
    try client.send([6, 7, 8], flags: .outOfBand)
    try client.send([9, 10])
    wait()
    #expect(try server.ioctl(.unread) == 7 && server.ioctl(.atMark) == 0)
    #expect(try server.receive(upTo: 100).count == 7)
    #expect(try server.ioctl(.unread) == 0 && server.ioctl(.atMark) == 1)
    try server.setsockopt(level: 1, name: SocketOptionName.outOfBandInline, 1)
    #expect(try server.ioctl(.unread) == 3 && server.ioctl(.atMark) == 1)
    #expect(try server.receive(upTo: 1) == [8])
    #expect(try server.ioctl(.unread) == 2 && server.ioctl(.atMark) == 0)
    try server.setsockopt(level: 6, name: TCPOptionName.cork, 1)
    try server.send([1, 2, 3])
    #expect(try server.ioctl(.unacknowledged) == 3 && server.ioctl(.unsent) == 3)
    try server.setsockopt(level: 6, name: TCPOptionName.cork, 0)
    #expect(try server.ioctl(.unsent) == 0)
    wait()
    #expect(try server.ioctl(.unacknowledged) == 0)
  }

  @Test("S7 SIOCOUTQ counts what the peer has not acknowledged, SIOCOUTQNSD what has not been sent")
  func queuesOfSilentPeer() throws {
    let connection = try ScriptedConnection(peer: ScriptedPeer())
    let socket = connection.socket
    try socket.send([1, 2, 3, 4, 5])
    #expect(connection.takeData() == [1, 2, 3, 4, 5])
    #expect(try socket.ioctl(.unacknowledged) == 5 && socket.ioctl(.unsent) == 0)
    try socket.setsockopt(level: 6, name: TCPOptionName.cork, 1)
    try socket.send([6, 7])
    #expect(try socket.ioctl(.unacknowledged) == 7 && socket.ioctl(.unsent) == 2)
    connection.acknowledge()
    #expect(try socket.ioctl(.unacknowledged) == 2 && socket.ioctl(.unsent) == 2)
  }

  @Test(
    "S7 SIOCINQ and the rest: a listener has no queues, a datagram socket no mark, an echo socket nothing")
  func queuesOfOthers() throws {
    let listener = try socket(.tcp)
    try listener.bind(to: Self.at(7000))
    try listener.listen()
    #expect(errno { () throws(SocketError) in _ = try listener.ioctl(.unread) } == .EINVAL)
    #expect(errno { () throws(SocketError) in _ = try listener.ioctl(.unacknowledged) } == .EINVAL)
    #expect(try listener.ioctl(.atMark) == 0)
    let datagrams = try receiver([0, 9])
    #expect(try datagrams.ioctl(.unread) == 0 && datagrams.ioctl(.unacknowledged) == 0)
    _ = try datagrams.recvmsg(upTo: 1)
    #expect(try datagrams.ioctl(.unread) == 9)
    #expect(errno { () throws(SocketError) in _ = try datagrams.ioctl(.atMark) } == .ENOTTY)
    let echo = try socket(.ping)
    #expect(errno { () throws(SocketError) in _ = try echo.ioctl(.unread) } == .ENOTTY)
    let opening = try socket(.tcp)
    try? opening.connect(to: SocketAddress(IPv4Address(10, 0, 0, 77), port: 9))
    #expect(try opening.ioctl(.unacknowledged) == 0 && opening.ioctl(.unsent) == 0)
  }

  // MARK: Of datagrams

  @Test("U2 a datagram that is collected goes where its socket is connected to meanwhile")
  func connectWhileCollecting() throws {
    let (first, second, sender) = (try socket(.udp), try socket(.udp), try socket(.udp))
    try first.bind(to: Self.at(5001))
    try second.bind(to: Self.at(5002))
    try sender.connect(to: Self.at(5001))
    try sender.send([1, 2], flags: .more)
    try sender.connect(to: Self.at(5002))
    try sender.send([3])
    wait()
    #expect(errno { () throws(SocketError) in _ = try first.receive(upTo: 9) } == .EAGAIN)
    #expect(try second.receive(upTo: 9) == [1, 2, 3])
  }

  @Test("U4 SO_BROADCAST is asked for when the way is looked up: who is connected goes on without")
  func broadcastOfConnected() throws {
    let sender = try socket(.udp)
    let everybody = SocketAddress(IPv4Address(127, 255, 255, 255), port: 5001)
    #expect(errno { () throws(SocketError) in try sender.connect(to: everybody) } == .EACCES)
    try sender.setBroadcast(true)
    try sender.connect(to: everybody)
    try sender.setBroadcast(false)
    #expect(try sender.send([1]) == 1)
    #expect(errno { () throws(SocketError) in _ = try sender.send([1], to: everybody) } == .EACCES)
  }

  @Test("S6 IP_PKTINFO beside an error: what it is about was for nobody here")
  func packetInfoOfError() throws {
    let sender = try socket(.udp)
    try sender.setsockopt(level: 0, name: IPOptionName.receiveErrors, 1)
    try sender.setsockopt(level: 0, name: IPOptionName.packetInfo, 1)
    try sender.send([1], to: Self.at(5009))
    wait()
    let message = try sender.recvmsg(upTo: 9, flags: .errorQueue)
    #expect(message.control.error?.errno == .ECONNREFUSED)
    #expect(message.control.specificDestination == .any)
  }

  // MARK: From one connection to the next

  @Test(
    "T8 a disconnect, and the end of a listener, takes TCP_MAXSEG, TCP_WINDOW_CLAMP and TCP_QUICKACK 0 away")
  func disconnectForgets() throws {
    let socket = try socket(.tcp)
    func ask() throws {
      try socket.setsockopt(level: 6, name: TCPOptionName.maximumSegment, 600)
      try socket.setsockopt(level: 6, name: TCPOptionName.windowClamp, 5000)
      try socket.setsockopt(level: 6, name: TCPOptionName.quickAck, 0)
    }
    try ask()
    try? socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 77), port: 9))
    // Not those of the connection that they were meant for.
    #expect(try value(socket, 6, TCPOptionName.windowClamp) == 5000)
    #expect(try value(socket, 6, TCPOptionName.quickAck) == 0)
    try socket.disconnect()
    // What the last connection came to, as it is.
    #expect(try value(socket, 6, TCPOptionName.maximumSegment) == 588)
    #expect(try value(socket, 6, TCPOptionName.windowClamp) == 0)
    #expect(try value(socket, 6, TCPOptionName.quickAck) == 1)
    try ask()
    try socket.bind(to: Self.at(7000))
    try socket.listen()
    #expect(try value(socket, 6, TCPOptionName.windowClamp) == 5000)
    try socket.shutdown(read: true)
    #expect(try value(socket, 6, TCPOptionName.windowClamp) == 0)
  }

  @Test("T1 TCP_DEFER_ACCEPT is the listener's, not its children's")
  func deferAcceptOfChild() throws {
    let (listener, client) = (try socket(.tcp), try socket(.tcp))
    try listener.setsockopt(level: 6, name: TCPOptionName.deferAccept, 5)
    try listener.bind(to: Self.at(7000))
    try listener.listen()
    try? client.connect(to: Self.at(7000))
    wait()
    try client.send([1])
    wait()
    #expect(try value(listener.accept(), 6, TCPOptionName.deferAccept) == 0)
  }
}
