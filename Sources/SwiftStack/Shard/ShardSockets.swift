import SkBuff
import Sockets
import UDP

/// Socket calls with plain buffers, for the callers inside this module.
extension ShardState {
  mutating func socket(_ kind: SocketKind) throws(Errno) -> SocketID {
    switch kind {
    case .tcp: try sockets.socket(family: .inet, type: .stream, net: &net)
    case .udp: try sockets.socket(family: .inet, type: .datagram, net: &net)
    case .ping: try sockets.socket(family: .inet, type: .datagram, protocol: .icmp, net: &net)
    }
  }

  /// - Returns: bytes taken.
  mutating func send(
    _ id: SocketID, from buffer: UnsafeRawBufferPointer, to address: SocketAddress? = nil, flags: MessageFlags
  ) throws(Errno) -> Int {
    var iter = unsafe IovIter(source: buffer)
    return try sockets.sendmsg(
      id, header: MessageHeader(address: address, flags: flags), iter: &iter, ip: &ip, net: &net)
  }

  mutating func receiveFrom(
    _ id: SocketID, into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags
  ) throws(Errno) -> Received {
    var iter = unsafe IovIter(destination: buffer)
    let message = try sockets.recvmsg(id, iter: &iter, flags: flags, ip: &ip, net: &net)
    return Received(
      byteCount: message.byteCount, source: message.source, flags: message.flags,
      timeToLive: message.control.timeToLive)
  }

  /// Receives into a new array.
  mutating func receiveArray(
    _ id: SocketID, upTo limit: Int, flags: MessageFlags
  ) throws(Errno) -> (bytes: [UInt8], received: Received) {
    var buffer = [UInt8](repeating: 0, count: max(limit, 0))
    var span = buffer.mutableSpan
    // Safe: any byte is a valid UInt8.
    var bytes = unsafe span.mutableBytes
    let received = unsafe try bytes.withUnsafeMutableBytes { (room) throws(Errno) in
      unsafe try receiveFrom(id, into: room, flags: flags)
    }
    buffer.removeLast(max(0, buffer.count - received.byteCount))
    return (buffer, received)
  }

  /// Sends bytes that Swift owns.
  mutating func send(
    _ id: SocketID, _ bytes: ArraySlice<UInt8>, to address: SocketAddress? = nil, flags: MessageFlags
  ) throws(Errno) -> Int {
    unsafe try bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
      unsafe try send(id, from: buffer, to: address, flags: flags)
    }
  }

  mutating func receive(
    _ id: SocketID, into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags
  ) throws(Errno) -> Int {
    unsafe try receiveFrom(id, into: buffer, flags: flags).byteCount
  }

  /// Takes up to `count` bytes, or one datagram, and throws them away.
  @discardableResult
  mutating func discard(_ id: SocketID, count: Int) throws(Errno) -> Int {
    var iter = IovIter(discarding: count)
    return try sockets.recvmsg(id, iter: &iter, flags: .dontWait, ip: &ip, net: &net).byteCount
  }

  /// EAGAIN while a connection is on its way, its error when it failed.
  mutating func finishConnecting(_ id: SocketID) throws(Errno) {
    try sockets.finishConnect(id, net: net)
  }
}
