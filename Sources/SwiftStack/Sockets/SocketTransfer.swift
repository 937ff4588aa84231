import InetSocket
import Shard
import SkBuff
import Sockets
import UDP

/// Bytes in and out.
extension Socket {
  // MARK: Sending

  /// Sends. A blocking stream socket returns when all bytes are taken, or how many were before an error (which the next
  /// call gets) or the time-out; a non-blocking one what there is room for; a datagram goes whole.
  ///
  /// - Parameters:
  ///   - bytes: copied before the call returns.
  ///   - address: destination of a datagram; `nil`: the connected peer.
  ///   - flags: `MSG_*` of `send(2)`.
  @discardableResult
  public func send(
    _ bytes: RawSpan, to address: SocketAddress? = nil, flags: MessageFlags = []
  ) throws(SocketError) -> Int {
    try unsafe bytes.withUnsafeBytes { (buffer) throws(SocketError) in
      unsafe try send(buffer, to: address, flags: flags)
    }
  }

  /// As above, from an array.
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
    unsafe try send(buffer, MessageHeader(address: address, flags: flags), "send")
  }

  @unsafe
  func send(
    _ buffer: UnsafeRawBufferPointer, _ header: MessageHeader, _ operation: String
  ) throws(SocketError) -> Int {
    let run = unsafe IoVector(
      base: UnsafeMutableRawPointer(mutating: buffer.baseAddress), byteCount: buffer.count)
    return unsafe try withUnsafePointer(to: run) { (run) throws(SocketError) in
      unsafe try send(UnsafeBufferPointer(start: run, count: 1), header, operation)
    }
  }

  /// Every blocking and non-blocking send. A stream takes a bounded piece at a time, so that others get the lock in
  /// between; the call goes on until all is taken or it may wait no longer.
  @unsafe
  func send(
    _ buffers: UnsafeBufferPointer<IoVector>, _ header: MessageHeader, _ operation: String,
    _ access: MemoryAccess = .trusted
  ) throws(SocketError) -> Int {
    let total = unsafe try Self.byteCount(buffers, operation)
    var patience = patience(header.flags, .sendTimeout)
    let mayWait = !header.flags.contains(.dontWait) && !isNonBlocking
    var header = header
    if !mayWait { header.flags.insert(.dontWait) }
    var sent = 0
    do throws(Errno) {
      repeat {
        let isFirst = sent == 0
        let part = try holdingFlow(header) { () throws(Errno) in
          try waiting(for: .write, &patience) { [header, sent] (state, id) throws(Errno) in
            // An error that came after a part was taken is the next call's. Linux: do_error in tcp_sendmsg_locked().
            if !isFirst && state.sockets.hasPendingError(id) { throw .EPIPE }
            return try SendPart(isFirst: isFirst, mayWait: mayWait, &state, id) { (state) throws(Errno) in
              unsafe try state.send(id, header, from: buffers, at: sent, userCopy: access.copyFromUser)
            }
          }
        }
        sent += part.byteCount
        if part.isOpening {
          if !mayWait { return sent }
          do throws(Errno) {
            try waiting(for: .connect, &patience) { (state, id) throws(Errno) in
              try state.finishConnecting(id)
            }
          } catch {
            // What went in the SYN of a connection that failed was not sent.
            if error != .EINPROGRESS { sent = 0 }
            throw error
          }
        }
        header.flags.remove(.fastOpen)
      } while sent < total && type == .tcp
      return sent
    } catch {
      if sent > 0 { return sent }
      if error == .EAGAIN && mayWait { countTimedOutSend() }
      signal(error, header.flags)
      throw SocketError(operation, error, header.address)
    }
  }

  /// Sends everything, suspending the task while there is no room.
  ///
  /// - Returns: the count of `bytes`; of a non-blocking stream socket, or with `.dontWait`, what there was room for.
  /// - Throws: an error that carries how many bytes were taken before it; EAGAIN after `sendTimeout`.
  @discardableResult
  public func send(
    _ bytes: [UInt8], to address: SocketAddress? = nil, flags: MessageFlags = []
  ) async throws(SocketError) -> Int {
    let mayWait = !flags.contains(.dontWait) && !isNonBlocking
    var patience = patience(flags, .sendTimeout)
    var header = MessageHeader(address: address, flags: mayWait ? flags : flags.union(.dontWait))
    var sent = 0
    do throws(Errno) {
      repeat {
        let start = sent
        let isFirst = start == 0
        let part: SendPart
        if header.flags.contains(.fastOpen) {
          part = try holdingFlow(header) { [header] () throws(Errno) in
            try enter { (state, id) throws(Errno) in
              try SendPart(isFirst: isFirst, mayWait: mayWait, &state, id) { (state) throws(Errno) in
                try state.send(id, bytes[...], to: address, flags: header.flags)
              }
            }
          }
        } else {
          part = try await suspending(for: .write, &patience) { [header] (state, id) throws(Errno) in
            try SendPart(isFirst: isFirst, mayWait: mayWait, &state, id) { (state) throws(Errno) in
              try state.send(id, bytes[start...], to: address, flags: header.flags)
            }
          }
        }
        sent += part.byteCount
        if part.isOpening {
          if !mayWait { return sent }
          do throws(Errno) {
            try await suspending(for: .connect, &patience) { (state, id) throws(Errno) in
              try state.finishConnecting(id)
            }
          } catch {
            if error != .EINPROGRESS { sent = 0 }
            throw error
          }
        }
        header.flags.remove(.fastOpen)
      } while sent < bytes.count && type == .tcp
      return sent
    } catch {
      if sent > 0 && !mayWait && error == .EAGAIN { return sent }
      if error == .EAGAIN && mayWait { countTimedOutSend() }
      throw SocketError("send", error, address, byteCount: sent)
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
    try receiveArray("receive", upTo: limit, flags: flags, patience(flags, .receiveTimeout)).bytes
  }

  /// Into memory of the caller's, which is only written during the call.
  @unsafe
  public func receive(
    into buffer: UnsafeMutableRawBufferPointer, flags: MessageFlags = []
  ) throws(SocketError) -> Received {
    let run = unsafe IoVector(base: buffer.baseAddress, byteCount: buffer.count)
    return unsafe try withUnsafePointer(to: run) { (run) throws(SocketError) in
      unsafe try receive(UnsafeBufferPointer(start: run, count: 1), flags, "receive")
    }
  }

  /// Every blocking and non-blocking receive into memory of the caller's.
  @unsafe
  func receive(
    _ buffers: UnsafeBufferPointer<IoVector>, _ flags: MessageFlags, _ operation: String,
    _ access: MemoryAccess = .trusted
  ) throws(SocketError) -> Received {
    var goal = ReceiveGoal(self, flags, upTo: unsafe try Self.byteCount(buffers, operation))
    var result: Received?
    do throws(Errno) {
      repeat {
        let part = try waiting(for: .read, &goal.patience) { [goal] (state, id) throws(Errno) in
          let least = try goal.least(&state, id)
          return (
            unsafe try state.receiveFrom(
              id, into: buffers, at: goal.taken, flags: goal.flags, userCopy: access.copyToUser), least
          )
        }
        if result == nil { result = part.0 }
        goal.advance(by: part.0.byteCount, least: part.1)
      } while goal.isUnmet
    } catch {
      if error == .EAGAIN, goal.acceptsLess {
        return unsafe try receive(buffers, flags.union(.dontWait), operation, access)
      }
      if goal.taken == 0 { throw SocketError(operation, error) }
    }
    guard var result else { throw SocketError(operation, .EAGAIN) }
    result.byteCount = goal.taken
    return result
  }

  /// Receives up to `limit` bytes, suspending the task until there are some; with `.waitAll` all of them, before the end
  /// of a stream.
  ///
  /// - Throws: as the blocking form; ECANCELED when the task was cancelled, and what came stays with the socket.
  public func receive(upTo limit: Int, flags: MessageFlags = []) async throws(SocketError) -> [UInt8] {
    try await receiveArray("receive", upTo: limit, flags: flags, patience(flags, .receiveTimeout)).bytes
  }

  /// Every blocking and non-blocking receive into a new array.
  func receiveArray(
    _ operation: String, upTo limit: Int, flags: MessageFlags, _ patience: Patience
  ) throws(SocketError) -> Received {
    var goal = ReceiveGoal(self, flags, upTo: limit, patience)
    var result: Received?
    do throws(Errno) {
      repeat {
        let rest = limit - goal.taken
        let part = try waiting(for: .read, &goal.patience) { [goal] (state, id) throws(Errno) in
          let least = try goal.least(&state, id)
          return (try state.receiveArray(id, upTo: rest, flags: goal.flags), least)
        }
        goal.take(part.0, least: part.1, into: &result)
      } while goal.isUnmet
    } catch {
      if error == .EAGAIN, goal.acceptsLess {
        return try receiveArray(operation, upTo: limit, flags: flags.union(.dontWait), .none)
      }
      if result == nil { throw SocketError(operation, error) }
    }
    guard let result else { throw SocketError(operation, .EAGAIN) }
    return result
  }

  /// As above, suspending the task.
  func receiveArray(
    _ operation: String, upTo limit: Int, flags: MessageFlags, _ patience: Patience
  ) async throws(SocketError) -> Received {
    var goal = ReceiveGoal(self, flags, upTo: limit, patience)
    var result: Received?
    do throws(Errno) {
      repeat {
        let rest = limit - goal.taken
        let part = try await suspending(for: .read, &goal.patience) { [goal] (state, id) throws(Errno) in
          let least = try goal.least(&state, id)
          return (try state.receiveArray(id, upTo: rest, flags: goal.flags), least)
        }
        goal.take(part.0, least: part.1, into: &result)
      } while goal.isUnmet
    } catch {
      if error == .EAGAIN, goal.acceptsLess {
        return try await receiveArray(operation, upTo: limit, flags: flags.union(.dontWait), .none)
      }
      if result == nil { throw SocketError(operation, error) }
    }
    guard let result else { throw SocketError(operation, .EAGAIN) }
    return result
  }
}
