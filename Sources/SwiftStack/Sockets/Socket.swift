import InetSocket
import LinuxHost
import Shard
import SkBuff
import Sockets
import Synchronization

/// A socket of a stack. Every call may come from any thread; it runs on that thread, down to the wire.
///
/// Calls wait as those of a blocking Linux socket do, within `sendTimeout` and `receiveTimeout`; with `isNonBlocking`
/// set, or the flag `.dontWait`, they fail with EAGAIN instead. The `async` forms suspend the task. The socket closes
/// when the last reference goes.
public final class Socket: Sendable {
  /// The kind it was opened as.
  public let type: SocketKind
  /// Kept alive by its sockets.
  let stack: Stack
  let shard: LockedShard
  let id: SocketID
  let waiter = SocketWaiter()
  /// Cleared by the one `close` that closes. Whether a call may use the socket is decided under the shard's lock.
  let isOpen = Atomic<Bool>(true)
  private let nonBlocking = Atomic<Bool>(false)
  private let signalsBrokenPipe = Atomic<Bool>(false)

  init(stack: Stack, shard: LockedShard, type: SocketKind) throws(SocketError) {
    let waiter = waiter
    self.type = type
    self.stack = stack
    self.shard = shard
    acceptedFrom = nil
    id = try Self.calling("socket") { () throws(Errno) in
      try shard.enter { (state) throws(Errno) in
        if let end = state.end { throw Wait.read.error(of: end) }
        let id = try state.socket(type)
        state.owners.setWaiter(id, waiter)
        return id
      }
    }
  }

  /// Takes over an accepted connection.
  private init(stack: Stack, shard: LockedShard, accepted id: SocketID) {
    type = .tcp
    self.stack = stack
    self.shard = shard
    self.id = id
    acceptedFrom = shard.inspect { $0.sockets.tcpInfo(id, now: $0.host.net.now)?.remote }
    let waiter = waiter
    shard.inspect { $0.owners.setWaiter(id, waiter) }
  }

  deinit { if stack.shards.areHeldHere { closeLater() } else { close(lingers: false) } }

  // MARK: Modes

  /// O_NONBLOCK.
  public var isNonBlocking: Bool {
    get { nonBlocking.load(ordering: .relaxed) }
    set { nonBlocking.store(newValue, ordering: .relaxed) }
  }
  /// Whether a blocking or non-blocking send of a stream that fails with EPIPE raises SIGPIPE on its thread first, as Linux
  /// does without MSG_NOSIGNAL; off at first. Linux: `sk_stream_error()`.
  public var raisesSIGPIPE: Bool {
    get { signalsBrokenPipe.load(ordering: .relaxed) }
    set { signalsBrokenPipe.store(newValue, ordering: .relaxed) }
  }
  /// SO_RCVTIMEO: how long a receive or an accept waits before EAGAIN, on the stack's clock; `nil`: for ever.
  public var receiveTimeout: Duration? {
    get {
      ((try? enter { (state, id) throws(Errno) in state.sockets.timeouts(id).receive }) ?? nil)?.duration
    }
    set {
      let timeout = newValue.flatMap { $0 > .zero ? Nanoseconds($0) : nil }
      try? enter { (state, id) throws(Errno) in
        state.sockets.setReceiveTimeout(id, timeout)
      }
    }
  }
  /// SO_SNDTIMEO: how long a send (EAGAIN) or a connect (EINPROGRESS) waits, on the stack's clock; `nil`: for ever.
  public var sendTimeout: Duration? {
    get { ((try? enter { (state, id) throws(Errno) in state.sockets.timeouts(id).send }) ?? nil)?.duration }
    set {
      let timeout = newValue.flatMap { $0 > .zero ? Nanoseconds($0) : nil }
      try? enter { (state, id) throws(Errno) in
        state.sockets.setSendTimeout(id, timeout)
      }
    }
  }

  // MARK: Inside

  static func calling<Result>(
    _ operation: @autoclosure () -> String, _ address: SocketAddress? = nil,
    _ body: () throws(Errno) -> Result
  ) throws(SocketError) -> Result {
    do { return try body() } catch { throw SocketError(operation(), error, address) }
  }

  // MARK: Names and connections

  /// Linux: bind(2). Port 0 picks one.
  public func bind(to address: SocketAddress) throws(SocketError) {
    try Self.calling("bind", address) { () throws(Errno) in
      try takingPort(address) { () throws(Errno) in
        try enter { (state, id) throws(Errno) in
          try state.sockets.bind(id, to: address, host: &state.host)
        }
      }
    }
  }

  /// Linux: listen(2).
  public func listen(backlog: Int = 4096) throws(SocketError) {
    try Self.calling("listen") { () throws(Errno) in
      try takingPort(nil) { () throws(Errno) in
        try enter { (state, id) throws(Errno) in
          try state.sockets.listen(id, backlog: backlog, net: &state.host.net)
        }
      }
    }
  }

  /// Linux: accept(2). Waits at most `receiveTimeout`.
  public func accept() throws(SocketError) -> Socket { try accept(patience([], .receiveTimeout)) }

  package func accept(until limit: Instant?) throws(SocketError) -> Socket {
    try accept(limit.map(Patience.until) ?? .none)
  }

  private func accept(_ patience: Patience) throws(SocketError) -> Socket {
    var patience = patience
    let child: SocketID
    do throws(Errno) {
      child = try waiting(for: .accept, &patience) { (state, id) throws(Errno) in
        try state.sockets.accept(id, net: &state.host.net)
      }
    } catch {
      throw SocketError("accept", error)
    }
    return Socket(stack: stack, shard: shard, accepted: child)
  }

  /// The other end as accept(2) names it: also when the connection has ended since; `nil` for a socket that was not
  /// accepted.
  public let acceptedFrom: SocketAddress?

  /// As the blocking form, suspending the task.
  ///
  /// - Throws: as the blocking form; ECANCELED when the task was cancelled.
  public func accept() async throws(SocketError) -> Socket {
    var patience = patience([], .receiveTimeout)
    let child: SocketID
    do throws(Errno) {
      child = try await suspending(for: .accept, &patience) { (state, id) throws(Errno) in
        try state.sockets.accept(id, net: &state.host.net)
      }
    } catch {
      throw SocketError("accept", error)
    }
    return Socket(stack: stack, shard: shard, accepted: child)
  }

  /// Linux: connect(2). A TCP socket waits for its peer's answer, at most `sendTimeout`.
  public func connect(to address: SocketAddress) throws(SocketError) {
    try connect(to: address, patience([], .sendTimeout))
  }

  package func connect(to address: SocketAddress, until limit: Instant?) throws(SocketError) {
    try connect(to: address, limit.map(Patience.until) ?? .none)
  }

  private func connect(to address: SocketAddress, _ patience: Patience) throws(SocketError) {
    var patience = patience
    do throws(Errno) {
      guard let unfinished = try startConnecting(to: address) else { return }
      if case .none = patience { throw unfinished }
      do throws(Errno) {
        try waiting(for: .connect, &patience) { (state, id) throws(Errno) in try state.finishConnecting(id) }
      } catch {
        throw error == Wait.connect.error(of: .timeout) ? unfinished : error
      }
    } catch {
      throw SocketError("connect", error, address)
    }
  }

  /// As the blocking form, suspending the task.
  ///
  /// - Throws: as the blocking form; ECANCELED when the task was cancelled.
  public func connect(to address: SocketAddress) async throws(SocketError) {
    var patience = patience([], .sendTimeout)
    do throws(Errno) {
      guard let unfinished = try startConnecting(to: address) else { return }
      if case .none = patience { throw unfinished }
      do throws(Errno) {
        try await suspending(for: .connect, &patience) { (state, id) throws(Errno) in
          try state.finishConnecting(id)
        }
      } catch {
        throw error == Wait.connect.error(of: .timeout) ? unfinished : error
      }
    } catch {
      throw SocketError("connect", error, address)
    }
  }

  /// Takes the peer away: a stream is reset, ends listening too, and may connect or listen anew; a datagram socket
  /// receives from everybody again. What `bind` asked for stays. Linux: connect(2) with AF_UNSPEC.
  public func disconnect() throws(SocketError) {
    try Self.calling("disconnect") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.disconnect(id, host: &state.host)
      }
    }
  }

  /// - Returns: while the answer is still to come, what a call that waits no longer fails with; `nil`: it is there.
  private func startConnecting(to address: SocketAddress) throws(Errno) -> Errno? {
    let first = try enter { (state, id) throws(Errno) -> (wish: ConnectionWish?, unfinished: Errno?) in
      let wish = state.sockets.tcp.connectionWish(id, to: address, host: &state.host)
      if let wish { return (wish, nil) }
      return (nil, try Self.startConnecting(&state, id, to: address))
    }
    guard let wish = first.wish else { return first.unfinished }
    return try takingFlow(wish) { () throws(Errno) in
      try enter { (state, id) throws(Errno) in try Self.startConnecting(&state, id, to: address) }
    }
  }

  private static func startConnecting(
    _ state: inout Shard, _ id: SocketID, to address: SocketAddress
  ) throws(Errno) -> Errno? {
    var unfinished = Errno.EINPROGRESS
    do throws(Errno) {
      try state.sockets.connect(id, to: address, host: &state.host)
    } catch {
      // An attempt that is on its way is waited for, too. Linux: SS_CONNECTING in `__inet_stream_connect()`.
      guard error == .EINPROGRESS || error == .EALREADY else { throw error }
      unfinished = error
    }
    do throws(Errno) {
      try state.finishConnecting(id)
      return nil
    } catch {
      guard error == .EAGAIN else { throw error }
      return unfinished
    }
  }

  /// The own end.
  public var localAddress: SocketAddress {
    get throws(SocketError) {
      try Self.calling("getsockname") { () throws(Errno) in
        try enter { (state, id) throws(Errno) in try state.sockets.localAddress(id) }
      }
    }
  }

  /// The other end.
  public var remoteAddress: SocketAddress {
    get throws(SocketError) {
      try Self.calling("getpeername") { () throws(Errno) in
        try enter { (state, id) throws(Errno) in try state.sockets.remoteAddress(id) }
      }
    }
  }

  /// Linux: shutdown(2).
  public func shutdown(read: Bool = false, write: Bool = false) throws(SocketError) {
    try Self.calling("shutdown") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.shutdown(id, read: read, write: write, host: &state.host)
      }
    }
  }
}
