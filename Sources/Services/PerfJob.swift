import Sockets

/// One run of `perf`: what its connections have moved, and when it is over.
struct PerfJob {
  var isActive = false
  var generation: UInt32 = 0
  var isSender = false
  /// Bytes of one write or read.
  var length = 0
  var time = Nanoseconds.zero
  /// Connections that are still to come, and that are open.
  var awaited = 0
  var open = 0
  var streams = 0
  var bytes: UInt64 = 0
  var retransmits: UInt64 = 0
  /// First byte, or first connection; `nil` before that.
  var started: Instant? = nil
  var finished: Instant? = nil
  /// The time is up: senders have sent their FIN and wait for the peer's.
  var isEnding = false
  var error: Errno? = nil
  var waiter: SocketWaiter? = nil
  var listener: Int? = nil
  /// What the receivers had when the job began; the rest of a job's life is in its applications.
  var isOver: Bool { finished != nil || error != nil }
}

/// The jobs of a shard, by slot.
struct JobTable: ~Copyable {
  private var slots: [PerfJob] = []

  subscript(index: Int) -> PerfJob {
    get { slots[index] }
    _modify { yield &slots[index] }
  }

  func isCurrent(_ index: Int, _ generation: UInt32) -> Bool {
    index < slots.count && slots[index].isActive && slots[index].generation == generation
  }

  mutating func insert(_ job: PerfJob) -> Int {
    var job = job
    job.isActive = true
    if let index = slots.firstIndex(where: { !$0.isActive }) {
      job.generation = slots[index].generation &+ 1
      slots[index] = job
      return index
    }
    slots.append(job)
    return slots.count - 1
  }
}
