import SwiftStack
import TestSupport
import Testing

/// The n-th copy fails, both ways.
@Suite("I9 fault injection in the user copy")
struct CopyFaultTests {
  private func pair() throws -> (wire: SimulatedWire, client: Socket, server: Socket) {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    return (wire, client, server)
  }

  @Test(
    "I9 a stream's send: the first copy EFAULT and nothing sent; after a later one the call goes on where it was"
  )
  func streamSend() throws {
    let (wire, client, server) = try pair()
    wire.left.injectCopyFault(1)
    #expect(throws: SocketError("send", .EFAULT)) { try client.send([1, 2, 3]) }
    #expect(try client.send([4]) == 1)
    wire.left.injectCopyFault(3)
    let sent = try client.send([UInt8](repeating: 5, count: 10_000))
    #expect(sent == 10_000)
    var received: [UInt8] = []
    wire.run(for: .seconds(5)) {
      while let part = try? server.receive(upTo: 65536), !part.isEmpty { received += part }
      return received.count == sent + 1
    }
    #expect(received == [4] + [UInt8](repeating: 5, count: sent))
  }

  @Test("I9 a stream's receive: EFAULT, and the bytes are still there")
  func streamReceive() throws {
    let (wire, client, server) = try pair()
    try client.send([1, 2, 3])
    wire.run(for: .seconds(1), until: { server.readiness.contains(.readable) })
    wire.right.injectCopyFault(1)
    #expect(throws: SocketError("receive", .EFAULT)) { try server.receive(upTo: 10) }
    #expect(try server.receive(upTo: 10) == [1, 2, 3])
  }

  @Test("I9 datagrams: EFAULT to who sends, and a received one is gone")
  func datagrams() throws {
    let wire = try SimulatedWire()
    let sender = try wire.left.stack.socket(.udp)
    let receiver = try wire.right.stack.socket(.udp)
    receiver.isNonBlocking = true
    try receiver.bind(to: SocketAddress(.any, port: 6000))
    let place = SocketAddress(SimulatedWire.rightAddress, port: 6000)
    wire.left.injectCopyFault(1)
    #expect(throws: SocketError("send", .EFAULT, place)) { try sender.send([1], to: place) }
    for value in UInt8(2)...3 { try sender.send([value], to: place) }
    wire.run(for: .milliseconds(100), until: { false })
    wire.right.injectCopyFault(1)
    #expect(throws: SocketError("receive", .EFAULT)) { try receiver.receive(upTo: 10) }
    #expect(try receiver.receive(upTo: 10) == [3])
  }
}
