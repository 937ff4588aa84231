import InetSocket
import NetNamespace
import Tables
import Testing
import Timers
import Wire

@testable import TCP

@Suite("RFC 6298 retransmission timeout")
struct RTTEstimatorTests {
  @Test("RFC 6298 2.1: one second before any sample")
  func initial() {
    let estimator = RTTEstimator()
    #expect(estimator.timeout == .seconds(1))
    #expect(!estimator.hasSample)
  }

  @Test("RTT of microseconds gives Linux's floor of 200 ms plus the RTT, not zero")
  func microseconds() {
    var estimator = RTTEstimator()
    estimator.sample(.zero, acknowledged: 1, next: 2, now: .origin)
    #expect(estimator.hasSample)
    #expect(estimator.timeout >= .milliseconds(200))
    #expect(estimator.timeout < .milliseconds(201))
  }

  @Test("RFC 6298 2.2: the first sample sets SRTT to it")
  func first() {
    var estimator = RTTEstimator()
    estimator.sample(.milliseconds(100), acknowledged: 1, next: 2, now: .origin)
    #expect(estimator.smoothed == .milliseconds(100))
    #expect(estimator.timeout == .milliseconds(300))
  }

  @Test("RFC 6298 5.5: the timeout doubles and stops at 120 s; a sample ends the back-off")
  func backOff() {
    var estimator = RTTEstimator()
    estimator.sample(.milliseconds(100), acknowledged: 1, next: 2, now: .origin)
    estimator.backOff()
    #expect(estimator.timeout == .milliseconds(600))
    for _ in 0..<40 { estimator.backOff() }
    #expect(estimator.timeout == .seconds(120))
    estimator.sample(.milliseconds(100), acknowledged: 3, next: 4, now: .origin + .seconds(1))
    #expect(estimator.timeout < .seconds(1))
  }

  @Test("RFC 6298 5.7: a handshake whose SYN was lost starts data with 3 s")
  func fallback() {
    var estimator = RTTEstimator()
    estimator.useInitialFallback()
    #expect(estimator.timeout == .seconds(3))
  }
}

extension RateSample {
  /// An ACK that told of `count` segments.
  static func delivered(_ count: Int) -> Self {
    var sample = Self(priorDelivered: 0)
    sample.newlyDelivered = count
    sample.mayGrow = true
    return sample
  }
}

extension CongestionControl {
  /// An ACK to a connection of which nothing else is known.
  mutating func acked(
    _ sample: RateSample, window: inout CongestionWindow, minimumRTT: Nanoseconds?, now: Instant
  ) {
    acked(sample, CongestionView(now: now, minimumRTT: minimumRTT), window: &window)
  }
}

@Suite("RFC 5681, RFC 9438 congestion control")
struct CongestionControlTests {
  @Test("RFC 6928: ten segments to begin with; slow start adds one per segment acknowledged")
  func slowStart() {
    var window = CongestionWindow()
    #expect(window.segments == 10)
    var reno = CongestionControl(.reno)
    reno.acked(.delivered(10), window: &window, minimumRTT: nil, now: .origin)
    #expect(window.segments == 20)
  }

  @Test("RFC 5681 3.1: one segment per window in congestion avoidance")
  func avoidance() {
    var window = CongestionWindow()
    window.segments = 10
    window.threshold = 10
    var reno = CongestionControl(.reno)
    for _ in 0..<10 { reno.acked(.delivered(1), window: &window, minimumRTT: nil, now: .origin) }
    #expect(window.segments == 11)
  }

  @Test("RFC 3465 2.1: an ACK counts for all that it acknowledges, in slow start and behind its end")
  func byteCounting() {
    var window = CongestionWindow()
    window.threshold = 12
    var reno = CongestionControl(.reno)
    // Two of eight end slow start, six go on towards the twelve that bring one more.
    reno.acked(.delivered(8), window: &window, minimumRTT: nil, now: .origin)
    #expect(window.segments == 12)
    reno.acked(.delivered(5), window: &window, minimumRTT: nil, now: .origin)
    #expect(window.segments == 12)
    reno.acked(.delivered(4), window: &window, minimumRTT: nil, now: .origin)
    #expect(window.segments == 13)
    // Three are left of fifteen: thirteen are asked for now.
    reno.acked(.delivered(9), window: &window, minimumRTT: nil, now: .origin)
    #expect(window.segments == 13)
    reno.acked(.delivered(1), window: &window, minimumRTT: nil, now: .origin)
    #expect(window.segments == 14)
  }

  @Test("RFC 5681 3.1 equation 4: Reno keeps half of the window, never below two segments")
  func halving() {
    var reno = CongestionControl(.reno)
    #expect(reno.lost(window: 21) == 10)
    #expect(reno.lost(window: 3) == 2)
  }

  @Test("RFC 9438 4.6: CUBIC keeps 0.7 of the window, never below two segments")
  func reduction() {
    var cubic = CongestionControl(.cubic)
    #expect(cubic.lost(window: 100) == 70)
    #expect(cubic.lost(window: 1) == 2)
  }

  @Test("RFC 9438 4.1: the window is back at its old size after K seconds")
  func cubicReturns() {
    var congestion = CongestionControl(.cubic)
    var window = CongestionWindow()
    window.segments = 1000
    window.threshold = congestion.lost(window: 1000)
    window.segments = 700
    // K = cbrt((1000 - 700) / 0.4) = 9.086 s; at 100 ms a round trip Reno would be slower.
    var now = Instant.origin + .seconds(1)
    let start = now
    while now - start < .milliseconds(9086) {
      congestion.acked(
        .delivered(window.segments), window: &window, minimumRTT: .milliseconds(100), now: now)
      now = now + .milliseconds(100)
    }
    #expect((960...1040).contains(window.segments))
  }

  @Test("CUBIC does not overflow however large the window or long the epoch")
  func cubicExtremes() {
    var congestion = CongestionControl(.cubic)
    var window = CongestionWindow()
    window.threshold = 1
    window.segments = CongestionWindow.clamp
    let moments: [Int64] = [1, 86_400, 86_400 * 365]
    for seconds in moments {
      congestion.acked(
        .delivered(1), window: &window, minimumRTT: .seconds(100), now: .origin + .seconds(seconds))
      #expect(window.segments <= CongestionWindow.clamp)
    }
  }

  @Test("Cube roots", arguments: [(1.0, 1.0), (8.0, 2.0), (1e-9, 1e-3), (1e18, 1e6)])
  func cubeRoot(_ pair: (Double, Double)) {
    #expect(abs(Cubic.cubeRoot(pair.0) - pair.1) < pair.1 * 1e-6)
  }
}

@Suite("Connection table")
struct ConnectionTableTests {
  private func tuple(_ number: Int) -> FourTuple {
    FourTuple(
      local: SocketAddress(IPv4Address(10, 0, 0, 2), port: UInt16(truncatingIfNeeded: number)),
      remote: SocketAddress(IPv4Address(0x0A00_0000 | UInt32(number >> 16)), port: 80))
  }

  private func found(_ tuple: FourTuple, in table: borrowing ConnectionTable) -> [ConnectionEntry] {
    var search = table.search(tuple)
    var entries: [ConnectionEntry] = []
    while let entry = table.next(&search) { entries.append(entry) }
    return entries
  }

  @Test("Finds what was put in, forgets what was taken out, through growth and closed gaps")
  func roundTrip() {
    var table = ConnectionTable(hash: SipHash(key: (1, 2)))
    for number in 0..<5000 { table.insert(tuple(number), .socket(number)) }
    #expect(table.count == 5000)
    for number in stride(from: 0, to: 5000, by: 2) { table.remove(tuple(number), .socket(number)) }
    #expect(table.count == 2500)
    for number in 0..<5000 {
      #expect(found(tuple(number), in: table).contains(.socket(number)) == (number % 2 == 1))
    }
  }

  @Test("Connections with one hash are all found, and removed one by one")
  func sameHash() {
    var table = ConnectionTable(hash: SipHash(key: (1, 2)))
    table.insert(tuple(1), .socket(1))
    table.insert(tuple(1), .timeWait(1))
    table.remove(tuple(1), .request(1))
    #expect(found(tuple(1), in: table) == [.socket(1), .timeWait(1)])
    table.remove(tuple(1), .socket(1))
    #expect(found(tuple(1), in: table) == [.timeWait(1)])
    table.remove(tuple(1), .timeWait(1))
    #expect(found(tuple(1), in: table).isEmpty && table.count == 0)
  }
}

@Suite("RFC 9293 3.4 sequence arithmetic")
struct SequenceTests {
  @Test("Comparison across the wrap")
  func wrap() {
    let before = SequenceNumber(0xFFFF_FFF0)
    let after = before + 0x20
    #expect(after.rawValue == 0x10)
    #expect(before.isBefore(after))
    #expect(after.isAfter(before))
    #expect(after.offset(from: before) == 0x20)
    #expect(SequenceNumber(0).isBetween(before, after))
  }
}
