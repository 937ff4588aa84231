import InetSocket
import NetNamespace
import Sockets
@testable import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Streams that send from where the caller's memory lies. Numbers were tried on Linux 6.18.
@Suite("T4 MSG_ZEROCOPY")
struct ZeroCopyTests {
  private func connect(window: UInt16 = 65535, settings: NetSettings = NetSettings()) throws
    -> ScriptedConnection
  {
    let open = try ScriptedConnection(peer: ScriptedPeer(settings: settings), window: window)
    try open.socket.setZeroCopy(true)
    return open
  }
  /// Acknowledges what was taken, and gives the NIC time to give its descriptors back.
  private func acknowledge(_ open: ScriptedConnection, _ number: UInt32? = nil) {
    open.acknowledge(number)
    open.peer.advance(.milliseconds(1))
  }
  private func completion(_ first: UInt32, _ last: UInt32, copied: Bool = false) -> SendCompletion {
    SendCompletion(first: first, last: last, isCopied: copied)
  }

  @Test("T4 nothing is copied: what the memory holds when a segment leaves is what is sent")
  func uncopied() throws {
    let open = try connect(window: 1460)
    let memory = ProtectedMemory(ProtectedMemory.pattern(4000))
    #expect(try open.socket.send(memory.memory) == 4000)
    #expect(open.takeData() == ProtectedMemory.pattern(1460))
    memory[1460] = 0xAA
    acknowledge(open)
    var expected = ProtectedMemory.pattern(4000)
    expected[1460] = 0xAA
    #expect(open.takeData() == Array(expected[1460..<2920]))
    acknowledge(open)
    #expect(open.takeData() == Array(expected[2920...]))
    #expect(throws: SocketError("completion", .EAGAIN)) { try open.socket.completion() }
    acknowledge(open)
    #expect(open.socket.readiness.contains(.error))
    #expect(try open.socket.completion() == completion(0, 0))
    #expect(!open.socket.readiness.contains(.error))
  }

  @Test("T4 the memory is not read after its completion, retransmissions included")
  func protected() throws {
    let open = try connect()
    let memory = ProtectedMemory(ProtectedMemory.pattern(3000))
    try open.socket.send(memory.memory)
    _ = open.peer.all()
    open.peer.advance(.seconds(3))
    #expect(open.peer.all().contains { $0.payload.first == 0 })
    #expect(throws: SocketError("completion", .EAGAIN)) { try open.socket.completion() }
    acknowledge(open, open.acknowledgment &+ 3000)
    #expect(try open.socket.completion() == completion(0, 0))
    memory.protect()
    try open.socket.send([1, 2, 3])
    open.peer.advance(.seconds(60))
    #expect(open.takeData() == [1, 2, 3])
  }

  @Test("T4 sends are numbered, and what is told together is told as a range")
  func ranges() throws {
    let open = try connect()
    for count in [10, 20, 5000] {
      try open.socket.send(ExternalMemory(copying: ProtectedMemory.pattern(count)))
    }
    var received = 0
    for _ in 0..<3 {
      received += open.takeData().count
      acknowledge(open)
    }
    #expect(received == 5030)
    let message = try open.socket.recvmsg(flags: .errorQueue)
    let error = try #require(message.control.error)
    #expect(error.errno.rawValue == 0 && error.origin == .zeroCopy && error.code == 0 && error.kind == 0)
    #expect(error.info == 0 && error.data == 2 && error.offender == nil)
    #expect(message.source == nil && message.byteCount == 0 && message.flags == .errorQueue)
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { _ = try open.socket.recvmsg(flags: .errorQueue) }
    // One after the other when they are read one by one.
    for number in UInt32(3)..<5 {
      try open.socket.send(ExternalMemory(copying: [1]))
      _ = open.takeData()
      acknowledge(open)
      #expect(try open.socket.completion() == completion(number, number))
    }
  }

  @Test("T4 sends that go into one segment share a notification until it stands for 512 KiB")
  func extended() throws {
    let open = try connect()
    try open.socket.setsockopt(level: 6, name: 3, 1)
    for count in [10, 20, 30] {
      try open.socket.send(ExternalMemory(copying: ProtectedMemory.pattern(count)))
    }
    try open.socket.send([1, 2])
    try open.socket.send(ExternalMemory(copying: [9]))
    try open.socket.setsockopt(level: 6, name: 3, 0)
    let segments = open.peer.all()
    #expect(segments.map(\.payload.count) == [63])
    acknowledge(open, open.acknowledgment &+ 63)
    #expect(try open.socket.completion() == completion(0, 3))
  }

  @Test("T4 without SO_ZEROCOPY an ordinary copy with no completion; 0 bytes take no number")
  func ordinary() throws {
    let open = try connect()
    try open.socket.setZeroCopy(false)
    let memory = ProtectedMemory([5, 6])
    try open.socket.send(memory.memory)
    memory.protect()
    #expect(open.takeData() == [5, 6])
    acknowledge(open)
    #expect(throws: SocketError("completion", .EAGAIN)) { try open.socket.completion() }
    try open.socket.setZeroCopy(true)
    #expect(try open.socket.send([], MessageHeader(flags: .zeroCopy)) == 0)
    try open.socket.send(ExternalMemory(copying: [7]))
    #expect(open.takeData() == [7])
    acknowledge(open)
    #expect(try open.socket.completion() == completion(0, 0))
  }

  @Test("T4 bytes that cannot be lent are copied, which the completion says at once")
  func copied() throws {
    let open = try connect()
    #expect(try open.socket.send([1, 2, 3], flags: .zeroCopy) == 3)
    #expect(try open.socket.completion() == completion(0, 0, copied: true))
    #expect(open.takeData() == [1, 2, 3])
  }

  @Test("T4 to ourselves: a copy is made, and said so")
  func loopback() throws {
    let peer = try FramePeer()
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(IPv4Address(127, 0, 0, 1), port: 7000))
    try listener.listen()
    let client = try peer.host.stack.socket(.tcp)
    client.isNonBlocking = true
    try? client.connect(to: SocketAddress(IPv4Address(127, 0, 0, 1), port: 7000))
    let server = try listener.accept()
    server.isNonBlocking = true
    try client.setZeroCopy(true)
    let memory = ProtectedMemory(ProtectedMemory.pattern(100_000))
    let sent = try client.send(memory.memory)
    peer.advance(.seconds(1))
    #expect(try client.completion() == completion(0, 0, copied: true))
    memory.protect()
    var received: [UInt8] = []
    while let part = try? server.receive(upTo: 65536), !part.isEmpty { received += part }
    #expect(received == ProtectedMemory.pattern(sent))
  }

  @Test("T4 a send that queued nothing gives its number back: no completion, no gap")
  func givenBack() throws {
    let open = try connect(window: 1000)
    try open.socket.setsockopt(level: 1, name: SocketOptionName.sendBuffer, 10_000)
    let memory = ProtectedMemory(ProtectedMemory.pattern(30_000))
    var count: UInt32 = 0
    while (try? open.socket.send(memory.memory)) != nil { count += 1 }
    #expect(throws: SocketError("send", .EAGAIN)) { try open.socket.send(memory.memory) }
    #expect(throws: SocketError("completion", .EAGAIN)) { try open.socket.completion() }
    open.window = 65535
    for _ in 0..<60 {
      _ = open.takeData()
      acknowledge(open)
    }
    try open.socket.send(ExternalMemory(copying: [1]))
    _ = open.takeData()
    acknowledge(open)
    #expect(try open.socket.completion() == completion(0, count))
    // Nor does one that fails.
    try open.socket.shutdown(read: false, write: true)
    #expect(throws: SocketError("send", .EPIPE)) { try open.socket.send(memory.memory) }
    #expect(throws: SocketError("completion", .EAGAIN)) { try open.socket.completion() }
  }

  @Test("T4 ENOBUFS at net.core.optmem_max, until completions are read; before EPIPE")
  func optionMemory() throws {
    for (limit, most) in [(1407, 1), (1408, 2), (4735, 5), (4736, 6)] {
      var settings = NetSettings()
      settings.maximumOptionMemory = limit
      let open = try connect(settings: settings)
      // Each in a segment that leaves: two that wait would share one.
      try open.socket.setNoDelay(true)
      for _ in 0..<most { try open.socket.send(ExternalMemory(copying: [1])) }
      #expect(throws: SocketError("send", .ENOBUFS)) { try open.socket.send(ExternalMemory(copying: [1])) }
      for _ in 0..<20 {
        _ = open.takeData()
        acknowledge(open)
      }
      // All in one entry, which takes its part until it is read.
      if most == 1 {
        #expect(throws: SocketError("send", .ENOBUFS)) { try open.socket.send(ExternalMemory(copying: [1])) }
      } else {
        try open.socket.send(ExternalMemory(copying: [1]))
        _ = open.takeData()
        acknowledge(open)
      }
      #expect(try open.socket.completion() == completion(0, UInt32(most == 1 ? 0 : most)))
    }
    var settings = NetSettings()
    settings.maximumOptionMemory = 600
    let open = try connect(settings: settings)
    try open.socket.send(ExternalMemory(copying: [1]))
    try open.socket.shutdown(read: false, write: true)
    #expect(throws: SocketError("send", .ENOBUFS)) { try open.socket.send(ExternalMemory(copying: [1])) }
    _ = open.takeData()
    acknowledge(open, open.acknowledgment &+ 1)
    #expect(throws: SocketError("send", .ENOBUFS)) { try open.socket.send(ExternalMemory(copying: [1])) }
    #expect(try open.socket.completion() == completion(0, 0))
    #expect(throws: SocketError("send", .EPIPE)) { try open.socket.send(ExternalMemory(copying: [1])) }
  }

  @Test("T4 the end of the connection completes what is left, sent or not")
  func teardown() throws {
    let open = try connect(window: 1000)
    try open.socket.setsockopt(level: 1, name: SocketOptionName.sendBuffer, 100_000)
    let memory = ProtectedMemory(ProtectedMemory.pattern(2000))
    for _ in 0..<3 { try open.socket.send(memory.memory) }
    _ = open.takeData()
    open.peer.send(0x14, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(try open.socket.completion() == completion(0, 2))
    memory.protect()
    open.peer.advance(.seconds(10))
    #expect(open.socket.takeError() == .ECONNRESET)
  }

  @Test("T4 the closed socket's memory is free again when it was acknowledged")
  func closed() throws {
    let open = try connect(window: 1000)
    weak var freed: ExternalMemory?
    do {
      let memory = ExternalMemory(copying: ProtectedMemory.pattern(1500))
      freed = memory
      try open.socket.send(memory)
    }
    open.socket.close()
    #expect(open.takeData().count == 1000 && freed != nil)
    acknowledge(open)
    #expect(open.takeData().count == 500)
    acknowledge(open, open.acknowledgment &+ 1)
    open.peer.advance(.seconds(1))
    #expect(freed == nil)
  }

  @Test("T4 switching IP_RECVERR off leaves completions in the queue")
  func purge() throws {
    let open = try connect()
    try open.socket.send(ExternalMemory(copying: [1]))
    _ = open.takeData()
    acknowledge(open)
    try open.socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 0)
    #expect(try open.socket.completion() == completion(0, 0))
  }

  @Test("T4 SO_ZEROCOPY: 0 or 1, of streams and UDP; an accepted connection has it")
  func option() throws {
    let peer = try FramePeer()
    for kind in [SocketKind.tcp, .udp] {
      let socket = try peer.host.stack.socket(kind)
      #expect(try socket.getsockopt(level: 1, name: 60, maximum: 4) == [0, 0, 0, 0])
      for value in [Int32(2), -1] {
        #expect(throws: SocketError.self) { try socket.setsockopt(level: 1, name: 60, value) }
      }
      try socket.setZeroCopy(true)
      #expect(try socket.getsockopt(level: 1, name: 60, maximum: 4) == [1, 0, 0, 0])
    }
    let ping = try peer.host.stack.socket(.ping)
    #expect(throws: SocketError.self) { try ping.setZeroCopy(true) }
  }

  @Test("T4 an owner's notification: no SO_ZEROCOPY, no number, told once when all is done")
  func owned() throws {
    let open = try connect()
    try open.socket.setZeroCopy(false)
    let told = Told()
    let owner = SendNotification { told.note($0) }
    let header = MessageHeader(flags: .zeroCopy)
    for _ in 0..<2 {
      try open.socket.send([ExternalMemory(copying: [1, 2]).slice], header, notifying: owner)
    }
    for _ in 0..<2 {
      _ = open.takeData()
      acknowledge(open)
    }
    #expect(told.all == [])
    open.socket.end(owner)
    #expect(told.all == [false])
    #expect(throws: SocketError("completion", .EAGAIN)) { try open.socket.completion() }
    // Ended before the last byte is acknowledged.
    let late = SendNotification { told.note($0) }
    try open.socket.send([ExternalMemory(copying: [3]).slice], header, notifying: late)
    open.socket.end(late)
    _ = open.takeData()
    #expect(told.all == [false])
    acknowledge(open)
    #expect(told.all == [false, false])
  }

  @Test("T4 one notification for a segment: another begins a new one, and the tail is pushed")
  func oneForASegment() throws {
    let open = try connect()
    try open.socket.setsockopt(level: 6, name: 3, 1)
    let told = Told()
    for value in UInt8(1)...3 {
      let owner = SendNotification { told.note($0) }
      try open.socket.send(
        [ExternalMemory(copying: [value]).slice], MessageHeader(flags: .zeroCopy), notifying: owner)
      open.socket.end(owner)
    }
    try open.socket.setsockopt(level: 6, name: 3, 0)
    let segments = open.peer.all()
    #expect(segments.map(\.payload) == [[1], [2]])
    #expect(segments.map(\.isPush) == [true, true])
    acknowledge(open, open.acknowledgment &+ 2)
    #expect(open.takeData() == [3])
    acknowledge(open)
    #expect(told.all == [false, false, false])
  }
}

/// What owners were told.
final class Told: Sendable {
  private let outcomes = Guarded<[Bool]>([])
  func note(_ isCopied: Bool) { outcomes.withLock { $0.append(isCopied) } }
  var all: [Bool] { outcomes.withLock { $0 } }
}
