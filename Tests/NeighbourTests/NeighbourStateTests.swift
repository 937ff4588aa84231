import NetNamespace
import Neighbour
import SkBuff
import Testing
import Timers
import Wire

@Suite struct NeighbourStateTests {
  @Test("N1 INCOMPLETE asks by broadcast three times, a second apart, and fails after 3 s") func incomplete()
  {
    let bench = NeighbourBench()
    bench.send(mark: 7)
    #expect(bench.state() == .incomplete)
    var asked: [Int64] = []
    for _ in 0..<40 {
      for request in bench.solicitations() {
        #expect(request.hardwareAddress == nil)
        #expect(request.address == NeighbourBench.peer)
        #expect(request.source == IPAddress(IPv4Address(10, 0, 0, 2)))
        asked.append(bench.now.milliseconds)
      }
      if bench.state() == .failed { break }
      bench.advance(.milliseconds(100))
    }
    #expect(asked == [0, 1000, 2000])
    #expect(bench.state() == .failed)
    #expect(bench.now == .seconds(3))
    #expect(bench.failed == [7])
    #expect(bench.frames().isEmpty)
  }

  @Test("N1 a packet for a FAILED neighbour asks again at once") func failedRestarts() {
    let bench = NeighbourBench()
    bench.send()
    bench.advance(.seconds(4))
    #expect(bench.state() == .failed)
    _ = bench.solicitations()
    bench.send(mark: 9)
    #expect(bench.state() == .incomplete)
    #expect(bench.solicitations().count == 1)
    bench.answer()
    #expect(bench.state() == .reachable)
    #expect(bench.frames().count == 1)
  }

  @Test("N1 the reachable time lies between half and one and a half times 30 s, and differs")
  func reachableTime() {
    var times: Set<Int64> = []
    for seed in UInt64(1)...20 {
      let bench = NeighbourBench(seed: seed)
      bench.send()
      bench.answer()
      while bench.state() == .reachable { bench.advance(.milliseconds(50)) }
      // Nobody used it in the last 5 s: not DELAY.
      #expect(bench.state() == .stale)
      #expect((15000...45050).contains(bench.now.milliseconds))
      times.insert(bench.now.milliseconds)
    }
    #expect(times.count > 10)
  }

  /// A neighbour in STALE whose waiting packets are gone.
  private func stale() -> NeighbourBench {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    bench.advance(.seconds(50))
    #expect(bench.state() == .stale)
    _ = bench.frames()
    _ = bench.solicitations()
    return bench
  }

  @Test("N1 STALE becomes DELAY on use, PROBE after 5 s, asks by unicast three times, then fails")
  func probe() {
    let bench = stale()
    let start = bench.now
    bench.send()
    #expect(bench.state() == .delay)
    #expect(bench.frames().count == 1)
    #expect(bench.solicitations().isEmpty)
    var asked: [Int64] = []
    while bench.state() != .failed, bench.now - start < .seconds(20) {
      bench.advance(.milliseconds(100))
      for request in bench.solicitations() {
        #expect(request.hardwareAddress == NeighbourBench.peerMAC)
        asked.append((bench.now - start).milliseconds)
      }
    }
    #expect(asked == [5000, 6000, 7000])
    #expect(bench.now - start == .seconds(8))
  }

  @Test("N1 packets go out while PROBE asks") func probeSends() {
    let bench = stale()
    bench.send()
    bench.advance(.milliseconds(5500))
    #expect(bench.state() == .probe)
    _ = bench.frames()
    bench.send(mark: 3)
    #expect(bench.frames().count == 1)
    bench.answer()
    #expect(bench.state() == .reachable)
  }

  @Test("N5 confirmation in DELAY makes it REACHABLE without a probe") func confirmed() {
    let bench = stale()
    bench.send()
    bench.advance(.seconds(2))
    bench.table.confirm(bench.handle, net: bench.net)
    bench.advance(.milliseconds(3100))
    #expect(bench.state() == .reachable)
    #expect(bench.solicitations().isEmpty)
  }

  @Test("N5 a connection that makes progress keeps its neighbour REACHABLE for ever, unasked") func progress()
  {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    _ = bench.solicitations()
    for _ in 0..<600 {
      bench.send()
      bench.table.confirm(bench.handle, net: bench.net)
      bench.advance(.seconds(1))
      _ = bench.frames()
      #expect(bench.state() == .reachable)
    }
    #expect(bench.solicitations().isEmpty)
  }

  @Test("N1 a neighbour in use that is not confirmed goes from REACHABLE to DELAY") func reachableToDelay() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    var seen: [NeighbourState] = []
    for _ in 0..<60 where seen.last != .delay {
      bench.send()
      bench.advance(.seconds(1))
      _ = bench.frames()
      if let state = bench.state(), seen.last != state { seen.append(state) }
    }
    #expect(seen == [.reachable, .delay])
  }

  @Test("N5 a neighbour that changes its address is followed after the lock time") func changedAddress() {
    let bench = NeighbourBench()
    let other = MACAddress(0x0200_0000_0099)
    bench.send()
    bench.answer()
    // Within a second the first answer stands (proxy ARP: several stations answer).
    bench.answer(mac: other)
    #expect(bench.snapshot()?.hardwareAddress == NeighbourBench.peerMAC)
    bench.advance(.milliseconds(1100))
    bench.table.learn(
      NeighbourBench.peer, hardwareAddress: other, isReplyToUs: false, isGratuitous: false,
      device: &bench.device, net: &bench.net)
    #expect(bench.snapshot()?.hardwareAddress == other)
    #expect(bench.state() == .stale)
    _ = bench.frames()
    bench.send()
    #expect(bench.frames().first?[0..<6] == [2, 0, 0, 0, 0, 0x99])
    #expect(bench.state() == .delay)
  }

  @Test("N5 a gratuitous announcement overrides within the lock time") func gratuitous() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    let other = MACAddress(0x0200_0000_0099)
    bench.table.learn(
      NeighbourBench.peer, hardwareAddress: other, isReplyToUs: false, isGratuitous: true,
      device: &bench.device, net: &bench.net)
    #expect(bench.snapshot()?.hardwareAddress == other)
  }

  @Test("N5 a repeated request does not take REACHABLE back") func repeatedRequest() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    bench.table.update(
      NeighbourBench.peer, hardwareAddress: NeighbourBench.peerMAC, state: .stale, override: true,
      create: true, device: &bench.device, net: &bench.net)
    #expect(bench.state() == .reachable)
  }

  @Test("N5 a static entry needs no answer, never times out and is not overridden") func permanent() throws {
    let bench = NeighbourBench()
    try bench.table.set(
      NeighbourBench.peer, hardwareAddress: NeighbourBench.peerMAC, device: &bench.device, net: &bench.net)
    bench.send()
    #expect(bench.frames().count == 1)
    bench.advance(.seconds(5))
    bench.answer(mac: MACAddress(0x0200_0000_0099))
    bench.advance(.seconds(3600))
    #expect(bench.state() == .permanent)
    #expect(bench.snapshot()?.hardwareAddress == NeighbourBench.peerMAC)
    #expect(bench.solicitations().isEmpty)
  }

  @Test("N5 a group address is no neighbour's address") func groupAddress() {
    let bench = NeighbourBench()
    #expect(throws: Errno.EINVAL) {
      try bench.table.set(
        NeighbourBench.peer, hardwareAddress: .broadcast, device: &bench.device, net: &bench.net)
    }
  }
}
