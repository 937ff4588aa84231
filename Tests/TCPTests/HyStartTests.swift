import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

@Suite("RFC 9406 HyStart++")
struct HyStartTests {
  /// Rounds of ten segments, each with an RTT of its own; which phase each ends in.
  private struct Rounds {
    var start = HyStart()
    var delivered: UInt32 = 0

    /// - Parameter samples: so many of its ACKs come with an RTT.
    mutating func run(_ rtt: Nanoseconds, samples: Int = 10) -> HyStart.Phase {
      let begin = delivered
      var phase = HyStart.Phase.slowStart
      for index in 0..<10 {
        var sample = RateSample.delivered(1)
        sample.hasPacket = true
        sample.sentDelivered = begin
        sample.rtt = index < samples ? rtt : nil
        delivered += 1
        phase = start.acked(sample, delivered: delivered)
        if phase == .over { return phase }
      }
      return phase
    }
  }

  @Test(
    "RFC 9406 4.2 round trips that are 4 ms longer: growth slows down, and after five rounds slow start is over"
  )
  func leaves() {
    var rounds = Rounds()
    #expect(rounds.run(.milliseconds(20)) == .slowStart)
    #expect(rounds.run(.microseconds(23_900)) == .slowStart)
    #expect(rounds.run(.milliseconds(28)) == .conservative)
    for _ in 0..<4 { #expect(rounds.run(.milliseconds(28)) == .conservative) }
    #expect(rounds.run(.milliseconds(28)) == .over)
  }

  @Test("RFC 9406 4.2 an eighth of a long round trip, and no more than 16 ms")
  func threshold() {
    var long = Rounds()
    _ = long.run(.milliseconds(80))
    #expect(long.run(.milliseconds(89)) == .slowStart)
    #expect(long.run(.milliseconds(101)) == .conservative)
    var longest = Rounds()
    _ = longest.run(.milliseconds(400))
    #expect(longest.run(.milliseconds(415)) == .slowStart)
    #expect(longest.run(.milliseconds(431)) == .conservative)
  }

  @Test("RFC 9406 4.2 fewer than eight samples of a round tell nothing")
  func samples() {
    var rounds = Rounds()
    _ = rounds.run(.milliseconds(20))
    #expect(rounds.run(.milliseconds(60), samples: 7) == .slowStart)
  }

  @Test("RFC 9406 4.2 round trips that become shorter again: slow start goes on")
  func resumes() {
    var rounds = Rounds()
    _ = rounds.run(.milliseconds(20))
    #expect(rounds.run(.milliseconds(30)) == .conservative)
    #expect(rounds.run(.milliseconds(25)) == .slowStart)
    for _ in 0..<6 { #expect(rounds.run(.milliseconds(25)) == .slowStart) }
  }

  @Test("RFC 9406 4.2 a quarter of the growth meanwhile, the threshold is the window in the end")
  func window() {
    var cubic = CongestionControl(.cubic)
    var window = CongestionWindow()
    window.segments = 100
    var delivered: UInt32 = 0
    func round(_ rtt: Nanoseconds) {
      let begin = delivered
      for _ in 0..<10 {
        var sample = RateSample.delivered(4)
        sample.hasPacket = true
        sample.sentDelivered = begin
        sample.rtt = rtt
        delivered += 4
        cubic.acked(
          sample, CongestionView(now: .origin + .seconds(1), minimumRTT: rtt, delivered: delivered),
          window: &window)
      }
    }
    round(.milliseconds(20))
    #expect(window.segments == 140)
    round(.milliseconds(30))
    // Eight samples make it known.
    #expect(window.segments == 140 + 7 * 4 + 3)
    #expect(window.threshold == nil)
    for _ in 0..<4 { round(.milliseconds(30)) }
    #expect(window.segments == 171 + 40)
    round(.milliseconds(30))
    #expect(window.threshold == 211)
  }

  @Test("RFC 9406 a long queue on the way: slow start ends before it holds more than a few round trips")
  func queue() throws {
    // 20 ms there and back, 40 Mbit/s: 67 segments.
    let bulk = try BulkTransfer(seed: 1, delay: .milliseconds(10), rate: 40_000_000)
    _ = bulk.run(for: .seconds(1))
    let info = try #require(bulk.sender.tcpInfo)
    #expect(info.slowStartThreshold != nil)
    #expect(info.totalRetransmissions == 0)
    #expect((67...1200).contains(info.congestionWindow))
    let counters = bulk.wire.left.stack.shards[0].inspect {
      [$0.host.net.counters[.TcpExtTCPHystartDelayDetect], $0.host.net.counters[.TcpExtTCPHystartDelayCwnd]]
    }
    #expect(counters[0] == 1 && Int(counters[1]) == info.slowStartThreshold)
  }
}
