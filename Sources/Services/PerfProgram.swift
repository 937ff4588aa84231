import SkBuff
import Sockets
import TCP

/// Bulk sources and sinks.
extension ShardState {
  /// How long a sender waits for its peer to take the rest and close after the FIN.
  private static let graceTime = Nanoseconds.seconds(20)

  /// Connects `streams` sockets and sends on them for the job's time.
  mutating func startPerfSend(
    to peer: SocketAddress, streams: Int, time: Nanoseconds, length: Int, waiter: SocketWaiter
  ) throws(Errno) -> Int {
    var job = PerfJob()
    job.isSender = true
    job.length = length
    job.time = time
    job.streams = streams
    job.open = streams
    job.waiter = waiter
    let index = jobs.insert(job)
    for _ in 0..<streams {
      do throws(Errno) {
        let id = try socket(.tcp)
        do throws(Errno) {
          try sockets.connect(id, to: peer, host: &host)
        } catch {
          if error != .EINPROGRESS {
            try? sockets.close(id, host: &host)
            throw error
          }
        }
        var application = Application()
        application.kind = .perfSource
        application.socket = id
        application.job = index
        start(application)
      } catch {
        cancelJob(index)
        throw error
      }
    }
    return index
  }

  /// Listens for `streams` connections and reads from them until they end or the job's time is over.
  mutating func startPerfReceive(
    port: UInt16, streams: Int, time: Nanoseconds, length: Int, waiter: SocketWaiter
  ) throws(Errno) -> Int {
    let id = try socket(.tcp)
    do throws(Errno) {
      try sockets.bind(id, to: SocketAddress(IPAddress(IPv4Address.any), port: port), host: &host)
      try sockets.listen(id, backlog: streams, net: &host.net)
    } catch {
      try? sockets.close(id, host: &host)
      throw error
    }
    var job = PerfJob()
    job.length = length
    job.time = time
    job.streams = streams
    job.awaited = streams
    job.waiter = waiter
    let index = jobs.insert(job)
    var application = Application()
    application.kind = .listener
    application.child = .perfSink
    application.socket = id
    application.job = index
    jobs[index].listener = start(application)
    return index
  }

  mutating func perfAccepted(_ child: SocketID, by listener: Int) {
    let index = applications[listener].job
    jobs[index].awaited -= 1
    jobs[index].open += 1
    beginJob(index)
    var application = Application()
    application.kind = .perfSink
    application.socket = child
    application.job = index
    start(application)
    if jobs[index].awaited == 0 {
      jobs[index].listener = nil
      end(listener)
    }
  }

  private mutating func beginJob(_ index: Int) {
    guard jobs[index].started == nil else { return }
    jobs[index].started = host.net.now
    armJob(index, at: host.net.now + jobs[index].time)
  }

  private mutating func armJob(_ index: Int, at deadline: Instant) {
    host.net.timers.insert(
      TimerKey(kind: .application, id: UInt32(truncatingIfNeeded: index), generation: jobs[index].generation),
      at: deadline)
  }

  /// A source's turn: longer than others', as each ends with a packet that is not full.
  private static let sourceTurnByteCount = 4 << 20

  mutating func runPerfSource(_ index: Int) {
    let socket = applications[index].socket
    let job = applications[index].job
    if jobs[job].isEnding {
      // What the peer still says does not matter; its FIN or reset does.
      do throws(Errno) {
        while try discard(socket, count: Self.turnByteCount) > 0 {}
      } catch {
        if error == .EAGAIN { return }
      }
      return closePerfStream(index)
    }
    let piece = unsafe UnsafeRawBufferPointer(scratch.prefix(jobs[job].length))
    var sent = 0
    do throws(Errno) {
      while sent < Self.sourceTurnByteCount {
        let count = unsafe try send(socket, from: piece, flags: [.dontWait, .noSignal])
        if sent == 0 { beginJob(job) }
        sent += count
        if count < piece.count { break }
      }
      jobs[job].bytes &+= UInt64(sent)
      if sent >= Self.sourceTurnByteCount { host.net.wake(socket) }
    } catch {
      jobs[job].bytes &+= UInt64(sent)
      guard error != .EAGAIN else { return }
      jobs[job].error = error
      closePerfStream(index, reset: true)
    }
  }

  mutating func runPerfSink(_ index: Int) {
    let socket = applications[index].socket
    let job = applications[index].job
    let buffer = unsafe scratch.prefix(jobs[job].length)
    var received = 0
    do throws(Errno) {
      while received < Self.turnByteCount {
        let count = unsafe try receive(socket, into: buffer, flags: .dontWait)
        if count == 0 {
          jobs[job].bytes &+= UInt64(received)
          return closePerfStream(index)
        }
        received += count
      }
      jobs[job].bytes &+= UInt64(received)
      host.net.wake(socket)
    } catch {
      jobs[job].bytes &+= UInt64(received)
      guard error != .EAGAIN else { return }
      jobs[job].error = error
      closePerfStream(index, reset: true)
    }
  }

  private mutating func closePerfStream(_ index: Int, reset: Bool = false) {
    let job = applications[index].job
    countRetransmits(index)
    end(index, reset: reset)
    jobs[job].open -= 1
    if jobs[job].open == 0 && jobs[job].awaited == 0 { finishJob(job) }
  }

  private mutating func countRetransmits(_ index: Int) {
    guard let info = sockets.tcpInfo(applications[index].socket, now: host.net.now) else { return }
    jobs[applications[index].job].retransmits &+= UInt64(info.totalRetransmissions)
  }

  private mutating func finishJob(_ index: Int) {
    if jobs[index].finished == nil { jobs[index].finished = host.net.now }
    jobs[index].waiter?.signal()
  }

  /// The job's time is up, or its peer's to close.
  mutating func jobTimerExpired(_ index: Int, _ generation: UInt32) {
    guard jobs.isCurrent(index, generation), !jobs[index].isEnding else {
      if jobs.isCurrent(index, generation) {
        jobs[index].error = .ETIMEDOUT
        closeStreams(of: index)
      }
      return
    }
    jobs[index].isEnding = true
    if let listener = jobs[index].listener {
      jobs[index].listener = nil
      jobs[index].awaited = 0
      end(listener)
    }
    guard jobs[index].isSender else { return closeStreams(of: index) }
    for application in applications.indices
    where applications[application].kind == .perfSource && applications[application].job == index {
      let socket = applications[application].socket
      // All that was taken is still delivered: the clock runs until the peer has it and closes.
      try? sockets.shutdown(socket, read: false, write: true, host: &host)
      host.net.wake(socket)
    }
    armJob(index, at: host.net.now + Self.graceTime)
  }

  private mutating func closeStreams(of job: Int) {
    for index in applications.indices where applications[index].job == job {
      switch applications[index].kind {
      case .perfSink, .perfSource: closePerfStream(index, reset: true)
      default: break
      }
    }
    if jobs[job].open == 0 && jobs[job].awaited == 0 { finishJob(job) }
  }

  /// The other shards have taken all the connections that were to come.
  mutating func stopAccepting(_ index: Int) {
    guard let listener = jobs[index].listener else { return }
    jobs[index].listener = nil
    jobs[index].awaited = 0
    end(listener)
    if jobs[index].open == 0 { finishJob(index) }
  }

  /// Ends a job whose client has gone, or that could not be started.
  mutating func cancelJob(_ index: Int) {
    if let listener = jobs[index].listener {
      jobs[index].listener = nil
      end(listener, reset: true)
    }
    jobs[index].awaited = 0
    closeStreams(of: index)
    releaseJob(index)
  }

  mutating func releaseJob(_ index: Int) {
    jobs[index].isActive = false
    jobs[index].waiter = nil
  }
}
