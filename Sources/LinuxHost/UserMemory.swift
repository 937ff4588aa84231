import CLinux

/// Copies that the kernel makes for us, so that an address of which nothing is known is looked at by it: where there is no
/// memory, fewer bytes are copied than asked for, and the process lives.
@safe
public enum UserMemory {
  /// Safety: the target has room for so many bytes; the source may be any address.
  @unsafe public static let copyFrom: @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer, Int) -> Int =
    { unsafe clinux_copy_from_user($0, $1, $2) }

  /// Safety: there are so many bytes at the source. The target may be any address, but what is there is overwritten.
  @unsafe public static let copyTo: @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer, Int) -> Int = {
    unsafe clinux_copy_to_user($0, $1, $2)
  }
}
