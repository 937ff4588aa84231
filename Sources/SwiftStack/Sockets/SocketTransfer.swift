import SkBuff
import Sockets

/// Bytes in and out.
extension Socket {
  // MARK: Sending

  /// Sends. A blocking stream socket returns when all bytes are taken, or how many were before an error or the
  /// time-out; a datagram goes whole.
  ///
  /// - Parameter address: destination of a datagram; `nil`: the connected peer.
  @discardableResult
  public func send(
    _ bytes: RawSpan, to address: SocketAddress? = nil, flags: MessageFlags = []
  ) throws(SocketError) -> Int {
    try unsafe bytes.withUnsafeBytes { (buffer) throws(SocketError) in
      unsafe try send(buffer, to: address, flags: flags)
    }
  }

  @discardableResult
  public func send(
    _ bytes: [UInt8], to address: SocketAddress? = nil, flags: MessageFlags = []
  ) throws(SocketError) -> Int {
    // Safe: a byte has no padding.
    let span = unsafe bytes.span.bytes
    return try send(span, to: address, flags: flags)
  }

  /// As above, for memory of the caller's, which is only read during the call.
  @unsafe @discardableResult
  public func send(
    _ buffer: UnsafeRawBufferPointer, to address: SocketAddress? = nil, flags: MessageFlags = []
  ) throws(SocketError) -> Int {
    let deadline = waitLimit(flags, sendTimeout)
    var sent = 0
    do throws(Errno) {
      repeat {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[sent...])
        sent += try waiting(for: .writable, until: deadline) { (state, id) throws(Errno) in
          unsafe try state.send(id, from: rest, to: address, flags: flags.union(.dontWait))
        }
      } while sent < buffer.count && deadline != nil
      return sent
    } catch {
      if sent > 0 { return sent }
      throw SocketError("send", error, address)
    }
  }

  /// Sends everything, suspending the task while there is no room.
  public func send(
    _ bytes: [UInt8], to address: SocketAddress? = nil, flags: MessageFlags = []
  ) async throws(SocketError) -> Int {
    var sent = 0
    do throws(Errno) {
      repeat {
        let start = sent
        sent += try await suspending(for: .writable) { (state, id) throws(Errno) in
          try state.send(id, bytes[start...], to: address, flags: flags.union(.dontWait))
        }
      } while sent < bytes.count
      return sent
    } catch {
      if sent > 0 { return sent }
      throw SocketError("send", error, address)
    }
  }

  // MARK: Receiving

  /// Receives into the caller's memory: of a stream what is there, at least one byte; of a datagram as much as fits.
  ///
  /// - Returns: bytes received; 0 is end of stream, or an empty datagram.
  public func receive(into bytes: inout MutableRawSpan, flags: MessageFlags = []) throws(SocketError) -> Int {
    try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(SocketError) in
      unsafe try receive(into: buffer, flags: flags).byteCount
    }
  }

  /// Receives up to `limit` bytes; empty is end of stream, or an empty datagram.
  public func receive(upTo limit: Int, flags: MessageFlags = []) throws(SocketError) -> [UInt8] {
    try receiveMessage(upTo: limit, flags: flags).bytes
  }

  /// Receives a datagram, or bytes of a stream, with where they came from.
  public func receiveMessage(
    upTo limit: Int = 65535, flags: MessageFlags = []
  ) throws(SocketError) -> (bytes: [UInt8], source: SocketAddress?) {
    try Self.calling("receive") { () throws(Errno) in
      try waiting(for: .readable, until: waitLimit(flags, receiveTimeout)) { (state, id) throws(Errno) in
        let message = try state.receiveArray(id, upTo: limit, flags: flags.union(.dontWait))
        return (message.bytes, message.received.source)
      }
    }
  }

  /// As above, into memory of the caller's, which is only written during the call.
  @unsafe
  public func receive(
    into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags = []
  ) throws(SocketError) -> Received {
    do throws(Errno) {
      return try waiting(for: .readable, until: waitLimit(flags, receiveTimeout)) {
        (state, id) throws(Errno) in
        unsafe try state.receiveFrom(id, into: buffer, flags: flags.union(.dontWait))
      }
    } catch {
      throw SocketError("receive", error)
    }
  }

  /// Receives up to `limit` bytes, suspending the task until there are some.
  public func receive(upTo limit: Int, flags: MessageFlags = []) async throws(SocketError) -> [UInt8] {
    try await receiveMessage(upTo: limit, flags: flags).bytes
  }

  public func receiveMessage(
    upTo limit: Int = 65535, flags: MessageFlags = []
  ) async throws(SocketError) -> (bytes: [UInt8], source: SocketAddress?) {
    do throws(Errno) {
      return try await suspending(for: .readable) { (state, id) throws(Errno) in
        let message = try state.receiveArray(id, upTo: limit, flags: flags.union(.dontWait))
        return (message.bytes, message.received.source)
      }
    } catch {
      throw SocketError("receive", error)
    }
  }
}

/// What a receive brought.
public struct Received: Sendable {
  /// Bytes stored; with `.truncate` the datagram's whole length.
  public var byteCount: Int
  /// Where a datagram came from.
  public var source: SocketAddress?
  /// `.truncate`: the datagram was longer than the room for it.
  public var flags: MessageFlags
  /// TTL of an ICMP reply's packet, where the socket asked for it.
  public var timeToLive: UInt8?

  public init(byteCount: Int, source: SocketAddress?, flags: MessageFlags = [], timeToLive: UInt8? = nil) {
    self.byteCount = byteCount
    self.source = source
    self.flags = flags
    self.timeToLive = timeToLive
  }
}
