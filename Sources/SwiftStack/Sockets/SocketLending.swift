import InetSocket
import LinuxHost
import Shard
import SkBuff
import Sockets

/// Sends that copy nothing: packets carry the caller's memory until the peer has acknowledged it and no descriptor points to
/// it. Linux: `MSG_ZEROCOPY`.
///
/// ```swift
/// try socket.setZeroCopy(true)
/// let memory = ExternalMemory(copying: page)
/// try socket.send(memory)               // send number 0: the memory stays as it is ...
/// let done = try socket.completion()    // ... until this says so: 0 to 0
/// ```
///
/// Each send takes a number, from 0 on. That some bytes were copied after all, as those to ourselves are, the completion
/// tells. A waiting completion makes the socket's readiness `.error`.
extension Socket {
  /// SO_ZEROCOPY.
  ///
  /// - Throws: EOPNOTSUPP for a ping socket.
  public func setZeroCopy(_ value: Bool) throws(SocketError) {
    try setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.zeroCopy, value ? 1 : 0)
  }

  /// Sends all of the memory. Waits for room, and counts, as `send` does.
  @discardableResult
  public func send(
    _ memory: ExternalMemory, to address: SocketAddress? = nil, flags: MessageFlags = .zeroCopy
  ) throws(SocketError) -> Int {
    try send([memory.slice], MessageHeader(address: address, flags: flags))
  }

  /// Sends slices of memory, one after the other.
  ///
  /// - Parameters:
  ///   - header: without `.zeroCopy` the bytes are copied.
  ///   - owner: told instead of the socket; needs no SO_ZEROCOPY, and takes no number.
  /// - Throws: ENOBUFS when completions of too many sends are under way or have not been taken; EINVAL for a second owner in
  ///   a datagram; and as `send`.
  @discardableResult
  public func send(
    _ slices: [MemorySlice], _ header: MessageHeader, notifying owner: SendNotification? = nil
  ) throws(SocketError) -> Int {
    let (header, mayWait) = lentHeader(header)
    var patience = patience(header.flags, .sendTimeout)
    let call = LentSend(slices, notifying: owner, mayWait: mayWait)
    var sent = 0
    defer { end(call) }
    do throws(Errno) {
      repeat {
        let isFirst = sent == 0
        sent += try waiting(for: .write, &patience) { (state, id) throws(Errno) in
          // An error that came after a part was taken is the next call's.
          if !isFirst && state.sockets.hasPendingError(id) { throw .EPIPE }
          return try call.attempt(&state, id, header)
        }
      } while sent < call.byteCount && type == .tcp && mayWait
      return sent
    } catch {
      if sent > 0 { return sent }
      if error == .EAGAIN && mayWait { countTimedOutSend() }
      signal(error, header.flags)
      throw SocketError("send", error, header.address)
    }
  }

  /// As the blocking form, suspending the task while there is no room.
  ///
  /// - Throws: as the blocking form, with how many bytes were taken before; ECANCELED when the task was cancelled.
  @discardableResult
  public func send(
    _ slices: [MemorySlice], _ header: MessageHeader, notifying owner: SendNotification? = nil
  ) async throws(SocketError) -> Int {
    let (header, mayWait) = lentHeader(header)
    var patience = patience(header.flags, .sendTimeout)
    let call = LentSend(slices, notifying: owner, mayWait: mayWait)
    var sent = 0
    defer { end(call) }
    do throws(Errno) {
      repeat {
        sent += try await suspending(for: .write, &patience) { (state, id) throws(Errno) in
          try call.attempt(&state, id, header)
        }
      } while sent < call.byteCount && type == .tcp && mayWait
      return sent
    } catch {
      if sent > 0 && !mayWait && error == .EAGAIN { return sent }
      if error == .EAGAIN && mayWait { countTimedOutSend() }
      throw SocketError("send", error, header.address, byteCount: sent)
    }
  }

  // MARK: Splicing

  /// Sends memory that its owner leaves as it is for as long as anybody has it: packets carry it, nobody is told when it is
  /// free, and each keeps it alive. Linux: `MSG_SPLICE_PAGES`, splice(2).
  ///
  /// - Parameters:
  ///   - header: with `.zeroCopy` it is such a send.
  ///   - isShared: somebody may change the bytes all the same: sums are made of a copy then.
  /// - Throws: as `send`.
  @discardableResult
  public func splice(
    _ slices: [MemorySlice], _ header: MessageHeader = MessageHeader(), isShared: Bool = true
  ) throws(SocketError) -> Int {
    try send(slices, Self.splicing(header, isShared))
  }

  /// As the blocking form, suspending the task while there is no room.
  @discardableResult
  public func splice(
    _ slices: [MemorySlice], _ header: MessageHeader = MessageHeader(), isShared: Bool = true
  ) async throws(SocketError) -> Int {
    try await send(slices, Self.splicing(header, isShared))
  }

  /// Sends a part of a file, uncopied: packets carry the file's pages. Linux: sendfile(2).
  ///
  /// - Parameters:
  ///   - descriptor: of a file that is not cut shorter before its last byte has arrived.
  ///   - offset: where to begin, not below 0.
  ///   - count: 1 to 2 GiB less one byte, all of them in the file.
  /// - Throws: EINVAL for a range that is none; the errors of mmap(2); and as `send`.
  @discardableResult
  public func sendFile(_ descriptor: Int32, from offset: Int, count: Int) throws(SocketError) -> Int {
    guard offset >= 0, count > 0, count <= Int(Int32.max) else { throw SocketError("sendfile", .EINVAL) }
    let bytes: UnsafeMutableRawBufferPointer
    do { unsafe bytes = try MappedFile.map(descriptor, from: offset, count: count) } catch {
      throw SocketError("sendfile", Errno(rawValue: error.code))
    }
    let address = UInt(bitPattern: bytes.baseAddress)
    let file = unsafe ExternalMemory(bytes: bytes) { unsafe MappedFile.unmap(address: address, count: count) }
    return try splice([file.slice])
  }

  /// Sends what waits in a pipe: packets carry one copy of its pages, and what they do not take stays in the pipe.
  /// Linux: splice(2).
  ///
  /// Waits for a first byte of the pipe and for room, unless the socket is non-blocking or the header says `.dontWait`.
  ///
  /// - Parameters:
  ///   - pipe: its reading end, which nobody else reads meanwhile.
  ///   - count: most bytes to send; 0 sends none.
  /// - Returns: how many were sent; 0 at the end of the pipe.
  /// - Throws: EINVAL when it is no pipe; EAGAIN when nothing is in it, or there is no room; and as `send`.
  @discardableResult
  public func splice(
    from pipe: Int32, count: Int, _ header: MessageHeader = MessageHeader()
  ) throws(SocketError) -> Int {
    guard count >= 0 else { throw SocketError("splice", .EINVAL) }
    if count == 0 { return 0 }
    let waits = !header.flags.contains(.dontWait) && !isNonBlocking
    let bytes: [UInt8]
    do { bytes = try PipePages.peek(pipe, upTo: count, waits: waits) } catch {
      throw SocketError("splice", Errno(rawValue: error.code))
    }
    if bytes.isEmpty { return 0 }
    let sent: Int
    do {
      sent = try splice([ExternalMemory(copying: bytes).slice], header, isShared: false)
    } catch {
      try? PipePages.consume(pipe, error.byteCount)
      throw error
    }
    do { try PipePages.consume(pipe, sent) } catch {
      throw SocketError("splice", Errno(rawValue: error.code), byteCount: sent)
    }
    return sent
  }

  private static func splicing(_ header: MessageHeader, _ isShared: Bool) -> MessageHeader {
    var header = header
    header.internalFlags = isShared ? .splicePages : [.splicePages, .noSharedFragments]
    return header
  }

  private func lentHeader(_ given: MessageHeader) -> (MessageHeader, mayWait: Bool) {
    let mayWait = !given.flags.contains(.dontWait) && !isNonBlocking
    var header = given
    if !mayWait { header.flags.insert(.dontWait) }
    return (header, mayWait)
  }

  private func end(_ call: LentSend) {
    try? enter { (state, id) throws(Errno) in if call.isUnended { call.end(&state, id) } }
  }

  /// Ends a notification of the caller's: it is told when the last packet of the sends that named it has ended.
  /// Linux: `io_notif_flush()`.
  public func end(_ owner: SendNotification) {
    shard.enter { state in
      state.host.net.pool.release(owner)
      state.sockets.tellCompleted(net: &state.host.net)
    }
  }

  // MARK: Completions

  /// Takes word of sends whose memory is free again. Waits at most `receiveTimeout`.
  ///
  /// - Throws: EAGAIN when there is none and the socket is non-blocking, or after the time-out; EBADF; ENETDOWN.
  public func completion() throws(SocketError) -> SendCompletion {
    var patience = patience([], .receiveTimeout)
    do throws(Errno) {
      return try waiting(for: .errors, &patience) { (state, id) throws(Errno) in
        try state.completion(of: id)
      }
    } catch {
      throw SocketError("completion", error)
    }
  }

  /// As the blocking form, suspending the task.
  ///
  /// - Throws: as the blocking form; ECANCELED when the task was cancelled.
  public func completion() async throws(SocketError) -> SendCompletion {
    var patience = patience([], .receiveTimeout)
    do throws(Errno) {
      return try await suspending(for: .errors, &patience) { (state, id) throws(Errno) in
        try state.completion(of: id)
      }
    } catch {
      throw SocketError("completion", error)
    }
  }
}
