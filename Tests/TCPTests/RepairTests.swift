import SwiftStack
import TestSupport
import Testing

/// What a connection is made of, as a program reads it in repair mode and sets it in another stack.
struct MovedConnection {
  enum Queue: Int32 { case none, receive, send }

  var local: SocketAddress
  var remote: SocketAddress
  var sendSequence: UInt32 = 0
  var receiveSequence: UInt32 = 0
  /// Sent and not acknowledged, and written and not sent.
  var sent: [UInt8] = []
  var unsent: [UInt8] = []
  var unread: [UInt8] = []
  var window: [UInt8]
  var timestamp: Int32
  var info: TCPInfo

  static func int(_ socket: Socket, _ name: Int32) throws -> Int32 {
    try socket.getsockopt(level: 6, name: name, maximum: 4).reversed().reduce(0) { $0 << 8 | Int32($1) }
  }
  static func set(_ socket: Socket, _ name: Int32, _ value: [UInt8]) throws(SocketError) {
    // Safe: a byte has no padding.
    try socket.setsockopt(level: 6, name: name, value: unsafe value.span.bytes)
  }
  static func words(_ values: [UInt32]) -> [UInt8] {
    values.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) } }
  }
  static func choose(_ socket: Socket, _ queue: Queue) throws {
    try socket.setsockopt(level: 6, name: 20, queue.rawValue)
  }

  /// Takes a connection out of its stack, without a word to its peer.
  init(takenFrom socket: Socket) throws {
    local = try socket.localAddress
    remote = try socket.remoteAddress
    try socket.setsockopt(level: 6, name: 19, 1)
    info = try #require(socket.tcpInfo)
    try Self.choose(socket, .send)
    sendSequence = UInt32(bitPattern: try Self.int(socket, 21))
    let all = try socket.receive(upTo: 100_000, flags: .peek)
    sent = Array(all.prefix(all.count - info.notSentByteCount))
    unsent = Array(all.suffix(info.notSentByteCount))
    try Self.choose(socket, .receive)
    receiveSequence = UInt32(bitPattern: try Self.int(socket, 21))
    if info.receiveQueue > 0 { unread = try socket.receive(upTo: 100_000, flags: .peek) }
    window = try socket.getsockopt(level: 6, name: 29, maximum: 20)
    timestamp = try Self.int(socket, 24)
    socket.close()
  }

  /// Puts it into another stack.
  ///
  /// - Parameter keys: for TCP-AO, `struct tcp_ao_add` each.
  func put(into stack: Stack, keys: [[UInt8]] = []) throws -> Socket {
    let socket = try stack.socket(.tcp)
    socket.isNonBlocking = true
    for key in keys { try socket.authenticate(key) }
    try socket.setsockopt(level: 6, name: 19, 1)
    try socket.bind(to: local)
    try Self.choose(socket, .send)
    let first = sendSequence &- UInt32(sent.count + unsent.count)
    try socket.setsockopt(level: 6, name: 21, Int32(bitPattern: first))
    try Self.choose(socket, .receive)
    try socket.setsockopt(level: 6, name: 21, Int32(bitPattern: receiveSequence &- UInt32(unread.count)))
    try socket.connect(to: remote)
    var options: [UInt32] = [2, UInt32(1460)]
    if info.hasWindowScale { options += [3, UInt32(info.sendWindowScale | info.receiveWindowScale << 16)] }
    if info.hasSACK { options += [4, 0] }
    if info.hasTimestamps { options += [8, 0] }
    try Self.set(socket, 22, Self.words(options))
    if !unread.isEmpty { #expect(try socket.send(unread) == unread.count) }
    try Self.choose(socket, .send)
    if !sent.isEmpty { #expect(try socket.send(sent) == sent.count) }
    try Self.set(socket, 29, window)
    try socket.setsockopt(level: 6, name: 24, timestamp)
    return socket
  }
}

@Suite("TCP_REPAIR", .everyVariation)
struct RepairTests {
  private static let options: [UInt8] = [2, 4, 5, 0xB4, 3, 3, 7, 1, 4, 2, 1, 1]
  private static func data(_ range: Range<Int>) -> [UInt8] { range.map { UInt8($0 % 251) } }

  /// A connection with bytes in every queue: 1,000 to 3,000 of the stack's are on their way, 5 of the peer's not read.
  private func busy(window: UInt16 = 65535) throws -> ScriptedConnection {
    let peer = try ScriptedPeer()
    let connection = try ScriptedConnection(
      peer: peer, window: window, options: Self.options, timestamps: true, rtt: .milliseconds(30))
    #expect(try connection.socket.send(Self.data(0..<3000)) == 3000)
    _ = peer.all()
    connection.acknowledge(connection.acknowledgment &+ 1000)
    connection.send([1, 2, 3, 4, 5, 6, 7])
    #expect(try connection.socket.receive(upTo: 2) == [1, 2])
    peer.advance(.milliseconds(50))
    _ = peer.all()
    return connection
  }

  @Test("T7 a send to the receive queue of more than a packet holds goes in several")
  func longQueue() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.setsockopt(level: 6, name: 19, 1)
    try MovedConnection.choose(open.socket, .receive)
    open.socket.isNonBlocking = true
    let before = try MovedConnection.int(open.socket, 21)
    #expect(try open.socket.send([UInt8](repeating: 7, count: 2 << 20)) == 2 << 20)
    #expect(try MovedConnection.int(open.socket, 21) &- before == 2 << 20)
  }

  @Test(
    "T7 a live connection moves to another stack: nobody tells the peer, every byte arrives once, both ways")
  func moves() throws {
    let old = try busy()
    let moved = try MovedConnection(takenFrom: old.socket)
    old.peer.advance(.seconds(5))
    #expect(old.peer.all().isEmpty)
    #expect(old.peer.host.stack.socketReports.isEmpty)
    #expect(moved.sent == Self.data(1000..<3000) && moved.unread == [3, 4, 5, 6, 7])
    #expect(moved.sendSequence == old.acknowledgment &+ 2000 && moved.receiveSequence == old.sequence)

    let peer = try ScriptedPeer(port: moved.remote.port, hostPort: moved.local.port, seed: 2)
    let socket = try moved.put(into: peer.host.stack)
    #expect(peer.all().isEmpty, "nothing is sent in repair mode")
    #expect(socket.tcpInfo?.state == .established && socket.tcpInfo?.unacknowledged == 2)
    #expect(try socket.getsockopt(level: 6, name: 29, maximum: 20) == moved.window)
    #expect(socket.tcpInfo?.bytesSent == 0 && socket.tcpInfo?.smoothedRTT == .zero)
    try socket.setsockopt(level: 6, name: 19, 0)
    let probe = try #require(peer.next())
    #expect(probe.flags == 0x10 && probe.payload.isEmpty)
    #expect(probe.sequence == old.acknowledgment &- 1 && probe.acknowledgment == old.sequence)
    #expect(probe.timestamps?.value == UInt32(bitPattern: moved.timestamp))
    #expect(peer.host.counter("TcpExtTCPWinProbe") == 1)
    #expect(try socket.receive(upTo: 100) == [3, 4, 5, 6, 7])

    // The data on its way is sent again by the timer, from now on.
    peer.advance(.milliseconds(2900))
    #expect(peer.all().isEmpty)
    peer.advance(.milliseconds(200))
    let again = try #require(peer.next())
    #expect(again.sequence == old.acknowledgment && again.payload.prefix(10) == Self.data(1000..<1010)[...])
    var echo = again.timestamps?.value ?? 0
    func send(_ acknowledgment: UInt32, _ payload: [UInt8] = []) {
      peer.send(
        0x10, sequence: old.sequence, acknowledgment: acknowledgment,
        options: [1, 1, 8, 10] + ScriptedPeer.bytes(old.timestamp &+ 500) + ScriptedPeer.bytes(echo),
        payload: payload)
    }
    send(old.acknowledgment &+ 2000, [8, 9])
    #expect(socket.tcpInfo?.unacknowledged == 0)
    #expect(try socket.receive(upTo: 100) == [8, 9])
    #expect(try socket.send([100, 101]) == 2)
    let fresh = try #require(peer.all().last)
    #expect(fresh.payload == [100, 101] && fresh.sequence == old.acknowledgment &+ 2000)
    echo = fresh.timestamps?.value ?? 0
    // The window is scaled as it was.
    #expect(Int(fresh.window) << 7 <= 200_000 && socket.tcpInfo?.hasSACK == true)
    socket.close()
    #expect(peer.next()?.flags == 0x11)
  }

  @Test("T7 what was queued in repair mode gives no round-trip time when it is acknowledged")
  func noSample() throws {
    let old = try busy()
    let moved = try MovedConnection(takenFrom: old.socket)
    let peer = try ScriptedPeer(port: moved.remote.port, hostPort: moved.local.port, seed: 2)
    var untimed = moved
    untimed.info.hasTimestamps = false
    let socket = try untimed.put(into: peer.host.stack)
    // -1: no probe.
    try socket.setsockopt(level: 6, name: 19, -1)
    #expect(peer.all().isEmpty)
    peer.advance(.milliseconds(700))
    peer.send(0x10, sequence: old.sequence, acknowledgment: old.acknowledgment &+ 2000)
    #expect(socket.tcpInfo?.unacknowledged == 0)
    #expect(socket.tcpInfo?.smoothedRTT == .zero)
    _ = try socket.send([1])
    peer.advance(.milliseconds(40))
    _ = peer.all()
    peer.send(0x10, sequence: old.sequence, acknowledgment: old.acknowledgment &+ 2001)
    #expect(socket.tcpInfo?.smoothedRTT == .milliseconds(40))
  }

  @Test("T7 what was written and not sent is not sent by repair either, and goes after it")
  func unsent() throws {
    let peer = try ScriptedPeer()
    let connection = try ScriptedConnection(peer: peer, window: 2000, options: Self.options, timestamps: true)
    let taken = try connection.socket.send(Self.data(0..<5000))
    _ = peer.all()
    let moved = try MovedConnection(takenFrom: connection.socket)
    #expect(!moved.unsent.isEmpty)
    #expect(moved.sent + moved.unsent == Self.data(0..<taken))
    let other = try ScriptedPeer(port: moved.remote.port, hostPort: moved.local.port, seed: 2)
    let socket = try moved.put(into: other.host.stack)
    try socket.setsockopt(level: 6, name: 19, -1)
    #expect(try socket.send(moved.unsent) == moved.unsent.count)
    other.send(
      0x10, sequence: connection.sequence,
      acknowledgment: connection.acknowledgment &+ UInt32(moved.sent.count),
      options: [1, 1, 8, 10] + ScriptedPeer.bytes(connection.timestamp) + [0, 0, 0, 1])
    let bytes = other.all().flatMap(\.payload)
    #expect(bytes.starts(with: moved.unsent.prefix(1000)))
  }

  private func errno(_ body: () throws -> Void) -> Errno? {
    do { try body() } catch { return (error as? SocketError)?.errno }
    return nil
  }

  @Test(
    "T7 errors: privileges, states, queues that are not chosen or not empty, options and windows that cannot be"
  )
  func errors() throws {
    let connection = try busy()
    let socket = connection.socket
    #expect(errno { try socket.setsockopt(level: 6, name: 20, 1) } == .EPERM)
    #expect(errno { _ = try MovedConnection.int(socket, 20) } == .EINVAL)
    #expect(errno { try socket.setsockopt(level: 6, name: 24, 1) } == .EPERM)
    #expect(errno { try socket.setsockopt(level: 6, name: 19, 2) } == .EINVAL)
    #expect(errno { _ = try socket.getsockopt(level: 6, name: 29, maximum: 20) } == .EPERM)
    #expect(errno { try MovedConnection.set(socket, 22, MovedConnection.words([4, 0])) } == .EINVAL)
    try socket.setsockopt(level: 6, name: 19, 1)
    #expect(try MovedConnection.int(socket, 19) == 1 && MovedConnection.int(socket, 20) == 0)
    #expect(errno { _ = try MovedConnection.int(socket, 21) } == .EINVAL)
    #expect(errno { try socket.setsockopt(level: 6, name: 20, 3) } == .EINVAL)
    #expect(errno { _ = try socket.receive(upTo: 10) } == .EPERM)
    #expect(errno { _ = try socket.receive(upTo: 10, flags: .peek) } == .EINVAL)
    #expect(errno { _ = try socket.send([1]) } == .EINVAL)
    // Open, and it has sent: neither numbers nor options can be set.
    try MovedConnection.choose(socket, .send)
    #expect(errno { try socket.setsockopt(level: 6, name: 21, 5) } == .EPERM)
    #expect(errno { try MovedConnection.set(socket, 22, MovedConnection.words([4, 0])) } == .EPERM)
    var window = try socket.getsockopt(level: 6, name: 29, maximum: 20)
    #expect(window.count == 20)
    #expect(errno { try MovedConnection.set(socket, 29, Array(window.dropLast())) } == .EINVAL)
    // The largest window is below the window.
    window.replaceSubrange(8..<12, with: [0, 0, 0, 0])
    #expect(errno { try MovedConnection.set(socket, 29, window) } == .EINVAL)
    let stack = connection.peer.host.stack
    let listener = try stack.socket(.tcp)
    try listener.listen()
    #expect(errno { try listener.setsockopt(level: 6, name: 19, 1) } == .EPERM)
    let fresh = try stack.socket(.tcp)
    try fresh.setsockopt(level: 6, name: 19, 1)
    #expect(errno { try fresh.setsockopt(level: 6, name: 21, 5) } == .EINVAL)
    #expect(errno { try MovedConnection.set(fresh, 22, MovedConnection.words([4, 0])) } == .EPERM)
    let moved = try MovedConnection(takenFrom: socket)
    let other = try moved.put(into: stack)
    #expect(
      errno { try MovedConnection.set(other, 22, MovedConnection.words([3, 15])) } == Errno(rawValue: 27))
    #expect(errno { try MovedConnection.set(other, 22, MovedConnection.words([4, 1])) } == .EINVAL)
    #expect(errno { try MovedConnection.set(other, 22, MovedConnection.words([8, 1])) } == .EINVAL)
  }

  @Test("T7 taken apart, a connection in repair mode sends no reset, and tells its owner ECONNABORTED")
  func disconnected() throws {
    let connection = try busy()
    try connection.socket.setsockopt(level: 6, name: 19, 1)
    try connection.socket.disconnect()
    #expect(connection.peer.all().isEmpty)
    #expect(connection.socket.takeError() == .ECONNABORTED)
  }
}
