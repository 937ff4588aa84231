import NetNamespace
import Neighbour
import SkBuff
import Testing
import Timers
import Wire

@Suite struct NeighbourCollectionTests {
  @Test("N4 a sweep of a whole /16 evicts no live peer and keeps the table at its limit") func sweep() {
    let bench = NeighbourBench()
    let live = (1...50).map { IPAddress(IPv4Address(10, 0, 0, $0)) }
    for peer in live {
      bench.send(to: peer)
      bench.answer(peer)
    }
    _ = bench.frames()
    _ = bench.solicitations()
    var most = 0
    for low in 0..<65536 {
      // Peers that are talked to now and then, as in use.
      if low % 2000 == 0 {
        for peer in live {
          bench.send(to: peer)
          bench.table.confirm(bench.handle, net: bench.net)
        }
        _ = bench.frames()
      }
      bench.send(to: IPAddress(IPv4Address(UInt32(0xAC10_0000) + UInt32(low))))
      _ = bench.solicitations()
      most = max(most, bench.count)
      bench.advance(.milliseconds(1))
    }
    #expect(most == 1024)
    for peer in live { #expect(bench.state(peer) == .reachable) }
    #expect(bench.net.counters[.NeighTableFulls] > 0)
    // After the sweep new neighbours find room again.
    bench.advance(.seconds(10))
    bench.send(to: IPAddress(IPv4Address(10, 0, 1, 1)))
    #expect(bench.state(IPAddress(IPv4Address(10, 0, 1, 1))) == .incomplete)
  }

  @Test("N4 a flood of requests from strangers evicts no peer that was idle for less than a minute")
  func flood() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    bench.advance(.seconds(46))
    #expect(bench.state() == .stale)
    for low in 0..<20000 {
      bench.table.update(
        IPAddress(IPv4Address(UInt32(0x0A00_1000) + UInt32(low))),
        hardwareAddress: MACAddress(0x0200_0001_0000),
        state: .stale, override: true, create: true, device: &bench.device, net: &bench.net)
      #expect(bench.count <= 1024)
      if low % 2000 == 0 { bench.advance(.seconds(1)) }
    }
    #expect(bench.state() == .stale)
  }

  @Test(
    "N4 above 512 entries a new one needs a collection: strangers go first, then what is unused for a minute")
  func soft() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    bench.advance(.seconds(58))
    for low in 0..<600 {
      bench.table.update(
        IPAddress(IPv4Address(UInt32(0x0A00_1000) + UInt32(low))),
        hardwareAddress: MACAddress(0x0200_0001_0000),
        state: .stale, override: true, create: true, device: &bench.device, net: &bench.net)
    }
    #expect(bench.count == 601)
    bench.advance(.seconds(6))
    bench.send(to: IPAddress(IPv4Address(10, 0, 1, 1)))
    #expect(bench.count == 513 && bench.state() == .stale)
  }

  @Test("N4 what is unused for a minute goes with the next round, not before") func staleTime() {
    let bench = NeighbourBench()
    for low in 1...150 {
      bench.send(to: IPAddress(IPv4Address(10, 0, 0, UInt8(low))))
      bench.answer(IPAddress(IPv4Address(10, 0, 0, UInt8(low))))
    }
    bench.advance(.seconds(59))
    #expect(bench.count == 150)
    bench.advance(.seconds(17))
    #expect(bench.count == 0)
  }

  @Test("N4 below 128 entries nothing is collected; above, what is unused for a minute goes") func periodic()
  {
    let bench = NeighbourBench()
    for low in 1...100 {
      bench.send(to: IPAddress(IPv4Address(10, 0, 0, UInt8(low))))
      bench.answer(IPAddress(IPv4Address(10, 0, 0, UInt8(low))))
    }
    _ = bench.frames()
    bench.advance(.seconds(600))
    #expect(bench.count == 100)
    for low in 1...60 {
      bench.send(to: IPAddress(IPv4Address(10, 0, 1, UInt8(low))))
      bench.answer(IPAddress(IPv4Address(10, 0, 1, UInt8(low))))
    }
    bench.advance(.seconds(40))
    #expect(bench.count == 60)
  }

  @Test("N4 an answer that nobody asked for makes no entry") func unsolicited() {
    let bench = NeighbourBench()
    bench.answer(IPAddress(IPv4Address(10, 0, 0, 200)))
    #expect(bench.count == 0)
  }

  @Test("N5 flush keeps static entries") func flush() throws {
    let bench = NeighbourBench()
    bench.send()
    try bench.table.set(
      IPAddress(IPv4Address(10, 0, 0, 9)), hardwareAddress: MACAddress(0x0200_0000_0009),
      device: &bench.device,
      net: &bench.net)
    bench.table.flush(nil, net: &bench.net)
    #expect(bench.count == 1)
    #expect(bench.state(IPAddress(IPv4Address(10, 0, 0, 9))) == .permanent)
  }
}
