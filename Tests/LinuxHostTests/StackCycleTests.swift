import Shard
import Foundation
import Testing
import Wire

@testable import LinuxHost
@testable import SwiftStack

@Suite("Stacks that come and go", .enabled(if: isPrivileged), .serialized) struct StackCycleTests {
  private final class Witness {
    weak var memory: ShardMemory?
    init(_ memory: ShardMemory) { self.memory = memory }
  }

  private static func count(_ directory: String) -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: directory).count) ?? 0
  }

  @Test("B2 O1 200 stacks opened and closed: memory, threads and descriptors are back where they were")
  func cycle() throws {
    let namespace = try NetworkNamespace.anonymous()
    var witnesses: [Witness] = []
    var threads: [Int] = []
    var descriptors: [Int] = []
    try namespace.run { () throws(LinuxError) in
      for _ in 0..<200 {
        do {
          var parameters = TapParameters(interface: try InterfaceName("tap0"))
          parameters.queues = 2
          var configuration = StackConfiguration()
          configuration.packetMemory = 16 << 20
          configuration.services = true
          let stack = try Stack(tap: parameters, configuration)
          witnesses += stack.shards.map { Witness($0.inspect { $0.memory }) }
          let listener = try stack.socket(.tcp, queue: 1)
          try listener.listen()
          let client = try stack.socket(.tcp)
          try client.connect(to: SocketAddress(configuration.address.address, port: 7))
          try client.send([1, 2, 3])
          stack.close()
        } catch {
          throw LinuxError(EIO, "run", "a stack", reason: "\(error)")
        }
        threads.append(Self.count("/proc/self/task"))
        descriptors.append(Self.count("/proc/self/fd"))
      }
    }
    #expect(witnesses.count == 400)
    #expect(!witnesses.contains { $0.memory != nil })
    // Other tests come and go, too; one thread or descriptor left by each stack would be two hundred.
    #expect(threads[199] < threads[0] + 100, "\(threads[0]) threads, then \(threads[199])")
    #expect(
      descriptors[199] < descriptors[0] + 100, "\(descriptors[0]) descriptors, then \(descriptors[199])")
  }
}
