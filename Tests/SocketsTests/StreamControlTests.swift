import NetNamespace
import Sockets
import Testing
import Wire

/// Control messages of a send on a stream: looked at, used for nothing, and told of late.
@Suite struct StreamControlTests {
  /// SOL_SOCKET, SO_TIMESTAMP: no such message.
  private static let unknown: [UInt8] =
    [20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 29, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]

  private func errno(_ bench: SocketBench, _ id: SocketID, _ control: [UInt8]) -> Errno? {
    let header: MessageHeader
    let none: [UInt8] = []
    do {
      header = try bench.sockets.messageHeader(
        id, name: unsafe none.span.bytes, nameLength: 0, control: unsafe control.span.bytes, flags: [],
        host: bench.host)
    } catch { return nil }
    return errno(bench, id, header)
  }

  private func errno(_ bench: SocketBench, _ id: SocketID, _ header: MessageHeader) -> Errno? {
    do { _ = try bench.send(id, [1], header: header) } catch { return error as? Errno }
    return nil
  }

  /// Two ends of a connection of the host with itself.
  private func pair(_ bench: SocketBench) throws -> (SocketID, SocketID) {
    let listener = try bench.socket(.stream)
    let address = SocketAddress(IPv4Address(10, 0, 0, 2), port: 7000)
    try bench.sockets.bind(listener, to: address, host: &bench.host)
    try bench.sockets.listen(listener, backlog: 5, net: &bench.host.net)
    let client = try bench.socket(.stream)
    try bench.sockets.connect(client, to: address, host: &bench.host)
    bench.settle()
    return (client, try bench.sockets.accept(listener, net: &bench.host.net))
  }

  @Test("T2 a control message that cannot be is EINVAL once the connection is there, EPIPE before and after")
  func order() throws {
    let bench = SocketBench()
    let early = try bench.socket(.stream)
    #expect(errno(bench, early, Self.unknown) == .EPIPE)
    let (client, server) = try pair(bench)
    #expect(errno(bench, client, Self.unknown) == .EINVAL)
    #expect(errno(bench, client, []) == nil)
    try bench.sockets.shutdown(server, read: false, write: true, host: &bench.host)
    #expect(errno(bench, server, Self.unknown) == .EPIPE)
  }

  @Test("T2 S5 mark and a high priority are EPERM without the privilege, and used for nothing with it")
  func privileges() throws {
    let bench = SocketBench()
    let (client, _) = try pair(bench)
    var marked = MessageHeader()
    marked.control.mark = 7
    var urgent = MessageHeader()
    urgent.control.priority = 7
    var ordinary = MessageHeader()
    ordinary.control.priority = 6
    #expect(errno(bench, client, marked) == nil && errno(bench, client, urgent) == nil)
    bench.sockets.privileges = []
    #expect(errno(bench, client, marked) == .EPERM)
    #expect(errno(bench, client, urgent) == .EPERM)
    #expect(errno(bench, client, ordinary) == nil)
  }
}
