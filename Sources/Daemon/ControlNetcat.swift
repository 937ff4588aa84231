import Control
import LinuxHost
import SwiftStack

/// A connected descriptor for a client: one end of a socket pair, the other bridged to a stack socket by the shard.
extension StackConversation {
  /// How often a wait looks whether the client is still there.
  private static let lookInterval = Nanoseconds.milliseconds(100)

  func netcat(_ request: NetcatRequest) throws {
    guard request.port != 0 else { throw ControlError("nc: a port is 1 to 65535") }
    let limit = request.timeout.map {
      MonotonicClock.now() + Nanoseconds(Int64(min(max($0, 0), 86400) * 1e9))
    }
    if request.host != nil { try client.send(.started) }
    let socket: Socket
    if let host = request.host {
      guard let address = IPv4Address(host) else {
        throw ControlError("nc: \"\(host)\" is not an IPv4 address")
      }
      socket = try connect(to: SocketAddress(address, port: request.port), isUDP: request.isUDP, limit: limit)
    } else {
      socket = try awaitPeer(port: request.port, isUDP: request.isUDP, limit: limit)
    }
    let peer = try socket.remoteAddress
    let pair = try request.isUDP ? OwnedDescriptor.packetPair() : OwnedDescriptor.socketPair()
    let waiter = SocketWaiter()
    let stack = stack
    let (ours, theirs) = pair.apart()
    let bridge = try stack.bridge(socket, to: OwnedDescriptor(owning: ours), waiter: waiter)
    do {
      try client.send(.connected(peer: "\(peer)"), passing: OwnedDescriptor(owning: theirs))
      try waitForEnd(of: bridge, waiter, peer)
    } catch {
      // What was taken from the client is delivered, whatever became of it.
      bridge.abandon()
      throw error
    }
  }

  private func connect(to peer: SocketAddress, isUDP: Bool, limit: Instant?) throws -> Socket {
    let socket = try socket(isUDP ? .udp : .tcp)
    do {
      try socket.connect(to: peer, until: MonotonicClock.now())
    } catch  where error.errno == .EINPROGRESS {
      try waiting(limit, SocketError("connect", .ETIMEDOUT, peer)) { until in
        let ready = socket.poll(.writable, until: until)
        if ready.isEmpty { throw SocketError("connect", .EAGAIN, peer) }
        if let error = socket.takeError() { throw SocketError("connect", error, peer) }
      }
    } catch {
      throw error
    }
    return socket
  }

  private func awaitPeer(port: UInt16, isUDP: Bool, limit: Instant?) throws -> Socket {
    let address = SocketAddress(.any, port: port)
    let socket = try socket(isUDP ? .udp : .tcp)
    if !isUDP { try socket.setReuseAddress(true) }
    try socket.bind(to: address)
    if !isUDP { try socket.listen(backlog: 1) }
    try client.send(.listening(port: port))
    return try waiting(limit, SocketError("accept", .ETIMEDOUT)) { until in
      guard isUDP else { return try socket.accept(until: until) }
      // The first datagram names the peer; it stays queued for the client.
      let first = try socket.receivePeeking(until: until)
      guard let source = first else { throw SocketError("receive", .EAGAIN) }
      try socket.connect(to: source, until: nil)
      return socket
    }
  }

  /// Repeats an attempt that gives up with EAGAIN, as long as the client is there and the limit not reached.
  private func waiting<Result>(
    _ limit: Instant?, _ timeoutError: SocketError, _ attempt: (Instant) throws -> Result
  ) throws -> Result {
    while true {
      let now = MonotonicClock.now()
      if let limit, now >= limit { throw timeoutError }
      do {
        return try attempt(min(limit ?? .distantFuture, now + Self.lookInterval))
      } catch let error as SocketError where error.errno == .EAGAIN {
        if client.isAskedToEnd(milliseconds: 0) { throw ControlError("the client has gone") }
      }
    }
  }

  private func waitForEnd(of bridge: BridgeHandle, _ waiter: SocketWaiter, _ peer: SocketAddress) throws {
    while true {
      let generation = waiter.generation
      switch bridge.outcome {
      case .closed: return try client.send(.done)
      case .failed(let errno): throw SocketError("connection", errno, peer)
      case nil: break
      }
      if client.isAskedToEnd(milliseconds: 0) { throw ControlError("the client has gone") }
      _ = waiter.wait(since: generation, until: MonotonicClock.now() + Self.lookInterval)
    }
  }
}
