/// How a socket carries data; Linux's values.
@frozen
public enum SocketType: Int32, Sendable {
  case stream = 1
  case datagram = 2
}
