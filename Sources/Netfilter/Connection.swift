import NetNamespace
import SkBuff
import Timers
import Wire

/// A tracked connection. Linux: `struct nf_conn`.
public struct Connection: Sendable {
  /// Linux: `enum ip_conntrack_status`.
  public struct Status: OptionSet, Sendable {
    public var rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Packets have come back.
    public static let seenReply = Status(rawValue: 1 << 1)
    /// It is not given up to make room.
    public static let assured = Status(rawValue: 1 << 2)
    /// Its first packet has got through, so it is in the table.
    public static let confirmed = Status(rawValue: 1 << 3)
    public static let sourceTranslated = Status(rawValue: 1 << 4)
    public static let destinationTranslated = Status(rawValue: 1 << 5)
    /// Whether to translate was decided.
    public static let sourceDecided = Status(rawValue: 1 << 7)
    public static let destinationDecided = Status(rawValue: 1 << 8)

    /// What a packet of the original direction gets at a hook; the other way round for a reply.
    static func translated(_ isSource: Bool) -> Status {
      isSource ? .sourceTranslated : .destinationTranslated
    }
    static func decided(_ isSource: Bool) -> Status { isSource ? .sourceDecided : .destinationDecided }
  }

  /// As its first packet came.
  public internal(set) var original: ConnectionTuple
  /// As the packets come that answer it.
  public internal(set) var reply: ConnectionTuple
  public internal(set) var status: Status = []
  /// What rules note of it. Linux: `ct->mark`.
  public internal(set) var mark: UInt32 = 0
  /// When it is forgotten if no packet comes.
  public internal(set) var deadline: Instant
  /// Of TCP.
  public internal(set) var tcp = TrackedTCP()
  /// From when on a UDP connection counts as a stream.
  var streamsFrom = Instant.distantFuture
  /// The device whose address it was given.
  var masquerade = InterfaceIndex.none
  var timer = TimerSlot()
  /// Next in the chains of both tuples: twice the slot, and 1 for the reply's; -1: none.
  var nextOriginal: Int32 = -1
  var nextReply: Int32 = -1
  /// Its place among those of one source that got another one, by slot; -1: none.
  var nextOfSource: Int32 = -1
  var previousOfSource: Int32 = -1

  init(original: ConnectionTuple, reply: ConnectionTuple, deadline: Instant) {
    self.original = original
    self.reply = reply
    self.deadline = deadline
  }

  subscript(direction: ConnectionDirection) -> ConnectionTuple { direction == .original ? original : reply }
}

/// A tracked connection as conntrack(8) lists it.
public struct ConnectionSnapshot: Sendable, Equatable {
  public var `protocol`: IPProtocol
  /// Until it is forgotten.
  public var timeout: Nanoseconds
  /// Of TCP: `ESTABLISHED` and so on; else `nil`.
  public var state: String?
  public var original: ConnectionTuple
  public var reply: ConnectionTuple
  public var hasReply: Bool
  public var isAssured: Bool
  /// What rules have noted of it.
  public var mark: UInt32

  init(_ connection: Connection, now: Instant) {
    self.protocol = connection.original.protocol
    timeout = connection.deadline > now ? connection.deadline - now : .zero
    state = connection.original.protocol == .tcp ? connection.tcp.state.name : nil
    original = connection.original
    reply = connection.reply
    hasReply = connection.status.contains(.seenReply)
    isAssured = connection.status.contains(.assured)
    mark = connection.mark
  }

  /// A line of `conntrack -L`, but for the last word, which counts references.
  public var line: String {
    let name = RuleText.protocol(self.protocol)
    let shown = name == "\(self.protocol.rawValue)" ? "unknown" : name
    var words = [
      shown.padded(to: 8), "\(self.protocol.rawValue)", "\(timeout.rawValue / 1_000_000_000)",
    ]
    if let state { words.append(state) }
    words.append(Self.text(original))
    if !hasReply { words.append("[UNREPLIED]") }
    words.append(Self.text(reply))
    if isAssured { words.append("[ASSURED]") }
    words.append("mark=\(mark)")
    return words.joined(separator: " ")
  }

  private static func text(_ tuple: ConnectionTuple) -> String {
    let ends = "src=\(tuple.source) dst=\(tuple.destination)"
    switch tuple.protocol {
    case .tcp, .udp, .udpLite: return ends + " sport=\(tuple.sourcePort) dport=\(tuple.destinationPort)"
    case .icmp: return ends + " type=\(tuple.icmpType) code=\(tuple.icmpCode) id=\(tuple.sourcePort)"
    default: return ends
    }
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}
