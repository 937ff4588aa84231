/// Connection states (RFC 9293 section 3.3.2), numbered as Linux numbers them.
@frozen
public enum TCPState: UInt8, Sendable {
  case established = 1
  case synSent = 2
  case synReceived = 3
  case finWait1 = 4
  case finWait2 = 5
  case timeWait = 6
  case close = 7
  case closeWait = 8
  case lastAck = 9
  case listen = 10
  case closing = 11

  /// As `ss` prints it.
  public var name: String {
    switch self {
    case .established: "ESTAB"
    case .synSent: "SYN-SENT"
    case .synReceived: "SYN-RECV"
    case .finWait1: "FIN-WAIT-1"
    case .finWait2: "FIN-WAIT-2"
    case .timeWait: "TIME-WAIT"
    case .close: "UNCONN"
    case .closeWait: "CLOSE-WAIT"
    case .lastAck: "LAST-ACK"
    case .listen: "LISTEN"
    case .closing: "CLOSING"
    }
  }
  /// Handshake done and data may still be sent.
  @inlinable var canSend: Bool { self == .established || self == .closeWait }
  /// Data from the peer may still arrive.
  @inlinable var canReceive: Bool { self == .established || self == .finWait1 || self == .finWait2 }
  /// A connection exists or is being made: the socket stands in the connection table.
  @inlinable var isConnected: Bool { self != .close && self != .listen }
}

/// Where loss recovery stands. Linux: `enum tcp_ca_state`.
@frozen
public enum CongestionState: UInt8, Sendable {
  case open
  case disorder
  case congestionWindowReduced
  case recovery
  case loss

  public var name: String {
    switch self {
    case .open: "open"
    case .disorder: "disorder"
    case .congestionWindowReduced: "cwr"
    case .recovery: "recovery"
    case .loss: "loss"
    }
  }
}
