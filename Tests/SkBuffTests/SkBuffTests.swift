import SkBuff
import Testing
import Wire

@Suite struct SkBuffTests {
  @Test("B1 reserve, put, push and pull move the ends; header marks stay with their bytes")
  func ends() {
    let bench = PoolBench()
    var skb = bench.pool.allocate(headroom: 64, linear: 100)!
    #expect(skb.headroom == 64 && skb.length == 0 && skb.tailroom >= 100)
    skb.put(20)
    skb.fill(PoolBench.pattern(0..<20), at: 0)
    skb.setTransportHeader()
    skb.push(8)
    skb.setNetworkHeader()
    skb.push(14)
    skb.setMACHeader()
    #expect(skb.length == 42 && skb.headroom == 42)
    #expect(skb.macHeaderOffset == 0 && skb.networkHeaderOffset == 14 && skb.transportHeaderOffset == 22)
    skb.pull(22)
    #expect(skb.macHeaderOffset == -22 && skb.networkHeaderOffset == -8 && skb.transportHeaderOffset == 0)
    check(skb.bytes == PoolBench.pattern(0..<20))
  }

  @Test("B1 a header mark lies so many bytes behind the data") func marks() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 40)
    skb.setNetworkHeader(14)
    skb.pull(4)
    #expect(skb.networkHeaderOffset == 10)
  }

  #if os(Linux)
    @Test("B1 push without headroom, pull beyond the linear area and put without tailroom are traps")
    func beyond() async {
      await #expect(processExitsWith: .failure) {
        let bench = PoolBench()
        var skb = bench.packet(linear: 10, headroom: 8)
        skb.push(9)
        skb.pull(9)
      }
      await #expect(processExitsWith: .failure) {
        let bench = PoolBench()
        var skb = bench.packet(linear: 10, fragments: [100])
        skb.pull(11)
        skb.push(11)
      }
      await #expect(processExitsWith: .failure) {
        let bench = PoolBench()
        var skb = bench.packet(linear: 10, fragments: [100])
        skb.put(1)
      }
    }
  #endif

  @Test("B1 a linear area over 672 bytes comes from a page, and goes back")
  func pages() {
    let bench = PoolBench()
    do {
      let small = bench.pool.allocate(headroom: 0, linear: SkBuff.smallHeadByteCount)!
      #expect(bench.pool.pagesInUse == 0 && small.tailroom == SkBuff.smallHeadByteCount)
      let medium = bench.pool.allocate(headroom: 0, linear: 4096)!
      let large = bench.pool.allocate(headroom: 16, linear: 32768 - 16)!
      #expect(bench.pool.pagesInUse == 2)
      #expect(medium.truesize > 4096 && large.truesize > 32768)
      #expect(bench.pool.buffersInUse == 3)
    }
    #expect(bench.pool.pagesInUse == 0 && bench.pool.buffersInUse == 0)
    let tooLarge = bench.pool.allocate(headroom: 0, linear: 32769) == nil
    #expect(tooLarge)
  }

  @Test("B1 17 fragments, no more; each read back in order")
  func fragments() {
    let bench = PoolBench()
    let skb = bench.packet(linear: 10, fragments: Array(repeating: 100, count: 17))
    #expect(skb.fragmentCount == 17 && SkBuff.maximumFragments == 17)
    #expect(skb.length == 1710 && skb.dataLength == 1700 && skb.headLength == 10)
    #expect(skb.tailroom == 0)
    check(skb.bytes == PoolBench.pattern(0..<1710))
  }

  @Test("B2 copies that follow one another in memory grow one fragment, up to the 32 KiB chunk")
  func coalescing() {
    let bench = PoolBench()
    var skb = bench.pool.allocate(headroom: 64, linear: 0)!
    let source = PoolBench.pattern(0..<40000)
    unsafe source.withUnsafeBytes { bytes in
      var iter = unsafe IovIter(source: bytes)
      for _ in 0..<8 {
        let (count, fault) = skb.append(from: &iter, count: 4096)
        precondition(count == 4096 && !fault)
      }
      #expect(skb.fragmentCount == 1 && skb.dataLength == 32768)
      let (count, fault) = skb.append(from: &iter, count: 100_000)
      #expect(count == 7232 && !fault)
      #expect(skb.fragmentCount == 2)
      let nothing = skb.append(from: &iter, count: 0)
      #expect(nothing.byteCount == 0 && !nothing.fault && skb.fragmentCount == 2)
    }
    check(skb.bytes == source)
  }

  @Test("B2 another packet's copy in between starts a new fragment")
  func interleaved() {
    let bench = PoolBench()
    var first = bench.pool.allocate(headroom: 0, linear: 0)!
    var second = bench.pool.allocate(headroom: 0, linear: 0)!
    let source = PoolBench.pattern(0..<300)
    unsafe source.withUnsafeBytes { bytes in
      var iter = unsafe IovIter(source: bytes)
      _ = first.append(from: &iter, count: 100)
      _ = second.append(from: &iter, count: 100)
      _ = first.append(from: &iter, count: 100)
    }
    #expect(first.fragmentCount == 2 && second.fragmentCount == 1)
    check(first.bytes == Array(source[0..<100] + source[200..<300]))
    check(second.bytes == Array(source[100..<200]))
    #expect(bench.pool.pagesInUse == 1)
  }

  @Test("B2 a chunk whose packets have all ended is used from its start again")
  func again() {
    let bench = PoolBench()
    do {
      var skb = bench.pool.allocate(headroom: 0, linear: 0)!
      let source = PoolBench.pattern(0..<30000)
      unsafe source.withUnsafeBytes { bytes in
        var iter = unsafe IovIter(source: bytes)
        #expect(skb.append(from: &iter, count: 30000).byteCount == 30000)
      }
      #expect(bench.pool.refillFragment() == 2768)
    }
    #expect(bench.pool.refillFragment() == 32768 && bench.pool.pagesInUse == 1)
  }

  @Test("B2 with memory short small pages serve what a socket is guaranteed, then 0 bytes and no fault")
  func limit() {
    let bench = PoolBench(limit: 1 << 20)
    let source = [UInt8](repeating: 7, count: 65536)
    var packets = SkBuffQueue()
    var large = 0
    var small = 0
    unsafe source.withUnsafeBytes { bytes in
      for use in [MemoryUse.ordinary, .guaranteed] {
        while var skb = bench.pool.allocate(headroom: 0, linear: 0, use: use) {
          var iter = unsafe IovIter(source: bytes)
          let (count, fault) = skb.append(from: &iter, count: 32768, use: use)
          precondition(!fault)
          if count == 0 { break }
          if count > 4096 { large += 1 } else { small += 1 }
          packets.append(skb)
        }
      }
    }
    // 3/4 of 31 chunks less headers and data blocks; pages of 4 KiB for the next eighth.
    #expect((18...23).contains(large))
    #expect((16...40).contains(small))
    #expect(!bench.pool.admits(.guaranteed) && bench.pool.admits(.transit))
  }

  @Test("B2 a fault adds nothing and leaves the cursor where it was")
  func fault() {
    let bench = PoolBench()
    var skb = bench.pool.allocate(headroom: 0, linear: 0)!
    var vectors = [unsafe IoVector(base: nil, byteCount: 10)]
    unsafe vectors.withUnsafeMutableBufferPointer { buffer in
      var iter = unsafe IovIter(UnsafeBufferPointer(buffer), direction: .source)!
      let result = skb.append(from: &iter, count: 10)
      #expect(result.fault && result.byteCount == 0)
      #expect(iter.count == 10 && skb.length == 0 && skb.fragmentCount == 0)
    }
  }

  @Test("B5 every drop names a reason; reasons are counted")
  func drops() {
    let bench = PoolBench()
    bench.tracer.isEnabled = true
    bench.packet(linear: 10).drop(.qdiscDrop)
    bench.packet(linear: 20).drop(.qdiscDrop)
    bench.packet(linear: 20).drop(.noSocket)
    bench.pool.countDrop(.noMemory)
    #expect(bench.pool.dropCount(.qdiscDrop) == 2)
    #expect(bench.pool.dropCount(.noSocket) == 1)
    #expect(bench.pool.dropCount(.noMemory) == 1)
    #expect(bench.pool.dropCount(.tcpPAWS) == 0)
    #expect(bench.pool.buffersInUse == 0)
    let records = bench.tracer.records(from: 0).records
    #expect(records.count == 3 && records[0].point == .kfree_skb && records[0].b == 10)
    #expect(records.first?.a == UInt64(DropReason.qdiscDrop.rawValue) && DropReason.qdiscDrop.rawValue != 0)
    #expect(records.last?.a == UInt64(DropReason.noSocket.rawValue))
    #expect(DropReason.allCases.count <= 80)
  }
}
