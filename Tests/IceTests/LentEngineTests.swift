import IceModel
import SkBuff
import Testing

/// Frames whose finishing is left to the wire.
@Suite struct LentEngineTests {
  /// The kernel throws away, without a word, a large frame whose IP header checksum is wrong.
  @Test(
    "D13 a large frame leaves with a right IP checksum and length, whatever the packet had",
    arguments: [0, 0xFFFF, 0x1234] as [UInt16])
  func ipChecksum(value: UInt16) {
    let bench = IceBench(tx: 256, engines: .lent)
    var skb = bench.tcp(payload: IceBench.pattern(20000), pieces: [20000], mss: 1448)
    let isStored = skb.storeLinear16(value, at: 24)
    #expect(isStored)
    #expect(bench.send(skb) != .busy)
    let frames = bench.frames()
    #expect(frames.count == 1 && fold(frames[0][14..<34]) == 0xFFFF)
    #expect(Int(frames[0][16]) << 8 | Int(frames[0][17]) == 20040)
    #expect(bench.metadata.gsoType == .tcpv4 && bench.metadata.needsChecksum)
  }
}
