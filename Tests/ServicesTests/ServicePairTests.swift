@testable import Services
import Shard
import ShardTestSupport
import Testing

/// The services on one shard, a client on another, no thread and no lock.
@Suite struct ServicePairTests {
  private func connect(_ cable: Cable<SimulatedShard>, port: UInt16) throws -> SocketID {
    try cable.right.run { (shard) throws(Errno) in try shard.startServices() }
    let client = try cable.left.run { (shard) throws(Errno) in
      let client = try shard.socket(.tcp)
      do throws(Errno) {
        try shard.connect(client, to: SocketAddress(IPv4Address(10, 0, 0, 2), port: port))
      } catch {
        guard error == .EINPROGRESS else { throw error }
      }
      return client
    }
    #expect(cable.run(for: .seconds(1)) { cable.left.run { $0.readiness(of: client).contains(.writable) } })
    return client
  }

  private func read(_ cable: Cable<SimulatedShard>, _ client: SocketID, atLeast count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    cable.run(for: .seconds(5)) {
      while true {
        var room = [UInt8](repeating: 0, count: 4096)
        var elements = room.mutableSpan
        var span = unsafe elements.mutableBytes
        let received = cable.left.run { shard in try? shard.receive(client, into: &span).byteCount }
        guard let received else { break }
        if received == 0 { return true }
        bytes += room[..<received]
      }
      return bytes.count >= count
    }
    return bytes
  }

  @Test("RFC 862: echo gives back what it got")
  func echo() throws {
    let cable = try Cable()
    let client = try connect(cable, port: 7)
    let text = [UInt8](repeating: 7, count: 3000)
    let sent = try cable.left.run { (shard) throws(Errno) in try shard.send(client, text) }
    #expect(sent == 3000)
    #expect(read(cable, client, atLeast: 3000) == text)
  }

  @Test("RFC 864: chargen's pattern goes on where it was, connection by connection")
  func chargen() throws {
    let cable = try Cable()
    let client = try connect(cable, port: 19)
    let bytes = read(cable, client, atLeast: 200_000)
    #expect(bytes.count >= 200_000)
    #expect(bytes.enumerated().allSatisfy { $1 == CharacterGenerator.byte(at: $0) })
  }

  @Test("RFC 867: daytime sends a line and closes")
  func daytime() throws {
    let cable = try Cable()
    let client = try connect(cable, port: 13)
    let line = String(decoding: read(cable, client, atLeast: .max), as: UTF8.self)
    #expect(line == "Thursday, January 1, 1970 00:00:00-UTC\r\n")
  }
}
