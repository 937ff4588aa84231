import CLinux
import Glibc

/// What waits in a pipe, looked at before it is taken: nothing is lost that its reader cannot pass on. Linux: tee(2).
public enum PipePages {
  /// The first bytes of a pipe, which stay in it.
  ///
  /// - Parameters:
  ///   - count: 1 or more; no more than a pipe holds come at once.
  ///   - waits: whether to wait for the first byte.
  /// - Returns: the bytes, none at the pipe's end.
  /// - Throws: EINVAL when it is no pipe, EAGAIN when nothing is there, EBADF.
  public static func peek(_ descriptor: Int32, upTo count: Int, waits: Bool) throws(LinuxError) -> [UInt8] {
    let own = try OwnedDescriptor.pipe()
    let shared = retrying { clinux_tee(descriptor, own.second.rawValue, count, waits ? 0 : doesNotWait) }
    guard shared >= 0 else { throw LinuxError(errno, "look at", "the pipe") }
    guard shared > 0 else { return [] }
    var failure: Int32 = 0
    // Safe: as many bytes as were put into the pipe of our own, into memory of the array's that is as long.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: shared) { room, initialized in
      while initialized < shared, let base = room.baseAddress {
        let got = retrying {
          unsafe read(own.first.rawValue, base + initialized, shared - initialized)
        }
        guard got > 0 else {
          failure = errno
          break
        }
        initialized += got
      }
    }
    guard bytes.count == shared else { throw LinuxError(failure, "read", "the pipe") }
    return bytes
  }

  /// Takes bytes that were looked at out of the pipe.
  public static func consume(_ descriptor: Int32, _ count: Int) throws(LinuxError) {
    var left = count
    var scratch = [UInt8](repeating: 0, count: min(count, 1 << 16))
    while left > 0 {
      let got = unsafe scratch.withUnsafeMutableBytes { room in
        retrying { unsafe read(descriptor, room.baseAddress, min(left, room.count)) }
      }
      guard got > 0 else { throw LinuxError(errno, "read", "the pipe") }
      left -= got
    }
  }

  /// Linux: `SPLICE_F_NONBLOCK`.
  private static let doesNotWait: UInt32 = 2

  private static func retrying(_ call: () -> Int) -> Int {
    while true {
      let result = call()
      if result >= 0 || errno != EINTR { return result }
    }
  }
}
