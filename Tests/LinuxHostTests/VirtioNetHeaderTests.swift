import Glibc
import IceModel
import Testing

@testable import LinuxHost

@Suite("D13 virtio-net header") struct VirtioNetHeaderTests {
  /// virtio 1.2 section 5.1.6, laid out by hand: a TSO frame of 1448-byte segments, ECN, partial checksum.
  static let golden: [UInt8] = [
    0x01,  // NEEDS_CSUM
    0x81,  // GSO_TCPV4 | GSO_ECN
    0x42, 0x00,  // hdr_len 66
    0xA8, 0x05,  // gso_size 1448
    0x22, 0x00,  // csum_start 34
    0x10, 0x00,  // csum_offset 16
    0x00, 0x00,  // num_buffers
  ]
  static let header = VirtioNetHeader(
    flags: VirtioNetHeader.needsChecksum, gsoType: VirtioNetHeader.gsoTCPv4 | VirtioNetHeader.gsoECN,
    hdrLen: 66,
    gsoSize: 1448, csumStart: 34, csumOffset: 16)

  @Test("stores the bytes of virtio 1.2 section 5.1.6, clearing num_buffers") func store() {
    var bytes = [UInt8](repeating: 0xFF, count: 14)
    unsafe bytes.withUnsafeMutableBytes { unsafe Self.header.store(to: $0.baseAddress! + 1) }
    #expect(bytes == [0xFF] + Self.golden + [0xFF])
  }

  @Test("loads them back, from a span and from unaligned memory") func load() {
    #expect(VirtioNetHeader(loadingFrom: Self.golden.rawBytes) == Self.header)
    let shifted = [0xEE] + Self.golden
    let loaded = unsafe shifted.withUnsafeBytes { unsafe VirtioNetHeader(loadingFrom: $0.baseAddress! + 1) }
    #expect(loaded == Self.header)
  }

  @Test("does not load from fewer than 12 bytes") func short() {
    #expect(VirtioNetHeader(loadingFrom: Array(Self.golden.prefix(11)).rawBytes) == nil)
  }

  @Test("FrameSegment is laid out as struct iovec") func segmentLayout() {
    let segment: [Int?] = unsafe [
      MemoryLayout<FrameSegment>.size, MemoryLayout<FrameSegment>.stride,
      MemoryLayout<FrameSegment>.offset(of: \.base), MemoryLayout<FrameSegment>.offset(of: \.byteCount),
    ]
    let vector: [Int?] = unsafe [
      MemoryLayout<iovec>.size, MemoryLayout<iovec>.stride, MemoryLayout<iovec>.offset(of: \.iov_base),
      MemoryLayout<iovec>.offset(of: \.iov_len),
    ]
    #expect(segment == vector)
  }
}
