import SwiftStack
import TestSupport
import Testing

@Suite("T2 T3 T13 what a sender may, and what TCP_INFO tells of it", .everyVariation)
struct SendStateTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  private func errno(_ body: () throws -> Void) -> Errno? {
    do { try body() } catch { return (error as? SocketError)?.errno }
    return nil
  }

  @Test("T2 before ESTABLISHED EAGAIN, not connected EPIPE, a pending error first and once, zero bytes too")
  func order() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    #expect(errno { try socket.send(data(1)) } == .EPIPE)
    try? socket.connect(to: ScriptedPeer.address)
    #expect(errno { try socket.send(data(1)) } == .EAGAIN)
    #expect(errno { try socket.send([]) } == .EAGAIN)
    let syn = try #require(peer.next())
    peer.hostPort = syn.sourcePort
    peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 1,
      options: [2, 4, 5, 0xB4])
    _ = peer.all()
    #expect(try socket.send([]) == 0)
    #expect(peer.all().isEmpty)
    try socket.shutdown(write: true)
    peer.send(0x04, sequence: Variation.current.peerSequence &+ 1)
    #expect(errno { try socket.send(data(1)) } == .ECONNRESET)
    #expect(errno { try socket.send(data(1)) } == .EPIPE)
  }

  @Test("T3 writable again when a third of the buffer is free, not before (sk_stream_is_writeable)")
  func third() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.sendBuffer, 100_000) }
    for _ in 0..<100 where errno({ try open.socket.send(data(65_536)) }) != nil { break }
    #expect(!open.socket.readiness.contains(.writable))
    var wakeUps = 0
    for _ in 0..<400 {
      let info = try #require(open.socket.tcpInfo)
      let isFree = info.sendBuffer - info.writeQueuedMemory >= info.writeQueuedMemory / 2
      #expect(open.socket.readiness.contains(.writable) == isFree)
      if isFree { wakeUps += 1 }
      _ = open.takeData()
      open.acknowledge()
      if info.writeQueuedMemory == 0 { break }
      open.peer.advance(.milliseconds(1))
    }
    #expect(wakeUps > 1)
    #expect(open.socket.tcpInfo?.writeQueuedMemory == 0)
  }

  @Test(
    "T13 application-limited: so marked while there is less than a segment to send (tcp_rate_check_app_limited)"
  )
  func applicationLimited() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(1))
    open.peer.advance(.milliseconds(10))
    _ = open.takeData()
    open.acknowledge()
    #expect(open.socket.tcpInfo?.isApplicationLimited == true)
    // Ten times its window at once: the window is the limit.
    var left = 400_000
    for _ in 0..<200 where left > 0 {
      if let count = try? open.socket.send(data(min(left, 100_000))) { left -= count }
      open.peer.advance(.milliseconds(10))
      _ = open.takeData()
      open.acknowledge()
    }
    #expect(left == 0)
    #expect(open.socket.tcpInfo?.isApplicationLimited == false)
    #expect((open.socket.tcpInfo?.deliveryBytesPerSecond ?? 0) > 14_600 * 90)
  }

  @Test("T13 busy time runs while data waits or is in flight, and stops when all is acknowledged")
  func busy() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.peer.advance(.seconds(5))
    #expect(open.socket.tcpInfo?.busyTime == .zero)
    try open.socket.send(data(100))
    open.peer.advance(.milliseconds(100))
    open.acknowledge(open.acknowledgment &+ 100)
    open.peer.advance(.seconds(10))
    #expect(open.socket.tcpInfo?.busyTime == .milliseconds(100))
    #expect(open.socket.tcpInfo?.receiveWindowLimitedTime == .zero)
    // Held by the peer's window.
    open.window = 0
    open.acknowledge()
    try open.socket.send(data(100))
    open.peer.advance(.milliseconds(150))
    #expect(open.socket.tcpInfo?.receiveWindowLimitedTime == .milliseconds(150))
    #expect(open.socket.tcpInfo?.busyTime == .milliseconds(250))
  }

  @Test(
    "T13 what has been sent: TcpOutSegs and tcpi_segs_out by segment, data_segs_out and bytes_sent with payload only"
  )
  func counts() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let before = open.peer.counter("TcpOutSegs")
    let segments = try #require(open.socket.tcpInfo).segmentsOut
    try open.socket.send(data(5 * 1460))
    #expect(open.peer.all().count == 5)
    #expect(open.peer.counter("TcpOutSegs") == before + 5)
    #expect(open.peer.counter("TcpExtTCPOrigDataSent") == 5)
    // Sent again: counted as that and not as OutSegs.
    let again = open.peer.timeline(for: .milliseconds(3500)) { _ in
      open.acknowledge(open.acknowledgment &+ 5 * 1460)
    }
    #expect(again.count == 1)
    #expect(open.peer.counter("TcpOutSegs") == before + 5)
    #expect(open.peer.counter("TcpRetransSegs") == 1)
    open.send([1])
    open.peer.advance(.seconds(1))
    _ = open.peer.all()
    #expect(open.peer.counter("TcpOutSegs") == before + 6)
    let info = try #require(open.socket.tcpInfo)
    #expect(info.segmentsOut == segments + 7)
    #expect(info.dataSegmentsOut == 6)
    #expect(info.bytesSent == 6 * 1460)
    #expect(info.bytesRetransmitted == 1460)
    #expect(info.bytesAcknowledged == 5 * 1460 + 1)
    #expect(info.totalRetransmissions == 1)
  }

  @Test("R TCP_WINDOW_CLAMP on an open connection: the offer goes no further, and never back")
  func windowClamp() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.set(Option.windowClamp, 5000)
    var edge: UInt32 = 0
    var window = 0
    for _ in 0..<100 {
      open.send(data(1000))
      _ = try open.socket.receive(upTo: 10_000)
      open.peer.advance(.milliseconds(250))
      let last = try #require(open.peer.all().last)
      let right = last.acknowledgment &+ UInt32(last.window)
      #expect(edge == 0 || right &- edge < 1 << 31)
      edge = right
      window = Int(last.window)
    }
    #expect(window <= 5000 && window >= 3000)
    try open.socket.set(Option.windowClamp, 20_000)
    for _ in 0..<100 {
      open.send(data(1000))
      _ = try open.socket.receive(upTo: 10_000)
      open.peer.advance(.milliseconds(250))
      window = Int(try #require(open.peer.all().last).window)
    }
    #expect(window > 5000 && window <= 20_000)
  }
}
