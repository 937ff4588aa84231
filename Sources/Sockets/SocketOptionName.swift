/// Levels and names of socket options, with Linux's numbers.
public enum SocketOptionLevel {
  public static let ip: Int32 = 0
  public static let socket: Int32 = 1
  public static let tcp: Int32 = 6
  public static let udp: Int32 = 17
}

/// Names at `SocketOptionLevel.socket`.
enum SocketOptionName {
  static let debug: Int32 = 1
  static let reuseAddress: Int32 = 2
  static let type: Int32 = 3
  static let error: Int32 = 4
  static let dontRoute: Int32 = 5
  static let broadcast: Int32 = 6
  static let sendBuffer: Int32 = 7
  static let receiveBuffer: Int32 = 8
  static let keepAlive: Int32 = 9
  static let outOfBandInline: Int32 = 10
  static let noCheck: Int32 = 11
  static let priority: Int32 = 12
  static let linger: Int32 = 13
  static let reusePort: Int32 = 15
  static let receiveLowWater: Int32 = 18
  static let sendLowWater: Int32 = 19
  static let receiveTimeoutOld: Int32 = 20
  static let sendTimeoutOld: Int32 = 21
  static let acceptConnections: Int32 = 30
  static let sendBufferForce: Int32 = 32
  static let receiveBufferForce: Int32 = 33
  static let mark: Int32 = 36
  static let `protocol`: Int32 = 38
  static let domain: Int32 = 39
  static let receiveTimeoutNew: Int32 = 66
  static let sendTimeoutNew: Int32 = 67
}

/// Names at `SocketOptionLevel.tcp`.
enum TCPOptionName {
  static let noDelay: Int32 = 1
  static let maximumSegment: Int32 = 2
  static let cork: Int32 = 3
  static let keepIdle: Int32 = 4
  static let keepInterval: Int32 = 5
  static let keepCount: Int32 = 6
  static let synCount: Int32 = 7
  static let linger2: Int32 = 8
  static let deferAccept: Int32 = 9
  static let windowClamp: Int32 = 10
  static let info: Int32 = 11
  static let quickAck: Int32 = 12
  static let congestion: Int32 = 13
  static let userTimeout: Int32 = 18
  static let notSentLowWater: Int32 = 25
}

/// Names at `SocketOptionLevel.ip`.
enum IPOptionName {
  static let typeOfService: Int32 = 1
  static let timeToLive: Int32 = 2
  static let packetInfo: Int32 = 8
  static let mtuDiscover: Int32 = 10
  static let receiveErrors: Int32 = 11
  static let receiveTimeToLive: Int32 = 12
  static let receiveTypeOfService: Int32 = 13
  static let mtu: Int32 = 14
  static let multicastTimeToLive: Int32 = 33
  static let addMembership: Int32 = 35
  static let dropMembership: Int32 = 36
}

/// Names at `SocketOptionLevel.udp`.
enum UDPOptionName {
  static let cork: Int32 = 1
}
