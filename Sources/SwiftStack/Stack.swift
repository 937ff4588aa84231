import IceModel
import LinuxHost
import Services
import Shard
import Sockets
import Synchronization

/// A running stack: open one on a TAP, make sockets, talk to the network. Usable from any thread.
///
/// ```swift
/// let stack = try Stack(tap: TapParameters(interface: InterfaceName("tap0")))
/// let socket = try stack.socket(.tcp)
/// try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 80))
/// ```
public final class Stack: Sendable {
  /// What the stack was started with.
  public let configuration: StackConfiguration
  /// What Linux finishes for the stack; empty without offload or on a simulated wire.
  public let offloads: TapOffloads
  let shards: [LockedShard]
  let portTaking = PortTaking()
  private let loops: Guarded<[EventLoop]>
  /// Signalled when the interface has been removed under the stack; `nil` on a simulated wire.
  package let wireLoss: WakeDescriptor?
  package let notices: StackNotices
  private let threads: Guarded<[LoopThread]>
  /// The settings as they are now. Its lock is held while shards are changed one after the other.
  let administered: Guarded<NetSettings>
  /// What to put back on interfaces that outlive the stack.
  private let restorations: Guarded<[HeldRestoration]>
  /// Whether somebody closes the stack, and who waits until that is done.
  private let isClosing = Atomic<Bool>(false)
  private let hasClosed = Atomic<Bool>(false)
  private let closed = SocketWaiter()

  /// Holds a thread that can be joined once.
  private final class LoopThread: Sendable {
    private let thread: Guarded<StackThread?>
    init(_ thread: consuming StackThread) { self.thread = Guarded(thread) }
    func join() {
      let thread = thread.withLock { $0.take() }
      if let thread = consume thread { thread.join() }
    }
  }

  /// Creates the TAP, gives Linux's side its MTU and address, and starts the stack on it.
  ///
  /// - Throws: `LinuxError` when Linux refuses, `StackError` for values that cannot be. Nothing stays behind then.
  public convenience init(
    tap: TapParameters, _ configuration: StackConfiguration = StackConfiguration()
  ) throws {
    try self.init(tap: tap, configuration, beforeThreads: { _ in })
  }

  /// - Parameter beforeThreads: called once Linux's side is set up and before the first thread starts; told what of it has
  ///   to be put back at the end, which takes the same privilege. What it throws ends the stack.
  package init(
    tap: TapParameters, _ configuration: StackConfiguration, beforeThreads: ([HeldRestoration]) throws -> Void
  ) throws {
    var configuration = configuration
    configuration.name = tap.interface.text
    try configuration.validate(queues: tap.queues)
    let inboxes = try (0..<tap.queues).map { _ in ShardInbox(wakeUp: try WakeDescriptor()) }
    let first = try TapWires.make(tap, configuration.address, mtu: configuration.mtu, inboxes)
    offloads = first.offloads
    var restorations = first.restoration.map { [$0] } ?? []
    let links: [TapWires]
    do {
      links = try TapWires.make(configuration.links, beside: tap, inboxes)
    } catch {
      for restoration in restorations { restoration.apply() }
      throw error
    }
    restorations += links.compactMap(\.restoration)
    var shards: [LockedShard] = []
    var seats: [EventLoop.Seat] = []
    let wireLoss = try WakeDescriptor()
    let notices = StackNotices(event: try WakeDescriptor())
    for index in first.wires.indices {
      let own = Self.configuration(of: index, among: tap.queues, configuration)
      let shard = try Self.makeShard(
        own, wire: first.wires[index], links: links.map { $0.wires[index] }, lendsEngines: first.hasHeader,
        clock: .monotonic, seed: nil, inbox: inboxes[index], notices: notices)
      shards.append(shard)
      seats.append(
        EventLoop.Seat(
          shard: shard, wire: first.descriptors[index], links: links.map { $0.descriptors[index] }))
    }
    let loopCount = min(seats.count, Processors.availableCount)
    let loops = try (0..<loopCount).map { loop in
      try EventLoop(
        seats.indices.filter { $0 % loopCount == loop }.map { seats[$0] }, wireLoss: wireLoss)
    }
    Self.join(shards)
    self.configuration = configuration
    administered = Guarded(configuration.wholeSettings)
    self.shards = shards
    self.loops = Guarded(loops)
    self.wireLoss = wireLoss
    self.notices = notices
    threads = Guarded([])
    self.restorations = Guarded(restorations)
    try beforeThreads(restorations)
    if configuration.services { try startServices() }
    for loop in loops {
      let thread = LoopThread(try StackThread.startJoinable { loop.run() })
      threads.withLock { $0.append(thread) }
    }
    begin()
  }

  /// A stack on a wire whose frames the caller carries; see `SimulatedStack`.
  init(
    simulated configuration: StackConfiguration, queues: Int, lendsEngines: Bool, time: ManualTime,
    seed: UInt64
  ) throws {
    try configuration.validate(queues: queues)
    self.configuration = configuration
    administered = Guarded(configuration.wholeSettings)
    offloads = []
    let notices = StackNotices(event: nil)
    var shards: [LockedShard] = []
    for index in 0..<queues {
      let own = Self.configuration(of: index, among: queues, configuration)
      shards.append(
        try Self.makeShard(
          own, wire: SimulatedWirePort(), links: configuration.links.map { _ in SimulatedWirePort() },
          lendsEngines: lendsEngines, clock: .manual(time),
          seed: seed &+ UInt64(index) &* 0x9E37_79B9, inbox: ShardInbox(), notices: notices))
    }
    Self.join(shards)
    self.shards = shards
    loops = Guarded([])
    wireLoss = nil
    self.notices = notices
    threads = Guarded([])
    restorations = Guarded([])
    if configuration.services { try startServices() }
    begin()
  }

  /// What every stack does first.
  private func begin() {
    notices.claim.withLock { $0 = { [weak self] prefix in self?.take(claimed: prefix) } }
    if configuration.probesAddress {
      let address = configuration.address
      shards[0].enter { try? $0.host.probeAddress(address, on: $0.ethernet) }
    } else if configuration.announcesAddress {
      shards[0].enter { $0.host.announceAddresses() }
    }
  }

  /// Sentences for whoever runs the stack, each once: addresses of ours that another station uses.
  public func takeNotices() -> [String] { notices.takeAll() }

  /// Addresses that another station uses: of this stack, each pair once; or that it has asked for, which it does not take
  /// then (RFC 5227). Those since the last call.
  public func takeAddressConflicts() -> [AddressConflict] { notices.takeConflicts() }

  deinit {
    guard shards.areHeldHere else { return close() }
    guard !isClosing.exchange(true, ordering: .acquiringAndReleasing) else { return }
    // The last reference went inside a shard, which its end has to enter.
    let parts = parts
    do { try StackThread.start { parts.end() } } catch { Task.detached { parts.end() } }
  }

  /// Makes shards behind one address know each other.
  private static func join(_ shards: [LockedShard]) {
    guard shards.count > 1 else { return }
    let inboxes = shards.map(\.inbox)
    let tables = shards[0].inspect {
      SharedTables(
        for: &$0, count: shards.count, groups: StackGroups(), connections: StackConnections())
    }
    for (index, shard) in shards.enumerated() {
      shard.inspect { $0.join(inboxes, as: index, sharing: tables) }
    }
  }

  private static func makeShard(
    _ configuration: StackConfiguration, wire: Wire, links: [Wire], lendsEngines: Bool, clock: StackClock,
    seed: UInt64?, inbox: ShardInbox, notices: StackNotices
  ) throws -> LockedShard {
    var source = RandomSource(seed: seed ?? SystemEntropy.next())
    let seeds = (source.next(), source.next(), source.next())
    let now = clock.now
    let state = try Shard(
      configuration, wire: wire, links: links, lendsEngines: lendsEngines, seed: seeds, now: now,
      timeOfDayOffset: { clock.timeOfDayOffset })
    return LockedShard(state, clock: clock, inbox: inbox, notices: notices)
  }

  /// What one of a stack's shards is set up with.
  private static func configuration(
    of index: Int, among count: Int, _ configuration: StackConfiguration
  ) -> StackConfiguration {
    var own = configuration
    own.queueCount = count
    own.settings.localPorts = part(index, of: count, of: configuration.settings.localPorts)
    return own
  }

  /// Each shard picks ephemeral ports from its own part of the range, so that no two pick the same.
  static func part(
    _ index: Int, of count: Int, of range: ClosedRange<UInt16>
  ) -> ClosedRange<UInt16> {
    let size = range.count / count
    let start = Int(range.lowerBound) + index * size
    return UInt16(start)...UInt16(start + size - 1)
  }

  private func startServices() throws {
    for shard in shards {
      do {
        try shard.enter { (state) throws(Errno) in try state.startServices() }
      } catch {
        throw StackError("the services cannot be started: \(error)")
      }
    }
  }

  /// How many shards share the stack's address: the TAP's queues.
  public var queueCount: Int { shards.count }

  /// A new socket.
  ///
  /// - Parameters:
  ///   - type: TCP, UDP, or ICMP echo.
  ///   - queue: the shard that it lives in, below `queueCount`. With SO_REUSEPORT sockets of several shards have one port,
  ///     each for its part of the flows.
  /// - Throws: EINVAL for a queue that is not there; what `socket(2)` fails with.
  public func socket(_ type: SocketKind, queue: Int = 0) throws(SocketError) -> Socket {
    guard shards.indices.contains(queue) else {
      throw SocketError("socket", .EINVAL)
    }
    return try Socket(stack: self, shard: shards[queue], type: type)
  }

  /// Hands a connected socket to the event loop, which moves its bytes to and from `descriptor`.
  package func bridge(
    _ socket: Socket, to descriptor: consuming OwnedDescriptor, waiter: SocketWaiter
  ) throws -> BridgeHandle {
    // Shards are dealt out to the loops in turn.
    guard let position = shards.firstIndex(where: { $0 === socket.shard }),
      let loop = loops.withLock({ $0.isEmpty ? nil : $0[position % $0.count] })
    else {
      throw StackError("only a stack on a TAP hands out descriptors")
    }
    try descriptor.setNonBlocking()
    let number = descriptor.rawValue
    let id = socket.surrender()
    let shard = socket.shard
    let bridge = Bridge(id, to: descriptor, isDatagram: socket.type != .tcp, waiter: waiter)
    try loop.watch(number, for: shard.start(bridge), on: shard)
    return BridgeHandle(shard: shard, bridge: bridge)
  }

  /// Resets every connection, ends the event loops and closes the TAP and every other descriptor. Whoever waits on a
  /// socket, and every later call, gets ENETDOWN. Called again, it returns when the first call is done; on a shard's own thread,
  /// which that call waits for, at once.
  public func close() {
    guard !isClosing.exchange(true, ordering: .acquiringAndReleasing) else { return waitUntilClosed() }
    parts.end()
    hasClosed.store(true, ordering: .releasing)
    closed.signal()
  }

  /// What has to end with the stack, whoever still holds the object.
  private struct Parts: Sendable {
    let shards: [LockedShard]
    let loops: Guarded<[EventLoop]>
    let threads: Guarded<[LoopThread]>
    let wireLoss: WakeDescriptor?
    let notices: StackNotices
    let restorations: Guarded<[HeldRestoration]>

    func end() {
      for shard in shards { shard.closeAll() }
      let loops = loops.withLock { list in
        defer { list = [] }
        return list
      }
      for loop in loops { loop.stop() }
      let threads = threads.withLock { list in
        defer { list = [] }
        return list
      }
      for thread in threads { thread.join() }
      for shard in shards {
        shard.executor.end()
        shard.dismantle()
        shard.inbox.close()
      }
      wireLoss?.close()
      notices.event?.close()
      for restoration in restorations.withLock({ $0 }) { restoration.apply() }
    }
  }

  private var parts: Parts {
    Parts(
      shards: shards, loops: loops, threads: threads, wireLoss: wireLoss, notices: notices,
      restorations: restorations)
  }

  private func waitUntilClosed() {
    guard !shards.contains(where: { $0.executor.isLoopThread }) else { return }
    while true {
      let generation = closed.generation
      if hasClosed.load(ordering: .acquiring) { return }
      closed.wait(since: generation, until: .distantFuture)
    }
  }
}
