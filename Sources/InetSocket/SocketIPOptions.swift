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

/// What a socket is told of the IP options of each datagram.
public struct IPOptionReports: Sendable {
  /// `IP_RECVOPTS`: as they came.
  public var received = false
  /// `IP_RETOPTS`: as an answer would carry them.
  public var returned = false

  public init() {}
}
