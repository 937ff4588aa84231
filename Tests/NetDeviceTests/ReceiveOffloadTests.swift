import NetDevice
import SkBuff
import Testing
import Wire

@Suite struct ReceiveOffloadTests {
  /// The frames that a packet of so much payload makes on the wire, addressed to the bench.
  private func segments(
    payload: Int, mss: Int = 1448, flags: TCPFlags = [.ack, .psh], sequence: UInt32 = 1000
  ) -> [[UInt8]] {
    let sender = DeviceBench(isLimited: false)
    _ = sender.send(sender.tcp(payload: payload, mss: mss, flags: flags, sequence: sequence))
    sender.settle()
    return sender.frames.map { Array($0[6..<12] + $0[0..<6] + $0[12...]) }
  }

  /// The frame with `change` made and the TCP checksum mended, so that the device takes it as good.
  private func changed(_ frame: [UInt8], _ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var frame = frame
    change(&frame)
    frame[50] = 0
    frame[51] = 0
    let transport = frame.count - 34
    let pseudo = frame[26..<34] + [0, 6, UInt8(transport >> 8), UInt8(transport & 0xFF)]
    let sum = ~folded(Array(pseudo) + frame[34...])
    frame[50] = UInt8(sum >> 8)
    frame[51] = UInt8(sum & 0xFF)
    return frame
  }

  private func lengths(_ frames: [[UInt8]]) -> [Int] {
    let bench = DeviceBench()
    for frame in frames { bench.receive(frame) }
    bench.poll()
    var result: [Int] = []
    while let skb = bench.received.popFirst() { result.append(skb.length) }
    return result
  }

  @Test("D12 GRO: consecutive segments of one poll become one packet, cut apart again without loss")
  func merges() {
    let bench = DeviceBench()
    for frame in segments(payload: 10000) { bench.receive(frame) }
    bench.poll()
    #expect(bench.received.count == 1)
    let skb = bench.received.popFirst()!
    #expect(skb.length == 52 + 10000 && skb.gsoSize == 1448 && skb.gsoSegments == 7)
    #expect(skb.gsoType == .tcpv4 && skb.packetType == .host)
    let bytes = skb.bytes
    #expect(Int(word(bytes, 2)) == 52 + 10000 && folded(bytes[0..<20]) == 0xFFFF)
    #expect(TCPFlags(rawValue: bytes[33]) == [.ack, .psh] && long(bytes, 24) == 1000)
    check(Array(bytes[52...]) == pattern(0..<10000))
    #expect(bench.device.statistics.receivedPackets == 7)
  }

  @Test("D12 GRO: nothing is held back, the next poll's segments are another packet")
  func perPoll() {
    let bench = DeviceBench()
    let frames = segments(payload: 5792)
    for frame in frames[0..<2] { bench.receive(frame) }
    bench.poll()
    for frame in frames[2..<4] { bench.receive(frame) }
    bench.poll()
    #expect(bench.received.count == 2)
  }

  @Test("D12 GRO: PSH, a short segment or a gap ends a packet; order within a stream is kept")
  func ends() {
    let first = segments(payload: 2896)
    let second = segments(payload: 2896, sequence: 1000 + 2896)
    #expect(lengths(first + second) == [52 + 2896, 52 + 2896])
    let short = segments(payload: 2000, flags: [.ack])
    let behind = segments(payload: 1448, mss: 0, flags: [.ack], sequence: 3000)
    #expect(lengths(short + behind) == [52 + 2000, 52 + 1448])
    let gap = segments(payload: 4344, flags: [.ack])
    #expect(lengths([gap[0], gap[2], gap[1]]) == [1500, 1500, 1500])
    #expect(lengths([gap[0], gap[0]]) == [1500, 1500])
  }

  @Test("D12 GRO: streams that alternate are merged each for itself")
  func alternating() {
    let one = segments(payload: 4344)
    let other = one.map { frame in changed(frame) { $0[35] ^= 1 } }
    #expect(lengths([one[0], other[0], one[1], other[1], one[2], other[2]]) == [52 + 4344, 52 + 4344])
  }

  @Test(
    "D12 GRO: what differs in a header would be lost, and is not merged",
    arguments: ["acknowledgment", "timestamp", "urgent", "FIN", "CWR"])
  func differs(field: String) {
    let frames = segments(payload: 2896, flags: [.ack])
    let second = changed(frames[1]) { frame in
      switch field {
      case "acknowledgment": frame[45] ^= 1
      case "timestamp": frame[61] ^= 1
      case "urgent": frame[47] |= TCPFlags.urg.rawValue
      case "FIN": frame[47] |= TCPFlags.fin.rawValue
      default: frame[47] |= TCPFlags.cwr.rawValue
      }
    }
    #expect(lengths([frames[0], second]) == [1500, 1500])
    #expect(lengths(frames) == [52 + 2896])
  }

  @Test("D12 GRO: segments whose checksum the device found wrong stay as they are")
  func badChecksum() {
    var frames = segments(payload: 4344)
    frames[1][100] ^= 1
    #expect(lengths(frames) == [1500, 1500, 1500])
  }

  @Test("D12 GRO: a packet has no more than 17 fragments and 65,535 bytes")
  func bounds() {
    let all = lengths(segments(payload: 36200, flags: [.ack]))
    #expect(all.reduce(0) { $0 + $1 - 52 } == 36200)
    #expect(all.allSatisfy { $0 <= 52 + 17 * 1448 } && all.count == 2)
  }
}
