import NetDevice
import SkBuff
import Testing
import Timers
import Wire

@Suite struct PollTests {
  /// An ARP request to everybody, 60 bytes.
  private var arp: [UInt8] {
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 1, 8, 6]
      + [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]
      + [UInt8](repeating: 0, count: 18)
  }

  @Test("NAPI: received packets begin at the network header and are counted")
  func receive() {
    let bench = DeviceBench()
    bench.receive(arp)
    bench.receive(arp)
    let more = bench.poll()
    #expect(!more)
    #expect(bench.received.count == 2)
    #expect(bench.device.statistics.receivedPackets == 2)
    #expect(bench.device.statistics.receivedBytes == 120)
    let skb = bench.received.popFirst()!
    #expect(skb.etherType == .arp && skb.packetType == .broadcast && skb.length == 46)
  }

  @Test("NAPI: a spent budget asks for another poll")
  func budget() {
    let bench = DeviceBench()
    for _ in 0..<10 { bench.receive(arp) }
    let first = bench.device.poll(budget: 4, into: &bench.received, net: &bench.net)
    #expect(first && bench.received.count == 4)
    while bench.device.poll(budget: 4, into: &bench.received, net: &bench.net) {}
    #expect(bench.received.count == 10)
  }

  @Test("Q6 taps see every frame to the driver and from it, whole header included, in order")
  func taps() {
    let bench = DeviceBench()
    bench.receive(arp)
    bench.poll()
    bench.device.startCapture(slots: 16, snapByteCount: 100)
    _ = bench.send(bench.tcp(payload: 5000, mss: 1448))
    bench.settle()
    bench.receive(arp)
    bench.poll()
    let (frames, next) = bench.device.capturedFrames(from: 0)
    #expect(frames.count == 2 && next == 2)
    let out = frames[0]
    #expect(out.direction == .outgoing && out.originalByteCount == 5066 && out.bytes.count == 100)
    #expect(out.gsoSize == 1448 && out.isChecksumPartial && out.time == bench.net.now)
    #expect(Array(out.bytes[0..<14]) == [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0])
    #expect(frames[1].direction == .incoming && frames[1].bytes == arp && frames[1].gsoSize == 0)
    // The packet is handed on as it was.
    #expect(bench.received.count == 2)
    let last = bench.received.popLast()!
    #expect(last.length == 46 && last.macHeaderOffset == -14)
    bench.device.stopCapture()
    _ = bench.send(bench.frame(1))
    #expect(bench.device.capturedFrames(from: 0).frames.isEmpty)
  }

  @Test("Q6 the capture ring is bounded: old frames go, numbers tell")
  func bounded() {
    let bench = DeviceBench(isLimited: false)
    bench.device.startCapture(slots: 8, snapByteCount: 64)
    for tag in 0..<20 { _ = bench.send(bench.frame(UInt8(tag))) }
    let (frames, next) = bench.device.capturedFrames(from: 0)
    #expect(frames.map(\.number) == Array(12..<20) && next == 20)
    #expect(frames.map { $0.bytes.last! } == (12..<20).map { UInt8($0) })
    let (some, middle) = bench.device.capturedFrames(from: 14, limit: 3)
    #expect(some.map(\.number) == [14, 15, 16] && middle == 17)
    #expect(bench.device.capturedFrames(from: 20).frames.isEmpty)
  }

  @Test("Q6 a packet that the driver sent back is seen once")
  func busyOnce() {
    let bench = DeviceBench(ring: 64, isLimited: false)
    bench.device.startCapture(slots: 1000, snapByteCount: 64)
    for tag in 0..<200 {
      if tag % 3 == 0 {
        _ = bench.send(bench.tcp(payload: 1200, piece: 100, mss: 0))
      } else {
        _ = bench.send(bench.frame(UInt8(tag)))
      }
    }
    bench.settle()
    #expect(bench.device.capturedFrames(from: 0).frames.count == 200)
    #expect(bench.frames.count == 200)
  }
}
