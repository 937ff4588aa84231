import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.8.6, RFC 7323 2 the window that is offered", .everyVariation)
struct ReceiveWindowTests {
  private func syn(_ configure: (Socket) throws -> Void = { _ in }) throws -> ScriptedSegment {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try configure(socket)
    try? socket.connect(to: ScriptedPeer.address)
    return try #require(peer.next())
  }

  @Test("R the first window is whole segments: 44 of 1460, or 45 of 1448 beside timestamps")
  func firstWindow() throws {
    #expect(try syn().window == 64240)
    let listening = try ListeningPeer()
    #expect(try listening.open().window == 64240)
    listening.peer.port = 7001
    let stamped = try listening.open(options: [3, 3, 7, 1, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0])
    #expect(stamped.window == 65160)
    #expect(stamped.option(3) == [windowScale])
  }

  /// For `tcp_rmem`'s largest buffer.
  private var windowScale: UInt8 {
    var scale: UInt8 = 0
    while NetSettings().tcpReadMemory.most >> Int(scale) > 65535 { scale += 1 }
    return scale
  }

  @Test("R SO_RCVBUF before connect or listen bounds the first window and its scale")
  func fixedBuffer() throws {
    #expect(try syn().option(3) == [windowScale])
    let bounded = try syn { try $0.setsockopt(level: 1, name: 8, 20000) }
    #expect(bounded.window == 18980)
    #expect(bounded.option(3) == [0])
    let listening = try ListeningPeer { try $0.setsockopt(level: 1, name: 8, 20000) }
    let answer = try listening.open(options: [3, 3, 7, 1])
    #expect(answer.window == 18980)
    #expect(answer.option(3) == [0])
  }

  @Test("RFC 7323 2.2 no scale without the peer's; a peer's above 14 counts as 14")
  func scales() throws {
    let plain = try ScriptedConnection(peer: ScriptedPeer())
    #expect(try #require(plain.socket.tcpInfo).receiveWindowScale == 0)
    plain.send([1])
    #expect(plain.peer.all().last.map { $0.window > 60000 } == true)
    let huge = try ScriptedConnection(peer: ScriptedPeer(), options: [2, 4, 5, 0xB4, 3, 3, 200, 1])
    huge.window = 1
    huge.acknowledge()
    let info = try #require(huge.socket.tcpInfo)
    #expect(info.sendWindowScale == 14)
    #expect(info.sendWindow == 1 << 14)
  }

  @Test("R the ceiling of the window grows by twice what a segment brings, early ones included")
  func growth() throws {
    for early in [false, true] {
      let open = try ScriptedConnection(
        peer: ScriptedPeer(), options: [2, 4, 5, 0xB4, 3, 3, 7, 1, 4, 2, 1, 1])
      #expect(try #require(open.socket.tcpInfo).receiveSlowStartThreshold == 65536 - 1460)
      try open.socket.setsockopt(level: 1, name: 8, 1 << 20)
      for index in 0..<3 as Range<UInt32> {
        open.peer.send(
          0x10, sequence: open.sequence &+ index * 1460 &+ (early ? 2000 : 0),
          acknowledgment: open.acknowledgment, payload: [UInt8](repeating: 1, count: 1460))
      }
      #expect(try #require(open.socket.tcpInfo).receiveSlowStartThreshold == 65536 - 1460 + 3 * 2920)
    }
  }

  /// A full buffer and a closed window.
  private func full() throws -> ScriptedConnection {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setsockopt(level: 1, name: 8, 20000) }
    var window = 18980
    for _ in 0..<100 where window > 0 {
      open.send([UInt8](repeating: 1, count: min(1460, window)))
      open.peer.advance(.milliseconds(50))
      if let last = open.peer.all().last { window = Int(last.window) }
    }
    #expect(window == 0)
    return open
  }

  @Test("R a bare FIN at a closed window is accepted")
  func finAtClosedWindow() throws {
    let open = try full()
    open.send([], flags: 0x11)
    open.peer.advance(.milliseconds(50))
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    #expect(open.socket.readiness.contains(.readHangup))
    var count = 0
    while let bytes = try? open.socket.receive(upTo: 4096), !bytes.isEmpty { count += bytes.count }
    #expect(count > 10000)
    #expect(try open.socket.receive(upTo: 1).isEmpty)
  }

  @Test("RFC 9293 3.8.6.1 data at a closed window is dropped, counted and answered with the window")
  func dataAtClosedWindow() throws {
    let open = try full()
    let dropped = open.peer.host.counter("TcpExtTCPZeroWindowDrop")
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment, payload: [1])
    let answer = try #require(open.peer.next())
    #expect(answer.acknowledgment == open.sequence)
    #expect(answer.window == 0)
    #expect(open.peer.host.counter("TcpExtTCPZeroWindowDrop") == dropped + 1)
    #expect(open.peer.host.counter("TcpExtTCPToZeroWindowAdv") == 1)
    #expect(open.peer.host.counter("TcpExtTCPFromZeroWindowAdv") == 0)
    while let bytes = try? open.socket.receive(upTo: 65536), !bytes.isEmpty {}
    #expect(open.peer.host.counter("TcpExtTCPFromZeroWindowAdv") == 1)
  }

  @Test("R a bare FIN is accepted where one segment has overfilled the buffer")
  func finAtFullBuffer() throws {
    // The least buffer, a window of 1152 bytes, and a peer that sends a whole segment all the same.
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setsockopt(level: 1, name: 8, 1) }
    open.send([UInt8](repeating: 1, count: 1460))
    _ = open.peer.all()
    open.send([], flags: 0x11)
    open.peer.advance(.milliseconds(50))
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    #expect(open.socket.readiness.contains(.readHangup))
  }

  @Test(
    "RFC 1122 4.2.3.3 no silly window: a reader of crumbs announces a segment or more, or nothing",
    arguments: [false, true])
  func sillyWindow(_ isScaled: Bool) throws {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4] + (isScaled ? [3, 3, 7, 1] : []))
    let scale = try #require(open.socket.tcpInfo).receiveWindowScale
    var window = 18980
    for _ in 0..<200 where window > 0 {
      open.send([UInt8](repeating: 1, count: min(1460, window)))
      open.peer.advance(.milliseconds(50))
      if let last = open.peer.all().last { window = Int(last.window) << scale }
    }
    #expect(window == 0)
    var announced: [Int] = []
    for _ in 0..<10000 {
      guard (try? open.socket.receive(upTo: 10)) != nil else { break }
      announced += open.peer.all().map { Int($0.window) << scale }
    }
    #expect(!announced.isEmpty)
    #expect(announced.count < 20)
    #expect(announced.allSatisfy { $0 >= 1460 })
  }

  @Test(
    "RFC 9293 3.8.6 the right edge of the window never moves back",
    arguments: [UInt64(1), 2])
  func rightEdge(_ seed: UInt64) throws {
    var random = RandomSource(seed: seed &+ Variation.current.seedOffset)
    let isScaled = seed & 1 == 1
    let open = try ScriptedConnection(
      peer: ScriptedPeer(seed: seed), options: [2, 4, 5, 0xB4] + (isScaled ? [3, 3, 7, 1] : []))
    let scale = try #require(open.socket.tcpInfo).receiveWindowScale
    #expect((scale > 0) == isScaled)
    // The handshake's ACK offered more than this.
    var edge = open.sequence &+ 60000
    var window = 65535
    func look() {
      for answer in open.peer.all() {
        let new = answer.acknowledgment &+ UInt32(answer.window) << UInt32(scale)
        #expect(Int32(bitPattern: new &- edge) >= 0)
        edge = new
        window = Int(answer.window)
      }
    }
    func send(_ most: Int) {
      let length = min(Int(edge &- open.sequence), most)
      if length > 0 { open.send([UInt8](repeating: 1, count: length)) }
      look()
    }
    for _ in 0..<1500 {
      switch random.next(below: 4) {
      case 0: _ = try? open.socket.receive(upTo: Int(random.next(below: 1200)))
      case 1: open.peer.advance(.milliseconds(Int64(random.next(below: 50))))
      default: send(Int(random.next(below: 1461)))
      }
      look()
    }
    // Nobody reads any more: it closes, and opens again.
    for _ in 0..<400 where edge != open.sequence {
      send(1460)
      open.peer.advance(.milliseconds(250))
      look()
    }
    #expect(window == 0)
    while let bytes = try? open.socket.receive(upTo: 65536), !bytes.isEmpty {}
    look()
    #expect(window > 0)
  }

  /// Sends one full segment, from which the window's share of the buffer is learnt, and then segments that waste more
  /// memory, until the window is used up; returns the last answer.
  private func wasteful(_ open: ScriptedConnection) throws -> ScriptedSegment {
    open.send([UInt8](repeating: 1, count: 1460))
    var last = try #require(open.peer.all().last)
    while Int(last.window) > 0, last.acknowledgment == open.sequence {
      open.send([UInt8](repeating: 1, count: min(1180, Int(last.window))))
      open.peer.advance(.milliseconds(250))
      if let answer = open.peer.all().last { last = answer }
    }
    return last
  }

  @Test(
    "RFC 9293 3.8.6 a window that was offered is honoured, whatever memory its segments take: the buffer grows"
  )
  func offerHonoured() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let last = try wasteful(open)
    #expect(last.acknowledgment == open.sequence)
    #expect(last.window == 0)
    #expect(open.peer.counter("TcpExtTCPRcvQDrop") == 0)
    #expect(try #require(open.socket.tcpInfo).receiveBuffer > 131_072)
  }

  @Test("R data that finds no memory in a fixed buffer is refused, counted, and closes the window at once")
  func offerTakenBack() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    for _ in 0..<10 { open.send([UInt8](repeating: 1, count: 1460)) }
    open.peer.advance(.milliseconds(250))
    #expect((open.peer.all().last?.window ?? 0) > 1460)
    try open.socket.set(Option.receiveBuffer, 1)
    open.send([UInt8](repeating: 2, count: 1460))
    let refusal = try #require(open.peer.all().last)
    #expect(open.peer.counter("TcpExtTCPRcvQDrop") == 1)
    #expect(refusal.window == 0)
    #expect(refusal.acknowledgment == open.sequence &- 1460)
    try open.socket.set(Option.receiveBuffer, 60_000)
    #expect(try open.socket.receive(upTo: 65536).count == 14600)
    #expect((open.peer.all().last?.window ?? 0) > 1460)
    open.sequence &-= 1460
    open.send([UInt8](repeating: 2, count: 1460))
    #expect(try open.socket.receive(upTo: 65536).count == 1460)
  }

  @Test("R autotuning does not grow the buffer of a reader that does not read")
  func autotuningNeedsReader() throws {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4, 3, 3, 7, 1])
    for _ in 0..<40 {
      open.send([UInt8](repeating: 1, count: 1460))
      open.peer.advance(.milliseconds(10))
    }
    #expect(try #require(open.socket.tcpInfo).receiveBuffer == 131_072)
  }
}

/// Too long for every variation.
@Suite("R the window of a whole transfer")
struct ReceiveAutotuningTests {
  @Test(
    "R receive autotuning: a reader that keeps up gets a buffer for the path, with SO_RCVBUF it keeps its own"
  )
  func autotuning() throws {
    for isFixed in [false, true] {
      let wire = try SimulatedWire(services: false)
      wire.leftToRight.delay = .milliseconds(20)
      wire.rightToLeft.delay = .milliseconds(20)
      let server = try wire.right.stack.socket(.tcp)
      server.isNonBlocking = true
      if isFixed { try server.setsockopt(level: 1, name: 8, 65536) }
      try server.bind(to: SocketAddress(.any, port: 9000))
      try server.listen()
      let client = try wire.left.stack.socket(.tcp)
      client.isNonBlocking = true
      try? client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
      var accepted: Socket?
      wire.run(for: .seconds(5)) {
        accepted = try? server.accept()
        return accepted != nil
      }
      let reader = try #require(accepted)
      reader.isNonBlocking = true
      #expect(try #require(reader.tcpInfo).receiveBuffer == 131_072)
      let chunk = [UInt8](repeating: 1, count: 65536)
      var received = 0
      wire.run(for: .milliseconds(1500)) {
        while (try? client.send(chunk)) ?? 0 > 0 {}
        while let bytes = try? reader.receive(upTo: 1 << 20), !bytes.isEmpty { received += bytes.count }
        return false
      }
      let buffer = try #require(reader.tcpInfo).receiveBuffer
      if isFixed {
        #expect(buffer == 131_072)
        #expect(received < 5 << 20)
      } else {
        #expect(buffer > 1 << 20)
        #expect(received > 10 << 20)
      }
    }
  }

  @Test(
    "R receive autotuning: the buffer grows where segments are so short beside ours that ten of ours exceed the window that their memory leaves"
  )
  func autotuningOfShortSegments() throws {
    var settings = NetSettings()
    settings.tcpTimestamps = false
    let wire = try SimulatedWire(mtu: 9000, services: false, settings: settings)
    wire.leftToRight.delay = .milliseconds(1)
    wire.rightToLeft.delay = .milliseconds(1)
    let listener = try wire.right.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 9000))
    try listener.listen()
    let client = try wire.left.stack.socket(.tcp)
    client.isNonBlocking = true
    try client.setsockopt(level: 6, name: 2, 536)
    try? client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
    var accepted: Socket?
    wire.run(for: .seconds(5)) {
      accepted = try? listener.accept()
      return accepted != nil
    }
    let reader = try #require(accepted)
    reader.isNonBlocking = true
    let chunk = [UInt8](repeating: 1, count: 65536)
    wire.run(for: .milliseconds(200)) {
      while (try? client.send(chunk)) ?? 0 > 0 {}
      while let bytes = try? reader.receive(upTo: 1 << 20), !bytes.isEmpty {}
      return false
    }
    #expect(try #require(reader.tcpInfo).receiveMSS == 536)
    #expect(try #require(reader.tcpInfo).receiveBuffer > 1 << 20)
  }

  @Test("RFC 1122 4.2.3.3 a closed window opens by a segment or a sixteenth of the buffer, not by crumbs")
  func sillyWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: [2, 4, 5, 0xB4, 1, 3, 3, 7])
    let scale = try #require(open.socket.tcpInfo).receiveWindowScale
    try #require(scale > 0)
    var room = 1
    for _ in 0..<1000 where room > 0 {
      open.send([UInt8](repeating: 5, count: min(1460, room)))
      open.peer.advance(.milliseconds(250))
      room = try #require(open.peer.all().last.map { Int($0.window) << scale })
    }
    #expect(room == 0)
    func probed() throws -> UInt16 {
      // Answers to such segments are rate limited.
      open.peer.advance(.seconds(1))
      _ = open.peer.all()
      open.peer.send(0x10, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
      return try #require(open.peer.all().last).window
    }
    // Room for several units of the scale, and less than a segment.
    var read = try open.socket.receive(upTo: 1400).count
    #expect(try probed() == 0)
    while try probed() == 0, read < 1 << 20 { read += try open.socket.receive(upTo: 1460).count }
    #expect(read > 3 * 1460 && read < 1 << 20)
  }

  @Test("RFC 9293 3.8.6 small segments cost more memory than window: the right edge stays all the same")
  func rightEdgeStays() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var edge = open.sequence
    for count in 0..<400 {
      // Not neighbours, so that each is kept by itself.
      open.send([UInt8](repeating: 5, count: 1 + count % 3))
      open.peer.send(
        0x10, sequence: open.sequence &+ 10 &+ UInt32(count * 20), acknowledgment: open.acknowledgment,
        payload: [1])
      for ack in open.peer.all() {
        let right = ack.acknowledgment &+ UInt32(ack.window)
        #expect(Int32(bitPattern: right &- edge) >= 0)
        edge = right
      }
    }
  }
}
