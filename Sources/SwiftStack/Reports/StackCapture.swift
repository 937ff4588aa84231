import NetDevice
import Shard
import Wire

/// The frames that go out and come in at all queues of an interface, from its beginning to its end. Linux: a packet socket, as tcpdump opens.
///
/// For one thread at a time.
public final class StackCapture {
  private let shards: [LockedShard]
  private let interface: InterfaceIndex?
  private var places: [UInt64]
  private var isOver = false
  /// What the rings of all queues keep: enough for what passes while a client's disk does not take any.
  private static let slots = 4096
  private static let snapByteCount = 65600

  init(_ shards: [LockedShard], interface: InterfaceIndex?) {
    self.shards = shards
    self.interface = interface
    places = shards.map { shard in
      shard.inspect { state in
        let interface = interface ?? state.ethernet
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
    let (frames, next) = shards[queue].inspect { [interface] state in
      state.host.link.devices[interface ?? state.ethernet].capturedFrames(
        from: start, limit: limit)
    }
    places[queue] = next
    return (frames, StackTrace.missing(between: start, and: next, read: frames.count))
  }

  /// Captures no more, unless others do.
  public func end() {
    guard !isOver else { return }
    isOver = true
    shards.inspectEach { [interface] _, state in
      let interface = interface ?? state.ethernet
      state.captureUsers[interface, default: 0] -= 1
      if state.captureUsers[interface] == 0 { state.host.link.devices[interface].stopCapture() }
    }
  }
}

extension Stack {
  /// Has every queue keep the frames that pass an interface.
  ///
  /// - Parameter device: an interface of the stack, `lo` for what it sends to itself; `nil`: its first.
  /// - Throws: `StackError` with ENODEV for another name.
  public func startCapture(on device: String? = nil) throws(StackError) -> StackCapture {
    let interface: InterfaceIndex?
    do throws(StackError) { interface = try known(device) } catch {
      throw StackError("capture on \(device ?? ""): \(Errno.ENODEV)", code: .ENODEV)
    }
    return StackCapture(shards, interface: interface)
  }
}
