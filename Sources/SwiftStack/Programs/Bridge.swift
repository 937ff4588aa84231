import LinuxHost
import Shard
import SkBuff
import Sockets

/// A stack socket whose bytes are moved to and from a descriptor that another process holds the other end of: a program of
/// the socket's shard, nudged by the event loop when the descriptor is ready. Used by whoever holds the shard only, but for
/// `waiter`.
package final class Bridge: Program {
  private let descriptor: OwnedDescriptor
  fileprivate let socket: SocketID
  private let isDatagram: Bool
  /// Whoever waits for the end.
  private let waiter: SocketWaiter
  /// The descriptor may have something to read, or room. Edge-triggered: true until it says otherwise.
  private var mayRead = true
  private var mayWrite = true
  /// Bytes read from the descriptor that the stack has not taken yet.
  private var pending = [UInt8](repeating: 0, count: 65536)
  private var pendingRange = 0..<0
  /// Nothing more comes from the descriptor; the peer has sent all it will.
  private var isInputDone = false
  private var isOutputDone = false
  /// Nobody reads the descriptor any more: what the peer sends is thrown away, and the end of what comes from the
  /// descriptor is the end of it all, as when a process that ends closes its socket.
  private var isUnread = false
  /// How it ended; `nil` while it lives.
  private(set) var outcome: Outcome?

  package enum Outcome: Sendable {
    case closed
    case failed(Errno)
  }

  init(
    _ socket: SocketID, to descriptor: consuming OwnedDescriptor, isDatagram: Bool, waiter: SocketWaiter
  ) {
    self.socket = socket
    self.descriptor = descriptor
    self.isDatagram = isDatagram
    self.waiter = waiter
  }

  package override func ready(_ socket: SocketID, on shard: inout Shard) { run(&shard) }

  package override func nudged(on shard: inout Shard) {
    mayRead = true
    mayWrite = true
    run(&shard)
  }

  package override func stackEnds(on shard: inout Shard) { finish(.failed(.ENETDOWN), &shard) }

  /// The client is gone: what it had written is still sent, then the connection is closed.
  func abandon(_ shard: inout Shard) {
    isUnread = true
    mayRead = true
    run(&shard)
  }

  /// The descriptor or the socket may be ready.
  private func run(_ shard: inout Shard) {
    guard outcome == nil else { return }
    do throws(Errno) {
      let isInputMore = try moveIn(&shard)
      let isOutputMore = try moveOut(&shard)
      if isInputDone && isOutputDone { return finish(.closed, &shard) }
      if isInputMore || isOutputMore { shard.wake(socket) }
    } catch {
      finish(.failed(error), &shard)
    }
  }

  /// Descriptor to socket. Returns whether its turn ended before the bytes did.
  private func moveIn(_ shard: inout Shard) throws(Errno) -> Bool {
    var moved = 0
    while !isInputDone {
      if pendingRange.isEmpty {
        guard mayRead else { return false }
        switch readPending() {
        case .bytes(0): return try endInput(&shard)
        case .bytes(let count): pendingRange = 0..<count
        case .wouldBlock:
          mayRead = false
          return false
        case .error: return try endInput(&shard)
        }
      }
      do throws(Errno) {
        let range = pendingRange
        let sent = try shard.send(socket, pending[range], flags: [.dontWait, .noSignal])
        pendingRange = isDatagram ? 0..<0 : range.lowerBound + sent..<range.upperBound
        moved += sent
      } catch {
        if error == .EAGAIN { return false }
        // One datagram's error (nobody there) does not end the conversation, as for nc(1).
        guard isDatagram else { throw error }
        pendingRange = 0..<0
        if error == .ECONNREFUSED { throw error }
      }
      if moved >= Shard.turnByteCount { return true }
    }
    return false
  }

  /// The descriptor has given all there will be. One whose other end was closed before it had read everything says
  /// ECONNRESET: the same.
  private func endInput(_ shard: inout Shard) throws(Errno) -> Bool {
    isInputDone = true
    // A datagram conversation ends with its client, for it has no FIN to wait for.
    if isDatagram || isUnread {
      isOutputDone = true
    } else {
      try shard.shutdown(socket, write: true)
    }
    return false
  }

  private func readPending() -> DescriptorIO {
    // Safe: the span is the array's own memory, and any byte is a valid UInt8.
    return unsafe pending.withUnsafeMutableBytes { room in
      var span = unsafe MutableRawSpan(_unsafeBytes: room)
      return descriptor.read(into: &span)
    }
  }

  /// Socket to descriptor: looked at first, taken as far as the descriptor had room.
  private func moveOut(_ shard: inout Shard) throws(Errno) -> Bool {
    var moved = 0
    if isUnread { return try discardUnread(&shard) }
    while !isOutputDone && mayWrite {
      let buffer = unsafe shard.scratch.prefix(65536)
      let count: Int
      do throws(Errno) {
        count = unsafe try shard.receive(socket, into: buffer, flags: [.peek, .dontWait])
      } catch {
        if error == .EAGAIN { return false }
        throw error
      }
      if count == 0 && !isDatagram {
        isOutputDone = true
        descriptor.shutdownWriting()
        return false
      }
      // Safe: the first `count` bytes of the buffer were just filled, and the shard's lock is held.
      let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      // An empty datagram would look like an end of file to the client.
      switch count == 0 ? .bytes(0) : descriptor.write(span) {
      case .bytes(let written):
        try shard.discard(socket, count: isDatagram ? 1 : written)
        moved += written
      case .wouldBlock:
        mayWrite = false
        return false
      case .error:
        isUnread = true
        mayRead = true
        return true
      }
      if moved >= Shard.turnByteCount { return true }
    }
    return false
  }

  private func discardUnread(_ shard: inout Shard) throws(Errno) -> Bool {
    if isInputDone { isOutputDone = true }
    do throws(Errno) {
      var moved = 0
      while moved < Shard.turnByteCount {
        let count = try shard.discard(socket, count: Shard.turnByteCount)
        if count == 0 { return false }
        moved += count
      }
      return true
    } catch {
      if error == .EAGAIN { return false }
      throw error
    }
  }

  private func finish(_ outcome: Outcome, _ shard: inout Shard) {
    guard self.outcome == nil else { return }
    self.outcome = outcome
    if case .failed = outcome { shard.finish(socket, reset: true) } else { shard.finish(socket) }
    shard.end(id)
    // The client sees end of file, whatever the reason.
    descriptor.shutdownWriting()
    waiter.signal()
  }
}

extension LockedShard {
  /// Runs a bridge, on its socket.
  func start(_ bridge: Bridge) -> ProgramID {
    enter { state in
      let program = state.start(bridge)
      state.give(bridge.socket, to: program)
      return program
    }
  }
}

/// A bridge as its starter sees it.
package struct BridgeHandle: Sendable {
  let shard: LockedShard
  nonisolated(unsafe) let bridge: Bridge

  /// How it ended; `nil` while it lives.
  package var outcome: Bridge.Outcome? { shard.inspect { _ in unsafe bridge.outcome } }

  /// The client is gone: what it had written is still sent, then the connection is closed.
  package func abandon() { shard.enter { unsafe bridge.abandon(&$0) } }
}
