import Sockets

extension Shard {
  /// Resets connections and wakes everybody who waits.
  package mutating func closeAll() {
    guard !isClosed else { return }
    for program in programs.all { programs[program]?.stackEnds(on: &self) }
    for id in sockets.sockets() {
      if id.kind != .tcp { try? sockets.close(id, host: &host) }
    }
    sockets.tcp.shutdownAll(host: &host)
    drain()
    // What the wire still carries goes out, and what stands behind it.
    while duty.carriedCount > 0 {
      port.wire.finishCarrying()
      drain()
    }
    owners.signalAll()
    signalAllSets()
    isClosed = true
  }

  /// Takes everything off the rings and lets go of the wire; nobody enters any more.
  package mutating func dismantle() {
    guard isClosed, !isDismantled else { return }
    isDismantled = true
    host.link.devices[ethernet].close()
    for index in 0..<cards.count {
      host.link.devices[cards[index].interface].close()
      cards[index].port = WirePort(Wire())
    }
    sockets.tellCompleted(net: &host.net)
    port = WirePort(Wire())
  }
}
