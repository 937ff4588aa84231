import IceModel
import LinuxHost
import Testing

@testable import SwiftStack

/// What a frame leaves to the wire, in the NIC's words and in virtio's (virtio 1.2 section 5.1.6).
@Suite("D13 what is left to the wire, as virtio says it") struct VirtioMetadataTests {
  private func bytes(_ metadata: WireFrameMetadata) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: 12)
    unsafe bytes.withUnsafeMutableBytes { unsafe VirtioNetHeader(metadata).store(to: $0.baseAddress!) }
    return bytes
  }

  @Test("constants: flags 1 and 2; types 0, 1, 4, 5; ECN 0x80; 12 bytes") func constants() {
    #expect(VirtioNetHeader.byteCount == 12)
    #expect([VirtioNetHeader.needsChecksum, VirtioNetHeader.dataValid] == [1, 2])
    #expect(
      [
        VirtioNetHeader.gsoNone, VirtioNetHeader.gsoTCPv4, VirtioNetHeader.gsoTCPv6, VirtioNetHeader.gsoUDPL4,
        VirtioNetHeader.gsoECN,
      ] == [0, 1, 4, 5, 0x80])
    let types: [WireFrameMetadata.GSOType] = [.none, .tcpv4, .tcpv6, .udpL4]
    #expect(types.map(\.rawValue) == [0, 1, 4, 5])
  }

  @Test("out: a large TCP frame with ECN; a datagram to cut; a frame that is complete") func outgoing() {
    var metadata = WireFrameMetadata()
    metadata.gsoType = .tcpv4
    metadata.isECN = true
    metadata.gsoSize = 1448
    metadata.headerByteCount = 66
    metadata.needsChecksum = true
    metadata.checksumStart = 34
    metadata.checksumOffset = 16
    #expect(bytes(metadata) == [1, 0x81, 66, 0, 0xA8, 5, 34, 0, 16, 0, 0, 0])
    metadata.gsoType = .udpL4
    metadata.isECN = false
    metadata.checksumOffset = 6
    #expect(bytes(metadata) == [1, 5, 66, 0, 0xA8, 5, 34, 0, 6, 0, 0, 0])
    // The TAP looks at the place of a checksum only when one is wanted, and refuses one that is out of place.
    metadata = WireFrameMetadata()
    metadata.checksumStart = 34
    metadata.checksumOffset = 6
    #expect(bytes(metadata) == [UInt8](repeating: 0, count: 12))
  }

  @Test("in: flags, type without ECN, and unknown types as none") func incoming() {
    func metadata(_ flags: UInt8, _ type: UInt8) -> WireFrameMetadata {
      var metadata = WireFrameMetadata()
      VirtioNetHeader(flags: flags, gsoType: type, hdrLen: 54, gsoSize: 1460, csumStart: 34, csumOffset: 16)
        .store(to: &metadata)
      return metadata
    }
    let large = metadata(1, 0x81)
    #expect(large.needsChecksum && !large.isDataValid && large.gsoType == .tcpv4 && large.isECN)
    #expect(large.gsoSize == 1460 && large.checksumStart == 34 && large.checksumOffset == 16)
    let valid = metadata(2, 5)
    #expect(!valid.needsChecksum && valid.isDataValid && valid.gsoType == .udpL4 && !valid.isECN)
    for type: UInt8 in [2, 3, 6, 0x40, 0x7F] { #expect(metadata(0, type).gsoType == .none, "\(type)") }
    #expect(metadata(0, 4).gsoType == .tcpv6)
  }
}
