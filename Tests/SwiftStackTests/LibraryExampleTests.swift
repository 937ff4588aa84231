import SwiftStack
import Testing

/// What README shows, with the one import it shows.
@Suite struct LibraryExampleTests {
  /// Compiled, not run: it needs a TAP and never returns.
  func onTap() throws {
    let stack = try Stack(tap: TapParameters(interface: InterfaceName("tap0")))
    let server = try stack.socket(.tcp)
    try server.bind(to: SocketAddress(.any, port: 8080))
    try server.listen()
    while true {
      let client = try server.accept()
      let request = try client.receive(upTo: 4096)
      try client.send(request)
      client.close()
    }
  }

  @Test("the simulated stack of the example announces nothing and answers a ping")
  func simulated() throws {
    let host = try SimulatedStack()
    // ARP request for 10.0.0.2 from 10.0.0.1 at 02:00:00:00:00:01 (RFC 826).
    let request: [UInt8] =
      [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 1, 8, 6]
      + [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]
    host.receive(request + [UInt8](repeating: 0, count: 18))
    host.advance(to: host.now + .milliseconds(200))
    let frames = host.takeFrames().map(\.bytes)
    let reply: [UInt8] =
      [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6]
      + [0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]
    #expect(frames.contains { Array($0.prefix(42)) == reply })
  }

  @Test("S5 recvmsg with IP_TTL tells the datagram's, sendmsg sets it")
  func controlMessages() throws {
    var configuration = StackConfiguration()
    configuration.services = true
    let stack = try SimulatedStack(configuration).stack
    let own = configuration.address.address
    let receiver = try stack.socket(.udp)
    try receiver.bind(to: SocketAddress(own, port: 6000))
    // IP_RECVTTL
    try receiver.setsockopt(level: 0, name: 12, 1)
    let sender = try stack.socket(.udp)
    var header = MessageHeader(address: SocketAddress(own, port: 6000))
    header.control.timeToLive = 7
    try sender.sendmsg(header, [1, 2, 3])
    let message = try receiver.recvmsg()
    #expect(message.bytes == [1, 2, 3] && message.control.timeToLive == 7)
  }
}
