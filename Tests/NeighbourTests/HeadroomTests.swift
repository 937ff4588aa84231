import NetDevice
import NetTestSupport
import Neighbour
import SkBuff
import Testing

/// What becomes of a packet in front of which no link-layer header fits. Linux: `neigh_hh_output()`.
@Suite struct HeadroomTests {
  @Test(
    "N3 a packet with less than 16 bytes in front is dropped, and says why; the next one goes out",
    arguments: [0, 13, 14, 15, 16, 17])
  func tooLittle(headroom: Int) {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    _ = bench.frames()
    let result = bench.send(bench.packet(mark: 7, headroom: headroom))
    let fits = headroom >= 16
    #expect(fits ? result == .success : result == .dropped)
    #expect(bench.pool.dropCount(.noHeadroom) == (fits ? 0 : 1))
    #expect(DropReason.noHeadroom.name == "NOT_SPECIFIED")
    #expect(bench.frames().count == (fits ? 1 : 0))
    #expect(bench.send(mark: 8) == .success && bench.frames().count == 1)
  }

  @Test("N3 one that waited for its neighbour's address, too") func waited() {
    let bench = NeighbourBench()
    bench.send(bench.packet(mark: 1, headroom: 8))
    bench.send(mark: 2)
    bench.answer()
    #expect(bench.frames().map { Int($0[19]) } == [2])
    #expect(bench.pool.dropCount(.noHeadroom) == 1)
  }

  @Test("N3 want of memory to unshare is no want of room: ENOBUFS") func noMemory() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    _ = bench.frames()
    let packet = bench.packet(mark: 3)
    guard let copy = packet.clone() else { Issue.record("there is memory"); return }
    var held = bench.pool.exhaust()
    let result = bench.send(packet)
    #expect(result == .failed(.ENOBUFS))
    #expect(bench.pool.dropCount(.noMemory) == 1 && bench.pool.dropCount(.noHeadroom) == 0)
    #expect(copy.length == 40)
    held.removeAll()
  }
}
