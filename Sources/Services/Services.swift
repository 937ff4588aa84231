import Shard
import Sockets

/// Starting the services that `up` offers.
extension Shard {
  private static var backlog: Int { 4096 }

  /// Opens the ports of echo, discard, daytime and chargen; all or an error. Behind one address each shard serves its part
  /// of the connections and of the datagrams' senders.
  public mutating func startServices() throws(Errno) {
    let connections = ServiceConnections()
    try start(port: 7) { EchoStream(on: $0, connections) }
    try start(port: 9) { DiscardStream(on: $0, connections) }
    try start(port: 13) { DaytimeStream(on: $0, connections) }
    try start(port: 19) { ChargenStream(on: $0, connections) }
    try start(EchoDatagram(), port: 7)
    try start(DiscardDatagram(), port: 9)
    try start(DaytimeDatagram(), port: 13)
    try start(ChargenDatagram(), port: 19)
  }

  private mutating func start(port: UInt16, _ service: (SocketID) -> StreamService) throws(Errno) {
    let listener = try socket(.tcp)
    try bind(listener, to: SocketAddress(.any, port: port))
    try listen(listener, backlog: Self.backlog)
    give(listener, to: start(service(listener)))
  }

  private mutating func start(_ service: DatagramService, port: UInt16) throws(Errno) {
    let datagrams = try socket(.udp)
    let on: InlineArray<1, UInt32> = [1]
    // Safe: an int has no padding.
    try sockets.setsockopt(
      datagrams, level: SocketOptionLevel.ip, name: IPOptionName.packetInfo, value: unsafe on.span.bytes,
      host: &host)
    if peers.count > 1 {
      // Safe: as above.
      try sockets.setsockopt(
        datagrams, level: SocketOptionLevel.socket, name: SocketOptionName.reusePort,
        value: unsafe on.span.bytes, host: &host)
    }
    try bind(datagrams, to: SocketAddress(.any, port: port))
    give(datagrams, to: start(service))
  }
}
