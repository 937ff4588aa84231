import NetNamespace
import TestSupport
import Testing
import Timers

@testable import TCP

/// RFC 9438's curve, in rounds of one window each.
@Suite("CUBIC rows", .everyVariation)
struct CongestionRowsTests {
  /// Full windows acknowledged at `rtt` intervals for `span`, from `window` segments in congestion avoidance.
  private func grow(
    _ control: inout CongestionControl, from segments: Int, rtt: Nanoseconds, for span: Nanoseconds,
    start: Instant = .origin + .seconds(1)
  ) -> Int {
    var window = CongestionWindow()
    window.segments = segments
    window.threshold = 2
    var now = start
    while now - start <= span {
      control.acked(.delivered(window.segments), window: &window, minimumRTT: rtt, now: now)
      now = now + rtt
    }
    return window.segments
  }

  @Test("RFC 9438 4.7 fast convergence: a second reduction below W_max gives room to others")
  func fastConvergence() {
    var cubic = CongestionControl(.cubic)
    _ = cubic.lost(window: 1000)
    #expect(cubic.lost(window: 800) == 560)
    // K = cbrt((680 - 560) / 0.4) = 6.7 s, W_max = 0.85 * 800.
    let after = grow(&cubic, from: 560, rtt: .milliseconds(100), for: .milliseconds(6700))
    #expect((660...700).contains(after))
  }

  @Test("RFC 9438 4.3 at a short round trip the window grows as Reno's with the same average would")
  func renoRegion() {
    var cubic = CongestionControl(.cubic)
    _ = cubic.lost(window: 100)
    // 0.53 segments a round trip until 100 again.
    let after = grow(&cubic, from: 70, rtt: .milliseconds(1), for: .milliseconds(40))
    #expect((88...94).contains(after))
    let later = grow(
      &cubic, from: after, rtt: .milliseconds(1), for: .milliseconds(100),
      start: .origin + .milliseconds(1050))
    #expect(later > 140)
  }

  @Test("RFC 9438 4.8 after a timeout K is 0 and W_max the window at the start: 703 after 2 s, 904 after 8 s")
  func timeout() {
    for (seconds, expected) in [(Int64(2), 703), (8, 904)] {
      var cubic = CongestionControl(.cubic)
      _ = cubic.lost(window: 1000)
      cubic.timedOut()
      let after = grow(&cubic, from: 700, rtt: .milliseconds(500), for: .seconds(seconds))
      #expect(abs(after - expected) < 60)
      if seconds == 2 { #expect(after < 720) }
    }
  }

  @Test("RFC 9438 4.2 at most half again for each round trip")
  func atMostHalf() {
    var cubic = CongestionControl(.cubic)
    var window = CongestionWindow()
    window.segments = 100
    window.threshold = 2
    _ = cubic.lost(window: 100)
    cubic.acked(
      .delivered(1), window: &window, minimumRTT: .milliseconds(10), now: .origin + .seconds(1))
    cubic.acked(
      .delivered(100), window: &window, minimumRTT: .milliseconds(10), now: .origin + .seconds(100))
    #expect((140...152).contains(window.segments))
  }

  @Test("RFC 9438 5.8 idle time is no growth")
  func idle() {
    var cubic = CongestionControl(.cubic)
    _ = cubic.lost(window: 1000)
    let before = grow(&cubic, from: 700, rtt: .milliseconds(100), for: .seconds(2))
    var window = CongestionWindow()
    cubic.transmitted(
      inFlight: 0, lastSent: .origin + .seconds(3), isAppLimited: false, mss: 1460,
      now: .origin + .seconds(103), window: &window)
    let after = grow(
      &cubic, from: before, rtt: .milliseconds(100), for: .milliseconds(500), start: .origin + .seconds(103))
    #expect(after - before < 60)
  }
}

@Suite("RTT reference")
struct RTTReferenceTests {
  @Test("RFC 6298 2.2, 2.3 against the estimator written out, over random samples")
  func reference() {
    var random = RandomSource(seed: 7)
    var estimator = RTTEstimator()
    var (srtt, mdev, most, variation) = (Int64(0), Int64(0), Int64(0), Int64(0))
    for step in 0..<500 {
      let sample = Int64(random.next(below: step % 7 == 0 ? 2_000_000 : 300_000)) + 1
      if step == 0 {
        (srtt, mdev) = (sample * 8, sample * 2)
        variation = max(mdev, 200_000)
        most = variation
      } else {
        let error = sample - srtt / 8
        srtt += error
        var change = abs(error) - mdev / 4
        if error < 0 && change > 0 { change /= 8 }
        mdev += change
        if mdev > most {
          most = mdev
          variation = max(variation, most)
        }
        // A window ends with every sample.
        if most < variation { variation -= (variation - most) / 4 }
        most = 200_000
      }
      estimator.sample(
        .microseconds(sample), acknowledged: UInt32(2 * step + 1), next: UInt32(2 * step + 2),
        now: .origin + .seconds(Int64(step)))
      #expect(estimator.timeout == .microseconds(min(srtt / 8 + variation, 120_000_000)))
    }
  }

  @Test("RFC 6298 3 Karn: what was sent twice gives no sample without time stamps")
  func karn() throws {
    let open = try ScriptedConnection.withSACK()
    let base = try open.flight(3)
    open.timeOut()
    let before = open.info.smoothedRTT
    open.peer.advance(.milliseconds(20))
    open.acknowledge(base: base, upTo: 3)
    #expect(open.info.smoothedRTT == before)
    #expect(open.info.unacknowledged == 0)
  }
}
