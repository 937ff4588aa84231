import FoundationEssentials

/// What a client asks of a running stack: one JSON object on one line, `{"version":2,"command":{"ping":{...}}}`.
///
/// A client that closes its writing half says that what it asked for is enough: the answer so far comes, and the end.
///
/// The answers come the same way (`ControlAnswer`), one or several, the last of them final. A line that cannot be
/// read is answered with `.error`, and the connection lives on.
public struct ControlRequest: Codable, Equatable, Sendable {
  /// Changes when a peer of the other version could misunderstand.
  public static let currentVersion = 2
  /// The longest request line, bytes.
  public static let longestLine = 65536

  /// The version of the conversation that the client speaks.
  public var version: Int
  /// What it wants.
  public var command: ControlCommand

  /// A request in the version spoken here.
  public init(_ command: ControlCommand) {
    version = Self.currentVersion
    self.command = command
  }
}

/// The commands, each named as the client's.
public enum ControlCommand: Codable, Equatable, Sendable {
  /// Ends the daemon; answered before it goes.
  case down
  /// Who and where the stack is.
  case describe
  case ss
  case addr
  case neigh
  case route
  /// Rules about routing tables.
  case rule
  /// Tracked connections.
  case conntrack
  case qdisc
  /// Rules at the hooks.
  case filter
  case nic
  case stats
  /// Answered as `stats`: packets dropped, by reason.
  case drops
  /// Answered as `stats`: what the stack holds just now.
  case memory
  /// The settings: the one of a name, or all.
  case sysctl(String?)
  /// A change, in the words of `StackChange`; answered with `.done` once it is made.
  case change([String])
  case trace(TraceRequest)
  case capture(CaptureRequest)
  case ping(PingRequest)
  case perf(PerfRequest)
  case nc(NetcatRequest)
}

/// `swiftstack trace`.
public struct TraceRequest: Codable, Equatable, Sendable {
  /// Go on with new records until the client hangs up, or says that it is enough.
  public var follow: Bool
  public init(follow: Bool) { self.follow = follow }
}

/// `swiftstack capture`: answered with `.started`, which brings the descriptor that a pcapng file is read from, and with
/// `.captured` at its end.
public struct CaptureRequest: Codable, Equatable, Sendable {
  /// How many frames; `nil`: until the client hangs up.
  public var count: Int?
  /// The stack's interface, or `lo`; `nil`: the former.
  public var device: String?
  public init(count: Int? = nil, device: String? = nil) {
    self.count = count
    self.device = device
  }
}

/// `swiftstack ping`: a `.pingReply` for each event, then `.done`.
public struct PingRequest: Codable, Equatable, Sendable {
  /// Whom to ask: an address.
  public var host: String
  /// How many requests; `nil`: until the client hangs up.
  public var count: Int?
  /// Seconds between requests.
  public var interval: Double
  /// Payload bytes, 0 to 65,507.
  public var byteCount: Int
  /// Seconds to wait for the last reply.
  public var wait: Double

  public init(host: String, count: Int?, interval: Double, byteCount: Int, wait: Double) {
    self.host = host
    self.count = count
    self.interval = interval
    self.byteCount = byteCount
    self.wait = wait
  }
}

/// `swiftstack perf`.
public struct PerfRequest: Codable, Equatable, Sendable {
  /// Peer to send to; `nil` receives.
  public var host: String?
  /// TCP port to connect to, or to listen on.
  public var port: UInt16
  /// Seconds.
  public var time: Double
  /// Connections side by side.
  public var streams: Int
  /// Bytes of one write or read.
  public var length: Int
  /// Sends with `MSG_ZEROCOPY`.
  public var zeroCopy: Bool

  public init(
    host: String?, port: UInt16, time: Double, streams: Int, length: Int, zeroCopy: Bool = false
  ) {
    self.host = host
    self.port = port
    self.time = time
    self.streams = streams
    self.length = length
    self.zeroCopy = zeroCopy
  }
}

/// `swiftstack nc`: answered with `.connected`, which brings a descriptor of a connected stack socket along, and with
/// `.done` or `.error` when both directions are closed.
public struct NetcatRequest: Codable, Equatable, Sendable {
  /// Peer to connect to; `nil` listens on `port` and takes the first client.
  public var host: String?
  /// Port to connect to, or to listen on.
  public var port: UInt16
  /// Datagrams instead of a connection.
  public var isUDP: Bool
  /// Seconds the connection may take to come about.
  public var timeout: Double?

  public init(host: String?, port: UInt16, isUDP: Bool, timeout: Double?) {
    self.host = host
    self.port = port
    self.isUDP = isUDP
    self.timeout = timeout
  }
}
