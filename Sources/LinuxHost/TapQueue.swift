import CLinux
import Glibc
import IceModel

/// One queue of a TAP: frames the stack sends come out of the interface, and the reverse. Owns
/// its descriptor; the interface vanishes with the last queue unless it is persistent.
///
/// Each call is one `writev` or `readv` on the vector as it is: no copy, no allocation.
public struct TapQueue: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  /// Takes over a descriptor that `TUNSETIFF` has attached.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Sets the interface back to finished frames with a header of that size in front, as `ip tuntap add` makes it.
  public func takeBackEngines(headerByteCount: Int) {
    // An interface that is gone needs neither.
    _ = clinux_tun_set_offload(descriptor.rawValue, 0)
    _ = clinux_tun_set_header_size(descriptor.rawValue, Int32(clamping: headerByteCount))
  }

  /// Sends one frame, which on a TAP with `IFF_VNET_HDR` begins with the virtio-net header.
  public func write(_ frame: borrowing FrameVector) -> TapIO {
    let number = descriptor.rawValue
    // Safe: FrameSegment is laid out as iovec (checked in the tests) and the vector lives through the call.
    return unsafe frame.withUnsafeSegments { unsafe Self.write(number, $0) }
  }

  /// Sends one frame behind its virtio-net header, in one system call.
  public func write(_ header: VirtioNetHeader, _ frame: borrowing FrameVector) -> TapIO {
    let number = descriptor.rawValue
    var room: (UInt64, UInt32) = (0, 0)
    // Safe: the header's 12 bytes live on this stack frame through the call; see write(_:) for the rest.
    return unsafe withUnsafeMutableBytes(of: &room) { bytes in
      unsafe header.store(to: bytes.baseAddress!)
      let prefix = unsafe FrameSegment(base: bytes.baseAddress!, byteCount: VirtioNetHeader.byteCount)
      return unsafe frame.withUnsafeSegments(prefixedBy: prefix) { unsafe Self.write(number, $0) }
    }
  }

  /// Receives one frame. What does not fit is lost and not reported (tun_put_user truncates), so
  /// the vector must have room for the largest frame the offloads allow.
  public func read(into frame: borrowing FrameVector) -> TapIO {
    let number = descriptor.rawValue
    // Safe: as in write(_:); the segments are writable by FrameVector's own contract.
    return unsafe frame.withUnsafeSegments { unsafe Self.read(number, $0) }
  }

  /// Receives one frame and the virtio-net header before it. `.bytes` counts the 12 header bytes.
  public func read(_ header: inout VirtioNetHeader, into frame: borrowing FrameVector) -> TapIO {
    let number = descriptor.rawValue
    var room: (UInt64, UInt32) = (0, 0)
    // Safe: as in write(_:_:).
    let result = unsafe withUnsafeMutableBytes(of: &room) { bytes in
      let prefix = unsafe FrameSegment(base: bytes.baseAddress!, byteCount: VirtioNetHeader.byteCount)
      let result = unsafe frame.withUnsafeSegments(prefixedBy: prefix) { unsafe Self.read(number, $0) }
      unsafe header = VirtioNetHeader(loadingFrom: UnsafeRawPointer(bytes.baseAddress!))
      return result
    }
    return result
  }

  @unsafe @inline(__always)
  private static func write(_ number: Int32, _ segments: UnsafeBufferPointer<FrameSegment>) -> TapIO {
    let vector = unsafe UnsafeRawPointer(segments.baseAddress!).assumingMemoryBound(to: iovec.self)
    let count = Int32(truncatingIfNeeded: segments.count)
    while true {
      let result = unsafe clinux_writev(number, vector, count)
      if result >= 0 { return .bytes(result) }
      let code = errno
      if code == EINTR { continue }
      return code == EAGAIN ? .wouldBlock : .error(code)
    }
  }

  @unsafe @inline(__always)
  private static func read(_ number: Int32, _ segments: UnsafeBufferPointer<FrameSegment>) -> TapIO {
    let vector = unsafe UnsafeRawPointer(segments.baseAddress!).assumingMemoryBound(to: iovec.self)
    let count = Int32(truncatingIfNeeded: segments.count)
    while true {
      let result = unsafe clinux_readv(number, vector, count)
      if result >= 0 { return .bytes(result) }
      let code = errno
      if code == EINTR { continue }
      return code == EAGAIN ? .wouldBlock : .error(code)
    }
  }
}
