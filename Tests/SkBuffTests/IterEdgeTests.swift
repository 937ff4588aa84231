import Testing

@testable import SkBuff

@Suite("I1 I8 the cursor's edges")
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
      #expect(iter.count == 6 && iter.isLendable && iter.isAccessible)
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
}
