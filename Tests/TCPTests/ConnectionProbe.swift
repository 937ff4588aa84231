import NetNamespace
import TestSupport
import Timers
import Wire

@testable import SwiftStack
@testable import TCP

/// The inside of a scripted connection, and the moves that recovery tests share.
extension ScriptedConnection {
  func inspect<Result: Sendable>(_ body: (inout TCPConnection) -> Result) -> Result {
    let index = socket.id.index
    return peer.host.stack.shards[0].inspect { body(&$0.sockets.tcp.sockets[index]) }
  }

  func counter(_ name: NetCounters.Name) -> UInt64 {
    peer.host.stack.shards[0].inspect { $0.host.net.counters[name] }
  }

  var info: TCPInfo { socket.tcpInfo ?? TCPInfo() }

  /// A connection with SACK and segments of 1,460 bytes, or 1,448 with time stamps, and a window of a megabyte.
  static func withSACK(
    timestamps: Bool = false, seed: UInt64 = 1, settings: NetSettings = NetSettings(),
    probesTails: Bool = false, rtt: Nanoseconds = .zero
  ) throws -> ScriptedConnection {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(settings: settings, seed: seed, probesTails: probesTails), window: 16384,
      options: [2, 4, 5, 0xB4, 1, 1, 4, 2, 1, 3, 3, 6], timestamps: timestamps, rtt: rtt)
    open.acknowledge()
    return open
  }

  /// Waits for the retransmission timer.
  func timeOut() {
    for _ in 0..<200 where info.congestionState != .loss { peer.advance(.milliseconds(50)) }
  }

  /// Sends so many full segments, with a congestion window that holds them all.
  ///
  /// - Returns: the sequence number of the first.
  @discardableResult
  func flight(_ count: Int, window: Int? = nil) throws -> UInt32 {
    let mss = info.sendMSS
    inspect { $0.sender.window.segments = window ?? max($0.sender.window.segments, count) }
    var left = count * mss
    while left > 0 { left -= try socket.send([UInt8](repeating: 1, count: left)) }
    let first = acknowledgment
    let sent = peer.all().map(\.payload.count).reduce(0, +)
    if window == nil && sent != count * mss { throw SocketError("flight", .EPROTO) }
    return first
  }

  /// Sequence numbers of what the stack has sent since, in segments from `base`.
  func sent(from base: UInt32) -> [Int] {
    let mss = info.sendMSS
    return peer.all().filter { !$0.payload.isEmpty }.map { Int($0.sequence &- base) / mss }
  }

  /// Acknowledges whole segments from `base`, and SACKs runs of them.
  func acknowledge(base: UInt32, upTo count: Int, sack runs: [Range<Int>] = []) {
    let mss = UInt32(info.sendMSS)
    func number(_ segment: Int) -> UInt32 { base &+ UInt32(truncatingIfNeeded: segment) &* mss }
    acknowledge(number(count), sack: runs.map { (number($0.lowerBound), number($0.upperBound)) })
  }
}
