import NetNamespace
import Neighbour
import SkBuff
import Testing
import Timers
import Wire

@Suite struct NeighbourQueueTests {
  /// Bytes 18 and 19 of a frame: the IP identification, which the bench sets to the mark.
  private func marks(_ frames: [[UInt8]]) -> [Int] { frames.map { Int($0[18]) << 8 | Int($0[19]) } }

  @Test("N2 packets that wait are sent in order on the answer") func inOrder() {
    let bench = NeighbourBench()
    for mark in UInt32(1)...20 { bench.send(mark: mark) }
    #expect(bench.frames().isEmpty)
    #expect(bench.solicitations().count == 1)
    #expect(bench.snapshot()?.waitingCount == 20)
    bench.answer()
    #expect(marks(bench.frames()) == Array(1...20))
    #expect(bench.snapshot()?.waitingTruesize == 0)
  }

  @Test("N2 212,992 bytes of truesize wait for one neighbour; the oldest are dropped") func limit() throws {
    let bench = NeighbourBench()
    let cost = bench.packet().truesize
    let room = 212_992 / cost
    let sent = UInt32(room + 30)
    for mark in 1...sent { bench.send(mark: mark) }
    let waiting = try #require(bench.snapshot())
    #expect(waiting.waitingCount == room)
    #expect(waiting.waitingTruesize <= 212_992)
    #expect(bench.pool.dropCount(.neighbourQueueFull) == 30)
    bench.answer()
    #expect(marks(bench.frames()) == Array(31...Int(sent)))
  }

  @Test("N2 twice as much as may wait: each that goes makes room for one, and no more") func kept() throws {
    let bench = NeighbourBench()
    let room = 212_992 / bench.packet().truesize
    for mark in 1...UInt32(2 * room) { bench.send(mark: mark) }
    #expect(bench.snapshot()?.waitingCount == room)
    #expect(bench.solicitations().count == 1)
    bench.answer()
    #expect(marks(bench.frames()) == Array(room + 1...2 * room))
  }

  @Test("N2 when memory is short only the newest packet waits") func short() throws {
    let bench = NeighbourBench()
    for mark in UInt32(1)...3 { bench.send(mark: mark) }
    bench.pool.setLevels(low: 0, pressure: 0, high: 0)
    #expect(bench.pool.isExhausted)
    let newest = bench.packet(mark: 4, use: .transit)
    bench.send(newest)
    #expect(bench.snapshot()?.waitingCount == 1)
    #expect(bench.pool.dropCount(.neighbourQueueFull) == 3)
    bench.answer()
    #expect(marks(bench.frames()) == [4])
  }

  @Test("N2 on failure every packet that waited comes back, in order") func failure() {
    let bench = NeighbourBench()
    for mark in UInt32(1)...5 { bench.send(mark: mark) }
    bench.advance(.seconds(3))
    #expect(bench.failed == [1, 2, 3, 4, 5])
  }

  @Test("N2 a deleted neighbour's packets are dropped and its timer ends nothing else") func deleted() {
    let bench = NeighbourBench()
    bench.send(mark: 1)
    bench.table.delete(NeighbourBench.peer, on: .none, net: &bench.net)
    #expect(bench.pool.dropCount(.neighbourDead) == 1)
    // The slot is used again by another neighbour while the first one's timer is still in the queue.
    bench.advance(.milliseconds(500))
    bench.send(to: IPAddress(IPv4Address(10, 0, 0, 77)), mark: 2)
    _ = bench.solicitations()
    bench.advance(.milliseconds(600))
    #expect(bench.solicitations().isEmpty)
    bench.advance(.milliseconds(400))
    #expect(bench.solicitations().count == 1)
  }

  @Test("N3 the cached header is destination, source, type 0x0800, and the packet follows untouched")
  func header() {
    let bench = NeighbourBench()
    bench.send(mark: 1)
    bench.answer()
    _ = bench.frames()
    #expect(bench.state()?.isConnected == true)
    bench.send(mark: 0x1234)
    let frame = bench.frames()[0]
    #expect(frame[0..<14] == [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0])
    #expect(frame[14..<20] == [0x45, 0, 0, 40, 0x12, 0x34])
  }

  @Test(
    "N3 a neighbour that has another address has another header, and one that is not connected is watched")
  func otherAddress() {
    let bench = NeighbourBench()
    bench.send(mark: 1)
    bench.answer()
    bench.advance(.seconds(2))
    bench.answer(mac: MACAddress(0x0200_0000_0007))
    _ = bench.frames()
    bench.send(mark: 2)
    #expect(bench.frames().map { Array($0[0..<14]) } == [[2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 2, 8, 0]])
    bench.advance(.seconds(60))
    #expect(bench.state() == .stale)
    bench.send(mark: 3)
    #expect(bench.state() == .delay)
    #expect(bench.frames().map { Array($0[0..<14]) } == [[2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 2, 8, 0]])
  }

  @Test("N3 a handle of one neighbour is none of another's: a route that has another next hop asks anew")
  func otherNextHop() {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    _ = bench.frames()
    let other = IPAddress(IPv4Address(10, 0, 0, 9))
    let handle = bench.handle
    bench.send(to: other)
    #expect(bench.frames().isEmpty && bench.state(other) == .incomplete && bench.handle != handle)
  }

  @Test("N3 a handle to a slot that another neighbour has now is looked up again") func staleHandle() throws {
    let bench = NeighbourBench()
    bench.send()
    bench.answer()
    let old = bench.handle
    bench.table.delete(NeighbourBench.peer, on: .none, net: &bench.net)
    let other = IPAddress(IPv4Address(10, 0, 0, 9))
    try bench.table.set(
      other, hardwareAddress: MACAddress(0x0200_0000_0009), device: &bench.device, net: &bench.net)
    _ = bench.frames()
    bench.handle = old
    bench.send()
    // The peer must be asked for again, not sent to the other one's address.
    #expect(bench.frames().isEmpty)
    #expect(bench.state() == .incomplete)
    #expect(bench.handle != old)
    // It has the slot that it had, and is another entry all the same: what confirms it has to name this one.
    bench.answer()
    let first = bench.handle
    bench.table.delete(NeighbourBench.peer, on: .none, net: &bench.net)
    try bench.table.set(
      NeighbourBench.peer, hardwareAddress: NeighbourBench.peerMAC, device: &bench.device, net: &bench.net)
    bench.send()
    #expect(bench.handle != first && bench.handle == bench.table.handle(of: NeighbourBench.peer, on: .none))
  }
}
