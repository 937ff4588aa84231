import IceModel
import Testing

@Suite struct FrameVectorTests {
  @Test("D11 Adjacent memory merges, the rest does not; a full vector refuses")
  func merging() {
    var bytes = (0..<100).map { UInt8($0) }
    unsafe bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      var vector = FrameVector(capacity: 2)
      #expect(unsafe vector.append(base, byteCount: 10))
      #expect(unsafe vector.append(base + 10, byteCount: 5))
      #expect(vector.count == 1)
      #expect(unsafe vector.append(base + 50, byteCount: 2))
      #expect(unsafe vector.append(base + 60, byteCount: 0))
      #expect(unsafe !vector.append(base + 70, byteCount: 1))
      #expect(vector.count == 2 && vector.byteCount == 17)
      #expect(vector.bytes == Array(0..<15) + [50, 51])
      let prefixed = unsafe vector.withUnsafeSegments(
        prefixedBy: FrameSegment(base: base + 90, byteCount: 3)
      ) { segments in
        unsafe segments.map { $0.byteCount }
      }
      #expect(prefixed == [3, 15, 2])
      #expect(vector.count == 2)
      vector.removeAll()
      #expect(vector.count == 0 && vector.bytes.isEmpty)
      #expect(unsafe vector.appendSegment(base, byteCount: 4))
      #expect(unsafe vector.appendSegment(base + 4, byteCount: 4))
      #expect(vector.count == 2)
    }
  }

  @Test("D11 A segment is laid out as struct iovec")
  func layout() {
    #expect(MemoryLayout<FrameSegment>.size == 16)
    #expect(MemoryLayout<FrameSegment>.offset(of: \.byteCount) == 8)
  }
}
