import Shard
import Sockets

/// Starting the services that `up` offers.
extension Shard {
  private static var backlog: Int { 4096 }

  /// Opens the ports of echo, discard, daytime and chargen; all or an error. Datagrams are the first shard's.
  public mutating func startServices() throws(Errno) {
    let connections = ServiceConnections()
    try start(EchoStream(connections), port: 7)
    try start(DiscardStream(connections), port: 9)
    try start(DaytimeStream(connections), port: 13)
    try start(ChargenStream(connections), port: 19)
    guard isFirst else { return }
    try start(EchoDatagram(), port: 7)
    try start(DiscardDatagram(), port: 9)
    try start(DaytimeDatagram(), port: 13)
    try start(ChargenDatagram(), port: 19)
  }

  private mutating func start(_ service: StreamService, port: UInt16) throws(Errno) {
    let listener = try socket(.tcp)
    try bind(listener, to: SocketAddress(.any, port: port))
    try listen(listener, backlog: Self.backlog)
    service.listener = listener
    give(listener, to: start(service))
  }

  private mutating func start(_ service: DatagramService, port: UInt16) throws(Errno) {
    let datagrams = try socket(.udp)
    try bind(datagrams, to: SocketAddress(.any, port: port))
    give(datagrams, to: start(service))
  }
}
