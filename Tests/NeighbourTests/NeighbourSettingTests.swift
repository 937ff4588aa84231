import NetDevice
import NetNamespace
import Neighbour
import Testing
import Timers
import Wire

/// The table's settings, and a device that does without resolution.
@Suite struct NeighbourSettingTests {
  private func bench(_ configure: (inout NeighbourParameters) -> Void) -> NeighbourBench {
    let bench = NeighbourBench()
    var parameters = NeighbourParameters()
    configure(&parameters)
    bench.table.apply(parameters, net: &bench.net)
    return bench
  }

  @Test("N1 mcast_solicit and retrans_time_ms: how often a stranger is asked for, and how far apart")
  func multicast() {
    let bench = bench {
      $0.multicastProbes = 5
      $0.retransmitTime = .milliseconds(200)
    }
    bench.send(mark: 3)
    var count = bench.solicitations().count
    for _ in 0..<9 {
      bench.advance(.milliseconds(100))
      count += bench.solicitations().count
    }
    #expect(count == 5 && bench.state() == .incomplete)
    bench.advance(.milliseconds(100))
    #expect(bench.state() == .failed && bench.failed == [3])
  }

  @Test("N1 mcast_solicit and app_solicit 0: nobody is asked, and the packet is dropped at once")
  func nobody() {
    let bench = bench { $0.multicastProbes = 0 }
    bench.send(mark: 5)
    #expect(bench.state() == .failed && bench.failed.isEmpty && bench.solicitations().isEmpty)
    #expect(bench.pool.dropCount(.neighbourFailed) == 1 && bench.snapshot()?.waitingCount == 0)
  }

  @Test(
    "N1 ucast_solicit, delay_first_probe_time and mcast_resolicit: a neighbour that was known is asked for")
  func unicast() {
    let bench = bench {
      $0.unicastProbes = 2
      $0.multicastReprobes = 1
      $0.delayProbeTime = .seconds(1)
    }
    bench.send()
    bench.answer()
    bench.advance(.seconds(50))
    _ = bench.solicitations()
    bench.send()
    #expect(bench.state() == .delay)
    bench.advance(.seconds(1))
    #expect(bench.state() == .probe)
    bench.advance(.milliseconds(2500))
    let asked = bench.solicitations()
    #expect(asked.filter { $0.hardwareAddress != nil }.count == 2)
    #expect(asked.filter { $0.hardwareAddress == nil }.count == 1)
    bench.advance(.seconds(1))
    #expect(bench.state() == .failed)
  }

  @Test("N1 app_solicit: a program is asked before everybody is, and what it says is taken")
  func application() throws {
    let bench = bench { $0.applicationProbes = 2 }
    bench.send()
    #expect(bench.solicitations().isEmpty)
    #expect(bench.table.takeQueries().map(\.address) == [NeighbourBench.peer])
    bench.advance(.seconds(1))
    #expect(bench.table.takeQueries().count == 1 && bench.solicitations().isEmpty)
    bench.advance(.seconds(1))
    #expect(bench.table.takeQueries().isEmpty && bench.solicitations().count == 1)
    // Everybody is asked as often as without a program.
    bench.advance(.seconds(2))
    #expect(bench.solicitations().count == 2 && bench.state() == .incomplete)
    try bench.table.set(
      NeighbourBench.peer, hardwareAddress: NeighbourBench.peerMAC, device: &bench.device, net: &bench.net)
    #expect(bench.frames().count == 1)
  }

  @Test("N1 base_reachable_time_ms: the time is drawn anew when it is set") func reachable() {
    let bench = bench { $0.baseReachableTime = .seconds(2) }
    bench.send()
    bench.answer()
    bench.advance(.milliseconds(990))
    #expect(bench.state() == .reachable)
    bench.advance(.milliseconds(2100))
    #expect(bench.state() != .reachable)
  }

  @Test("N2 unres_qlen_bytes: no more waits than fits, the oldest goes first") func queue() {
    let bench = bench { $0.queueByteLimit = 0 }
    bench.send(mark: 1)
    bench.send(mark: 2)
    #expect(bench.snapshot()?.waitingCount == 1)
  }

  @Test("N4 gc_thresh3: no entry more, ENOBUFS, NEIGH_CREATEFAIL") func full() {
    let bench = bench {
      $0.leastCollected = 0
      $0.softLimit = 1
      $0.hardLimit = 2
    }
    for last in 1...2 { bench.send(to: IPAddress(IPv4Address(10, 0, 0, UInt8(last)))) }
    #expect(bench.send(to: IPAddress(IPv4Address(10, 0, 0, 9))) == .failed(.ENOBUFS))
    #expect(bench.pool.dropCount(.neighbourCreateFailed) == 1)
  }

  @Test("N1 a device without ARP: NOARP at once, frames go to the device's own station, nobody is asked")
  func noARP() {
    let bench = NeighbourBench()
    bench.device.setResolving(false)
    #expect(bench.send() == .success)
    #expect(bench.state() == .noARP && bench.solicitations().isEmpty)
    #expect(bench.frames().map { Array($0[0..<14]) } == [[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 2, 8, 0]])
    bench.advance(.seconds(200))
    #expect(bench.state() == .noARP || bench.state() == nil)
  }
}
