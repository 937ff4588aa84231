import NetNamespace
import Tables

/// A program that the shard runs itself when its socket is ready, on the thread that made it ready. Plain data, so that
/// the table of them costs nothing to walk or change.
struct Application {
  enum Kind: UInt8 {
    case free
    /// Accepts, and starts `child` for each connection.
    case listener
    case echoStream, discardStream, chargenStream, daytimeStream
    case echoDatagram, discardDatagram, chargenDatagram, daytimeDatagram
    case perfSource, perfSink
    case bridge
  }
  var kind = Kind.free
  var socket = SocketID.none
  /// What a listener starts.
  var child = Kind.free
  /// Where in the character generator's pattern the next byte comes from.
  var position = 0
  /// Slot in the job table; of a bridge, in the bridge table.
  var job = 0
  /// Tells a reused slot from its former user.
  var generation: UInt32 = 0
  /// The peer has sent its FIN, or our own was sent: nothing more to do in that direction.
  var isInputDone = false
  var isOutputDone = false
  /// Stands in line for a turn.
  var isQueued = false
}

/// The applications of a shard, by slot.
struct ApplicationTable: ~Copyable {
  private var slots: [Application] = []
  private var free: [Int] = []
  /// Connections that the services hold; more are reset.
  var serviceConnections = 0
  /// Enough for everybody, and bounded.
  static let mostServiceConnections = 16384

  /// Programs that have something to do, first come, first served.
  private struct Turn {
    var index: Int
    var generation: UInt32
  }
  private var line = Fifo(capacity: 64, blank: Turn(index: 0, generation: 0))
  var isLineEmpty: Bool { line.isEmpty }

  /// Puts a program at the end of the line, if it does not stand there already.
  mutating func enqueue(_ index: Int) {
    guard !slots[index].isQueued else { return }
    slots[index].isQueued = true
    line.append(Turn(index: index, generation: slots[index].generation))
  }

  /// The program whose turn it is; `nil` when nobody has anything to do.
  mutating func dequeue() -> Int? {
    while let turn = line.popFirst() {
      guard slots[turn.index].generation == turn.generation, slots[turn.index].isQueued else { continue }
      slots[turn.index].isQueued = false
      return turn.index
    }
    return nil
  }

  subscript(index: Int) -> Application {
    get { slots[index] }
    _modify { yield &slots[index] }
  }

  var indices: Range<Int> { slots.indices }

  mutating func insert(_ application: Application) -> Int {
    var application = application
    if let index = free.popLast() {
      application.generation = slots[index].generation &+ 1
      slots[index] = application
      return index
    }
    slots.append(application)
    return slots.count - 1
  }

  mutating func remove(_ index: Int) {
    let generation = slots[index].generation
    slots[index] = Application()
    slots[index].generation = generation
    free.append(index)
  }
}
