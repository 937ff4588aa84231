import Glibc
import InetSocket
import NetNamespace
import NetTestSupport
import Shard
import SkBuff
import Sockets
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// Messages of several buffers and several messages in one call, as Linux 6.18 has them.
@Suite("S1 vectors and several messages") struct VectorTests {
  private static let place = SocketAddress(SimulatedWire.rightAddress, port: 6000)

  private func datagrams() throws -> (wire: SimulatedWire, sender: Socket, receiver: Socket) {
    let wire = try SimulatedWire()
    let sender = try wire.left.stack.socket(.udp)
    let receiver = try wire.right.stack.socket(.udp)
    receiver.isNonBlocking = true
    sender.isNonBlocking = true
    try receiver.bind(to: SocketAddress(.any, port: 6000))
    return (wire, sender, receiver)
  }
  private func stream() throws -> (wire: SimulatedWire, client: Socket, server: Socket) {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    return (wire, client, server)
  }
  private func settle(_ wire: SimulatedWire) { wire.run(for: .milliseconds(50), until: { false }) }

  @Test("S1 writev: buffers go one behind the other, as one datagram, empty ones too") func gather() throws {
    let (wire, sender, receiver) = try datagrams()
    try sender.connect(to: Self.place)
    #expect(try sender.writev([[1, 2], [], [3], [4, 5, 6]]) == 6)
    // Of nothing no datagram is made.
    #expect(try sender.writev([[], []]) == 0)
    #expect(try sender.sendmsg(MessageHeader(address: Self.place), [[7], [8]]) == 2)
    settle(wire)
    #expect(try receiver.receive(upTo: 100) == [1, 2, 3, 4, 5, 6])
    #expect(try receiver.receive(upTo: 100) == [7, 8])
  }

  @Test("S1 readv: each buffer is filled before the next, what is beyond them is cut") func scatter() throws {
    let (wire, sender, receiver) = try datagrams()
    try sender.send([UInt8](0..<10), to: Self.place)
    settle(wire)
    var rooms: [[UInt8]] = [[0, 0, 0], [], [0, 0, 0, 0]]
    let received = try receiver.readv(into: &rooms)
    #expect(received.byteCount == 7 && received.flags == .truncate)
    #expect(rooms == [[0, 1, 2], [], [3, 4, 5, 6]])
  }

  @Test("S1 a stream's vectors: more than a call takes at once, and MSG_WAITALL over several buffers")
  func long() async throws {
    let (wire, client, server) = try stream()
    let driver = Driver(wire)
    let pieces = (0..<40).map { [UInt8](repeating: UInt8($0), count: 25_001) }
    client.isNonBlocking = false
    server.isNonBlocking = false
    let sending = try Call(blocking: { try? client.writev(pieces) })
    let reading = try Call(blocking: { () -> [[UInt8]] in
      var rooms = [
        [UInt8](repeating: 0, count: 500_000), [UInt8](repeating: 0, count: 20),
        [UInt8](repeating: 0, count: 500_020),
      ]
      let count = (try? server.readv(into: &rooms, flags: .waitAll))?.byteCount
      return count == 1_000_040 ? rooms : []
    })
    #expect(await driver.run(until: { sending.isDone && reading.isDone }))
    #expect(sending.result == 1_000_040)
    let isEqual = reading.result.map { Array($0.joined()) } == Array(pieces.joined())
    #expect(isEqual)
  }

  @Test("S1 1,024 buffers and no more: EMSGSIZE of a message, EINVAL of writev and readv") func limit() throws
  {
    let (wire, sender, receiver) = try datagrams()
    let most = [[UInt8]](repeating: [9], count: 1024)
    let header = MessageHeader(address: Self.place)
    #expect(try sender.sendmsg(header, most) == 1024)
    #expect(throws: SocketError("sendmsg", .EMSGSIZE)) { try sender.sendmsg(header, most + [[1]]) }
    #expect(throws: SocketError("writev", .EINVAL)) { try sender.writev(most + [[1]]) }
    settle(wire)
    var rooms = most + [[0]]
    #expect(throws: SocketError("readv", .EINVAL)) { try receiver.readv(into: &rooms) }
    rooms = most
    #expect(try receiver.readv(into: &rooms).byteCount == 1024)
  }

  @Test(
    "S1 EFAULT: what no process can have comes before all else, what cannot be read when the copy comes to it"
  )
  func faults() throws {
    let (wire, sender, receiver) = try datagrams()
    func send(
      _ socket: Socket, _ header: MessageHeader, _ second: IoVector
    ) throws(SocketError) -> Int {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: 4, alignment: 8)
      defer { unsafe memory.deallocate() }
      unsafe memory.initializeMemory(as: UInt8.self, repeating: 1, count: 4)
      let vectors = [unsafe IoVector(base: memory, byteCount: 4), second]
      return unsafe try vectors.withUnsafeBufferPointer { (vectors) throws(SocketError) in
        unsafe try socket.sendmsg(header, vectors)
      }
    }
    let kernels = unsafe IoVector(base: UnsafeMutableRawPointer(bitPattern: Int.min), byteCount: 1)
    let wraps = unsafe IoVector(base: UnsafeMutableRawPointer(bitPattern: 4096), byteCount: .max)
    let absent = unsafe IoVector(base: nil, byteCount: 3)
    let header = MessageHeader(address: Self.place)
    #expect(throws: SocketError("sendmsg", .EFAULT, Self.place)) { try send(sender, header, absent) }
    #expect(throws: SocketError("sendmsg", .EINVAL)) {
      try send(sender, header, unsafe IoVector(base: nil, byteCount: -1))
    }
    sender.close()
    // Before the socket is looked at; the other after it.
    #expect(throws: SocketError("sendmsg", .EFAULT)) { try send(sender, header, kernels) }
    #expect(throws: SocketError("sendmsg", .EFAULT)) { try send(sender, header, wraps) }
    #expect(throws: SocketError("sendmsg", .EBADF, Self.place)) { try send(sender, header, absent) }
    settle(wire)
    #expect(throws: SocketError("receive", .EAGAIN)) { try receiver.receive(upTo: 10) }
  }

  @Test("S1 EFAULT while a datagram is collected throws all of it away") func corkedFault() throws {
    let (wire, sender, receiver) = try datagrams()
    try sender.connect(to: Self.place)
    try sender.send([1, 2], flags: .more)
    let vectors = [unsafe IoVector(base: nil, byteCount: 3)]
    #expect(throws: SocketError("sendmsg", .EFAULT)) {
      unsafe try vectors.withUnsafeBufferPointer { unsafe try sender.sendmsg(MessageHeader(), $0) }
    }
    try sender.send([3])
    settle(wire)
    #expect(try receiver.receive(upTo: 10) == [3])
  }

  /// So many bytes of a memory that ends behind them, and as many more as are missing.
  private func withHole<Result>(
    _ bytes: [UInt8], missing: Int, _ body: (UnsafeBufferPointer<IoVector>) throws(SocketError) -> Result
  ) throws(SocketError) -> Result {
    let hole = MemoryWithHole(bytes)
    defer { withExtendedLifetime(hole) {} }
    let vectors = [unsafe IoVector(base: hole.base, byteCount: bytes.count + missing)]
    return unsafe try vectors.withUnsafeBufferPointer { (run) throws(SocketError) in unsafe try body(run) }
  }

  private func sendHole(
    _ socket: Socket, _ bytes: [UInt8], missing: Int, _ header: MessageHeader = MessageHeader()
  ) throws(SocketError) -> Int {
    unsafe try withHole(bytes, missing: missing) { (run) throws(SocketError) in
      unsafe try socket.sendmsg(header, run, access: .checked)
    }
  }
  private func fill(_ socket: Socket, _ count: Int, missing: Int) throws(SocketError) -> [UInt8] {
    unsafe try withHole([UInt8](repeating: 0, count: count), missing: missing) { (run) throws(SocketError) in
      let received = unsafe try socket.recvmsg(into: run, access: .checked).byteCount
      return unsafe [UInt8](UnsafeRawBufferPointer(start: run[0].base, count: received))
    }
  }

  @Test("S1 EFAULT of checked memory that is not there: a datagram is thrown away, of a stream the piece")
  func hole() throws {
    let (wire, sender, receiver) = try datagrams()
    let header = MessageHeader(address: Self.place)
    #expect(throws: SocketError("sendmsg", .EFAULT, Self.place)) {
      try sendHole(sender, [1, 2, 3], missing: 1, header)
    }
    #expect(try sendHole(sender, [4, 5, 6], missing: 0, header) == 3)
    settle(wire)
    #expect(try receiver.receive(upTo: 100) == [4, 5, 6])

    let (other, client, server) = try stream()
    #expect(throws: SocketError("sendmsg", .EFAULT)) { try sendHole(client, [1, 2, 3], missing: 5000) }
    // What was copied before the hole in pieces of its own stays, and is counted. The buffer has room for more.
    try client.setsockopt(level: 1, name: SocketOptionName.sendBuffer, 1 << 20)
    let taken = try sendHole(client, [UInt8](repeating: 7, count: 200_000), missing: 100)
    #expect(taken > 0 && taken < 200_000)
    #expect(client.readiness.contains(.writable))
    var received: [UInt8] = []
    for _ in 0..<20 {
      settle(other)
      received += (try? server.receive(upTo: 300_000)) ?? []
    }
    #expect(received == [UInt8](repeating: 7, count: taken))
  }

  @Test("S1 checked memory is summed as it was copied: of a datagram in pieces, and of one that is collected")
  func sumOfChecked() throws {
    let (wire, sender, receiver) = try datagrams()
    try sender.connect(to: Self.place)
    let long = (0..<4001).map { UInt8(truncatingIfNeeded: $0 / 7) }
    #expect(try sendHole(sender, long, missing: 0) == 4001)
    try sender.send([1, 2, 3], flags: .more)
    #expect(try sendHole(sender, [4, 5, 6], missing: 0) == 3)
    settle(wire)
    #expect(try receiver.receive(upTo: 5000) == long)
    #expect(try receiver.receive(upTo: 100) == [1, 2, 3, 4, 5, 6])
  }

  @Test("S1 EFAULT of checked memory that cannot be written: a datagram is lost, a stream's bytes stay")
  func holeToFill() throws {
    let (wire, sender, receiver) = try datagrams()
    try sender.send([1, 2, 3, 4, 5], to: Self.place)
    try sender.send([6, 7], to: Self.place)
    settle(wire)
    #expect(throws: SocketError("recvmsg", .EFAULT)) { try fill(receiver, 2, missing: 10) }
    #expect(try fill(receiver, 2, missing: 10) == [6, 7])

    let (other, client, server) = try stream()
    try client.send([1, 2, 3, 4, 5])
    settle(other)
    #expect(throws: SocketError("recvmsg", .EFAULT)) { try fill(server, 2, missing: 10) }
    #expect(try server.receive(upTo: 10) == [1, 2, 3, 4, 5])
  }

  @Test("S1 a number that is no socket's is ENOTSOCK, one whose socket is gone EBADF") func noSocket() throws
  {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.udp)
    let shard = socket.shard
    let gone = socket.id
    socket.close()
    let others = SocketID(rawValue: 7 << 29 | 1, generation: 1)
    for (id, error) in [(gone, Errno.EBADF), (others, .ENOTSOCK)] {
      #expect(throws: error) { try shard.enter { (state) throws(Errno) in try state.send(id, [1]) } }
      #expect(throws: error) {
        try shard.enter { (state) throws(Errno) in try state.bind(id, to: Self.place) }
      }
      #expect(throws: error) {
        try shard.enter { (state) throws(Errno) in try state.setsockopt(id, level: 1, name: 2, 1) }
      }
      #expect(throws: error) {
        try shard.enter { (state) throws(Errno) in try state.sockets.localAddress(id) }
      }
    }
  }

  @Test("S1 sendmmsg: the bytes of each, an error after the first is nobody's") func sendSeveral() throws {
    let (wire, sender, receiver) = try datagrams()
    let long = [UInt8](repeating: 0, count: 70_000)
    let messages = [[1], [2, 3], [], long, [4]].map { MessageVector([$0], to: Self.place) }
    #expect(try sender.sendmmsg(messages) == [1, 2, 0])
    #expect(throws: SocketError("sendmmsg", .EMSGSIZE, Self.place)) { try sender.sendmmsg([messages[3]]) }
    #expect(try sender.sendmmsg([]) == [])
    #expect(throws: SocketError("sendmmsg", .EDESTADDRREQ)) { try sender.sendmmsg([MessageVector([[1]])]) }
    settle(wire)
    #expect(try receiver.recvmmsg(9).map(\.bytes) == [[1], [2, 3], []])
  }

  @Test("S1 sendmmsg takes 1,024 messages, and no more") func sendMany() throws {
    let (wire, sender, receiver) = try datagrams()
    try sender.setsockopt(level: 1, name: 32, 64 << 20)
    try sender.send([0], to: Self.place)
    settle(wire)
    _ = try receiver.receive(upTo: 1)
    let messages = [MessageVector](repeating: MessageVector([[5]], to: Self.place), count: 2000)
    #expect(try sender.sendmmsg(messages).count == 1024)
  }

  @Test("S1 sendmmsg on a stream stops at a message that is not taken whole") func sendPart() throws {
    let (_, client, _) = try stream()
    client.isNonBlocking = true
    let large = MessageVector([[UInt8](repeating: 0, count: 8 << 20)])
    // One of no bytes would be taken, full as the buffer is.
    let counts = try client.sendmmsg([MessageVector([[1]]), large, MessageVector([[]])])
    #expect(counts.count == 2 && counts[0] == 1 && counts[1] < 8 << 20)
    #expect(try client.sendmmsg([MessageVector([[]])]) == [0])
  }

  @Test("S1 recvmmsg: what is there, MSG_WAITFORONE, and a time that is looked at between messages")
  func receiveSeveral() async throws {
    let (wire, sender, receiver) = try datagrams()
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { try receiver.recvmmsg(3) }
    for byte in UInt8(1)...4 { try await sender.send([byte, byte], to: Self.place) }
    settle(wire)
    #expect(try receiver.recvmmsg(2, upTo: 1).map(\.bytes) == [[1], [2]])
    #expect(try receiver.recvmmsg(9, timeout: .zero).map(\.bytes) == [[3, 3]])
    #expect(try receiver.recvmmsg(9, timeout: .seconds(1)).map(\.bytes) == [[4, 4]])
    receiver.isNonBlocking = false
    let driver = Driver(wire)
    let call = try Call(blocking: { try? receiver.recvmmsg(3, flags: .waitForOne).map(\.bytes) })
    #expect(await driver.run(until: { receiver.isWaitedFor }))
    try await sender.send([6], to: Self.place)
    #expect(await driver.run(until: { call.isDone }))
    #expect(call.result == [[6]])
  }

  @Test("S1 recvmmsg: a pending error comes first; one after a message is the next call's")
  func receiveError()
    throws
  {
    let (wire, sender, receiver) = try datagrams()
    let client = try wire.left.stack.socket(.udp)
    client.isNonBlocking = true
    try client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9999))
    try client.send([1])
    settle(wire)
    #expect(throws: SocketError("recvmmsg", .ECONNREFUSED)) { try client.recvmmsg(3) }
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { try client.recvmmsg(3) }
    for byte in UInt8(1)...3 { try sender.send([byte], to: Self.place) }
    settle(wire)
    wire.right.injectCopyFault(2)
    #expect(try receiver.recvmmsg(3).map(\.bytes) == [[1]])
    #expect(throws: SocketError("receive", .EFAULT)) { try receiver.receive(upTo: 3) }
    #expect(try receiver.receive(upTo: 3) == [3])
  }
}

/// What else ends a send. SIGPIPE is the whole process's: one test at a time.
@Suite("S7 SIGPIPE and interruptions", .serialized) struct BrokenPipeTests {
  @Test("S7 EPIPE raises SIGPIPE where the owner wants it, but with MSG_NOSIGNAL and not of a datagram")
  func signal() throws {
    let wire = try SimulatedWire()
    let (client, _) = try wire.connect()
    // Blocked, so that it waits to be counted.
    var set = sigset_t()
    var old = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGPIPE)
    unsafe pthread_sigmask(SIG_BLOCK, &set, &old)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &old, nil) }
    func isRaised() -> Bool {
      var none = timespec()
      return unsafe sigtimedwait(&set, nil, &none) == SIGPIPE
    }
    try client.shutdown(write: true)
    #expect(throws: SocketError("send", .EPIPE)) { try client.send([1]) }
    #expect(!isRaised())
    client.raisesSIGPIPE = true
    #expect(throws: SocketError("send", .EPIPE)) { try client.send([1]) }
    #expect(isRaised())
    #expect(throws: SocketError("send", .EPIPE)) { try client.send([1], flags: .noSignal) }
    #expect(!isRaised())
    #expect(throws: SocketError("send", .EPIPE)) { try client.send(ExternalMemory(copying: [1])) }
    #expect(isRaised())
    let datagram = try wire.left.stack.socket(.udp)
    datagram.raisesSIGPIPE = true
    let place = SocketAddress(SimulatedWire.rightAddress, port: 9)
    try datagram.connect(to: place)
    try datagram.shutdown(write: true)
    #expect(throws: SocketError("send", .EPIPE)) { try datagram.send([1]) }
    #expect(!isRaised())
  }

  @Test("S7 a send that waits is interrupted: what it took counts, with nothing taken it is EINTR")
  func interruption() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    client.isNonBlocking = false
    // Alive, so that the connection is, and not reading.
    defer { server.close() }
    let driver = Driver(wire)
    let first = try Call(blocking: { try? client.send([UInt8](repeating: 1, count: 16 << 20)) })
    // Until the peer's buffer is full too.
    await driver.run(steps: 10_000, until: { false })
    #expect(await driver.run(until: { client.isWaitedFor }))
    client.interrupt()
    #expect(await driver.run(until: { first.isDone }))
    let taken = try #require(first.result ?? nil)
    #expect(taken > 0 && taken < 16 << 20)
    // Its buffer may have grown while it waited, by less than wakes a writer.
    for _ in 0..<3 {
      while (try? await client.send([UInt8](repeating: 1, count: 4096), flags: .dontWait)) != nil {}
      await driver.run(steps: 1000, until: { false })
    }
    let second = try Call(blocking: { () -> Errno? in
      do throws(SocketError) { try client.send([2]) } catch { return error.errno }
      return nil
    })
    // The word that the first has left stands: that the second waits cannot be seen, so it is interrupted until it does.
    let isOver = {
      client.interrupt()
      return second.isDone
    }
    #expect(await driver.run(until: isOver))
    #expect(second.result == .EINTR)
    // Nobody waits: nothing is left of it.
    client.interrupt()
    client.sendTimeout = .milliseconds(5)
    await #expect(throws: SocketError("send", .EAGAIN)) { try await client.send([3], flags: .dontWait) }
  }
}
