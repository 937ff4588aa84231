import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Timers
import Wire

/// Which queue of a connection in repair mode calls are about. Linux: `TCP_NO_QUEUE`, `TCP_RECV_QUEUE`, `TCP_SEND_QUEUE`.
public enum RepairQueue: UInt8, Sendable {
  case none
  case receive
  case send
}

/// Windows of a connection as one end has them. Linux: `struct tcp_repair_window`.
public struct RepairWindow: Equatable, Sendable {
  public var sendUpdate: UInt32
  public var sendWindow: UInt32
  public var maximumWindow: UInt32
  public var receiveWindow: UInt32
  public var receiveUpdate: UInt32

  public init(
    sendUpdate: UInt32, sendWindow: UInt32, maximumWindow: UInt32, receiveWindow: UInt32,
    receiveUpdate: UInt32
  ) {
    self.sendUpdate = sendUpdate
    self.sendWindow = sendWindow
    self.maximumWindow = maximumWindow
    self.receiveWindow = receiveWindow
    self.receiveUpdate = receiveUpdate
  }
}

/// What a handshake had agreed on. Linux: `struct tcp_repair_opt`.
public enum RepairOption: Equatable, Sendable {
  case maximumSegment(Int)
  case windowScale(send: Int, receive: Int)
  case sackPermitted
  case timestamps
}

// A connection is taken from one stack to another, or from a process that ends to one that begins: its numbers, queues and
// windows are read and set, and nothing is sent meanwhile. Linux: `TCP_REPAIR`.
extension TCPLayer {
  /// In repair mode a port may be the old connection's, or its listener's. Linux: `SK_FORCE_REUSE`.
  public func isInRepair(_ id: SocketID) throws(Errno) -> Bool { sockets[try slot(id)].isInRepair }

  /// `TCP_REPAIR`.
  ///
  /// - Parameter probes: the end of repair asks the peer for its window.
  /// - Throws: `EPERM` for a listener.
  public mutating func setRepair(
    _ id: SocketID, _ isOn: Bool, probes: Bool, host: inout Host
  ) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].state != .listen else { throw .EPERM }
    sockets[index].isInRepair = isOn
    if isOn {
      sockets[index].repairQueue = .none
    } else if probes {
      sockets[index].probeAfterRepair(host: &host)
    }
    settle(index, net: &host.net)
  }

  public func repairQueue(_ id: SocketID) throws(Errno) -> RepairQueue {
    let index = try slot(id)
    guard sockets[index].isInRepair else { throw .EINVAL }
    return sockets[index].repairQueue
  }

  /// `TCP_REPAIR_QUEUE`.
  public mutating func setRepairQueue(_ id: SocketID, _ queue: RepairQueue) throws(Errno) {
    sockets[try slot(id)].repairQueue = queue
  }

  /// `TCP_QUEUE_SEQ`: the number behind the last byte of the chosen queue.
  ///
  /// - Throws: `EINVAL` when none is chosen.
  public func queueSequence(_ id: SocketID) throws(Errno) -> UInt32 {
    let index = try slot(id)
    switch sockets[index].repairQueue {
    case .none: throw .EINVAL
    case .receive: return sockets[index].receiver.rcvNxt.rawValue
    case .send: return sockets[index].sender.writeSeq.rawValue
    }
  }

  /// - Throws: `EPERM` when the socket is not closed, or the queue not empty; `EINVAL` when none is chosen.
  public mutating func setQueueSequence(_ id: SocketID, _ number: UInt32) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].state == .close else { throw .EPERM }
    switch sockets[index].repairQueue {
    case .none: throw .EINVAL
    case .receive:
      guard sockets[index].receiver.rcvNxt == sockets[index].receiver.copiedSeq else { throw .EPERM }
      sockets[index].receiver.rcvNxt = SequenceNumber(number)
      sockets[index].receiver.copiedSeq = SequenceNumber(number)
    case .send:
      sockets[index].sender.begin(at: SequenceNumber(number), next: SequenceNumber(number))
    }
  }

  /// `TCP_REPAIR_OPTIONS`.
  ///
  /// - Throws: `EPERM` when the connection is not established or has sent something.
  public mutating func setRepairOptions(_ id: SocketID, _ options: [RepairOption]) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].state == .established, sockets[index].statistics.bytesSent == 0 else { throw .EPERM }
    for option in options { sockets[index].apply(option) }
  }

  /// `TCP_REPAIR_WINDOW`.
  public func repairWindow(_ id: SocketID) throws(Errno) -> RepairWindow {
    let index = try slot(id)
    return RepairWindow(
      sendUpdate: sockets[index].sender.sndWl1.rawValue,
      sendWindow: UInt32(truncatingIfNeeded: sockets[index].sender.sndWnd),
      maximumWindow: UInt32(truncatingIfNeeded: sockets[index].sender.maxWindow),
      receiveWindow: UInt32(truncatingIfNeeded: sockets[index].receiver.rcvWnd),
      receiveUpdate: sockets[index].receiver.rcvWup.rawValue)
  }

  /// - Throws: `EINVAL` for windows that cannot be.
  public mutating func setRepairWindow(_ id: SocketID, _ window: RepairWindow) throws(Errno) {
    let index = try slot(id)
    let next = sockets[index].receiver.rcvNxt
    guard window.maximumWindow >= window.sendWindow, window.maximumWindow <= UInt32(Int32.max),
      window.receiveWindow <= UInt32(Int32.max),
      !SequenceNumber(window.sendUpdate).isAfter(next + Int(window.receiveWindow)),
      !SequenceNumber(window.receiveUpdate).isAfter(next)
    else { throw .EINVAL }
    sockets[index].sender.sndWl1 = SequenceNumber(window.sendUpdate)
    sockets[index].sender.sndWnd = Int(window.sendWindow)
    sockets[index].sender.maxWindow = Int(window.maximumWindow)
    sockets[index].receiver.rcvWnd = Int(window.receiveWindow)
    sockets[index].receiver.rcvWup = SequenceNumber(window.receiveUpdate)
    sockets[index].sender.syncMSS(
      mtu: sockets[index].sender.mssPathMTU > 0 ? sockets[index].sender.mssPathMTU : 1500)
  }

  /// `TCP_TIMESTAMP`: what the clock of time stamps says.
  public func timestamp(_ id: SocketID, now: Instant) throws(Errno) -> UInt32 {
    sockets[try slot(id)].sender.timestamp(now)
  }

  public mutating func setTimestamp(_ id: SocketID, _ value: UInt32, now: Instant) throws(Errno) {
    sockets[try slot(id)].sender.timestampOffset = value &- now.milliseconds32
  }

  /// The numbers that repair has set, which a connect keeps.
  func repairedNumbers(_ index: Int) -> RepairedNumbers? {
    guard sockets[index].isInRepair else { return nil }
    return RepairedNumbers(
      send: sockets[index].sender.writeSeq, receive: sockets[index].receiver.rcvNxt,
      timestampOffset: sockets[index].sender.timestampOffset, queue: sockets[index].repairQueue)
  }
}

struct RepairedNumbers {
  var send: SequenceNumber
  var receive: SequenceNumber
  var timestampOffset: UInt32
  var queue: RepairQueue
}

extension TCPConnection {
  /// A connection is there, without a segment. Linux: `tcp_finish_connect()` with `repair`.
  mutating func connectInRepair(_ numbers: RepairedNumbers, host: inout Host) {
    isInRepair = true
    repairQueue = numbers.queue
    sender.begin(at: numbers.send, next: numbers.send)
    sender.timestampOffset = numbers.timestampOffset
    prepareSyn(host: &host)
    receiver.begin(at: numbers.receive - 1)
    receiver.rcvWscale = 0
    sender.sndWl1 = numbers.receive
    finishHandshake(net: &host.net)
  }

  mutating func apply(_ option: RepairOption) {
    switch option {
    case .maximumSegment(let size):
      sender.peerMSS = max(size, TCPSender.leastSegmentSize)
      sender.syncMSS(mtu: sender.mssPathMTU > 0 ? sender.mssPathMTU : 1500)
    case .windowScale(let send, let receive):
      sender.sndWscale = send
      receiver.rcvWscale = receive
      hasWindowScale = true
    case .sackPermitted: sender.scoreboard.hasSACK = true
    case .timestamps:
      hasTimestamps = true
      sender.segmentOptionByteCount = UInt8(headerOptionByteCount)
      sender.syncMSS(mtu: sender.mssPathMTU > 0 ? sender.mssPathMTU : 1500)
    }
  }

  /// Asks the peer for its window, which may have changed meanwhile. Linux: `tcp_send_window_probe()`.
  mutating func probeAfterRepair(host: inout Host) {
    guard state == .established else { return }
    sender.sndWl1 = receiver.rcvNxt - 1
    host.net.counters.count(.TcpExtTCPWinProbe)
    sendControl(.ack, sequence: sender.sndUna - 1, host: &host)
  }

  /// A send in repair mode puts bytes at the end of the chosen queue. To the send queue it goes as always, but for what
  /// `writeXmit` does.
  ///
  /// - Returns: bytes that the receive queue has taken; `nil`: the send goes on.
  /// - Throws: `EINVAL` when no queue is chosen; `EFAULT`; `ENOMEM`.
  mutating func sendInRepair(_ iter: inout IovIter, host: inout Host) throws(Errno) -> Int? {
    switch repairQueue {
    case .none: throw .EINVAL
    case .send: return nil
    case .receive: break
    }
    guard iter.count > 0 else { return 0 }
    guard var skb = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .ordinary) else {
      throw .ENOMEM
    }
    var count = 0
    while iter.count > 0 {
      let (taken, fault) = skb.append(from: &iter, count: iter.count)
      count += taken
      if fault { throw .EFAULT }
      // 17 fragments are full, or memory is.
      if taken == 0 { break }
    }
    guard count > 0 else { throw .ENOMEM }
    skb.tcp.sequence = receiver.rcvNxt
    skb.tcp.endSequence = receiver.rcvNxt + count
    receiver.rcvNxt += count
    appendToReceiveQueue(skb, net: &host.net)
    host.net.wake(id)
    return count
  }

  /// What was sent, acknowledged or not, in the order of the stream. Linux: `tcp_peek_sndq()`.
  func peekSendQueue(_ iter: inout IovIter) throws(Errno) -> Int {
    var copied = 0
    var place = sender.scoreboard.queue.first
    while let current = place {
      copied += try Self.copy(sender.scoreboard.queue, current, to: &iter)
      place = sender.scoreboard.queue.position(after: current)
    }
    place = sender.writeQueue.first
    while let current = place {
      copied += try Self.copy(sender.writeQueue, current, to: &iter)
      place = sender.writeQueue.position(after: current)
    }
    return copied
  }

  private static func copy(
    _ queue: borrowing SkBuffQueue, _ place: SkBuffQueue.Position, to iter: inout IovIter
  ) throws(Errno) -> Int {
    let length = queue.length(at: place)
    let moved = queue.withPacket(at: place) {
      $0.isUnreadable ? 0 : $0.copyDatagram(from: 0, count: length, to: &iter)
    }
    guard moved == length else { throw .EFAULT }
    return moved
  }
}
