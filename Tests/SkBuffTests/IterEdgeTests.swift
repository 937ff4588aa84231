import Testing
import Wire

@testable import SkBuff

@Suite("I1 I3 I8 I9 the cursor's edges")
struct IterEdgeTests {
  @Test("I8 a copy of more than INT_MAX bytes is refused whole")
  func tooLong() {
    let bytes: [UInt8] = [1, 2, 3]
    let start = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
    defer { unsafe start.deallocate() }
    unsafe bytes.withUnsafeBytes { source in
      var iter = unsafe IovIter(source: source)
      // Nothing is touched: the memory is not as long as it is said to be.
      let long = unsafe UnsafeMutableRawBufferPointer(start: start, count: Int(Int32.max) + 1)
      #expect(unsafe iter.copyFrom(into: long) == 0 && iter.count == 3)
      #expect(unsafe !iter.copyFromFull(into: long))
      let most = unsafe UnsafeMutableRawBufferPointer(start: start, count: Int(Int32.max))
      #expect(unsafe iter.copyFrom(into: most) == 3)
    }
    unsafe bytes.withUnsafeBytes { source in
      var iter = unsafe IovIter(destination: UnsafeMutableRawBufferPointer(start: start, count: 8))
      let long = unsafe UnsafeRawBufferPointer(start: source.baseAddress, count: Int(Int32.max) + 1)
      #expect(unsafe iter.copyTo(from: long) == 0 && iter.count == 8)
    }
  }

  @Test("I1 I7 a list of pages: copied, advanced over, reverted, empty slices included")
  func slices() {
    let memory = ExternalMemory(copying: Array(0..<10))
    let slices = [memory[2..<4]!, memory[5..<5]!, memory[0..<1]!, memory[7..<10]!]
    unsafe slices.withUnsafeBufferPointer { list in
      var iter = unsafe IovIter(list)
      #expect(iter.count == 6 && iter.isLendable)
      var room = [UInt8](repeating: 0, count: 6)
      let copied = unsafe room.withUnsafeMutableBytes { unsafe iter.copyFrom(into: $0) }
      #expect(copied == 6 && room == [2, 3, 0, 7, 8, 9] && iter.count == 0)
      iter.revert(4)
      var rest = [UInt8](repeating: 0, count: 4)
      #expect(
        unsafe rest.withUnsafeMutableBytes { unsafe iter.copyFromFull(into: $0) } && rest == [0, 7, 8, 9])
      iter.revert(6)
      iter.advance(3)
      #expect(unsafe rest.withUnsafeMutableBytes { unsafe iter.copyFrom(into: $0) } == 3)
      #expect(Array(rest[..<3]) == [7, 8, 9])
    }
  }

  @Test("I4 a range outside of its memory is refused")
  func outside() {
    let memory = ExternalMemory(copying: Array(0..<10))
    for (offset, count) in [(-1, 1), (0, -1), (0, 11), (10, 1), (11, 0), (1, Int.max)] {
      #expect(MemorySlice(memory, offset: offset, byteCount: count) == nil)
    }
    #expect(MemorySlice(memory, offset: 10, byteCount: 0) != nil)
  }

  @Test(
    "I1 pages that only a device reads give no bytes: the ones before them are copied, the rest is a fault")
  func unreadable() {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
    defer { unsafe bytes.deallocate() }
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 7)
    let device = unsafe ExternalMemory(bytes: bytes, isReadable: false) {}
    let slices = [ExternalMemory(copying: [1, 2, 3]).slice, device.slice]
    unsafe slices.withUnsafeBufferPointer { list in
      var iter = unsafe IovIter(list)
      var room = [UInt8](repeating: 0, count: 11)
      #expect(unsafe room.withUnsafeMutableBytes { unsafe iter.copyFrom(into: $0) } == 3)
      #expect(iter.count == 8 && iter.isUnreadable && room == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0])
    }
  }

  @Test("I3 put into the linear area is all or nothing: after a fault packet and cursor are as they were")
  func put() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 10)
    var bytes: [UInt8] = [1, 2, 3]
    unsafe bytes.withUnsafeMutableBytes { memory in
      let vectors = unsafe [
        IoVector(base: memory.baseAddress, byteCount: 3), IoVector(base: nil, byteCount: 5),
      ]
      unsafe vectors.withUnsafeBufferPointer { list in
        var iter = unsafe IovIter(list, direction: .source)!
        #expect(!skb.put(from: &iter, count: 8))
        #expect(iter.position == 0 && skb.length == 10 && skb.headLength == 10)
        #expect(skb.put(from: &iter, count: 3))
      }
    }
    check(skb.bytes == PoolBench.pattern(0..<10) + [1, 2, 3])
  }

  @Test("I3 I9 a look at the first bytes takes none of them, and is no copy that can fail")
  func look() {
    let bytes: [UInt8] = [5, 6, 7, 8]
    unsafe bytes.withUnsafeBytes { source in
      var iter = unsafe IovIter(source: source)
      iter.advance(1)
      iter.copiesUntilFault = 2
      #expect(iter.firstBytes(2) == [6, 7] && iter.firstBytes(9) == [6, 7, 8])
      #expect(iter.position == 1 && iter.copiesUntilFault == 2)
    }
  }

  @Test("I9 the n-th copy fails and no other; one of no bytes is not counted")
  func injection() {
    let bytes: [UInt8] = [5, 6, 7, 8]
    var room: [UInt8] = [0, 0]
    unsafe bytes.withUnsafeBytes { source in
      var iter = unsafe IovIter(source: source)
      iter.copiesUntilFault = 2
      unsafe room.withUnsafeMutableBytes { target in
        #expect(unsafe iter.copyFrom(into: UnsafeMutableRawBufferPointer(start: nil, count: 0)) == 0)
        #expect(unsafe iter.copyFrom(into: target) == 2)
        #expect(unsafe iter.copyFrom(into: target) == 0 && iter.position == 2)
        #expect(unsafe iter.copyFrom(into: target) == 2)
      }
    }
    #expect(room == [7, 8])
  }

  @Test("I8 one buffer and a discard are clamped to 0x7ffff000 as vectors are")
  func clamped() {
    #expect(IovIter(discarding: .max).count == 0x7fff_f000)
    // Nothing is touched: the memory is not as long as it is said to be.
    let start = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
    defer { unsafe start.deallocate() }
    let long = unsafe UnsafeMutableRawBufferPointer(start: start, count: 0x8000_0000)
    #expect(unsafe IovIter(destination: long).count == 0x7fff_f000)
    #expect(unsafe IovIter(source: UnsafeRawBufferPointer(long)).count == 0x7fff_f000)
  }

  @Test("I8 a copy of more than INT_MAX bytes that is summed touches nothing")
  func tooLongSummed() {
    let bytes: [UInt8] = [1, 2, 3]
    let start = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
    defer { unsafe start.deallocate() }
    unsafe start.storeBytes(of: 0, as: UInt64.self)
    unsafe bytes.withUnsafeBytes { source in
      var iter = unsafe IovIter(source: source)
      var sum = InternetChecksum()
      let long = unsafe UnsafeMutableRawBufferPointer(start: start, count: Int(Int32.max) + 1)
      #expect(unsafe !iter.copyFromFull(into: long, sum: &sum) && iter.count == 3)
    }
    #expect(unsafe start.load(as: UInt64.self) == 0)
  }
}
