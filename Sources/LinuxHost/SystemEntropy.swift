import CLinux
import Glibc

/// The kernel's random source, getrandom(2). Blocks only before the pool is first seeded.
public enum SystemEntropy {
  /// Fills every byte.
  public static func fill(_ bytes: inout MutableRawSpan) {
    // Safe: base and count are the caller's span; the shim writes within them.
    unsafe bytes.withUnsafeMutableBytes { room in
      var filled = 0
      while filled < room.count {
        let result = unsafe clinux_getrandom(room.baseAddress! + filled, room.count - filled, 0)
        if result < 0 && errno == EINTR { continue }
        precondition(result > 0, "getrandom(2) cannot fail for a valid buffer once the pool is seeded")
        filled += result
      }
    }
  }

  /// 64 random bits: hash keys, secrets, seeds.
  public static func next() -> UInt64 {
    var value: UInt64 = 0
    // Safe: the eight bytes are the local variable's own.
    unsafe withUnsafeMutableBytes(of: &value) { room in
      var span = unsafe MutableRawSpan(_unsafeBytes: room)
      fill(&span)
    }
    return value
  }
}
