import LinuxHost
import Sockets
import TCP
import UDP

/// Options by name, and the calls that control conversations need beside the public ones.
extension Socket {
  /// Returns and clears the pending error. Linux: SO_ERROR.
  public func takeError() -> Errno? {
    (try? enter { (state, id) throws(Errno) in state.sockets.takeError(id) }) ?? nil
  }

  /// SO_REUSEADDR.
  public func setReuseAddress(_ value: Bool) throws(SocketError) {
    try changeTCP {
      $0.reuseAddress = value
    } orDatagram: {
      $0.reuseAddress = value
    }
  }

  /// TCP_NODELAY: small segments do not wait for acknowledgements.
  public func setNoDelay(_ value: Bool) throws(SocketError) {
    try changeTCP {
      $0.noDelay = value
    } orDatagram: { _ in
    }
  }

  /// SO_BROADCAST.
  public func setBroadcast(_ value: Bool) throws(SocketError) {
    try changeTCP { _ in
    } orDatagram: {
      $0.broadcast = value
    }
  }

  /// SO_LINGER: how long close waits; zero resets the connection, `nil` closes in the background.
  public func setLinger(_ value: Nanoseconds?) throws(SocketError) {
    try changeTCP {
      $0.linger = value
    } orDatagram: { _ in
    }
  }

  /// TCP_INFO; `nil` for other sockets.
  public var tcpInfo: TCPInfo? {
    (try? enter { (state, id) throws(Errno) in state.sockets.tcpInfo(id, now: state.net.now) }) ?? nil
  }

  private func changeTCP(
    _ change: (inout TCPSocketOptions) -> Void, orDatagram: (inout DatagramOptions) -> Void
  ) throws(SocketError) {
    try Self.calling("setsockopt") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        switch id.kind {
        case .tcp:
          var options = try state.sockets.tcp.options(id)
          change(&options)
          try state.sockets.tcp.setOptions(id, options, ip: &state.ip, net: &state.net)
        case .udp:
          var options = try state.sockets.udp.options(id)
          orDatagram(&options)
          try state.sockets.udp.setOptions(id, options, ip: &state.ip, net: &state.net)
        case .ping:
          var options = try state.sockets.ping.options(id)
          orDatagram(&options)
          try state.sockets.ping.setOptions(id, options)
        case nil: throw .EBADF
        }
      }
    }
  }

  // MARK: For control conversations

  func enableReceivedTimeToLive() throws(SocketError) {
    try changeTCP { _ in
    } orDatagram: {
      $0.receiveTimeToLive = true
    }
  }

  func receiveWithTimeToLive(
    upTo limit: Int, until deadline: Instant
  ) throws(SocketError) -> (bytes: [UInt8], source: SocketAddress?, timeToLive: UInt8?) {
    try Self.calling("receive") { () throws(Errno) in
      try waiting(for: .readable, until: deadline) { (state, id) throws(Errno) in
        let message = try state.receiveArray(id, upTo: limit, flags: .dontWait)
        return (message.bytes, message.received.source, message.received.timeToLive)
      }
    }
  }

  /// Waits for a datagram and tells where it came from; it stays queued.
  func receivePeeking(until deadline: Instant) throws(SocketError) -> SocketAddress? {
    try Self.calling("receive") { () throws(Errno) in
      try waiting(for: .readable, until: deadline) { (state, id) throws(Errno) in
        let nothing = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
        return unsafe try state.receiveFrom(id, into: nothing, flags: [.peek, .dontWait]).source
      }
    }
  }

  func poll(_ events: Readiness, until deadline: Instant) -> Readiness {
    let wanted = events.union([.error, .hangup])
    let result = try? waiting(for: events, until: deadline) { (state, id) throws(Errno) in
      let ready = state.sockets.readiness(id).intersection(wanted)
      if ready.isEmpty { throw .EAGAIN }
      return ready
    }
    return result ?? []
  }
}
