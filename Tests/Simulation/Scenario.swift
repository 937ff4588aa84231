import NetNamespace

/// All that a simulated run depends on: two stacks, the path between them, what their programs do, and what goes wrong when.
/// The same scenario is the same run, bit for bit.
///
/// It is text, one thing a line, in any order; every line can be taken out and what is left is a scenario still, which is
/// how a failing one is made small:
/// ```
/// run seed=17
/// host name=b mtu=576 cc=bbr
/// link from=a delay=20000 rate=10000 queue=60
/// talk number=1 out=100000 in=5000
/// event do=lose side=a count=2 when=FIN-WAIT-1 of=a talk=1
/// ```
/// Times are microseconds, rates kbit/s, sizes bytes.
public struct Scenario: Equatable {
  public var run = RunPlan()
  public var hosts: [HostPlan] = []
  public var links: [LinkPlan] = []
  public var talks: [TalkPlan] = []
  public var events: [EventPlan] = []

  public init() {}

  /// The scenario's text.
  public var text: String {
    let lines = [run.line] + hosts.map(\.line) + links.map(\.line) + talks.map(\.line) + events.map(\.line)
    return lines.joined(separator: "\n") + "\n"
  }

  /// - Throws: a sentence with the line that cannot be read.
  public init(text: String) throws(ScenarioError) {
    for line in text.split(separator: "\n").map(String.init) where !line.hasPrefix("#") {
      let words = line.split(separator: " ")
      guard let keyword = words.first else { continue }
      let rest = Array(words.dropFirst())
      switch keyword {
      case "run": run = try RunPlan(words: rest, of: line)
      case "host": hosts.append(try HostPlan(words: rest, of: line))
      case "link": links.append(try LinkPlan(words: rest, of: line))
      case "talk": talks.append(try TalkPlan(words: rest, of: line))
      case "event": events.append(try EventPlan(words: rest, of: line))
      default: throw ScenarioError("\"\(line)\" begins with none of run, host, link, talk, event")
      }
    }
  }

  /// Connections may end in an error, and bytes stay undelivered: nothing of that is a fault.
  var mayFail: Bool {
    // Who calls when the other does not yet, or no more, finds nobody.
    if talks.contains(where: \.simultaneous) && !events.isEmpty { return true }
    // A cookie is lost with the segment that brings it back (RFC 4987 3.6).
    if hosts.contains(where: { $0.cookies == 2 }) { return true }
    // A NIC or a path that is silent for as long as a neighbour is asked for is an error for who calls then.
    return events.contains { event in
      event.do.mayFail || event.do == .misread
        || [.stall, .cut, .unplug, .doorbell].contains(event.do) && event.span > 2_500_000
    }
  }

  func host(_ side: Side) -> HostPlan { hosts.last { $0.name == side } ?? HostPlan(name: side) }
  func link(from side: Side) -> LinkPlan { links.last { $0.from == side } ?? LinkPlan(from: side) }
}

/// One of the two stacks; of a direction: the one that frames leave.
public enum Side: String, Word {
  case a
  case b
  var other: Side { self == .a ? .b : .a }
  var index: Int { self == .a ? 0 : 1 }
}

/// Which congestion control the connections of a host have.
public enum CongestionWord: String, Word {
  case reno
  case cubic
  case bbr
  case dctcp

  var kind: CongestionControlKind {
    switch self {
    case .reno: .reno
    case .cubic: .cubic
    case .bbr: .bbr
    case .dctcp: .dctcp
    }
  }
}

public struct RunPlan: Line, Equatable {
  /// Of the stacks' random numbers, and of chance on the path.
  public var seed: UInt64 = 1

  static let keyword = "run"
  static var fields: [Field<Self>] { [Field("seed", \.seed)] }
  public init() {}
}

public struct HostPlan: Line, Equatable {
  var name = Side.a
  var mtu = 1500
  /// Descriptors of a NIC ring.
  var ring = 64
  /// MiB of packet memory.
  var memory = 16
  /// The NIC's engines are lent: frames of 64 KiB on the path.
  var lent = false
  var cc = CongestionWord.cubic
  var sack = true
  var timestamps = true
  var scaling = true
  var ecn = 2
  /// `tcp_mtu_probing`.
  var probing = 0
  var qdisc = QdiscWord.fifo
  /// Most bytes of a connection's buffers; 0: what Linux has.
  var send = 0
  var receive = 0
  /// Connections are looked after by keep-alive, so that none whose peer has gone stays for ever.
  var keepalive = false
  /// `tcp_syncookies`.
  var cookies = 1
  var autocorking = true

  static let keyword = "host"
  static var fields: [Field<Self>] {
    [
      Field("name", \.name), Field("mtu", \.mtu), Field("ring", \.ring), Field("memory", \.memory),
      Field("lent", \.lent), Field("cc", \.cc), Field("sack", \.sack), Field("timestamps", \.timestamps),
      Field("scaling", \.scaling), Field("ecn", \.ecn), Field("probing", \.probing), Field("qdisc", \.qdisc),
      Field("send", \.send), Field("receive", \.receive), Field("keepalive", \.keepalive),
      Field("cookies", \.cookies), Field("autocorking", \.autocorking),
    ]
  }
  public init() {}
  init(name: Side) { self.name = name }
}

/// What queues packets behind the device.
public enum QdiscWord: String, Word {
  case fifo
  case fq
  case none
}

/// The path in one direction: a delay, and a queue before a bottleneck.
public struct LinkPlan: Line, Equatable {
  var from = Side.a
  var delay = 50
  /// Each frame is late by up to so much more, and none overtakes another.
  var jitter = 0
  /// 0: no bottleneck.
  var rate = 0
  /// Frames that the bottleneck's queue holds.
  var queue = 100
  /// What it does with a frame of ECT when so many wait: marks it CE; 0: nothing.
  var mark = 0
  /// Thousandths of the frames that are lost, and that come 3 ms late, behind others.
  var loss = 0
  var late = 0
  /// CoDel (RFC 8289) drops or marks frames that have waited 5 ms for 100 ms.
  var codel = false

  static let keyword = "link"
  static var fields: [Field<Self>] {
    [
      Field("from", \.from), Field("delay", \.delay), Field("jitter", \.jitter), Field("rate", \.rate),
      Field("queue", \.queue), Field("mark", \.mark), Field("codel", \.codel),
      Field("loss", \.loss), Field("late", \.late),
    ]
  }
  public init() {}
  init(from: Side) { self.from = from }
}

/// One connection and what the programs at its ends do.
public struct TalkPlan: Line, Equatable {
  var number = 1
  /// Who calls; the other one listens.
  var opener = Side.a
  var at = 0
  /// Bytes that the opener sends, and that it gets.
  var out = 0
  var `in` = 0
  /// Most bytes of one call.
  var chunk = 4096
  var closing = ClosingOrder.opener
  /// Both call (RFC 9293 figure 8).
  var simultaneous = false

  static let keyword = "talk"
  static var fields: [Field<Self>] {
    [
      Field("number", \.number), Field("opener", \.opener), Field("at", \.at), Field("out", \.out),
      Field("in", \.in), Field("chunk", \.chunk), Field("closing", \.closing),
      Field("simultaneous", \.simultaneous),
    ]
  }
  public init() {}
}

/// Who ends a connection first.
public enum ClosingOrder: String, Word {
  case opener
  case listener
  /// Each as soon as it has sent all.
  case both
  /// The opener closes, and does not wait for the other's end.
  case close
}
