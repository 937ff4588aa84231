import IceModel
import LinuxHost

/// What a frame's sender leaves to the wire, in the NIC's words and in virtio's.
extension VirtioNetHeader {
  @inline(__always)
  init(_ metadata: WireFrameMetadata) {
    var type = metadata.gsoType.rawValue
    if metadata.isECN { type |= Self.gsoECN }
    // Only what the TAP acts on is set: a stray value makes it refuse the frame.
    if metadata.needsChecksum {
      self.init(
        flags: Self.needsChecksum, gsoType: type, hdrLen: metadata.headerByteCount,
        gsoSize: metadata.gsoSize, csumStart: metadata.checksumStart, csumOffset: metadata.checksumOffset)
    } else {
      self.init(gsoType: type, hdrLen: metadata.headerByteCount, gsoSize: metadata.gsoSize)
    }
  }

  @inline(__always)
  func store(to metadata: inout WireFrameMetadata) {
    metadata.isECN = gsoType & Self.gsoECN != 0
    metadata.gsoType = WireFrameMetadata.GSOType(rawValue: gsoType & ~Self.gsoECN) ?? .none
    metadata.gsoSize = gsoSize
    metadata.headerByteCount = hdrLen
    metadata.needsChecksum = flags & Self.needsChecksum != 0
    metadata.isDataValid = flags & Self.dataValid != 0
    metadata.checksumStart = csumStart
    metadata.checksumOffset = csumOffset
  }
}
