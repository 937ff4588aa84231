import SkBuff
import Testing
import Wire

@Suite struct IovIterTests {
  /// Calls `body` with a cursor over segments of the given lengths that hold the pattern in order; -1 is a segment of 10
  /// bytes that cannot be touched.
  private func withSegments(
    _ lengths: [Int], _ direction: IterDirection, _ body: (inout IovIter) -> Void
  ) -> [UInt8] {
    let total = lengths.reduce(0) { $0 + max(0, $1) }
    var memory = direction == .source ? PoolBench.pattern(0..<total) : [UInt8](repeating: 0, count: total)
    unsafe memory.withUnsafeMutableBytes { bytes in
      var vectors: [IoVector] = []
      var offset = 0
      for length in lengths {
        if length < 0 {
          vectors.append(unsafe IoVector(base: nil, byteCount: 10))
        } else {
          vectors.append(
            unsafe IoVector(base: bytes.baseAddress.map { unsafe $0 + offset }, byteCount: length))
          offset += length
        }
      }
      unsafe vectors.withUnsafeBufferPointer { buffer in
        var iter = unsafe IovIter(buffer, direction: direction)!
        body(&iter)
      }
    }
    return memory
  }

  private func copy(_ iter: inout IovIter, _ count: Int) -> [UInt8] {
    var target = [UInt8](repeating: 0xEE, count: count)
    let done = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFrom(into: $0) }
    return Array(target[0..<done])
  }

  @Test("I1 one buffer and a vector of buffers, empty segments included, read the same")
  func sources() {
    for lengths in [[100], [10, 90], [0, 1, 0, 0, 98, 1, 0], [50, 0, 50]] {
      _ = withSegments(lengths, .source) { iter in
        #expect(iter.count == 100)
        let first = copy(&iter, 33)
        let rest = copy(&iter, 200)
        check(first == PoolBench.pattern(0..<33) && rest == PoolBench.pattern(33..<100))
        #expect(iter.count == 0 && iter.position == 100)
      }
    }
    let bytes = PoolBench.pattern(0..<100)
    unsafe bytes.withUnsafeBytes { buffer in
      var iter = unsafe IovIter(source: buffer)
      let all = copy(&iter, 100)
      #expect(all == bytes)
    }
  }

  @Test("I1 discard swallows bytes; an empty cursor gives none")
  func discard() {
    var iter = IovIter(discarding: 60)
    let bytes = PoolBench.pattern(0..<100)
    let done = unsafe bytes.withUnsafeBytes { unsafe iter.copyTo(from: $0) }
    #expect(done == 60 && iter.count == 0)
    var empty = unsafe IovIter(source: UnsafeRawBufferPointer(start: nil, count: 0))
    let none = copy(&empty, 10)
    #expect(none.isEmpty)
  }

  @Test("I3 a fault gives a partial count; the full form reverts to where it was")
  func faults() {
    _ = withSegments([20, -1, 20], .source) { iter in
      #expect(iter.count == 50)
      let part = copy(&iter, 50)
      #expect(part == PoolBench.pattern(0..<20) && iter.count == 30)
      iter.revert(15)
      var target = [UInt8](repeating: 0, count: 30)
      let whole = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0) }
      #expect(!whole && iter.position == 5)
      var few = [UInt8](repeating: 0, count: 15)
      let fits = unsafe few.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0) }
      #expect(fits && few == PoolBench.pattern(5..<20))
    }
  }

  @Test("I3 the full form with fewer bytes than asked is all or nothing too")
  func short() {
    _ = withSegments([5, 5], .source) { iter in
      var target = [UInt8](repeating: 0, count: 11)
      let whole = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0) }
      #expect(!whole && iter.count == 10 && iter.position == 0)
    }
  }

  @Test("I4 copy_to_iter fills segments in order and stops at the end of the room")
  func destination() {
    let memory = withSegments([3, 0, 40, 7], .destination) { iter in
      let bytes = PoolBench.pattern(0..<200)
      let first = unsafe bytes.withUnsafeBytes {
        unsafe iter.copyTo(from: UnsafeRawBufferPointer(rebasing: $0[0..<10]))
      }
      let rest = unsafe bytes.withUnsafeBytes {
        unsafe iter.copyTo(from: UnsafeRawBufferPointer(rebasing: $0[10..<200]))
      }
      #expect(first == 10 && rest == 40 && iter.count == 0)
    }
    check(memory == PoolBench.pattern(0..<50))
  }

  @Test("I4 a packet's bytes go out across linear area and fragments; a short room gives a short count")
  func datagram() {
    let bench = PoolBench()
    let skb = bench.packet(linear: 30, fragments: [50, 20])
    let memory = withSegments([25, 60], .destination) { iter in
      let copied = skb.copyDatagram(from: 10, count: 85, to: &iter)
      #expect(copied == 85)
    }
    check(memory == PoolBench.pattern(10..<95))
    // The room ends in the linear area, and in a fragment.
    for room in [8, 38] {
      _ = withSegments([7, room], .destination) { iter in
        let copied = skb.copyDatagram(from: 0, count: 100, to: &iter)
        #expect(copied == 7 + room && iter.count == 0)
      }
    }
  }

  /// RFC 1071 over the pattern.
  private func reference(_ range: Range<Int>) -> UInt32 {
    var sum: UInt32 = 0
    for (index, byte) in PoolBench.pattern(range).enumerated() {
      sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte)
    }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return sum
  }

  @Test("I5 buffers of odd lengths are summed as the one block that they become") func oddBuffers() {
    for lengths in [[1, 1, 1], [3, 5, 92], [1, 0, 998, 1, 7], [2, 3, 4]] {
      let count = lengths.reduce(0, +)
      _ = withSegments(lengths, .source) { iter in
        var target = [UInt8](repeating: 0, count: count)
        var sum = InternetChecksum()
        let whole = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0, sum: &sum) }
        check(whole && target == PoolBench.pattern(0..<count))
        #expect(UInt32(sum.partial) == reference(0..<count))
      }
    }
  }

  @Test("I5 copy and sum in one pass, odd lengths across the 4 KiB pieces; nothing taken on a fault")
  func checksum() {
    for count in [0, 1, 4095, 4096, 4097, 9001] {
      _ = withSegments([17, count], .source) { iter in
        iter.advance(17)
        var target = [UInt8](repeating: 0, count: count)
        var sum = InternetChecksum()
        let whole = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0, sum: &sum) }
        check(whole && target == PoolBench.pattern(17..<17 + count))
        #expect(UInt32(sum.partial) == reference(17..<17 + count))
      }
    }
    _ = withSegments([5000, -1], .source) { iter in
      var target = [UInt8](repeating: 0, count: 5010)
      var sum = InternetChecksum()
      let whole = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0, sum: &sum) }
      #expect(!whole && iter.position == 0 && sum.partial == 0)
    }
  }

  @Test("I7 advance and revert to every place, across empty segments")
  func cursor() {
    let lengths = [0, 3, 0, 0, 5, 1, 0, 2, 0]
    _ = withSegments(lengths, .source) { iter in
      for there in 0...11 {
        for back in 0...11 {
          iter.advance(there)
          iter.revert(there)
          iter.advance(back)
          let rest = copy(&iter, 11)
          check(rest == PoolBench.pattern(back..<11))
          iter.revert(11)
          #expect(iter.position == 0 && iter.count == 11)
        }
      }
    }
  }

  #if os(Linux)
    @Test("I7 reverting past the start is a trap")
    func revertTrap() async {
      await #expect(processExitsWith: .failure) {
        var iter = IovIter(discarding: 10)
        iter.advance(4)
        iter.revert(5)
      }
    }

    @Test("I7 advancing past the end is a trap")
    func advanceTrap() async {
      await #expect(processExitsWith: .failure) {
        var iter = IovIter(discarding: 10)
        iter.advance(4)
        iter.advance(7)
      }
    }

    @Test("I7 reverting by less than nothing is a trap")
    func negativeTrap() async {
      await #expect(processExitsWith: .failure) {
        var iter = IovIter(discarding: 10)
        iter.advance(4)
        iter.revert(-1)
      }
    }

    @Test("I2 summing what is only to be filled is refused")
    func summedDirection() async {
      await #expect(processExitsWith: .failure) {
        var iter = IovIter(discarding: 10)
        var byte: UInt8 = 0
        var sum = InternetChecksum()
        _ = unsafe withUnsafeMutableBytes(of: &byte) { unsafe iter.copyFromFull(into: $0, sum: &sum) }
      }
    }

    @Test("I2 copying against the direction is refused")
    func direction() async {
      await #expect(processExitsWith: .failure) {
        var iter = IovIter(discarding: 10)
        var byte: UInt8 = 0
        _ = unsafe withUnsafeMutableBytes(of: &byte) { unsafe iter.copyFrom(into: $0) }
      }
    }

    @Test("I2 filling what is only to be read is refused")
    func intoSource() async {
      await #expect(processExitsWith: .failure) {
        var byte: UInt8 = 0
        unsafe withUnsafeBytes(of: &byte) { bytes in
          var iter = unsafe IovIter(source: bytes)
          _ = unsafe iter.copyTo(from: bytes)
        }
      }
    }
  #endif

  @Test("I8 a negative length is refused, the total is clamped to 0x7ffff000")
  func sizes() {
    var byte: UInt8 = 0
    unsafe withUnsafeMutableBytes(of: &byte) { bytes in
      let negative = [unsafe IoVector(base: bytes.baseAddress, byteCount: -1)]
      let refused = unsafe negative.withUnsafeBufferPointer { unsafe IovIter($0, direction: .source) == nil }
      #expect(refused)
      let huge = [
        unsafe IoVector(base: bytes.baseAddress, byteCount: .max),
        unsafe IoVector(base: bytes.baseAddress, byteCount: .max),
      ]
      let count = unsafe huge.withUnsafeBufferPointer { unsafe IovIter($0, direction: .source)?.count }
      #expect(count == 0x7fff_f000)
    }
  }

  @Test("S1 I5 what is copied with care is summed as well; all or nothing")
  func carefully() {
    let bytes = PoolBench.pattern(0..<101)
    var expected = InternetChecksum()
    // Safe: a byte has no padding.
    expected.add(unsafe bytes.span.bytes)
    unsafe bytes.withUnsafeBytes { buffer in
      var iter = unsafe IovIter(source: buffer)
      unsafe iter.userCopy = { target, source, count in
        // As if the memory ended behind the first 101 bytes that are asked for.
        let there = min(count, 101)
        unsafe target.copyMemory(from: source, byteCount: there)
        return there
      }
      var target = [UInt8](repeating: 0, count: 101)
      var sum = InternetChecksum()
      let isWhole = unsafe target.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0, sum: &sum) }
      #expect(isWhole && target == bytes && sum.checksum == expected.checksum)
    }
  }
}
