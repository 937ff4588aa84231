import SkBuff
import Testing

/// What the pool gives to whom, and what it gives back.
@Suite struct PoolMemoryTests {
  private func fill(_ bench: PoolBench, _ use: MemoryUse, into queue: inout SkBuffQueue) -> Int {
    var count = 0
    while let skb = bench.pool.allocate(headroom: 0, linear: 0, use: use) {
      queue.append(skb)
      count += 1
    }
    return count
  }

  @Test("B4 ordinary memory ends at 3/4, the guaranteed least at 7/8, packets on their way have the rest")
  func levels() {
    let bench = PoolBench(limit: 4 << 20)
    var queue = SkBuffQueue()
    #expect(bench.pool.limit == 4 << 20 && bench.pool.usedByteCount == 0)
    let ordinary = fill(bench, .ordinary, into: &queue)
    #expect(bench.pool.usedByteCount > 3 << 20 && bench.pool.usedByteCount <= 3 << 20 + 2 * 34000)
    #expect(bench.pool.isExhausted && bench.pool.admits(.guaranteed))
    let guaranteed = fill(bench, .guaranteed, into: &queue)
    #expect(bench.pool.usedByteCount > 7 << 19 && bench.pool.usedByteCount <= 7 << 19 + 2 * 34000)
    #expect(!bench.pool.admits(.guaranteed) && bench.pool.admits(.transit))
    let transit = fill(bench, .transit, into: &queue)
    #expect(bench.pool.allocatedByteCount <= 4 << 20)
    #expect(bench.pool.usedByteCount > 4 << 20 - 3 * 34000)
    // A sixth of the first share each, within a slab of data blocks.
    #expect(abs(guaranteed * 6 - ordinary) < 6 * 70 && abs(transit * 6 - ordinary) < 6 * 140)
    let page = bench.pool.allocatePage() == nil
    #expect(page)
    #expect(bench.pool.refillFragment() == 0)
    #expect(bench.pool.refillFragment(use: .guaranteed) == 0)
  }

  @Test("B4 free pieces are no way round a level: ordinary is refused while used memory is above it")
  func noRatchet() {
    let bench = PoolBench(limit: 2 << 20)
    var kept = SkBuffQueue()
    _ = fill(bench, .ordinary, into: &kept)
    // Packets on their way come and go a hundred times; nothing of what they leave free may be kept.
    for _ in 0..<100 {
      var passing = SkBuffQueue()
      for _ in 0..<100 {
        if let skb = bench.pool.allocate(headroom: 0, linear: 0, use: .transit) { passing.append(skb) }
      }
      #expect(passing.count == 100)
      let refused = bench.pool.allocate(headroom: 0, linear: 0) == nil
      #expect(refused)
    }
  }

  @Test("B4 pressure begins above a half and ends at 3/8, and its beginnings are counted")
  func hysteresis() {
    let bench = PoolBench(limit: 4 << 20)
    var queue = SkBuffQueue()
    func grow(to level: Int) {
      while bench.pool.usedByteCount <= level { queue.append(bench.pool.allocate(headroom: 0, linear: 0)!) }
    }
    func shrink(to level: Int) {
      while bench.pool.usedByteCount > level { _ = queue.popLast() }
    }
    grow(to: 2 << 20 - 2 * 34000)
    #expect(!bench.pool.isUnderPressure && bench.pool.takePressureEntries() == 0)
    grow(to: 2 << 20)
    #expect(bench.pool.isUnderPressure)
    shrink(to: 3 << 19 + 34000)
    #expect(bench.pool.isUnderPressure)
    grow(to: 2 << 20)
    #expect(bench.pool.takePressureEntries() == 1)
    shrink(to: 3 << 19)
    #expect(!bench.pool.isUnderPressure)
    grow(to: 2 << 20)
    #expect(bench.pool.takePressureEntries() == 1 && bench.pool.takePressureEntries() == 0)
  }

  @Test("B4 what one kind of packet filled serves every other kind afterwards, and goes back to the system")
  func kinds() {
    let bench = PoolBench(limit: 8 << 20)
    let start = bench.pool.allocatedByteCount
    #expect(start == 0)
    let fresh = PoolBench(limit: 8 << 20)
    var all = 0
    do {
      var held: [PageBox] = []
      while let page = fresh.pool.allocatePage(large: true, use: .transit) { held.append(PageBox(page)) }
      all = held.count
    }
    #expect(all > 240)
    for round in 0..<3 {
      do {
        var small = SkBuffQueue()
        let count = fill(bench, .transit, into: &small)
        #expect(count > 6000, "round \(round)")
      }
      #expect(bench.pool.usedByteCount == 0)
      var pages = 0
      var held: [PageBox] = []
      while let page = bench.pool.allocatePage(use: .transit) {
        held.append(PageBox(page))
        pages += 1
      }
      #expect(pages > 1900, "round \(round)")
      held = []
      var chunks = 0
      while let page = bench.pool.allocatePage(large: true, use: .transit) {
        held.append(PageBox(page))
        chunks += 1
      }
      // All that a new pool has: spare slabs of the other kinds are given up for it.
      #expect(chunks == all, "round \(round)")
      held = []
      #expect(bench.pool.usedByteCount == 0 && bench.pool.pagesInUse == 0)
      // A sixteenth and what spare slabs pin stay for the next time.
      #expect(bench.pool.allocatedByteCount <= 3 << 20, "round \(round)")
    }
  }

  @Test("B3 long linear areas come from the pool's memory too: none beyond its limit")
  func longLinear() {
    let bench = PoolBench(limit: 1 << 20)
    var queue = SkBuffQueue()
    while var skb = bench.pool.allocate(headroom: 0, linear: SkBuff.smallHeadByteCount, use: .transit) {
      guard skb.expandHead(headroom: 0, tailroom: 60_000) else { break }
      queue.append(skb)
    }
    #expect(queue.count >= 5)
    #expect(bench.pool.allocatedByteCount <= 1 << 20)
  }

  @Test("B4 a load that comes and goes around a slab's edge takes and gives no chunks")
  func noChurn() {
    let bench = PoolBench()
    var queue = SkBuffQueue()
    for _ in 0..<64 { queue.append(bench.pool.allocate(headroom: 0, linear: 0)!) }
    let allocated = bench.pool.allocatedByteCount
    for _ in 0..<100 {
      for _ in 0..<100 { queue.append(bench.pool.allocate(headroom: 0, linear: 0)!) }
      for _ in 0..<100 { _ = queue.popLast() }
    }
    #expect(bench.pool.allocatedByteCount == allocated)
  }

  @Test("B4 waiters for memory are named first come first, each when there is a chunk for it")
  func waiters() {
    let bench = PoolBench(limit: 2 << 20)
    let accounts = (1...4).map { AccountBox(pool: bench.pool, socket: UInt32($0)) }
    var queue = SkBuffQueue()
    _ = fill(bench, .ordinary, into: &queue)
    #expect(!bench.pool.hasMemoryWaiters)
    for account in accounts { account.account.waitForMemory(.ordinary) }
    accounts[0].account.waitForMemory(.ordinary)
    check(bench.pool.hasMemoryWaiters && accounts[2].account.isWaitingForMemory)
    #expect(bench.pool.takeMemoryWaiter(served: 0) == nil)
    // One that goes away, or wants no more, leaves the line.
    accounts[1].account.stopWaiting()
    check(!accounts[1].account.isWaitingForMemory)
    while bench.pool.isExhausted { _ = queue.popLast() }
    for _ in 0..<200 { _ = queue.popLast() }
    #expect(bench.pool.takeMemoryWaiter(served: 0) == 1)
    check(!accounts[0].account.isWaitingForMemory)
    #expect(bench.pool.takeMemoryWaiter(served: 1) == 3)
    #expect(bench.pool.takeMemoryWaiter(served: 40) == nil)
    #expect(bench.pool.hasMemoryWaiters)
    do {
      let gone = SocketAccount(pool: bench.pool, socket: 9)
      gone.waitForMemory(.ordinary)
    }
    #expect(bench.pool.takeMemoryWaiter(served: 0) == 4)
    #expect(bench.pool.takeMemoryWaiter(served: 0) == nil && !bench.pool.hasMemoryWaiters)
  }

  @Test("B4 who wants no more than the guaranteed has a line apart, which moves above the high level too")
  func guaranteedWaiters() {
    let bench = PoolBench(limit: 4 << 20)
    let accounts = (1...4).map { AccountBox(pool: bench.pool, socket: UInt32($0)) }
    var queue = SkBuffQueue()
    _ = fill(bench, .ordinary, into: &queue)
    _ = fill(bench, .guaranteed, into: &queue)
    for account in accounts[..<3] { account.account.waitForMemory(.ordinary) }
    accounts[3].account.waitForMemory(.guaranteed)
    // Another use, another place.
    accounts[1].account.waitForMemory(.guaranteed)
    #expect(bench.pool.takeMemoryWaiter(served: 0) == nil)
    while !accounts[0].account.admitsWriter(.guaranteed) { _ = queue.popLast() }
    check(bench.pool.isExhausted && !accounts[0].account.admitsWriter(.ordinary))
    #expect(bench.pool.takeMemoryWaiter(served: 0) == 4)
    #expect(bench.pool.takeMemoryWaiter(served: 1) == nil)
    #expect(bench.pool.takeMemoryWaiter(served: 0) == 2)
    #expect(bench.pool.takeMemoryWaiter(served: 0) == nil)
    while !accounts[0].account.admitsWriter(.ordinary) { _ = queue.popLast() }
    #expect(bench.pool.takeMemoryWaiter(served: 0) == 1)
    // A writer that is admitted gets an empty segment and a byte for it.
    let segment = bench.pool.allocate(headroom: 192, linear: 0, use: .ordinary)
    check(segment != nil && bench.pool.refillFragment(use: .ordinary) > 0)
  }

  @Test("Q7 sockets that stopped at their small-queue limit go on in the order in which they were freed")
  func pendingOrder() {
    let bench = PoolBench()
    let accounts = (1...3).map { AccountBox(pool: bench.pool, socket: UInt32($0)) }
    var queue = SkBuffQueue()
    for box in accounts {
      var skb = bench.pool.allocate(headroom: 0, linear: 0)!
      skb.chargeWrite(to: box.account, socket: 0)
      box.account.isThrottled = true
      queue.append(skb)
    }
    queue.removeAll()
    #expect(bench.pool.takePending() == 1 && bench.pool.takePending() == 2 && bench.pool.takePending() == 3)
    #expect(bench.pool.takePending() == nil)
  }

  @Test(
    "B3 linearize takes any packet: 64 KiB in one piece, from the system and back",
    arguments: [33_000, 65_535])
  func long(length: Int) {
    let bench = PoolBench()
    do {
      var fragments = Array(repeating: 4096, count: (length - 100) / 4096)
      fragments.append(length - 100 - fragments.count * 4096)
      var skb = bench.packet(linear: 100, fragments: fragments, headroom: 192)
      check(skb.linearize())
      #expect(skb.headLength == length && skb.fragmentCount == 0 && skb.headroom == 192)
      check(skb.bytes == PoolBench.pattern(0..<length))
      #expect(bench.pool.usedByteCount >= 65536)
    }
    #expect(bench.pool.usedByteCount == 0 && bench.pool.pagesInUse == 0)
  }

  @Test("B3 a packet that is longer than any may be is not made linear, and one at the pool's limit neither")
  func tooLong() {
    let bench = PoolBench(limit: 1 << 20)
    var skb = bench.packet(linear: 100, fragments: Array(repeating: 32768, count: 3))
    check(!skb.linearize())
    var fits = bench.packet(linear: 100, fragments: Array(repeating: 32768, count: 2), headroom: 0)
    var rest = SkBuffQueue()
    _ = fill(bench, .transit, into: &rest)
    check(!fits.linearize())
    check(fits.bytes == PoolBench.pattern(0..<65636))
  }
}

/// Holders for values that cannot be copied.
private final class PageBox {
  let page: Page
  init(_ page: consuming Page) { self.page = page }
}
private final class AccountBox {
  let account: SocketAccount
  init(pool: SkBuffPool, socket: UInt32) { account = SocketAccount(pool: pool, socket: socket) }
}
