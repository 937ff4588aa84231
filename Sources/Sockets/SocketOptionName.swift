/// Levels and names of socket options, with Linux's numbers.
public enum SocketOptionLevel {
  public static let ip: Int32 = 0
  public static let socket: Int32 = 1
  public static let tcp: Int32 = 6
  public static let udp: Int32 = 17
}

/// Names at `SocketOptionLevel.socket`.
public enum SocketOptionName {
  public static let debug: Int32 = 1
  public static let reuseAddress: Int32 = 2
  public static let type: Int32 = 3
  public static let error: Int32 = 4
  public static let dontRoute: Int32 = 5
  public static let broadcast: Int32 = 6
  public static let sendBuffer: Int32 = 7
  public static let receiveBuffer: Int32 = 8
  public static let keepAlive: Int32 = 9
  public static let outOfBandInline: Int32 = 10
  public static let noCheck: Int32 = 11
  public static let priority: Int32 = 12
  public static let linger: Int32 = 13
  public static let reusePort: Int32 = 15
  public static let receiveLowWater: Int32 = 18
  public static let sendLowWater: Int32 = 19
  public static let receiveTimeoutOld: Int32 = 20
  public static let sendTimeoutOld: Int32 = 21
  public static let acceptConnections: Int32 = 30
  public static let sendBufferForce: Int32 = 32
  public static let receiveBufferForce: Int32 = 33
  public static let mark: Int32 = 36
  public static let `protocol`: Int32 = 38
  public static let domain: Int32 = 39
  public static let receiveTimeoutNew: Int32 = 66
  public static let sendTimeoutNew: Int32 = 67
}

/// Names at `SocketOptionLevel.tcp`.
public enum TCPOptionName {
  public static let noDelay: Int32 = 1
  public static let maximumSegment: Int32 = 2
  public static let cork: Int32 = 3
  public static let keepIdle: Int32 = 4
  public static let keepInterval: Int32 = 5
  public static let keepCount: Int32 = 6
  public static let synCount: Int32 = 7
  public static let linger2: Int32 = 8
  public static let deferAccept: Int32 = 9
  public static let windowClamp: Int32 = 10
  public static let info: Int32 = 11
  public static let quickAck: Int32 = 12
  public static let congestion: Int32 = 13
  public static let userTimeout: Int32 = 18
  public static let notSentLowWater: Int32 = 25
}

/// Names at `SocketOptionLevel.ip`.
public enum IPOptionName {
  public static let typeOfService: Int32 = 1
  public static let timeToLive: Int32 = 2
  public static let packetInfo: Int32 = 8
  public static let mtuDiscover: Int32 = 10
  public static let receiveErrors: Int32 = 11
  public static let receiveTimeToLive: Int32 = 12
  public static let receiveTypeOfService: Int32 = 13
  public static let mtu: Int32 = 14
  public static let multicastTimeToLive: Int32 = 33
  public static let addMembership: Int32 = 35
  public static let dropMembership: Int32 = 36
}

/// Names at `SocketOptionLevel.udp`.
public enum UDPOptionName {
  public static let cork: Int32 = 1
  public static let segment: Int32 = 103
}
