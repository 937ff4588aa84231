import NetDevice
import Shard
import Wire

/// The frames that go out and come in at all queues of an interface, from its beginning to its end. Linux: a packet socket, as tcpdump opens.
///
/// For one thread at a time.
public final class StackCapture {
  private let shards: [LockedShard]
  private let isLoopback: Bool
  private var places: [UInt64]
  private var isOver = false
  /// What the rings of all queues keep: enough for what passes while a client's disk does not take any.
  private static let slots = 4096
  private static let snapByteCount = 65600

  init(_ shards: [LockedShard], isLoopback: Bool) {
    self.shards = shards
    self.isLoopback = isLoopback
    places = shards.map { shard in
      shard.inspect { state in
        let interface = isLoopback ? .loopback : state.ethernet
        state.captureUsers[interface, default: 0] += 1
        if state.captureUsers[interface] == 1 {
          state.host.link.devices[interface].startCapture(
            slots: Self.slots, snapByteCount: Self.snapByteCount)
        }
        return state.host.link.devices[interface].capturedCount
      }
    }
  }

  deinit { end() }

  /// Reads what one queue has captured since it was last read; it waits for nothing.
  ///
  /// - Parameters:
  ///   - queue: below `queueCount`.
  ///   - limit: most frames to copy while the queue's lock is held.
  /// - Returns: the frames in their order, and how many before them came too fast.
  public func read(queue: Int, limit: Int) -> (frames: [CapturedFrame], lost: UInt64) {
    let start = places[queue]
    let (frames, next) = shards[queue].inspect { [isLoopback] state in
      state.host.link.devices[isLoopback ? .loopback : state.ethernet].capturedFrames(
        from: start, limit: limit)
    }
    places[queue] = next
    return (frames, StackTrace.missing(between: start, and: next, read: frames.count))
  }

  /// Captures no more, unless others do.
  public func end() {
    guard !isOver else { return }
    isOver = true
    shards.inspectEach { [isLoopback] _, state in
      let interface = isLoopback ? .loopback : state.ethernet
      state.captureUsers[interface, default: 0] -= 1
      if state.captureUsers[interface] == 0 { state.host.link.devices[interface].stopCapture() }
    }
  }
}

extension Stack {
  /// Has every queue keep the frames that pass an interface.
  ///
  /// - Parameter device: the stack's interface, or `lo` for what it sends to itself; `nil`: the former.
  /// - Throws: `StackError` with ENODEV for another name.
  public func startCapture(on device: String? = nil) throws(StackError) -> StackCapture {
    guard device == nil || device == configuration.name || device == "lo" else {
      throw StackError("capture on \(device ?? ""): \(Errno.ENODEV)", code: .ENODEV)
    }
    return StackCapture(shards, isLoopback: device == "lo")
  }
}
