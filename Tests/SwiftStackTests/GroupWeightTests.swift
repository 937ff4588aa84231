import SwiftStack
import TestSupport
import Testing

@Suite struct GroupWeightTests {
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
