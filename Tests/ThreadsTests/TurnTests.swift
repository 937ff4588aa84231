import IceModel
import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import NetDevice
@testable import SwiftStack

/// Who gets a turn when somebody always has more to do, in counted turns and bytes.
@Suite struct TurnTests {
  static let own = IPv4Address(10, 0, 0, 2)

  @Test("wake-ups are told in the order of their events")
  func order() throws {
    let shard = try SimulatedStack().stack.shards[0]
    let ids = (0..<3).map { SocketID(.udp, index: $0, generation: 1) }
    shard.inspect { state in
      for id in ids { state.host.net.wake(id) }
      let taken = (0..<3).map { _ in state.host.net.takeWakeup()?.socket }
      let last = state.host.net.takeWakeup()
      #expect(taken == ids && last == nil)
    }
  }

  /// A stack whose character generators have readers with room for 32 MiB each.
  private func greedy(_ count: Int) throws -> (simulated: SimulatedStack, readers: [Socket]) {
    var configuration = StackConfiguration()
    configuration.services = true
    configuration.settings.tcpWriteMemory.most = 64 << 20
    let simulated = try SimulatedStack(configuration)
    var readers: [Socket] = []
    for _ in 0..<count {
      let reader = try simulated.stack.socket(.tcp)
      // SO_RCVBUFFORCE
      try reader.setsockopt(level: 1, name: 33, 32 << 20)
      try reader.connect(to: SocketAddress(Self.own, port: 19))
      readers.append(reader)
    }
    return (simulated, readers)
  }

  private func waiting(_ socket: Socket) -> Int {
    socket.shard.inspect { [id = socket.id] in $0.sockets.receivableByteCount(id) }
  }

  @Test("T1 one entry runs programs for about 1 MiB, the rest at the next, which comes at once")
  func budget() throws {
    let (simulated, readers) = try greedy(1)
    var most = 0
    var last = waiting(readers[0])
    #expect(simulated.nextDeadline == simulated.now, "a program in line does not wait for an event")
    for _ in 0..<200 {
      simulated.stack.shards[0].enter { _ in }
      let now = waiting(readers[0])
      most = max(most, now - last)
      last = now
    }
    #expect(most > 256 << 10 && most <= 1280 << 10, "\(most) bytes in one entry")
    #expect(last > 4 << 20)
  }

  @Test("T1 greedy programs take turns: each gets its share")
  func shares() throws {
    let (simulated, readers) = try greedy(4)
    let before = readers.map(waiting)
    for _ in 0..<4 { simulated.stack.shards[0].enter { _ in } }
    let shares = zip(readers.map(waiting), before).map { $0 - $1 }
    #expect(shares.allSatisfy { $0 > 256 << 10 && $0 < 2 << 20 }, "\(shares)")
  }

  @Test(
    "T1 beside greedy programs a ping is answered and a reader woken by the entry that brings their packet")
  func ping() throws {
    let (simulated, readers) = try greedy(8)
    let datagrams = try simulated.stack.socket(.udp)
    try datagrams.bind(to: SocketAddress(Self.own, port: 6000))
    let sender = try simulated.stack.socket(.udp)
    let pinger = try simulated.stack.socket(.ping)
    try pinger.connect(to: SocketAddress(Self.own, port: 0))
    simulated.stack.shards[0].inspect { state in
      state.await(datagrams.id, for: .readable, until: nil)
      let isEmpty = state.owners.isLineEmpty
      #expect(!isEmpty)
    }
    try sender.send([1], to: SocketAddress(Self.own, port: 6000))
    #expect(!datagrams.isWaitedFor)
    try pinger.send([8, 0, 0, 0, 0, 0, 0, 9])
    #expect(try pinger.receive(upTo: 100, flags: .dontWait).first == 0)
    #expect(simulated.stack.shards[0].inspect { !$0.owners.isLineEmpty })
    _ = readers
  }

  @Test("Q8 a NIC that fetches nothing is reset 5 s after the queue stopped, and what waited goes out")
  func watchdog() throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    // Without an answer to ARP a broadcast needs no neighbour.
    try socket.setBroadcast(true)
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    simulated.setFaults(faults)
    var sent = 0
    let target = SocketAddress(IPv4Address(10, 0, 0, 255), port: 9)
    while (try? socket.send([UInt8](repeating: 1, count: 100), to: target, flags: .dontWait)) != nil {
      sent += 1
      if sent > 20000 { break }
    }
    func timeouts() -> UInt64 {
      simulated.stack.shards[0].inspect { $0.host.link.devices[$0.ethernet].statistics.watchdogTimeouts }
    }
    func isStopped() -> Bool {
      simulated.stack.shards[0].inspect { $0.host.link.devices[$0.ethernet].isStopped }
    }
    let stopped = simulated.now
    #expect(isStopped())
    simulated.advance(to: stopped + .milliseconds(4900))
    #expect(timeouts() == 0)
    faults.isTransmitStalled = false
    simulated.setFaults(faults)
    simulated.advance(to: stopped + .milliseconds(5100))
    #expect(timeouts() == 1 && !isStopped())
    #expect(!simulated.takeFrames().isEmpty)
  }

  @Test("Q4 more packets than a quota: the shard runs the queue until it is empty")
  func quota() throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    try socket.setBroadcast(true)
    socket.isNonBlocking = true
    // SO_SNDBUFFORCE: room for all of them.
    try socket.setsockopt(level: 1, name: 32, 1 << 20)
    let target = SocketAddress(IPv4Address(10, 0, 0, 255), port: 9)
    // A wire that is stopped in between leaves more in the queue than one run of the qdisc takes.
    simulated.stack.shards[0].inspect { $0.host.link.devices[$0.ethernet].isStoppedByDriver = true }
    for _ in 0..<200 { try socket.send([1], to: target) }
    // The announcement of the address.
    #expect(simulated.takeFrames().allSatisfy { $0.bytes[13] == 6 })
    simulated.stack.shards[0].enter { state in
      state.host.link.devices[state.ethernet].isStoppedByDriver = false
      state.host.link.devices[state.ethernet].hasScheduledWork = true
    }
    #expect(simulated.takeFrames().count == 200)
  }
}
