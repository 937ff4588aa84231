import InetSocket
import SkBuff
import Sockets
import UDP

/// Socket calls of whoever holds the shard: programs, and the sockets above. None of them waits; what would have to fails
/// with EAGAIN.
extension Shard {
  /// Linux: socket(2). ENETDOWN when the stack has been closed, or its interface is gone.
  public mutating func socket(_ kind: SocketKind) throws(Errno) -> SocketID {
    if let end { throw Wait.read.error(of: end) }
    return switch kind {
    case .tcp: try sockets.socket(family: .inet, type: .stream, net: &host.net)
    case .udp: try sockets.socket(family: .inet, type: .datagram, net: &host.net)
    case .udpLite: try sockets.socket(family: .inet, type: .datagram, protocol: .udpLite, net: &host.net)
    case .ping: try sockets.socket(family: .inet, type: .datagram, protocol: .icmp, net: &host.net)
    }
  }

  /// Linux: bind(2). Port 0 picks one. Of the shards of one stack, only this one's sockets are asked whether the port is free.
  public mutating func bind(_ id: SocketID, to address: SocketAddress) throws(Errno) {
    try sockets.bind(id, to: address, host: &host)
  }

  /// Linux: listen(2).
  public mutating func listen(_ id: SocketID, backlog: Int = 4096) throws(Errno) {
    try sockets.listen(id, backlog: backlog, net: &host.net)
  }

  /// Linux: accept(2).
  public mutating func accept(_ id: SocketID) throws(Errno) -> SocketID {
    try sockets.accept(id, net: &host.net)
  }

  /// Linux: connect(2). EINPROGRESS for TCP: the socket is writable when the peer has answered, see `finishConnecting(_:)`.
  public mutating func connect(_ id: SocketID, to address: SocketAddress) throws(Errno) {
    try sockets.connect(id, to: address, host: &host)
  }

  /// Linux: shutdown(2).
  public mutating func shutdown(_ id: SocketID, read: Bool = false, write: Bool = false) throws(Errno) {
    try sockets.shutdown(id, read: read, write: write, host: &host)
  }

  /// Linux: setsockopt(2) with an `int`; levels and names are Linux's numbers.
  public mutating func setsockopt(
    _ id: SocketID, level: Int32, name: Int32, _ value: Int32
  ) throws(Errno) {
    let value = InlineArray<1, Int32>(repeating: value)
    // Safe: an int has no padding.
    try sockets.setsockopt(id, level: level, name: name, value: unsafe value.span.bytes, host: &host)
  }

  /// What a socket is ready for. Whoever is told that it is not is owed a wake-up.
  public mutating func readiness(of id: SocketID) -> Readiness { sockets.poll(id) }

  /// Sends what there is room for.
  ///
  /// - Returns: bytes taken.
  @discardableResult
  public mutating func send(
    _ id: SocketID, _ bytes: RawSpan, to address: SocketAddress? = nil, flags: MessageFlags = []
  ) throws(Errno) -> Int {
    try unsafe bytes.withUnsafeBytes { (buffer) throws(Errno) in
      unsafe try send(id, from: buffer, to: address, flags: flags.union(.dontWait))
    }
  }

  /// As above, from an array.
  @discardableResult
  public mutating func send(
    _ id: SocketID, _ bytes: [UInt8], to address: SocketAddress? = nil, flags: MessageFlags = []
  ) throws(Errno) -> Int {
    // Safe: a byte has no padding.
    try send(id, unsafe bytes.span.bytes, to: address, flags: flags)
  }

  /// Receives what is there.
  ///
  /// - Returns: how many bytes, and what came with them; of a stream 0 is its end.
  public mutating func receive(
    _ id: SocketID, into bytes: inout MutableRawSpan, flags: MessageFlags = []
  ) throws(Errno) -> Received {
    try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(Errno) in
      unsafe try receiveFrom(id, into: buffer, flags: flags.union(.dontWait))
    }
  }

  /// - Returns: bytes taken.
  package mutating func send(
    _ id: SocketID, from buffer: UnsafeRawBufferPointer, to address: SocketAddress? = nil, flags: MessageFlags
  ) throws(Errno) -> Int {
    unsafe try send(id, MessageHeader(address: address, flags: flags), from: buffer)
  }

  package mutating func send(
    _ id: SocketID, _ header: MessageHeader, from buffer: UnsafeRawBufferPointer
  ) throws(Errno) -> Int {
    var iter = unsafe IovIter(source: buffer)
    let count = try sockets.sendmsg(id, header: header, iter: &iter, host: &host)
    bytesMoved &+= count
    return count
  }

  /// Sends what several buffers hold from byte `offset` of all of them on. Linux: writev(2).
  package mutating func send(
    _ id: SocketID, _ header: MessageHeader, from buffers: UnsafeBufferPointer<IoVector>, at offset: Int,
    userCopy: UserCopy? = nil
  ) throws(Errno) -> Int {
    guard var iter = unsafe IovIter(buffers, direction: .source) else { throw .EINVAL }
    iter.advance(min(offset, iter.count))
    unsafe iter.userCopy = userCopy
    let count = try sockets.sendmsg(id, header: header, iter: &iter, host: &host)
    bytesMoved &+= count
    return count
  }

  /// Fills several buffers from byte `offset` of all of them on. Linux: readv(2).
  package mutating func receiveFrom(
    _ id: SocketID, into buffers: UnsafeBufferPointer<IoVector>, at offset: Int, flags: MessageFlags,
    userCopy: UserCopy? = nil
  ) throws(Errno) -> Received {
    guard var iter = unsafe IovIter(buffers, direction: .destination) else { throw .EINVAL }
    iter.advance(min(offset, iter.count))
    unsafe iter.userCopy = userCopy
    let received: Received
    if sockets.givesOnlyBytes(id, flags) {
      received = Received(byteCount: try sockets.recv(id, iter: &iter, flags: flags, host: &host))
    } else {
      received = Received(try sockets.recvmsg(id, iter: &iter, flags: flags, host: &host))
    }
    bytesMoved &+= received.byteCount
    return received
  }

  package mutating func receiveMessage(
    _ id: SocketID, into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags
  ) throws(Errno) -> ReceivedMessage {
    var iter = unsafe IovIter(destination: buffer)
    let message = try sockets.recvmsg(id, iter: &iter, flags: flags, host: &host)
    bytesMoved &+= message.byteCount
    return message
  }

  package mutating func receiveFrom(
    _ id: SocketID, into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags
  ) throws(Errno) -> Received {
    if sockets.givesOnlyBytes(id, flags) {
      return Received(byteCount: unsafe try receive(id, into: buffer, flags: flags))
    }
    return Received(unsafe try receiveMessage(id, into: buffer, flags: flags))
  }

  /// Receives into a new array, made when there is something to put into it, and no larger than that.
  package mutating func receiveArray(
    _ id: SocketID, upTo limit: Int, flags: MessageFlags
  ) throws(Errno) -> Received {
    let isError = flags.contains(.errorQueue)
    let available =
      isError
      ? sockets.queuedErrorByteCount(id) : sockets.receivableByteCount(id, isPeek: flags.contains(.peek))
    let count = min(limit, available)
    guard count > 0 else {
      // Nothing is there, or nothing but an error or the end: which, the call says without any room.
      let nowhere = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
      return Received(unsafe try receiveMessage(id, into: nowhere, flags: flags))
    }
    // Safe: as many bytes as the array is said to have were written.
    var message: ReceivedMessage?
    let bytes = unsafe try [UInt8](unsafeUninitializedCapacity: count) { (room, used) throws(Errno) in
      // A stream skips bytes without a copy (MSG_TRUNC): what the memory held is nobody's business.
      if flags.contains(.truncate) { unsafe room.initialize(repeating: 0) }
      let taken = unsafe try receiveMessage(id, into: UnsafeMutableRawBufferPointer(room), flags: flags)
      used = min(taken.byteCount, count)
      message = taken
    }
    guard let message else { throw .EAGAIN }
    return Received(message, bytes: bytes)
  }

  /// Sends bytes that Swift owns.
  package mutating func send(
    _ id: SocketID, _ bytes: ArraySlice<UInt8>, to address: SocketAddress? = nil, flags: MessageFlags
  ) throws(Errno) -> Int {
    unsafe try bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
      unsafe try send(id, from: buffer, to: address, flags: flags)
    }
  }

  package mutating func receive(
    _ id: SocketID, into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags
  ) throws(Errno) -> Int {
    var iter = unsafe IovIter(destination: buffer)
    let count = try sockets.recv(id, iter: &iter, flags: flags, host: &host)
    bytesMoved &+= count
    return count
  }

  /// Takes up to `count` bytes, or one datagram, and throws them away.
  @discardableResult
  public mutating func discard(_ id: SocketID, count: Int) throws(Errno) -> Int {
    var iter = IovIter(discarding: count)
    let discarded = try sockets.recv(id, iter: &iter, flags: .dontWait, host: &host)
    bytesMoved &+= discarded
    return discarded
  }

  /// EAGAIN while a connection is on its way, its error when it failed. Linux: `inet_wait_for_connect()`,
  /// `__inet_stream_connect()`.
  public mutating func finishConnecting(_ id: SocketID) throws(Errno) {
    try sockets.finishConnect(id, net: host.net)
  }
}
