import IPv4

/// The IP options of a socket. Linux: `inet->inet_opt`.
public struct SocketIPOptions: Sendable {
  /// As they were set, to a multiple of 4 bytes.
  public let given: [UInt8]
  /// As packets carry them.
  public let list: IPv4OptionList

  public init(_ given: [UInt8], _ list: IPv4OptionList) {
    self.given = given
    self.list = list
  }
}

/// What few sockets are told, mostly with each datagram.
public struct MessageReports: Sendable {
  /// `IP_RECVOPTS`: the IP options as they came.
  public var receivedOptions = false
  /// `IP_RETOPTS`: as an answer would carry them.
  public var returnedOptions = false
  /// `IP_RECVORIGDSTADDR`: where it was sent to, with the port.
  public var originalDestination = false
  /// `IP_RECVFRAGSIZE`: the largest of the fragments that it came in.
  public var fragmentSize = false
  /// `SO_RXQ_OVFL`: how many were dropped before it.
  public var drops = false
  /// `SO_RCVMARK`: the mark that the packet has.
  public var mark = false
  /// `SO_SELECT_ERR_QUEUE`: a poll shows an error of a datagram socket as urgent, too.
  public var urgentErrors = false

  public init() {}
}
