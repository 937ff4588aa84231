import FoundationEssentials

/// What the daemon says back, one JSON object on one line: `{"version":2,"body":{"ss":{"_0":[...]}}}`.
public struct ControlAnswer: Codable, Equatable, Sendable {
  /// The version of the conversation that the daemon speaks.
  public var version: Int
  /// What it says.
  public var body: ControlAnswerBody

  /// An answer in the version spoken here.
  public init(_ body: ControlAnswerBody) {
    version = ControlRequest.currentVersion
    self.body = body
  }
}

/// The answers, those to a table named as its command.
public enum ControlAnswerBody: Codable, Equatable, Sendable {
  /// Final: what was asked did not happen, and why, a sentence.
  case error(String)
  /// Final: what was asked has happened.
  case done
  case describe(StackReport)
  // Tables come in pieces, as many as it takes; `done` follows the last.
  case ss([SocketReport])
  case addr([InterfaceReport])
  case neigh([NeighbourReport])
  case route([RouteReport])
  case rule([RoutingRuleReport])
  case conntrack([ConnectionReport])
  case qdisc([QdiscReport])
  case filter([ChainReport])
  case nic([NICReport])
  case stats([CounterReport])
  case sysctl([SettingReport])
  /// Records in their order, and how many have been overwritten before they could be read since the last piece.
  case trace([TraceReport], lost: UInt64)
  /// Final: a capture, which went through the descriptor that came with `started`, has ended.
  case captured(CaptureReport)
  case pingStarted(address: String, byteCount: Int)
  case pingReply(PingReport)
  case perf(PerfReport)
  /// What was asked for has begun; not final.
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
    case .error, .done, .describe, .captured, .perf: true
    default: false
    }
  }
}
