import SwiftStack
import TestSupport
import Testing

/// Who gets the datagrams of a port that sockets of several shards have.
@Suite struct GroupWeightTests {
  @Test("S4 of sockets with SO_REUSEADDR on one port the latest gets all, and the one before it when it goes")
  func latest() throws {
    let bench = try DatagramBench(queues: 3)
    var sockets = try [1, 0, 2].map { try bench.socket(in: $0, port: 700, .reuseAddress) }
    func shares() -> [Int] {
      for flow in 0..<60 { bench.datagram([1], from: UInt16(10000 + flow), at: flow % 3) }
      return sockets.map { DatagramBench.take($0).count }
    }
    #expect(shares() == [0, 0, 60])
    sockets.removeLast()
    #expect(shares() == [0, 60])
    // Who binds anew is the latest.
    sockets[0].close()
    sockets[0] = try bench.socket(in: 1, port: 700, .reuseAddress)
    #expect(shares() == [60, 0])
  }

  @Test(
    "S4 U5 the members of a SO_REUSEPORT group get equal shares of the flows, however many of them a shard has"
  )
  func shares() throws {
    let bench = try DatagramBench(queues: 2)
    var members = try [1, 1, 1, 0].map { try bench.socket(in: $0, port: 700, .reusePort) }
    func shares(of flows: Int) -> [Int] {
      for flow in 0..<flows { bench.datagram([1], from: UInt16(10000 + flow), at: flow % 2) }
      return members.map { DatagramBench.take($0).count }
    }
    // 100 each; four standard deviations are 35, and 28 of two.
    let four = shares(of: 400)
    #expect(four.reduce(0, +) == 400 && four.allSatisfy { (65...135).contains($0) }, "\(four)")
    members.removeFirst(2)
    let two = shares(of: 200)
    #expect(two.reduce(0, +) == 200 && two.allSatisfy { (70...130).contains($0) }, "\(two)")
  }
}
