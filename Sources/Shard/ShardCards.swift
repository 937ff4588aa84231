import Ice
import IceModel
import Internet
import NetDevice
import SkBuff
import Timers

/// The NICs of further interfaces.
extension Shard {
  /// What `drain` does for the shard's own NIC, for those of further interfaces.
  ///
  /// - Returns: whether anything happened.
  mutating func drainCards() -> Bool {
    var hasWorked = false
    for index in 0..<cards.count {
      let interface = cards[index].interface
      if cards[index].nic.hasTransmitWork && transmit(card: index) { hasWorked = true }
      if cards[index].nic.takeInterrupt(now: host.net.now) || cards[index].isPolling {
        cards[index].isPolling = host.poll(interface, into: &input)
        deliver()
        hasWorked = true
      }
      if host.link.devices[interface].hasScheduledWork && !host.link.devices[interface].isStopped {
        host.runQdisc(interface)
        hasWorked = true
      }
    }
    return hasWorked
  }

  /// Carries frames from a card's ring to its wire. Returns whether any went.
  private mutating func transmit(card index: Int) -> Bool {
    if cards[index].retryAt <= host.net.now { cards[index].retryAt = .distantFuture }
    guard cards[index].retryAt == .distantFuture else { return false }
    var sent = false
    while cards[index].nic.fetchFrame(into: &outgoing, metadata: &outgoingMetadata, now: host.net.now) {
      switch cards[index].port.transmit(outgoing, outgoingMetadata) {
      case .done: cards[index].nic.frameDone(accepted: true)
      case .wouldBlock:
        // The NIC keeps the frame and offers it again.
        cards[index].retryAt = host.net.now + Self.retryInterval
        return sent
      case .failed:
        cards[index].carrierErrors &+= 1
        cards[index].nic.frameDone(accepted: false)
      }
      sent = true
    }
    return sent
  }

  /// Takes frames from the wires of further interfaces, NAPI after each batch.
  ///
  /// - Parameter limit: most frames of each.
  /// - Returns: whether a wire may have more.
  mutating func receiveFromCards(limit: Int) -> Bool {
    var mayHaveMore = false
    for index in 0..<cards.count {
      var left = limit
      var isDry = false
      while left > 0 && !isDry {
        var batch = min(left, IceDriver.rxBudget)
        left -= batch
        while batch > 0 && !isDry {
          guard cards[index].nic.receiveVector(into: &incoming) else { break }
          switch cards[index].port.receive(into: incoming, &incomingMetadata) {
          case .done(let byteCount):
            batch -= 1
            cards[index].nic.receiveDone(
              byteCount: byteCount, metadata: incomingMetadata, now: host.net.now)
          case .wouldBlock, .failed: isDry = true
          }
        }
        drain()
      }
      if !isDry { mayHaveMore = true }
    }
    return mayHaveMore
  }

  /// The earliest time at which a card wants to be looked at.
  var cardDeadline: Instant {
    var due = Instant.distantFuture
    for index in 0..<cards.count { due = min(due, cards[index].deadline) }
    return due
  }

  /// A frame arrives from the wire of a further interface, in a simulated stack.
  package mutating func receive(_ frame: SimulatedFrame, card index: Int) {
    guard !isClosed else { return }
    runTimers()
    _ = cards[index].nic.receive(frame.bytes.span, metadata: frame.metadata, now: host.net.now)
  }

  /// The frames that were sent by a further interface and not taken yet.
  package func takeFrames(card index: Int) -> [SimulatedFrame] {
    (cards[index].port.wire as? SimulatedWirePort)?.takeAll() ?? []
  }
}
