import IPv4
import Internet
import NetNamespace
import SkBuff

// What the layer does about memory as a whole; the levels are explained at `SkBuffPool`.
extension TCPLayer {
  /// Keeps the list of sockets with an out-of-order queue in line with one of them.
  mutating func noteOutOfOrder(_ index: Int) {
    let hasQueue = !sockets[index].receiver.outOfOrder.isEmpty
    if hasQueue == sockets[index].receiver.outOfOrder.link.isListed { return }
    if hasQueue { listOutOfOrder(index) } else { unlistOutOfOrder(index) }
  }

  private mutating func listOutOfOrder(_ index: Int) {
    let place = Int32(truncatingIfNeeded: index)
    sockets[index].receiver.outOfOrder.link = OutOfOrderLink(
      next: -1, previous: outOfOrderList.last, isListed: true)
    if outOfOrderList.last >= 0 {
      sockets[Int(outOfOrderList.last)].receiver.outOfOrder.link.next = place
    } else {
      outOfOrderList.first = place
    }
    outOfOrderList.last = place
  }

  private mutating func unlistOutOfOrder(_ index: Int) {
    let link = sockets[index].receiver.outOfOrder.link
    if link.next >= 0 {
      sockets[Int(link.next)].receiver.outOfOrder.link.previous = link.previous
    } else {
      outOfOrderList.last = link.previous
    }
    if link.previous >= 0 {
      sockets[Int(link.previous)].receiver.outOfOrder.link.next = link.next
    } else {
      outOfOrderList.first = link.next
    }
    sockets[index].receiver.outOfOrder.link = OutOfOrderLink()
  }

  /// Above `high`: out-of-order queues go, the oldest first, whoever has them, until memory is below it. When there is
  /// memory: those who wait for it are woken, in order. Linux: `tcp_prune_ofo_queue()`, `sk_stream_write_space()`.
  mutating func relieveMemory(net: inout Net) {
    guard net.pool.wantsRelief else { return }
    let entries = net.pool.takePressureEntries()
    if entries > 0 { net.counters.count(.TcpExtTCPMemoryPressures, by: entries) }
    while net.pool.isExhausted, outOfOrderList.first >= 0 {
      let index = Int(outOfOrderList.first)
      sockets[index].dropOutOfOrder(net: &net)
      unlistOutOfOrder(index)
    }
    guard net.pool.hasMemoryWaiters else { return }
    var served = 0
    while let raw = net.pool.takeMemoryWaiter(served: served) {
      net.wake(SocketID(rawValue: raw), isForRoom: true)
      served += 1
    }
  }

  /// Whether an orphan may not live on: there are too many, or it holds memory that is short.
  /// Linux: `tcp_check_oom()`, `tcp_out_of_resources()`.
  func isOutOfResources(_ index: Int, net: borrowing Net) -> Bool {
    orphanCount > net.settings.maximumOrphans
      || net.pool.isExhausted && sockets[index].sender.writeQueuedMemory > Self.leastSendBuffer
  }

  /// Linux: `SOCK_MIN_SNDBUF`.
  private static let leastSendBuffer = 4608

  /// Ends an orphan with a reset.
  mutating func abortOnMemory(_ index: Int, host: inout Host) {
    host.net.counters.count(.TcpExtTCPAbortOnMemory)
    sockets[index].sendReset(host: &host)
    sockets[index].fail(nil, net: &host.net)
    settle(index, net: &host.net)
  }
}
