import Shard
import Testing

/// A shard below somebody else's scheduler and link: one runs closures after a delay and says what time it is, the other
/// takes frames as spans and injects them as spans. Nothing else is needed.
@Suite struct ForeignSchedulerTests {
  /// Holds what is to run instead of arming a timer.
  private final class ManualScheduler {
    private(set) var now = Duration.zero
    private var entries: [(due: Duration, order: Int, task: () -> Void)] = []
    private var order = 0

    func schedule(after delay: Duration, _ task: @escaping () -> Void) {
      order += 1
      entries.append((now + max(delay, .zero), order, task))
    }

    /// Runs the next entry; returns whether there was one.
    func step() -> Bool {
      guard
        let next = entries.indices.min(by: {
          (entries[$0].due, entries[$0].order) < (entries[$1].due, entries[$1].order)
        })
      else { return false }
      let entry = entries.remove(at: next)
      now = max(now, entry.due)
      entry.task()
      return true
    }
  }

  /// A shard that the scheduler runs, its frames going to `tx`.
  private final class Node {
    let shard: SimulatedShard
    private let scheduler: ManualScheduler
    private var wakesAt: Instant?
    var tx: (Span<UInt8>) -> Void = { _ in }

    init(_ last: UInt8, _ scheduler: ManualScheduler) throws {
      var configuration = StackConfiguration(
        name: "sim\(last)", address: IPv4Prefix(IPv4Address(10, 0, 0, last), length: 24)!)
      configuration.announcesAddress = false
      shard = try SimulatedShard(configuration)
      self.scheduler = scheduler
    }

    func inject(_ frame: Span<UInt8>) {
      shard.advance(to: .origin + Nanoseconds(scheduler.now))
      shard.receive(frame)
      flush()
    }

    /// Carries frames away, and has the scheduler come back for the next deadline.
    func flush() {
      shard.takeFrames { bytes, _ in tx(bytes) }
      guard let deadline = shard.nextDeadline, wakesAt.map({ deadline < $0 }) ?? true else { return }
      wakesAt = deadline
      scheduler.schedule(after: (deadline - shard.now).duration) { [self] in
        // An earlier one has been asked for since.
        guard wakesAt == deadline else { return }
        wakesAt = nil
        shard.advance(to: .origin + Nanoseconds(scheduler.now))
        flush()
      }
    }
  }

  @Test(
    "a link of spans and a scheduler of closures are enough for a connection, and for the first SYN being lost"
  )
  func connection() throws {
    let scheduler = ManualScheduler()
    let (left, right) = (try Node(1, scheduler), try Node(2, scheduler))
    var lost = 0
    left.tx = { frame in
      // The first TCP segment: the SYN.
      if lost == 0, frame.count > 23, frame[23] == 6 {
        lost += 1
        return
      }
      let copy = [UInt8](frame: frame)
      scheduler.schedule(after: .milliseconds(10)) { right.inject(copy.span) }
    }
    right.tx = { frame in
      let copy = [UInt8](frame: frame)
      scheduler.schedule(after: .milliseconds(10)) { left.inject(copy.span) }
    }
    let listener = try right.shard.run { (shard) throws(Errno) in
      let listener = try shard.socket(.tcp)
      try shard.bind(listener, to: SocketAddress(.any, port: 80))
      try shard.listen(listener)
      return listener
    }
    let client = try left.shard.run { (shard) throws(Errno) in
      let client = try shard.socket(.tcp)
      do throws(Errno) {
        try shard.connect(client, to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 80))
      } catch {
        guard error == .EINPROGRESS else { throw error }
      }
      return client
    }
    left.flush()
    while left.shard.run({ !$0.readiness(of: client).contains(.writable) }), scheduler.step() {}
    #expect(lost == 1)
    while right.shard.run({ !$0.readiness(of: listener).contains(.readable) }) {
      try #require(scheduler.step(), "the handshake's last ACK is under way")
    }
    // RFC 6298: the SYN goes again after 1 s; ARP and the answer take a round trip each.
    #expect(scheduler.now >= .milliseconds(1020) && scheduler.now < .milliseconds(1100), "\(scheduler.now)")
  }

  @Test("frames come out once, in order, whole, and the buffer is used again")
  func frames() throws {
    var configuration = StackConfiguration()
    configuration.announcesAddress = false
    let shard = try SimulatedShard(configuration)
    for round in 1...3 {
      let count = round * 2
      try shard.run { (shard) throws(Errno) in
        let sender = try shard.socket(.udp)
        defer { shard.finish(sender) }
        // SO_BROADCAST: no neighbour has to answer.
        try shard.setsockopt(sender, level: 1, name: 6, 1)
        for index in 0..<count {
          try shard.send(
            sender, [UInt8](repeating: UInt8(index), count: 100 * (index + 1)),
            to: SocketAddress(IPv4Address(10, 0, 0, 255), port: 9))
        }
      }
      var sizes: [Int] = []
      var firsts: [UInt8] = []
      shard.takeFrames { bytes, _ in
        sizes.append(bytes.count)
        firsts.append(bytes[42])
      }
      #expect(sizes == (0..<count).map { 42 + 100 * ($0 + 1) })
      #expect(firsts == (0..<count).map { UInt8($0) })
      var isEmpty = true
      shard.takeFrames { _, _ in isEmpty = false }
      #expect(isEmpty)
    }
  }
}

extension [UInt8] {
  fileprivate init(frame: Span<UInt8>) { self = frame.indices.map { frame[$0] } }
}
