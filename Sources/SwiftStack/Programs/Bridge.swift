import LinuxHost
import SkBuff
import Sockets

/// A stack socket whose bytes are moved to and from a descriptor that another process holds the other end of.
/// Used under the shard's lock only, but for `waiter`.
package final class Bridge {
  let descriptor: OwnedDescriptor
  let isDatagram: Bool
  /// Whoever waits for the end.
  let waiter: SocketWaiter
  /// The descriptor may have something to read, or room. Edge-triggered: true until it says otherwise.
  var mayRead = true
  var mayWrite = true
  /// Bytes read from the descriptor that the stack has not taken yet.
  var pending = [UInt8](repeating: 0, count: 65536)
  var pendingRange = 0..<0
  var application = -1
  /// Nobody reads the descriptor any more: what the peer sends is thrown away, and the end of what comes from the
  /// descriptor is the end of it all, as when a process that ends closes its socket.
  var isUnread = false
  /// How it ended; `nil` while it lives.
  var outcome: Outcome?

  package enum Outcome {
    case closed
    case failed(Errno)
  }

  init(descriptor: consuming OwnedDescriptor, isDatagram: Bool, waiter: SocketWaiter) {
    self.descriptor = descriptor
    self.isDatagram = isDatagram
    self.waiter = waiter
  }
}

/// The bridges of a shard, by slot.
struct BridgeTable: ~Copyable {
  private var slots: [Bridge?] = []
  subscript(index: Int) -> Bridge? { index < slots.count ? slots[index] : nil }
  var indices: Range<Int> { slots.indices }

  mutating func insert(_ bridge: Bridge) -> Int {
    if let index = slots.firstIndex(where: { $0 == nil }) {
      slots[index] = bridge
      return index
    }
    slots.append(bridge)
    return slots.count - 1
  }
  mutating func remove(_ index: Int) { slots[index] = nil }
}

extension ShardState {
  /// Hands a connected socket to the loop. The event loop must watch the descriptor with the number that is returned.
  mutating func startBridge(_ bridge: Bridge, on socket: SocketID) -> Int {
    let index = bridges.insert(bridge)
    var application = Application()
    application.kind = .bridge
    application.socket = socket
    application.job = index
    bridge.application = start(application)
    return index
  }

  /// The descriptor or the socket may be ready.
  mutating func runBridge(_ index: Int) {
    guard let bridge = bridges[index], bridge.outcome == nil else { return }
    let application = bridge.application
    do throws(Errno) {
      let isInputMore = try moveIn(bridge, applications[application].socket)
      let isOutputMore = try moveOut(bridge, applications[application].socket)
      if applications[application].isInputDone && applications[application].isOutputDone {
        return endBridge(index, .closed)
      }
      if isInputMore || isOutputMore { host.net.wake(applications[application].socket) }
    } catch {
      endBridge(index, .failed(error))
    }
  }

  /// Descriptor to socket. Returns whether its turn ended before the bytes did.
  private mutating func moveIn(_ bridge: Bridge, _ socket: SocketID) throws(Errno) -> Bool {
    let application = bridge.application
    var moved = 0
    while !applications[application].isInputDone {
      if bridge.pendingRange.isEmpty {
        guard bridge.mayRead else { return false }
        switch readPending(bridge) {
        case .bytes(0): return try endInput(bridge, socket)
        case .bytes(let count): bridge.pendingRange = 0..<count
        case .wouldBlock:
          bridge.mayRead = false
          return false
        case .error: return try endInput(bridge, socket)
        }
      }
      do throws(Errno) {
        let range = bridge.pendingRange
        let sent = try send(socket, bridge.pending[range], flags: [.dontWait, .noSignal])
        bridge.pendingRange = bridge.isDatagram ? 0..<0 : range.lowerBound + sent..<range.upperBound
        moved += sent
      } catch {
        if error == .EAGAIN { return false }
        // One datagram's error (nobody there) does not end the conversation, as for nc(1).
        guard bridge.isDatagram else { throw error }
        bridge.pendingRange = 0..<0
        if error == .ECONNREFUSED { throw error }
      }
      if moved >= Self.turnByteCount { return true }
    }
    return false
  }

  /// The descriptor has given all there will be. One whose other end was closed before it had read everything says
  /// ECONNRESET: the same.
  private mutating func endInput(_ bridge: Bridge, _ socket: SocketID) throws(Errno) -> Bool {
    let application = bridge.application
    applications[application].isInputDone = true
    // A datagram conversation ends with its client, for it has no FIN to wait for.
    if bridge.isDatagram || bridge.isUnread {
      applications[application].isOutputDone = true
    } else {
      try sockets.shutdown(socket, read: false, write: true, host: &host)
    }
    return false
  }

  private func readPending(_ bridge: Bridge) -> DescriptorIO {
    // Safe: the span is the array's own memory, and any byte is a valid UInt8.
    return unsafe bridge.pending.withUnsafeMutableBytes { room in
      var span = unsafe MutableRawSpan(_unsafeBytes: room)
      return bridge.descriptor.read(into: &span)
    }
  }

  /// Socket to descriptor: looked at first, taken as far as the descriptor had room.
  private mutating func moveOut(_ bridge: Bridge, _ socket: SocketID) throws(Errno) -> Bool {
    let application = bridge.application
    var moved = 0
    if bridge.isUnread { return try discardUnread(bridge, socket) }
    while !applications[application].isOutputDone && bridge.mayWrite {
      let buffer = unsafe scratch.prefix(65536)
      let count: Int
      do throws(Errno) {
        count = unsafe try receive(socket, into: buffer, flags: [.peek, .dontWait])
      } catch {
        if error == .EAGAIN { return false }
        throw error
      }
      if count == 0 && !bridge.isDatagram {
        applications[application].isOutputDone = true
        bridge.descriptor.shutdownWriting()
        return false
      }
      // Safe: the first `count` bytes of the buffer were just filled, and the shard's lock is held.
      let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      // An empty datagram would look like an end of file to the client.
      switch count == 0 ? .bytes(0) : bridge.descriptor.write(span) {
      case .bytes(let written):
        try discard(socket, count: bridge.isDatagram ? 1 : written)
        moved += written
      case .wouldBlock:
        bridge.mayWrite = false
        return false
      case .error:
        bridge.isUnread = true
        bridge.mayRead = true
        return true
      }
      if moved >= Self.turnByteCount { return true }
    }
    return false
  }

  private mutating func discardUnread(_ bridge: Bridge, _ socket: SocketID) throws(Errno) -> Bool {
    let application = bridge.application
    if applications[application].isInputDone { applications[application].isOutputDone = true }
    do throws(Errno) {
      var moved = 0
      while moved < Self.turnByteCount {
        let count = try discard(socket, count: Self.turnByteCount)
        if count == 0 { return false }
        moved += count
      }
      return true
    } catch {
      if error == .EAGAIN { return false }
      throw error
    }
  }

  mutating func endBridges(_ outcome: Bridge.Outcome) {
    for index in bridges.indices { endBridge(index, outcome) }
  }

  mutating func endBridge(_ index: Int, _ outcome: Bridge.Outcome) {
    guard let bridge = bridges[index], bridge.outcome == nil else { return }
    bridge.outcome = outcome
    bridges.remove(index)
    if case .failed = outcome { end(bridge.application, reset: true) } else { end(bridge.application) }
    // The client sees end of file, whatever the reason.
    bridge.descriptor.shutdownWriting()
    bridge.waiter.signal()
  }
}
