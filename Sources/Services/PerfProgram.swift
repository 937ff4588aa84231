import Shard
import SkBuff
import Sockets
import TCP

/// A bulk source or sink: the connections of one run on one shard.
package final class PerfProgram: Program {
  package private(set) var job = PerfJob()
  private var listener: SocketID?
  private var streams: [SocketID] = []
  /// What is sent uncopied, over and over; `nil`: writes are copied.
  private var lent: ExternalMemory?
  /// Where in it each of `streams` goes on.
  private var lentOffsets: [SocketID: Int] = [:]
  /// Whoever waits for the end.
  private var waiter: Waker?

  /// How long a sender waits for its peer to take the rest and close after the FIN.
  private static let graceTime = Nanoseconds.seconds(20)
  /// Most bytes of one write or read.
  package static let longestTransfer = ScratchBuffer.byteCount

  /// Connects `streams` sockets and sends on them for `time`, from the first byte on.
  ///
  /// - Parameter zeroCopy: with `MSG_ZEROCOPY`, from memory that never changes.
  package static func send(
    to peer: SocketAddress, streams: Int, time: Nanoseconds, length: Int, zeroCopy: Bool = false,
    waiter: Waker, on shard: inout Shard
  ) throws(Errno) -> ProgramID {
    let program = PerfProgram(time, length, waiter)
    program.job.isSender = true
    if zeroCopy {
      program.lent = ExternalMemory(copying: (0..<length).map { UInt8(truncatingIfNeeded: 0x20 + $0 % 95) })
    }
    shard.start(program)
    for _ in 0..<streams {
      do throws(Errno) {
        let socket = try shard.socket(.tcp)
        program.streams.append(socket)
        if zeroCopy {
          try shard.setsockopt(
            socket, level: SocketOptionLevel.socket, name: SocketOptionName.zeroCopy, 1)
        }
        do throws(Errno) { try shard.connect(socket, to: peer) } catch {
          if error != .EINPROGRESS { throw error }
        }
        shard.give(socket, to: program.id)
      } catch {
        program.cancel(on: &shard)
        throw error
      }
    }
    return program.id
  }

  /// Listens for `streams` connections and reads from them until they end or `time` is over, from the first one on.
  package static func receive(
    port: UInt16, streams: Int, time: Nanoseconds, length: Int, waiter: Waker, on shard: inout Shard
  ) throws(Errno) -> ProgramID {
    let program = PerfProgram(time, length, waiter)
    let listener = try shard.socket(.tcp)
    do throws(Errno) {
      try shard.bind(listener, to: SocketAddress(.any, port: port))
      try shard.listen(listener, backlog: streams)
    } catch {
      shard.finish(listener)
      throw error
    }
    program.job.awaited = streams
    program.listener = listener
    shard.give(listener, to: shard.start(program))
    return program.id
  }

  private init(_ time: Nanoseconds, _ length: Int, _ waiter: Waker) {
    job.time = time
    job.length = length
    self.waiter = waiter
  }

  package override func ready(_ socket: SocketID, on shard: inout Shard) {
    if socket == listener {
      accept(on: &shard)
    } else if job.isSender {
      runSource(socket, &shard)
    } else {
      runSink(socket, &shard)
    }
  }

  private func accept(on shard: inout Shard) {
    while let listener, let child = try? shard.accept(listener) {
      job.awaited -= 1
      streams.append(child)
      begin(&shard)
      shard.give(child, to: id)
      if job.awaited == 0 { closeListener(&shard) }
    }
  }

  private func closeListener(reset: Bool = false, _ shard: inout Shard) {
    guard let listener else { return }
    self.listener = nil
    job.awaited = 0
    shard.finish(listener, reset: reset)
  }

  private func begin(_ shard: inout Shard) {
    guard job.started == nil else { return }
    job.started = shard.now
    shard.setTimer(of: id, at: shard.now + job.time)
  }

  /// A source's turn: longer than others', as each ends with a packet that is not full; but what comes in waits for its end.
  private static func sourceTurnByteCount(_ shard: borrowing Shard) -> Int {
    shard.isBusyBothWays ? 1 << 20 : 4 << 20
  }

  private func runSource(_ socket: SocketID, _ shard: inout Shard) {
    if job.isEnding {
      // What the peer still says does not matter; its FIN or reset does.
      do throws(Errno) {
        while try shard.discard(socket, count: Shard.turnByteCount) > 0 {}
      } catch {
        if error == .EAGAIN { return }
      }
      return close(socket, on: &shard)
    }
    // What has been sent stays as it is: that it could change does not matter.
    if lent != nil { while (try? shard.completion(of: socket)) != nil {} }
    let turnByteCount = Self.sourceTurnByteCount(shard)
    var sent = 0
    do throws(Errno) {
      while sent < turnByteCount {
        let (count, isWhole) = try write(socket, &shard)
        if sent == 0 { begin(&shard) }
        sent += count
        if !isWhole { break }
      }
      job.bytes &+= UInt64(sent)
      if sent >= turnByteCount { shard.wake(socket) }
    } catch {
      job.bytes &+= UInt64(sent)
      // ENOBUFS: completions are to come first, and wake.
      guard error != .EAGAIN, error != .ENOBUFS || lent == nil else { return }
      job.error = error
      close(socket, reset: true, on: &shard)
    }
  }

  /// One write, from where the last one ended when nothing is copied.
  private func write(_ socket: SocketID, _ shard: inout Shard) throws(Errno) -> (
    byteCount: Int, isWhole: Bool
  ) {
    guard let lent else {
      let piece = unsafe UnsafeRawBufferPointer(shard.scratch.prefix(job.length))
      let count = unsafe try shard.send(socket, from: piece, flags: [.dontWait, .noSignal])
      return (count, count == piece.count)
    }
    let offset = lentOffsets[socket] ?? 0
    guard let slice = lent[offset..<job.length] else { throw .EFAULT }
    let count = try shard.send(socket, lending: slice, flags: [.zeroCopy, .dontWait, .noSignal])
    lentOffsets[socket] = (offset + count) % job.length
    return (count, count == slice.byteCount)
  }

  private func runSink(_ socket: SocketID, _ shard: inout Shard) {
    let buffer = unsafe shard.scratch.prefix(job.length)
    var received = 0
    do throws(Errno) {
      while received < Shard.turnByteCount {
        let count = unsafe try shard.receive(socket, into: buffer, flags: .dontWait)
        if count == 0 {
          job.bytes &+= UInt64(received)
          return close(socket, on: &shard)
        }
        received += count
      }
      job.bytes &+= UInt64(received)
      shard.wake(socket)
    } catch {
      job.bytes &+= UInt64(received)
      guard error != .EAGAIN else { return }
      job.error = error
      close(socket, reset: true, on: &shard)
    }
  }

  private func close(_ socket: SocketID, reset: Bool = false, on shard: inout Shard) {
    guard let index = streams.firstIndex(of: socket) else { return }
    streams.remove(at: index)
    if let info = shard.sockets.tcpInfo(socket, now: shard.now) {
      job.retransmits &+= UInt64(info.totalRetransmissions)
    }
    shard.finish(socket, reset: reset)
    finishIfDone(&shard)
  }

  private func finishIfDone(_ shard: inout Shard) {
    guard streams.isEmpty, job.awaited == 0 else { return }
    if job.finished == nil { job.finished = shard.now }
    waiter?.signal()
  }

  /// The run's time is up, or its peer's to close.
  package override func timeIsUp(on shard: inout Shard) {
    guard !job.isEnding else {
      job.error = .ETIMEDOUT
      return closeStreams(&shard)
    }
    job.isEnding = true
    closeListener(&shard)
    guard job.isSender else { return closeStreams(&shard) }
    for socket in streams {
      // All that was taken is still delivered: the clock runs until the peer has it and closes.
      try? shard.shutdown(socket, write: true)
      shard.wake(socket)
    }
    shard.setTimer(of: id, at: shard.now + Self.graceTime)
  }

  private func closeStreams(_ shard: inout Shard) {
    for socket in streams { close(socket, reset: true, on: &shard) }
    finishIfDone(&shard)
  }

  /// The other shards have taken all the connections that were to come.
  package func stopAccepting(on shard: inout Shard) {
    guard listener != nil else { return }
    closeListener(&shard)
    finishIfDone(&shard)
  }

  /// Ends a run whose client has gone, or that could not be started.
  package func cancel(on shard: inout Shard) {
    closeListener(reset: true, &shard)
    closeStreams(&shard)
    waiter = nil
    shard.end(id)
  }
}
