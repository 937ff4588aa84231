import Testing
import Wire

@testable import SkBuff

/// Between the caller's memory and pages, and sums that are made on the way.
@Suite struct PageCopyTests {
  private let bench = PoolBench()

  private func withPage(_ body: (UnsafeMutablePointer<PageHeader>) -> Void) {
    guard let page = bench.pool.allocatePage(large: true, use: .ordinary) else {
      Issue.record("no memory for a page")
      return
    }
    unsafe body(page.header)
  }

  @Test("I4 a range over more than one page walks on, in both directions") func walks() {
    unsafe withPage { page in
      let pattern = (0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      unsafe pattern.withUnsafeBytes { bytes in
        var iter = unsafe IovIter(source: bytes)
        var none: InternetChecksum?
        #expect(unsafe iter.copyPageFrom(page, offset: 5001, count: 9000, sum: &none))
        #expect(iter.count == 0)
      }
      var back = [UInt8](repeating: 0, count: 9000)
      unsafe back.withUnsafeMutableBytes { bytes in
        var iter = unsafe IovIter(destination: bytes)
        #expect(unsafe iter.copyPageTo(page, offset: 5001, count: 9000) == 9000)
      }
      #expect(back == pattern)
    }
  }

  @Test("I4 a range outside its page is refused: nothing is copied") func outside() {
    unsafe withPage { page in
      let size = unsafe Int(page.pointee.byteCount)
      for (offset, count) in [(size, 1), (size - 3, 4), (-1, 1), (size + 1, 0), (0, size + 1), (3, Int.max)] {
        var room = [UInt8](repeating: 9, count: 8)
        unsafe room.withUnsafeMutableBytes { bytes in
          var iter = unsafe IovIter(destination: bytes)
          #expect(unsafe iter.copyPageTo(page, offset: offset, count: count) == 0)
          #expect(iter.count == 8)
        }
        #expect(room == [UInt8](repeating: 9, count: 8))
        unsafe room.withUnsafeBytes { bytes in
          var iter = unsafe IovIter(source: bytes)
          var none: InternetChecksum?
          #expect(unsafe !iter.copyPageFrom(page, offset: offset, count: count, sum: &none))
          #expect(iter.count == 8)
        }
      }
      var one: [UInt8] = [0]
      unsafe one.withUnsafeMutableBytes { bytes in
        var iter = unsafe IovIter(destination: bytes)
        #expect(unsafe iter.copyPageTo(page, offset: size - 1, count: 1) == 1)
      }
    }
  }

  @Test("I4 a packet's fragments are copied where they lie, from any place to any") func packet() {
    guard var skb = bench.pool.allocate(headroom: 0, linear: 10) else {
      Issue.record("no memory for a packet")
      return
    }
    let bytes = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
    unsafe bytes.withUnsafeBytes { source in
      var iter = unsafe IovIter(source: source)
      #expect(skb.put(from: &iter, count: 10))
      while iter.count > 0 { #expect(skb.append(from: &iter, count: iter.count).byteCount > 0) }
    }
    for (offset, count) in [(0, 40_000), (3, 5), (9, 2), (10, 1), (5000, 30_000), (39_999, 1), (40_000, 0)] {
      var room = [UInt8](repeating: 0, count: count)
      unsafe room.withUnsafeMutableBytes { target in
        var iter = unsafe IovIter(destination: target)
        #expect(skb.copyDatagram(from: offset, count: count, to: &iter) == count)
      }
      #expect(room == Array(bytes[offset..<offset + count]))
    }
  }

  @Test(
    "I5 what is copied is summed as what lies there afterwards; zeros are no fault, and a fault leaves the sum alone"
  )
  func sums() {
    unsafe withPage { page in
      for count in [0, 1, 2, 63, 64, 65, 127, 1471, 4097, 9000] {
        let pattern = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 5) }
        var expected = InternetChecksum()
        for (index, byte) in pattern.enumerated() {
          expected.add(index % 2 == 0 ? UInt16(byte) << 8 : UInt16(byte))
        }
        unsafe pattern.withUnsafeBytes { bytes in
          var iter = unsafe IovIter(source: bytes)
          var sum: InternetChecksum? = InternetChecksum()
          #expect(unsafe iter.copyPageFrom(page, offset: 1, count: count, sum: &sum))
          #expect(sum?.partial == expected.partial)
          let copied = unsafe UnsafeRawBufferPointer(start: page.pointee.base + 1, count: count)
          #expect(unsafe copied.elementsEqual(pattern))
        }
      }
      unsafe [UInt8](repeating: 0, count: 100).withUnsafeBytes { bytes in
        var iter = unsafe IovIter(source: bytes)
        var sum: InternetChecksum? = InternetChecksum()
        #expect(unsafe iter.copyPageFrom(page, offset: 0, count: 100, sum: &sum))
        #expect(sum?.partial == 0)
        iter.copiesUntilFault = 1
        iter.revert(50)
        #expect(unsafe !iter.copyPageFrom(page, offset: 0, count: 50, sum: &sum))
        #expect(sum?.partial == 0 && iter.count == 50)
      }
    }
  }

  @Test("I5 a block that is taken away at the end leaves the sum of the rest") func subtraction() {
    var whole = InternetChecksum()
    var rest = InternetChecksum()
    var block = InternetChecksum()
    for word in UInt16(1)...40 {
      whole.add(word &* 9173)
      if word > 30 { block.add(word &* 9173) } else { rest.add(word &* 9173) }
    }
    whole.subtract(block)
    #expect(whole.checksum == rest.checksum)
  }
}
