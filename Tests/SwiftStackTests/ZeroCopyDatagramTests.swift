import InetSocket
import NetNamespace
import Sockets
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// Datagrams that are sent from where the caller's memory lies. Numbers were tried on Linux 6.18.
@Suite("U5 MSG_ZEROCOPY of datagrams")
struct ZeroCopyDatagramTests {
  private static let peer = SocketAddress(IPv4Address(10, 0, 0, 1), port: 6000)

  private func socket(_ wire: SimulatedWire) throws -> (sender: Socket, receiver: Socket) {
    let sender = try wire.right.stack.socket(.udp)
    sender.isNonBlocking = true
    try sender.setZeroCopy(true)
    let receiver = try wire.left.stack.socket(.udp)
    receiver.isNonBlocking = true
    try receiver.bind(to: SocketAddress(.any, port: 6000))
    return (sender, receiver)
  }
  private func settle(_ wire: SimulatedWire) { wire.run(for: .milliseconds(10), until: { false }) }
  private func completion(_ first: UInt32, _ last: UInt32, copied: Bool = false) -> SendCompletion {
    SendCompletion(first: first, last: last, isCopied: copied)
  }

  @Test(
    "U5 a datagram that fits is not copied: while the neighbour is asked for, what is changed is sent changed"
  )
  func uncopied() throws {
    let wire = try SimulatedWire()
    let (sender, receiver) = try socket(wire)
    let memory = ProtectedMemory(ProtectedMemory.pattern(1000))
    #expect(try sender.send(memory.memory, to: Self.peer) == 1000)
    #expect(throws: SocketError("completion", .EAGAIN)) { try sender.completion() }
    memory[5] = 0xAA
    settle(wire)
    var expected = ProtectedMemory.pattern(1000)
    expected[5] = 0xAA
    #expect(sender.readiness.contains(.error))
    #expect(try sender.completion() == completion(0, 0))
    memory.protect()
    #expect(try receiver.receive(upTo: 2000) == expected)
  }

  @Test("U5 one that is cut, or collected with MSG_MORE, is copied, and that is said")
  func copied() throws {
    let wire = try SimulatedWire()
    let (sender, receiver) = try socket(wire)
    let memory = ProtectedMemory(ProtectedMemory.pattern(5000))
    #expect(try sender.send(memory.memory, to: Self.peer) == 5000)
    #expect(try sender.completion() == completion(0, 0, copied: true))
    let part = ProtectedMemory([1, 2, 3])
    #expect(try sender.send(part.memory, to: Self.peer, flags: [.zeroCopy, .more]) == 3)
    #expect(try sender.send(part.memory, to: Self.peer) == 3)
    #expect(try sender.completion() == completion(1, 2, copied: true))
    memory.protect()
    part.protect()
    settle(wire)
    #expect(try receiver.receive(upTo: 6000) == ProtectedMemory.pattern(5000))
    #expect(try receiver.receive(upTo: 6000) == [1, 2, 3, 1, 2, 3])
  }

  @Test("U5 a time stamp that brings the bytes back has copied them, one that does not has not")
  func stamped() throws {
    for (extra, isCopied) in [([], true), (.timeOnly, false)] as [(TimestampingFlags, Bool)] {
      for record in [TimestampingFlags.transmitSoftware, .transmitScheduled] {
        let wire = try SimulatedWire()
        let (sender, _) = try socket(wire)
        let flags = extra.union([.software, record])
        try sender.setsockopt(level: 1, name: 37, Int32(bitPattern: flags.rawValue))
        let memory = ProtectedMemory(ProtectedMemory.pattern(1000))
        #expect(try sender.send(memory.memory, to: Self.peer) == 1000)
        settle(wire)
        #expect(try sender.completion() == completion(0, 0, copied: isCopied), "\(record) \(extra)")
      }
    }
  }

  @Test("U5 UDP_SEGMENT: datagrams are cut from the caller's memory")
  func segmented() throws {
    for lends in [false, true] {
      let wire = try SimulatedWire(lendsEngines: lends)
      let (sender, receiver) = try socket(wire)
      try sender.setsockopt(level: SocketOptionLevel.udp, name: 103, 1000)
      let memory = ProtectedMemory(ProtectedMemory.pattern(30_500))
      #expect(try sender.send(memory.memory, to: Self.peer) == 30_500)
      settle(wire)
      #expect(try sender.completion() == completion(0, 0))
      memory.protect()
      var received: [UInt8] = []
      while let part = try? receiver.receive(upTo: 2000) { received += part }
      #expect(received == ProtectedMemory.pattern(30_500))
    }
  }

  @Test("U5 a send that fails gives its number back; 0 bytes take one")
  func givenBack() throws {
    let wire = try SimulatedWire()
    let (sender, _) = try socket(wire)
    let memory = ProtectedMemory(ProtectedMemory.pattern(65_508))
    #expect(throws: SocketError("send", .EMSGSIZE, Self.peer)) {
      try sender.send(memory.memory, to: Self.peer)
    }
    try sender.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.mtuDiscover, 2)
    #expect(throws: SocketError("send", .EMSGSIZE, Self.peer)) {
      try sender.send([memory.memory[0..<1473]!], MessageHeader(address: Self.peer, flags: .zeroCopy))
    }
    #expect(throws: SocketError("completion", .EAGAIN)) { try sender.completion() }
    try sender.send([], MessageHeader(address: Self.peer, flags: .zeroCopy))
    settle(wire)
    #expect(try sender.completion().first == 0)
    // More pieces than a packet has room for.
    let small = ExternalMemory(copying: [1, 2])
    let pieces = Array(repeating: small[0..<1]!, count: 18)
    #expect(throws: SocketError("send", .EMSGSIZE, Self.peer)) {
      try sender.send(pieces, MessageHeader(address: Self.peer, flags: .zeroCopy))
    }
    // Nor does the device gather so many.
    try sender.send(Array(pieces[..<17]), MessageHeader(address: Self.peer, flags: .zeroCopy))
    settle(wire)
    #expect(try sender.completion() == completion(1, 1, copied: true))
  }

  @Test("U5 without SO_ZEROCOPY a copy and no completion")
  func ordinary() throws {
    let wire = try SimulatedWire()
    let (sender, receiver) = try socket(wire)
    try sender.setZeroCopy(false)
    let memory = ProtectedMemory([1, 2, 3])
    try sender.send(memory.memory, to: Self.peer)
    memory.protect()
    settle(wire)
    #expect(try receiver.receive(upTo: 10) == [1, 2, 3])
    #expect(throws: SocketError("completion", .EAGAIN)) { try sender.completion() }
  }

  @Test("U5 to ourselves, and to a group that we are in: copied, and said so")
  func toOurselves() throws {
    let wire = try SimulatedWire()
    let (sender, _) = try socket(wire)
    let receiver = try wire.right.stack.socket(.udp)
    receiver.isNonBlocking = true
    try receiver.bind(to: SocketAddress(.any, port: 6000))
    let memory = ProtectedMemory(ProtectedMemory.pattern(1200))
    try sender.send(memory.memory, to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000))
    settle(wire)
    #expect(try sender.completion() == completion(0, 0, copied: true))
    memory.protect()
    #expect(try receiver.receive(upTo: 2000) == ProtectedMemory.pattern(1200))
  }

  @Test("U5 ENOBUFS at net.core.optmem_max, and nobody's number is lost")
  func optionMemory() throws {
    var settings = NetSettings()
    settings.maximumOptionMemory = 600
    let wire = try SimulatedWire(settings: settings)
    let (sender, _) = try socket(wire)
    try sender.send(ExternalMemory(copying: [1]), to: Self.peer)
    #expect(throws: SocketError("send", .ENOBUFS, Self.peer)) {
      try sender.send(ExternalMemory(copying: [1]), to: Self.peer)
    }
    settle(wire)
    #expect(try sender.completion() == completion(0, 0))
    try sender.send(ExternalMemory(copying: [1]), to: Self.peer)
    settle(wire)
    #expect(try sender.completion() == completion(1, 1))
  }

  @Test("U5 after ENOBUFS the next datagram goes where it is sent")
  func afterOptionMemory() throws {
    var settings = NetSettings()
    settings.maximumOptionMemory = 600
    let wire = try SimulatedWire(settings: settings)
    let (sender, receiver) = try socket(wire)
    try sender.send(ExternalMemory(copying: [1]), to: Self.peer)
    let elsewhere = SocketAddress(IPv4Address(10, 0, 0, 1), port: 6001)
    #expect(throws: SocketError("send", .ENOBUFS, elsewhere)) {
      try sender.send(ExternalMemory(copying: [2]), to: elsewhere)
    }
    try sender.send([3], to: Self.peer)
    settle(wire)
    #expect(try receiver.receive(upTo: 9) == [1])
    #expect(try receiver.receive(upTo: 9) == [3])
  }

  @Test("U5 two owners in one datagram are EINVAL")
  func twoOwners() throws {
    let wire = try SimulatedWire()
    let (sender, _) = try socket(wire)
    try sender.setsockopt(level: SocketOptionLevel.udp, name: 103, 1000)
    let told = Told()
    let owners = (0..<2).map { _ in SendNotification { told.note($0) } }
    let header = MessageHeader(address: Self.peer, flags: [.zeroCopy, .more])
    let slice = ExternalMemory(copying: [1]).slice
    try sender.send([slice], header, notifying: owners[0])
    #expect(throws: SocketError("send", .EINVAL, Self.peer)) {
      try sender.send([slice], header, notifying: owners[1])
    }
    for owner in owners { sender.end(owner) }
  }
}
