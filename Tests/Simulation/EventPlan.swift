import TCP

/// Something that happens to the path, a NIC, a stack or a program.
public struct EventPlan: Line, Equatable {
  var `do` = Deed.lose
  /// Whose; of the path: the frames that leave it.
  var side = Side.a
  /// The connection that it is about, or whose state brings it about.
  var talk = 1
  /// When it happens, unless `when` says so.
  var at = 0
  /// It happens as soon as the end `of` of the connection is in this state; `any`: at its time.
  var when = StateWord.any
  var of = Side.a
  /// How many frames, descriptors, thousandths: see the deed.
  var count = 1
  /// For how long, microseconds.
  var span = 0
  /// Of `option`: level and name as Linux numbers them; the value is `count`.
  var level = 0
  var name = 0

  static let keyword = "event"
  static var fields: [Field<Self>] {
    [
      Field("do", \.do), Field("side", \.side), Field("talk", \.talk), Field("at", \.at),
      Field("when", \.when),
      Field("of", \.of), Field("count", \.count), Field("span", \.span), Field("level", \.level),
      Field("name", \.name),
    ]
  }
  public init() {}
}

/// What can happen.
public enum Deed: String, Word {
  // The path: frames that leave `side`.
  /// The next `count` frames are lost; `hold`: come `span` late; `copy`: come twice; `flip`: have a bit turned over; `mark`: are
  /// marked CE where they are ECT.
  case lose, hold, copy, flip, mark
  /// Nothing passes for `span`.
  case cut
  /// For `span` so many of a thousand frames are lost.
  case chance
  /// For `span` packets above `count` bytes do not pass: a router says so by ICMP, or, of `swallow`, does not.
  case narrow, swallow
  /// For `span` a middlebox cuts segments in two, or joins those that follow each other, or takes the options off SYNs.
  case split, merge, strip
  /// A NAT forgets: from now on the connections of `side` come from other ports.
  case rebind
  /// The next frame is answered with an ICMP unreachable of code `count`.
  case unreachable
  // Peers that cheat, by what is made of their segments for `span`.
  /// One acknowledgment becomes three (RFC 3465 section 2.2).
  case divide
  /// What has been sent is acknowledged before it arrives, and `count` bytes more.
  case optimistic
  /// The window is a quarter of itself, is zero, is a few bytes.
  case shrink, zero, silly
  /// SACK blocks name what has not arrived.
  case sackLie = "sack-lie"
  /// A SYN asks for segments of `count` bytes.
  case tiny
  // The NIC of `side`.
  /// It fetches nothing for `span`; completes `count` microseconds late for `span`; loses the next `count` doorbells.
  case stall, late, doorbell
  /// `count` mappings fail, behind `span` that do not; descriptors are misread (MDD), frames are completed and not sent.
  case unmap, misread, drop
  /// The cable is out for `span`.
  case unplug
  // The stack of `side`.
  /// Memory for packets is short for `span`: `count` pages are the most.
  case shortage
  /// It does not run for `span`, and finds its clock moved.
  case jump
  // The program at the end `side` of the connection.
  /// It reads nothing, or writes nothing, for `span`.
  case deaf, mute
  /// It ends its sending, closes, or aborts (SO_LINGER of 0).
  case shut, close, abort
  /// It asks for a socket option.
  case option
  /// It asks anew what it is to be told of.
  case rewatch

  /// A connection may end in an error, or before its bytes have all arrived: nothing of that is a fault.
  var mayFail: Bool {
    switch self {
    // Where memory is short orphans are given up.
    case .rebind, .unreachable, .optimistic, .close, .abort, .shut, .shortage: true
    default: false
    }
  }
  /// Connections may be broken for good without either end knowing: they are aborted in the end.
  var mayBreak: Bool { self == .rebind || self == .optimistic }
}

/// A state by its name; any: none is asked for.
public enum StateWord: String, Word {
  case any = "any"
  case closed = "CLOSED"
  case listen = "LISTEN"
  case synSent = "SYN-SENT"
  case synReceived = "SYN-RECEIVED"
  case established = "ESTABLISHED"
  case finWait1 = "FIN-WAIT-1"
  case finWait2 = "FIN-WAIT-2"
  case closeWait = "CLOSE-WAIT"
  case closing = "CLOSING"
  case lastAck = "LAST-ACK"
  case timeWait = "TIME-WAIT"

  init(_ state: TCPState) {
    self =
      switch state {
      case .established: .established
      case .synSent: .synSent
      case .synReceived: .synReceived
      case .finWait1: .finWait1
      case .finWait2: .finWait2
      case .timeWait: .timeWait
      case .close: .closed
      case .closeWait: .closeWait
      case .lastAck: .lastAck
      case .listen: .listen
      case .closing: .closing
      }
  }
}
