import Glibc
import NetNamespace
import Sockets
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// Memory that is adopted, with nobody to be told.
@Suite("T5 splice and sendfile")
struct SpliceTests {
  private func settle(_ wire: SimulatedWire) { wire.run(for: .milliseconds(100), until: { false }) }
  private static let peer = SocketAddress(IPv4Address(10, 0, 0, 1), port: 6000)

  @Test("T5 pages are adopted: packets carry what the memory holds when they leave, and keep it alive")
  func adopted() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 1460)
    weak var freed: ExternalMemory?
    do {
      let memory = ProtectedMemory(ProtectedMemory.pattern(4000))
      freed = memory.memory
      #expect(try open.socket.splice([memory.memory.slice]) == 4000)
      #expect(open.takeData() == ProtectedMemory.pattern(1460))
      memory[1460] = 0xAA
    }
    #expect(freed != nil)
    open.acknowledge()
    #expect(open.takeData().first == 0xAA)
    for _ in 0..<2 {
      open.acknowledge()
      _ = open.takeData()
    }
    open.peer.advance(.seconds(1))
    #expect(freed == nil)
    #expect(!open.socket.readiness.contains(.error))
  }

  @Test("T5 when a segment's slots run out another begins")
  func slots() throws {
    let wire = try SimulatedWire(lendsEngines: true)
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    let memory = ExternalMemory(copying: ProtectedMemory.pattern(4000))
    // Every other piece of 10 bytes: none follows the one before it.
    let slices = stride(from: 0, to: 2000, by: 20).map { memory[$0..<$0 + 10]! }
    #expect(try client.splice(slices) == 1000)
    settle(wire)
    let bytes = ProtectedMemory.pattern(4000)
    #expect(
      try server.receive(upTo: 2000) == stride(from: 0, to: 2000, by: 20).flatMap { bytes[$0..<$0 + 10] })
  }

  @Test("T5 MSG_ZEROCOPY wins; without memory that may be lent the bytes are copied")
  func wins() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let memory = ProtectedMemory([1, 2])
    try open.socket.splice([memory.memory.slice], MessageHeader(flags: .zeroCopy))
    memory.protect()
    #expect(open.takeData() == [1, 2])
  }

  @Test("T5 sendfile: a part of a file that begins anywhere")
  func file() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    let path = "/tmp/swiftstack-splice-\(getpid())"
    let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    unsafe unlink(path)
    defer { close(descriptor) }
    let bytes = ProtectedMemory.pattern(20_000)
    #expect(unsafe write(descriptor, bytes, bytes.count) == bytes.count)
    #expect(try client.sendFile(descriptor, from: 5001, count: 9000) == 9000)
    var received: [UInt8] = []
    wire.run(for: .seconds(5)) {
      while let part = try? server.receive(upTo: 65536), !part.isEmpty { received += part }
      return received.count == 9000
    }
    #expect(received == Array(bytes[5001..<14_001]))
    #expect(throws: SocketError("sendfile", .EINVAL)) { try client.sendFile(descriptor, from: -1, count: 1) }
    #expect(throws: SocketError("sendfile", .EBADF)) { try client.sendFile(-1, from: 0, count: 1) }
  }

  @Test(
    "T5 I1 datagrams from a list of pages, whole and cut into fragments", arguments: [1000, 5000, 65_507])
  func datagram(count: Int) throws {
    let wire = try SimulatedWire()
    let sender = try wire.right.stack.socket(.udp)
    sender.isNonBlocking = true
    try sender.setsockopt(level: 1, name: SocketOptionName.sendBuffer, 300_000)
    let receiver = try wire.left.stack.socket(.udp)
    receiver.isNonBlocking = true
    try receiver.bind(to: SocketAddress(.any, port: 6000))
    let memory = ProtectedMemory(ProtectedMemory.pattern(count))
    let header = MessageHeader(address: Self.peer)
    #expect(try sender.splice([memory.memory[0..<333]!, memory.memory[333..<count]!], header) == count)
    settle(wire)
    #expect(try receiver.receive(upTo: 65535) == ProtectedMemory.pattern(count))
  }

  @Test("T5 MSG_NO_SHARED_FRAGS leaves the mark off")
  func mark() throws {
    for isShared in [false, true] {
      let open = try ScriptedConnection(peer: ScriptedPeer(), window: 1)
      try open.socket.splice([ExternalMemory(copying: [1, 2, 3]).slice], isShared: isShared)
      let isMarked = open.socket.shard.inspect { [id = open.socket.id] state in
        state.sockets.tcp.isTailShared(id)
      }
      #expect(isMarked == isShared)
    }
  }

  // MARK: Who pays

  @Test(
    "T4 what is all zero copy costs no packet memory; bytes of others make it pay, until it is acknowledged")
  func downgrade() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.setZeroCopy(true)
    let first = try usedAfterDowngrade(open)
    #expect(try usedAfterDowngrade(open) == first, "what was paid for is given back")
  }

  /// - Returns: what is used when all is acknowledged.
  private func usedAfterDowngrade(_ open: ScriptedConnection) throws -> Int {
    try open.socket.setsockopt(level: 6, name: 3, 1)
    func used() -> Int { open.peer.host.packetMemory.used }
    // Both kinds of memory are in use already.
    try open.socket.send([1])
    try open.socket.send(ExternalMemory(copying: [2]))
    let header = MessageHeader(flags: [.zeroCopy, .endOfRecord])
    try open.socket.send([ExternalMemory(copying: [3]).slice], header)
    let before = used()
    try open.socket.send(ExternalMemory(copying: ProtectedMemory.pattern(1200)))
    #expect(used() == before)
    try open.socket.send([4])
    #expect(used() == before + 1200)
    try open.socket.send(ExternalMemory(copying: ProtectedMemory.pattern(100)))
    #expect(used() == before + 1300)
    try open.socket.setsockopt(level: 6, name: 3, 0)
    for _ in 0..<5 {
      _ = open.takeData()
      open.acknowledge()
      open.peer.advance(.milliseconds(1))
    }
    #expect(used() <= before)
    return used()
  }
}
