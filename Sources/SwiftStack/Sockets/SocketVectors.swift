import InetSocket
import Shard
import SkBuff
import Sockets

/// Messages of several buffers, and several messages in one call. Linux: writev(2), readv(2), sendmmsg(2), recvmmsg(2).
extension Socket {
  /// Most buffers of a message, and most messages of one `sendmmsg`. Linux: `UIO_MAXIOV`.
  public static let maximumVectorCount = 1024

  /// Sends what several buffers hold, one after the other: of a datagram socket as one datagram.
  ///
  /// - Returns: as `send`.
  /// - Throws: EINVAL for more than 1,024 buffers; and as `send`.
  @discardableResult
  public func writev(_ buffers: [[UInt8]]) throws(SocketError) -> Int {
    guard buffers.count <= Self.maximumVectorCount else { throw SocketError("writev", .EINVAL) }
    // No socket is asked for nothing: no empty datagram goes. Linux: `vfs_iter_write()`.
    if buffers.allSatisfy(\.isEmpty) {
      try Socket.calling("writev") { () throws(Errno) in try enter { (_, _) throws(Errno) in } }
      return 0
    }
    return try send(buffers, MessageHeader(), "writev")
  }

  /// Sends one message of several buffers.
  ///
  /// - Throws: EMSGSIZE for more than 1,024 buffers; and as `send`.
  @discardableResult
  public func sendmsg(_ header: MessageHeader, _ buffers: [[UInt8]]) throws(SocketError) -> Int {
    try send(buffers, header, "sendmsg")
  }

  /// As above, from memory of the caller's, which is only read during the call.
  ///
  /// - Throws: EINVAL for a negative length; EFAULT for memory that no process has, before anything else is looked at, and
  ///   for memory that is not there when the copy comes to it (a `nil` base; with `.checked` any): a datagram is thrown away
  ///   then, a stream keeps the pieces that were taken before.
  @unsafe @discardableResult
  public func sendmsg(
    _ header: MessageHeader, _ buffers: UnsafeBufferPointer<IoVector>, access: MemoryAccess = .trusted
  ) throws(SocketError) -> Int {
    unsafe try send(buffers, header, "sendmsg", access)
  }

  /// Receives into several buffers, each filled before the next.
  ///
  /// - Returns: how many bytes, and what came with them.
  /// - Throws: EINVAL for more than 1,024 buffers; and as `receive`.
  public func readv(
    into buffers: inout [[UInt8]], flags: MessageFlags = []
  ) throws(SocketError) -> Received {
    guard buffers.count <= Self.maximumVectorCount else { throw SocketError("readv", .EINVAL) }
    var vectors: [IoVector] = []
    vectors.reserveCapacity(buffers.count)
    return try filling(&buffers, from: 0, &vectors, flags)
  }

  /// As above, into memory of the caller's, which is only written during the call.
  ///
  /// - Throws: EMSGSIZE for more than 1,024 buffers; EINVAL for a negative length; EFAULT for memory that is not there: of a
  ///   stream the bytes stay, a datagram is lost.
  @unsafe
  public func recvmsg(
    into buffers: UnsafeBufferPointer<IoVector>, flags: MessageFlags = [], access: MemoryAccess = .trusted
  ) throws(SocketError) -> Received {
    unsafe try receive(buffers, flags, "recvmsg", access)
  }

  // MARK: Several messages

  /// Sends messages one after the other until one fails or is not taken whole; those beyond the first 1,024 are left.
  ///
  /// - Parameter flags: of each of them.
  /// - Returns: for each message that was sent, its bytes. The error of one after the first is nobody's, and its sending may
  ///   be tried again.
  /// - Throws: the error of the first message, as `sendmsg`.
  @discardableResult
  public func sendmmsg(
    _ messages: [MessageVector], flags: MessageFlags = []
  ) throws(SocketError) -> [Int] {
    var counts: [Int] = []
    for message in messages.prefix(Self.maximumVectorCount) {
      let header = MessageHeader(address: message.address, control: message.control, flags: flags)
      do throws(SocketError) {
        counts.append(try send(message.buffers, header, "sendmmsg"))
      } catch {
        if counts.isEmpty { throw error }
        break
      }
      if counts.last != message.byteCount { break }
    }
    return counts
  }

  /// Receives up to `count` messages, waiting for each as `recvmsg` does.
  ///
  /// - Parameters:
  ///   - limit: most bytes of each.
  ///   - flags: of each; with `.waitForOne` only the first is waited for.
  ///   - timeout: looked at when a message has come: the next one is not waited for when it is over. A call with nothing to
  ///     receive waits as if there were none, as Linux's does.
  /// - Returns: the messages. An error after the first is the next call's, unless it is EAGAIN.
  /// - Throws: a pending error, before anything is received; and as `recvmsg` for the first message.
  public func recvmmsg(
    _ count: Int, upTo limit: Int = 65535, flags: MessageFlags = [], timeout: Duration? = nil
  ) throws(SocketError) -> [Received] {
    var flags = flags
    let waitsForOne = flags.contains(.waitForOne)
    flags.remove(.waitForOne)
    let started = try Self.calling("recvmmsg") { [flags] () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        if !flags.contains(.errorQueue), let error = state.sockets.takeError(id) { throw error }
        return state.host.net.now
      }
    }
    let end = timeout.map { started + Nanoseconds(max($0, .zero)) } ?? .distantFuture
    var messages: [Received] = []
    while messages.count < count {
      do throws(SocketError) {
        messages.append(try recvmsg(upTo: limit, flags: flags))
      } catch {
        if messages.isEmpty { throw error }
        if error.errno != .EAGAIN {
          try? enter { (state, id) throws(Errno) in state.sockets.leaveError(id, error.errno) }
        }
        break
      }
      if waitsForOne { flags.insert(.dontWait) }
      if messages.last?.flags.contains(.outOfBand) ?? false { break }
      let now = try? enter { (state, _) throws(Errno) in state.host.net.now }
      if let now, end != .distantFuture, now >= end { break }
    }
    return messages
  }

  // MARK: Inside

  private func send(
    _ buffers: [[UInt8]], _ header: MessageHeader, _ operation: String
  ) throws(SocketError) -> Int {
    guard buffers.count <= Self.maximumVectorCount else { throw SocketError(operation, .EMSGSIZE) }
    var vectors: [IoVector] = []
    vectors.reserveCapacity(buffers.count)
    return try gathering(buffers[...], &vectors, header, operation)
  }

  /// Holds on to one array's memory after the other, then sends. Safe: every array is held until the call returns.
  private func gathering(
    _ buffers: ArraySlice<[UInt8]>, _ vectors: inout [IoVector], _ header: MessageHeader, _ operation: String
  ) throws(SocketError) -> Int {
    guard let first = buffers.first else {
      return unsafe try vectors.withUnsafeBufferPointer { (vectors) throws(SocketError) in
        unsafe try send(vectors, header, operation)
      }
    }
    // Safe: a byte has no padding.
    return try unsafe first.span.bytes.withUnsafeBytes { (bytes) throws(SocketError) in
      vectors.append(
        unsafe IoVector(
          base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), byteCount: bytes.count))
      return try gathering(buffers.dropFirst(), &vectors, header, operation)
    }
  }

  /// Safe: every array is held, by one of these calls alone, until the receive returns.
  private func filling(
    _ buffers: inout [[UInt8]], from index: Int, _ vectors: inout [IoVector], _ flags: MessageFlags
  ) throws(SocketError) -> Received {
    guard index < buffers.count else {
      return unsafe try vectors.withUnsafeBufferPointer { (vectors) throws(SocketError) in
        unsafe try receive(vectors, flags, "readv")
      }
    }
    var buffer: [UInt8] = []
    swap(&buffer, &buffers[index])
    defer { swap(&buffer, &buffers[index]) }
    var span = buffer.mutableSpan
    // Safe: a byte has no padding.
    var raw = unsafe span.mutableBytes
    return try unsafe raw.withUnsafeMutableBytes { (bytes) throws(SocketError) in
      vectors.append(unsafe IoVector(base: bytes.baseAddress, byteCount: bytes.count))
      return try filling(&buffers, from: index + 1, &vectors, flags)
    }
  }

  /// The bytes of several buffers, as many as one call moves, after the checks that come before the socket is looked at.
  /// Linux: `copy_msghdr_from_user()`, `import_iovec()`.
  @unsafe
  static func byteCount(
    _ buffers: UnsafeBufferPointer<IoVector>, _ operation: String
  ) throws(SocketError) -> Int {
    guard buffers.count <= maximumVectorCount else { throw SocketError(operation, .EMSGSIZE) }
    var sum = 0
    for index in 0..<buffers.count {
      let buffer = unsafe buffers[index]
      guard buffer.byteCount >= 0 else { throw SocketError(operation, .EINVAL) }
      guard buffer.isInAddressSpace else { throw SocketError(operation, .EFAULT) }
      sum += min(buffer.byteCount, IovIter.maximumByteCount - sum)
    }
    return sum
  }
}

/// One message of a `sendmmsg`.
public struct MessageVector: Sendable {
  /// Destination of a datagram; `nil`: the connected peer.
  public var address: SocketAddress?
  /// Control messages.
  public var control: SendControl
  /// Its bytes, one buffer after the other.
  public var buffers: [[UInt8]]

  public init(
    _ buffers: [[UInt8]], to address: SocketAddress? = nil, control: SendControl = SendControl()
  ) {
    self.address = address
    self.control = control
    self.buffers = buffers
  }

  var byteCount: Int { buffers.reduce(0) { $0 + $1.count } }
}
