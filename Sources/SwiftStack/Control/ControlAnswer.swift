import FoundationEssentials

/// What the daemon says back, one JSON object on one line: `{"version":1,"body":{"ss":{"_0":[...]}}}`.
public struct ControlAnswer: Codable, Equatable, Sendable {
  public var version: Int
  public var body: ControlAnswerBody

  public init(_ body: ControlAnswerBody) {
    version = ControlRequest.currentVersion
    self.body = body
  }
}

public enum ControlAnswerBody: Codable, Equatable, Sendable {
  /// Final: what was asked did not happen, and why, a sentence.
  case error(String)
  /// Final: what was asked has happened.
  case done
  case describe(StackReport)
  case ss([SocketReport])
  case neigh([NeighbourReport])
  case route([RouteReport])
  case qdisc([QdiscReport])
  case nic([NICReport])
  case stats([CounterReport])
  case trace([TraceReport])
  case frames([FrameReport])
  case pingStarted(address: String, byteCount: Int)
  case pingReply(PingReport)
  case perf(PerfReport)
  /// Watching has begun; not final.
  case started
  /// A listener waits; not final.
  case listening(port: UInt16)
  /// A descriptor came with this message; `peer` is the other end.
  case connected(peer: String)
}

extension ControlAnswerBody {
  /// Whether nothing follows.
  public var isFinal: Bool {
    switch self {
    case .started, .trace, .frames, .pingStarted, .pingReply, .listening, .connected: false
    default: true
    }
  }
}
