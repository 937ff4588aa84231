import Sockets

/// Starting the services that `up` offers.
extension ShardState {
  private static let services: [(port: UInt16, stream: Application.Kind, datagram: Application.Kind)] = [
    (7, .echoStream, .echoDatagram), (9, .discardStream, .discardDatagram),
    (13, .daytimeStream, .daytimeDatagram), (19, .chargenStream, .chargenDatagram),
  ]
  private static let backlog = 4096

  /// Opens the ports; all or an error.
  mutating func startServices() throws(Errno) {
    for service in Self.services {
      let listener = try socket(.tcp)
      try sockets.bind(
        listener, to: SocketAddress(IPAddress(IPv4Address.any), port: service.port), host: &host)
      try sockets.listen(listener, backlog: Self.backlog, net: &host.net)
      var application = Application()
      application.kind = .listener
      application.child = service.stream
      application.socket = listener
      start(application)

      // Datagrams are the first shard's.
      guard queue == 0 else { continue }
      let datagrams = try socket(.udp)
      try sockets.bind(
        datagrams, to: SocketAddress(IPAddress(IPv4Address.any), port: service.port), host: &host)
      var responder = Application()
      responder.kind = service.datagram
      responder.socket = datagrams
      start(responder)
    }
  }
}
