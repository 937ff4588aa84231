import NetDevice
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

/// What comes in is held back behind the driver, and goes up at its time as it came. Linux: `ingress` with `ifb`.
@Suite struct IngressTests {
  private func bench(_ words: String) throws -> DeviceBench {
    let bench = DeviceBench(isLimited: false)
    try bench.device.setIngressQdisc(EmulatedLine.configuration(words), net: &bench.net)
    return bench
  }

  /// A TCP stream's frames, addressed to the bench.
  private func segments(_ payload: Int) -> [[UInt8]] {
    let sender = DeviceBench(isLimited: false)
    _ = sender.send(sender.tcp(payload: payload, mss: 1448))
    sender.settle()
    return sender.frames.map { Array($0[6..<12] + $0[0..<6] + $0[12...]) }
  }

  /// Lets time pass from timer to timer, and takes up what may go up.
  private func run(_ bench: DeviceBench, _ span: Nanoseconds) {
    bench.advance(span)
    if bench.device.hasIngressWork { bench.device.runIngress(into: &bench.received, net: &bench.net) }
  }

  @Test("Q3 ingress netem: a frame goes up exactly at its time, as it came, and del lets frames pass at once")
  func delay() throws {
    let frame = segments(100)[0]
    let direct = DeviceBench()
    direct.receive(frame)
    direct.poll()
    let wanted = direct.received.popFirst()!
    let bench = try bench("netem delay 20ms")
    bench.receive(frame)
    bench.poll()
    run(bench, Nanoseconds(19_999_999))
    #expect(bench.received.count == 0)
    #expect(bench.device.ingressSnapshot?.backlogBytes == frame.count)
    run(bench, Nanoseconds(1))
    #expect(bench.received.count == 1)
    let skb = bench.received.popFirst()!
    #expect(skb.bytes == wanted.bytes && skb.macHeaderOffset == wanted.macHeaderOffset)
    #expect(skb.checksumStatus == wanted.checksumStatus && skb.etherType == wanted.etherType)
    #expect(bench.device.ingressSnapshot?.statistics.sentBytes == UInt64(frame.count))
    bench.receive(frame)
    bench.poll()
    try bench.device.resetIngressQdisc(net: &bench.net)
    #expect(bench.pool.dropCount(.qdiscReset) == 1 && bench.net.timers.count == 0)
    check(bench.device.ingressSnapshot == nil)
    bench.receive(frame)
    bench.poll()
    #expect(bench.received.count == 1)
    #expect(throws: Errno.ENOENT) { try bench.device.resetIngressQdisc(net: &bench.net) }
  }

  @Test(
    "Q3 ingress netem: a packet that GRO made counts as the frames it stands for, and loses them together")
  func merged() throws {
    let bench = try bench("netem delay 1ms loss 100%")
    for frame in segments(14480) { bench.receive(frame) }
    bench.poll()
    #expect(bench.device.ingressSnapshot?.statistics.dropped == 1)
    try bench.device.setIngressQdisc(EmulatedLine.configuration("netem delay 1ms"), net: &bench.net)
    for frame in segments(14480) { bench.receive(frame) }
    bench.poll()
    #expect(bench.device.ingressSnapshot?.backlogBytes == 10 * 1514)
    run(bench, .milliseconds(1))
    #expect(bench.received.count == 1)
    let skb = bench.received.popFirst()!
    #expect(skb.length == 52 + 14480 && skb.gsoSize == 1448)
    #expect(bench.device.ingressSnapshot?.statistics.sentPackets == 10)
  }

  @Test(
    "Q3 ingress netem corrupt: nobody vouches for the damaged segment, the others are as good as they were")
  func corrupt() throws {
    let bench = try bench("netem corrupt 100%")
    for frame in segments(14480) { bench.receive(frame) }
    bench.poll()
    #expect(bench.received.count == 10)
    var states: [ChecksumStatus] = []
    while let skb = bench.received.popFirst() { states.append(skb.checksumStatus) }
    #expect(states.count { $0 == .none } == 1 && states.count { $0 == .unnecessary } == 9)
  }

  @Test("Q3 ingress netem corrupt: what the NIC had said of the damaged frame does not hold any more")
  func corruptVouched() throws {
    let frame = segments(100)[0]
    let direct = DeviceBench()
    direct.receive(frame)
    direct.poll()
    #expect(direct.received.popFirst()?.checksumStatus == .unnecessary)
    let bench = try bench("netem corrupt 100%")
    bench.receive(frame)
    bench.poll()
    #expect(bench.received.popFirst()?.checksumStatus == ChecksumStatus.none)
  }

  @Test("Q3 ingress tbf: a burst goes up at once, the rest at the rate")
  func rate() throws {
    let bench = try bench("tbf rate 8mbit burst 2000 limit 100kb")
    // 114, 1066 and 1066 bytes; they do not merge, each ends a record.
    for payload in [48, 1000, 1000, 1000] { bench.receive(segments(payload)[0]) }
    bench.poll()
    #expect(bench.received.count == 2)
    run(bench, .microseconds(245))
    #expect(bench.received.count == 2)
    run(bench, .microseconds(1))
    #expect(bench.received.count == 3)
    #expect((bench.device.ingressSnapshot?.statistics.overlimits ?? 0) > 0)
  }

  @Test("Q3 ingress: what holds nothing back cannot stand there; a closed device lets go of what waits")
  func places() throws {
    let bench = DeviceBench()
    for words in ["noqueue", "pfifo_fast"] {
      #expect(throws: Errno.EINVAL) {
        try bench.device.setIngressQdisc(EmulatedLine.configuration(words), net: &bench.net)
      }
    }
    try bench.device.setIngressQdisc(EmulatedLine.configuration("netem delay 1s"), net: &bench.net)
    bench.receive(segments(100)[0])
    bench.poll()
    bench.device.close()
    #expect(bench.pool.dropCount(.qdiscReset) == 1)
  }
}
