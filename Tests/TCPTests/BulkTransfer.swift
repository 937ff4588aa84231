import NetNamespace
import SwiftStack
import TestSupport
import Timers

/// One sender that never stops, one reader that always reads.
struct BulkTransfer {
  let wire: SimulatedWire
  let sender: Socket
  let reader: Socket

  init(seed: UInt64, delay: Nanoseconds, rate: UInt64, settings: NetSettings = NetSettings()) throws {
    wire = try SimulatedWire(seed: seed, services: false, settings: settings)
    let server = try wire.right.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.bind(to: SocketAddress(.any, port: 9000))
    try server.listen()
    sender = try wire.left.stack.socket(.tcp)
    sender.isNonBlocking = true
    wire.leftToRight.delay = delay
    wire.rightToLeft.delay = delay
    wire.leftToRight.rate = rate
    try? sender.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
    var accepted: Socket?
    wire.run(for: .seconds(5)) {
      if accepted == nil { accepted = try? server.accept() }
      return accepted != nil
    }
    guard let accepted else { throw SocketError("accept", .ETIMEDOUT) }
    accepted.isNonBlocking = true
    reader = accepted
  }

  /// - Returns: bytes that arrived.
  func run(for span: Nanoseconds) -> Int {
    let block = [UInt8](repeating: 7, count: 65536)
    var total = 0
    wire.run(for: span) {
      while (try? sender.send(block)) != nil {}
      while let bytes = try? reader.receive(upTo: 1 << 20), !bytes.isEmpty { total += bytes.count }
      return false
    }
    return total
  }
}
