import LinuxHost
import Sockets

extension Shard {
  /// Resets connections and wakes everybody who waits.
  func closeAll() {
    inspectTimed { state in
      guard !state.isClosed else { return }
      state.endBridges(.failed(.ENETDOWN))
      for id in state.sockets.sockets() {
        if id.kind != .tcp { try? state.sockets.close(id, host: &state.host) }
      }
      state.sockets.tcp.shutdownAll(host: &state.host)
      state.drain()
      state.owners.signalAll()
      state.isClosed = true
    }
  }

  /// Takes everything off the rings; the event loop has ended. The TAP queue closes here.
  func dismantle() {
    inspect { state in
      guard state.isClosed, !state.isDismantled else { return }
      state.isDismantled = true
      state.host.link.devices[state.ethernet].close()
      state.port = .simulated(SimulatedWirePort())
    }
  }

  /// Hands a socket to the loop as a bridge.
  func startBridge(_ bridge: Bridge, _ id: SocketID) -> Int {
    // Safe: the bridge is used under this lock from here on.
    nonisolated(unsafe) let bridge = bridge
    return enter { state in unsafe state.startBridge(bridge, on: id) }
  }
}

/// A bridge as its starter sees it.
package struct BridgeHandle: Sendable {
  let shard: Shard
  let index: Int
  nonisolated(unsafe) let bridge: Bridge

  /// How it ended; `nil` while it lives.
  package var outcome: Bridge.Outcome? { shard.inspect { _ in unsafe bridge.outcome } }

  /// The client is gone: what it had written is still sent, then the connection is closed.
  package func abandon() {
    shard.enter { state in
      guard unsafe state.bridges[index] === bridge else { return }
      unsafe bridge.isUnread = true
      unsafe bridge.mayRead = true
      state.runBridge(index)
    }
  }
}
