import InetSocket
import NetNamespace
import Shard
import Timers
import UAPI
import Wire

/// One end of a connection: the socket, and how far its program is.
final class End {
  let talk: TalkPlan
  let side: Side
  let isOpener: Bool
  /// Both ends' addresses, known from the start.
  let tuple: FourTuple
  var listener: SocketID?
  var socket: SocketID?
  /// Bytes that this end means to send, and that it gets.
  var outgoing: Int
  let incoming: Int
  var sent = 0
  var received = 0
  /// What poll has said and no call has denied since.
  var canRead = false
  var canWrite = false
  var isConnected = false
  var deafUntil = Instant.origin
  var muteUntil = Instant.origin
  var hasShut = false
  var sawEnd = false
  var isClosed = false
  var error: Errno?

  init(_ talk: TalkPlan, _ side: Side) {
    self.talk = talk
    self.side = side
    isOpener = side == talk.opener
    outgoing = isOpener ? talk.out : talk.in
    incoming = isOpener ? talk.in : talk.out
    let own = SocketAddress(Self.address(side), port: Self.port(talk, isOpener: isOpener))
    let other = SocketAddress(Self.address(side.other), port: Self.port(talk, isOpener: !isOpener))
    tuple = FourTuple(local: own, remote: other)
  }

  static func address(_ side: Side) -> IPv4Address { IPv4Address(10, 0, 0, side == .a ? 1 : 2) }
  static func port(_ talk: TalkPlan, isOpener: Bool) -> UInt16 {
    UInt16((isOpener ? 20_000 : 9000) + talk.number % 1000)
  }

  var token: UInt64 { UInt64(talk.number) }
  /// This end ends its sending without waiting for the other's.
  var endsFirst: Bool {
    switch talk.closing {
    case .opener, .close: isOpener
    case .listener: !isOpener
    case .both: true
    }
  }

  /// What a reader of a report wants to know.
  func report(_ state: StateWord) -> String {
    var words = "talk \(talk.number) \(side.rawValue) \(state.rawValue): sent \(sent) of \(outgoing), "
    words += "received \(received) of \(incoming)"
    if sawEnd { words += ", saw the end" }
    if hasShut { words += ", shut" }
    if isClosed { words += ", closed" }
    if let error { words += ", \(error)" }
    return words
  }
}
