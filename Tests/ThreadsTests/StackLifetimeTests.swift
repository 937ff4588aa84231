import Shard
import NetNamespace
import TestSupport
import Testing
import Timers
import Wire

@testable import SwiftStack

/// What a stack owns ends with it; what was closed says so.
@Suite struct StackLifetimeTests {
  static let own = IPv4Address(10, 0, 0, 2)

  @Test("B2 O1 packet memory and trace ring end with their stack, whatever it was doing")
  func memory() throws {
    weak var memory: ShardMemory?
    for isClosed in [true, false] {
      do {
        var configuration = StackConfiguration()
        configuration.services = true
        let simulated = try SimulatedStack(configuration)
        memory = simulated.stack.shards[0].inspect { $0.memory }
        let socket = try simulated.stack.socket(.tcp)
        try socket.connect(to: SocketAddress(Self.own, port: 19))
        let datagrams = try simulated.stack.socket(.udp)
        try datagrams.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 9), port: 9))
        #expect(memory != nil)
        if isClosed { simulated.stack.close() }
      }
      #expect(memory == nil)
    }
  }

  @Test("S7 a poll of a closed socket or stack says error and hang-up, and does not wait")
  func poll() async throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    let other = try simulated.stack.socket(.udp)
    other.close()
    #expect(Self.poll(other) == [.error, .hangup])
    #expect(try await other.poll(.readable) == [.error, .hangup])
    simulated.stack.close()
    #expect(Self.poll(socket) == [.error, .hangup])
    #expect(try await socket.poll(.readable) == [.error, .hangup])
    #expect(socket.readiness == [.error, .hangup])
  }
  private static func poll(_ socket: Socket) -> Readiness { socket.poll(.readable) }

  @Test("S7 without its interface every call gets ENETDOWN")
  func linkGone() throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    simulated.removeLink()
    #expect(throws: SocketError("send", .ENETDOWN, SocketAddress(Self.own, port: 9))) {
      try socket.send([1], to: SocketAddress(Self.own, port: 9))
    }
    #expect(throws: SocketError("receive", .ENETDOWN)) { try socket.receive(upTo: 1) }
    #expect(throws: SocketError("socket", .ENETDOWN)) { try simulated.stack.socket(.tcp) }
    #expect(socket.readiness == [.error, .hangup])
    socket.close()
    #expect(throws: SocketError("receive", .EBADF)) { try socket.receive(upTo: 1) }
  }

  @Test("values that cannot be are a StackError that names them, no crash")
  func configuration() throws {
    #expect(throws: StackError("0 queues are not possible: 1 to 64")) { try SimulatedStack(queues: 0) }
    #expect(throws: StackError("300 queues are not possible: 1 to 64")) { try SimulatedStack(queues: 300) }
    for memory in [0, -1, 4095 << 10] {
      var configuration = StackConfiguration()
      configuration.packetMemory = memory
      #expect(throws: StackError("packet memory of \(memory) bytes is not possible: 4 MiB to 1 TiB")) {
        try SimulatedStack(configuration)
      }
    }
    var configuration = StackConfiguration()
    configuration.settings.localPorts = 40000...40002
    #expect(throws: StackError.self) { try SimulatedStack(configuration, queues: 4) }
    _ = try SimulatedStack(configuration, queues: 3)
  }

  @Test("receive takes any limit, and its array is no larger than what came")
  func receiveLimit() throws {
    let stack = try SimulatedStack().stack
    let receiver = try stack.socket(.udp)
    try receiver.bind(to: SocketAddress(Self.own, port: 6000))
    #expect(throws: SocketError("receive", .EAGAIN)) { try receiver.receive(upTo: .max, flags: .dontWait) }
    let sender = try stack.socket(.udp)
    try sender.send([1, 2, 3], to: SocketAddress(Self.own, port: 6000))
    let bytes = try receiver.receive(upTo: .max)
    #expect(bytes == [1, 2, 3] && bytes.capacity < 4096)
    try sender.send([], to: SocketAddress(Self.own, port: 6000))
    #expect(try receiver.receive(upTo: 10).isEmpty)
    #expect(throws: SocketError("receive", .EAGAIN)) { try receiver.receive(upTo: 10, flags: .dontWait) }
  }

  @Test("S7 recvmsg of the error queue never waits")
  func errorQueue() throws {
    let socket = try SimulatedStack().stack.socket(.udp)
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { try socket.recvmsg(flags: .errorQueue) }
  }

  @Test("every errno of Linux's has its text")
  func errnoTexts() {
    // Linux leaves 41 and 58 out.
    for number in Int32(1)...133 where number != 41 && number != 58 {
      #expect(!"\(Errno(rawValue: number))".hasPrefix("Unknown"), "\(number)")
    }
    #expect("\(Errno.ECANCELED)" == "Operation canceled")
  }

  @Test("the station address nobody chose follows from the IP address: two stacks can talk")
  func stationAddress() throws {
    let first = StackConfiguration(address: IPv4Prefix(IPv4Address(10, 0, 0, 2), length: 24)!)
    var second = StackConfiguration()
    second.address = IPv4Prefix(IPv4Address(10, 0, 0, 3), length: 24)!
    #expect(first.macAddress != second.macAddress)
    second.macAddress = MACAddress(0x0200_0000_0077)
    #expect(second.macAddress == MACAddress(0x0200_0000_0077))
  }

  @Test("S7 a woken task may enter the stack on the thread that woke it")
  func inlineExecutor() async throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    try socket.bind(to: SocketAddress(Self.own, port: 6000))
    let executor = InlineExecutor()
    let answer = Guarded<[UInt8]?>(nil)
    Task(executorPreference: executor) {
      let bytes = try await socket.receive(upTo: 10)
      let more = try socket.localAddress.port == 6000
      answer.withLock { $0 = more ? bytes : [] }
    }
    #expect(socket.isWaitedFor)
    Self.send(try simulated.stack.socket(.udp))
    #expect(answer.withLock { $0 } == [7])
  }
  private static func send(_ socket: Socket) { _ = try? socket.send([7], to: SocketAddress(own, port: 6000)) }
}

/// Runs jobs at once, on the thread that has them.
final class InlineExecutor: TaskExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    unsafe UnownedJob(job).runSynchronously(on: asUnownedTaskExecutor())
  }
}
