import IPv4
import NetDevice
import NetNamespace
import NetTestSupport
import SkBuff
import Testing
import Timers
import Wire

/// What IPv4 and ICMP count when packet memory is used up to its limit.
@Suite struct ShortageCounterTests {
  /// A received packet, data at its network header, part of it in a page. A clone of it lives in `keep`, as if a tap had
  /// one.
  private func packet(_ bench: IPv4Bench, _ frame: [UInt8], linear: Int = 64, keep: inout SkBuffQueue)
    -> SkBuff
  {
    guard var skb = bench.pool.allocate(headroom: 64, linear: 256) else { fatalError("there is memory") }
    let bytes = Array(frame[14...])
    let head = min(linear, bytes.count)
    unsafe skb.put(bytes.span.bytes.extracting(0..<head))
    if bytes.count > head {
      let isWhole = unsafe bytes.withUnsafeBytes { buffer in
        var iter = unsafe IovIter(source: UnsafeRawBufferPointer(rebasing: buffer[head...]))
        while iter.count > 0, skb.append(from: &iter, count: iter.count).byteCount > 0 {}
        return iter.count == 0
      }
      precondition(isWhole)
    }
    skb.etherType = .ipv4
    skb.packetType = .host
    skb.setNetworkHeader()
    guard let clone = skb.clone() else { fatalError("there is memory") }
    keep.append(clone)
    return skb
  }

  /// What moved while a packet was received without memory to be had, and what it counts when there is.
  private func moved(_ frame: [UInt8], padding: Int = 0) -> (short: [String: Int], plenty: [String: Int]) {
    let bench = IPv4Bench(memory: 8 << 20)
    func counters() -> [String: Int] {
      Dictionary(uniqueKeysWithValues: bench.net.counters.all.map { ($0.name, Int($0.value)) })
    }
    func difference(_ before: [String: Int]) -> [String: Int] {
      counters().merging(before) { $0 - $1 }.filter { $0.value != 0 }
    }
    var keep = SkBuffQueue()
    let frame = frame + [UInt8](repeating: 0, count: padding)
    let first = packet(bench, frame, keep: &keep)
    let second = packet(bench, frame, keep: &keep)
    // Clones that want memory of their own, so that what is left of the smaller pieces is taken too.
    var spare = SkBuffQueue()
    for _ in 0..<200 { spare.append(packet(bench, frame, keep: &keep)) }
    var held = bench.pool.exhaust()
    while var skb = spare.popFirst() {
      let isMade = skb.unclone()
      held.append(skb)
      if !isMade { break }
    }
    var before = counters()
    _ = bench.receive(first)
    let short = difference(before)
    held.removeAll()
    spare.removeAll()
    before = counters()
    _ = bench.receive(second)
    keep.removeAll()
    _ = bench.frames()
    return (short, difference(before))
  }

  @Test(
    "P8 a packet in front of which there is no room for headers: ENOMEM where none can be had, and counted")
  func headroom() {
    let bench = IPv4Bench(memory: 8 << 20)
    var route = bench.route(to: IPv4Bench.peer)
    func packet() -> SkBuff {
      guard var skb = bench.pool.allocate(headroom: 0, linear: 256) else { fatalError("there is memory") }
      skb.put(8)
      skb.setTransportHeader()
      return skb
    }
    func send(_ skb: consuming SkBuff) -> XmitResult {
      bench.ip.output(
        skb, route: &route, options: IPv4SendOptions(protocol: .udp), link: &bench.link, net: &bench.net)
    }
    let first = packet()
    let second = packet()
    var held = bench.pool.exhaust()
    let short = send(first)
    #expect(short == .failed(.ENOMEM))
    #expect(bench.count(.IpOutDiscards) == 1)
    held.removeAll()
    let plenty = send(second)
    #expect(plenty == .success)
    #expect(bench.count(.IpOutDiscards) == 1 && bench.packets().count == 1)
  }

  @Test("P9 IpInDiscards: a padded packet that cannot be cut to its length") func discards() {
    let payload = [UInt8](repeating: 0, count: 8) + IPv4Bench.pattern(200)
    let (short, plenty) = moved(IPv4Bench.frame(protocol: 17, payload), padding: 20)
    #expect(short["IpInDiscards"] == 1 && short["IpInDelivers"] == nil && short["IpInReceives"] == 1)
    #expect(plenty["IpInDiscards"] == nil && plenty["IpInDelivers"] == 1)
  }

  @Test("P9 IcmpOutErrors: an echo, a timestamp and an error that there is no memory for") func errors() {
    for (name, frame) in [
      ("echo", IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(8, 0, IPv4Bench.pattern(200)))),
      ("timestamp", IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(13, 0, [UInt8](repeating: 0, count: 12)))),
      ("unreachable", IPv4Bench.frame(protocol: 200, IPv4Bench.pattern(200))),
    ] {
      let (short, plenty) = moved(frame)
      #expect(short["IcmpOutErrors"] == 1 && short["IcmpOutMsgs"] == nil, "\(name)")
      #expect(plenty["IcmpOutErrors"] == nil && plenty["IcmpOutMsgs"] == 1, "\(name)")
    }
  }
}
