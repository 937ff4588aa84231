import LinuxHost
import Shard
import Sockets
import TCP

/// Options by name, and the calls that control conversations need beside the public ones.
extension Socket {
  /// Returns and clears the pending error. Linux: SO_ERROR.
  public func takeError() -> Errno? {
    (try? enter { (state, id) throws(Errno) in state.sockets.takeError(id) }) ?? nil
  }

  /// SO_REUSEADDR.
  public func setReuseAddress(_ value: Bool) throws(SocketError) {
    try setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.reuseAddress, value ? 1 : 0)
  }

  /// TCP_NODELAY: small segments do not wait for acknowledgements.
  ///
  /// - Throws: ENOPROTOOPT for a datagram socket.
  public func setNoDelay(_ value: Bool) throws(SocketError) {
    try setsockopt(level: SocketOptionLevel.tcp, name: TCPOptionName.noDelay, value ? 1 : 0)
  }

  /// SO_BROADCAST.
  public func setBroadcast(_ value: Bool) throws(SocketError) {
    try setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.broadcast, value ? 1 : 0)
  }

  /// The user that the socket belongs to, whom rules about routing tables may ask for (`uidrange`); root, 0, at first. An
  /// accepted connection is its listener's. Linux: `sk_uid`, which fchown(2) sets.
  public var user: UInt32 {
    (try? enter { (state, id) throws(Errno) in try state.sockets.user(of: id) }) ?? 0
  }

  /// Makes the socket another user's: its next packet's way is looked up anew.
  ///
  /// - Throws: `EBADF`.
  public func setUser(_ user: UInt32) throws(SocketError) {
    try Self.calling("fchown") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in try state.sockets.setUser(user, of: id) }
    }
  }

  /// SO_LINGER: how long close waits for the peer to acknowledge what was sent; zero resets the connection, `nil` closes
  /// in the background. Whole seconds, as Linux counts; a part of one counts as one.
  public func setLinger(_ value: Duration?) throws(SocketError) {
    let seconds = value.map { Int32(clamping: (Nanoseconds($0).milliseconds + 999) / 1000) }
    var linger = InlineArray<2, Int32>(repeating: 0)
    if let seconds { linger = [1, seconds] }
    // Safe: an int has no padding.
    try setsockopt(
      level: SocketOptionLevel.socket, name: SocketOptionName.linger, value: unsafe linger.span.bytes)
  }

  /// TCP_INFO; `nil` for other sockets.
  public var tcpInfo: TCPInfo? {
    (try? enter { (state, id) throws(Errno) in state.sockets.tcpInfo(id, now: state.host.net.now) }) ?? nil
  }

  // MARK: Programs

  /// Attaches a program to the socket, and to the connections that it accepts if it listens.
  ///
  /// - Throws: `EBADF`.
  public func attach(_ program: SocketProgram) throws(SocketError) {
    try Self.calling("attach") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.attach(program, handle: 0, to: id)
      }
    }
  }

  /// What a program has labelled the socket's flow with; 0: nothing.
  public var flowLabel: UInt32 {
    (try? enter { (state, id) throws(Errno) in try state.sockets.flowLabel(id) }) ?? 0
  }

  // MARK: For control conversations

  package func enablePingReports() throws(SocketError) {
    try setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveTimeToLive, 1)
    try setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 1)
  }

  package func recvmsg(
    upTo limit: Int, until deadline: Instant
  ) throws(SocketError) -> Received {
    try receiveArray("receive", upTo: limit, flags: [], .until(deadline))
  }

  /// Waits for a datagram and tells where it came from; it stays queued.
  package func receivePeeking(until deadline: Instant) throws(SocketError) -> SocketAddress? {
    var patience = Patience.until(deadline)
    do throws(Errno) {
      return try waiting(for: .read, &patience) { (state, id) throws(Errno) in
        let nothing = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
        return unsafe try state.receiveFrom(id, into: nothing, flags: [.peek, .dontWait]).source
      }
    } catch {
      throw SocketError("receive", error)
    }
  }
}
