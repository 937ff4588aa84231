import NetNamespace
import SwiftStack
import Timers
import Wire

/// Programs on one stack that talk to each other over loopback.
public protocol LoopbackPrograms {
  var simulated: SimulatedStack { get }
}

extension LoopbackPrograms {
  public static var loopback: IPv4Address { IPv4Address(127, 0, 0, 1) }
  public static func at(_ port: UInt16) -> SocketAddress { SocketAddress(loopback, port: port) }

  public func socket(_ kind: SocketKind) throws -> Socket {
    let socket = try simulated.stack.socket(kind)
    socket.isNonBlocking = true
    return socket
  }

  public func wait() { simulated.advance(to: simulated.now + .milliseconds(20)) }

  public func errno(_ body: () throws(SocketError) -> Void) -> Errno? {
    do {
      try body()
      return nil
    } catch { return error.errno }
  }

  public func value(_ socket: Socket, _ level: Int32, _ name: Int32) throws -> Int32 {
    let bytes = try socket.getsockopt(level: level, name: name)
    return bytes.reversed().reduce(0) { $0 << 8 | Int32($1) }
  }

  /// A connection to port 7000; its listener is prepared before it listens.
  public func stream(prepare: (Socket) throws -> Void = { _ in }) throws -> (client: Socket, server: Socket) {
    let (listener, client) = (try socket(.tcp), try socket(.tcp))
    try prepare(listener)
    try listener.bind(to: Self.at(7000))
    try listener.listen()
    try? client.connect(to: Self.at(7000))
    wait()
    let server = try listener.accept()
    server.isNonBlocking = true
    return (client, server)
  }
}
