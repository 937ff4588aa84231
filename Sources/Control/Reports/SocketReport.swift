/// One socket, with what `ss -ti` shows. Units: bytes, segments, milliseconds as in `ss`.
public struct SocketReport: Codable, Equatable, Sendable {
  /// `tcp`, `udp` or `icmp`.
  public var netid: String
  /// `ESTAB`, `LISTEN`, `TIME-WAIT`, `UNCONN` ...
  public var state: String
  /// Bytes that wait for the reader; a listener's connections that wait to be accepted.
  public var receiveQueue: Int
  /// Bytes that are not acknowledged yet; the most connections that may wait at a listener.
  public var sendQueue: Int
  /// `ADDRESS:PORT` here; `*` where there is none.
  public var local: String
  /// `ADDRESS:PORT` of the other end; `*` where there is none.
  public var peer: String
  /// `nil` for sockets without a connection.
  public var tcp: TCPReport?

  public init(
    netid: String, state: String, receiveQueue: Int, sendQueue: Int, local: String, peer: String,
    tcp: TCPReport? = nil
  ) {
    self.netid = netid
    self.state = state
    self.receiveQueue = receiveQueue
    self.sendQueue = sendQueue
    self.local = local
    self.peer = peer
    self.tcp = tcp
  }
}

/// The line below the socket in `ss -ti`: options, then named values in `ss`'s order.
public struct TCPReport: Codable, Equatable, Sendable {
  /// `cubic`, `sack`, `ts`, `wscale:7,7` ...: what stands without a value.
  public var options: [String]
  /// `rto:204`, `rtt:0.5/0.2` ...
  public var values: [TCPValue]
  public init(options: [String], values: [TCPValue]) {
    self.options = options
    self.values = values
  }
}

/// A value with its name, as in `rto:204`.
public struct TCPValue: Codable, Equatable, Sendable {
  /// The name, as in `ss`.
  public var name: String
  /// The value, as `ss` prints it.
  public var value: String
  /// A value with its name.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}
