import LinuxHost
import SkBuff

/// How a call touches memory that the caller gives by its address.
public enum MemoryAccess: Sendable {
  /// It is there for as long as it is said to be, as Swift's own memory is; what is not there ends the process.
  case trusted
  /// It may be anything, as the pointers of a program that this stack serves: what cannot be read or written is EFAULT.
  /// Costs a system call for each piece that is copied. Linux: `copy_from_user()`, `copy_to_user()`.
  case checked

  var copyFromUser: UserCopy? {
    switch self {
    case .trusted: nil
    case .checked: unsafe UserMemory.copyFrom
    }
  }
  var copyToUser: UserCopy? {
    switch self {
    case .trusted: nil
    case .checked: unsafe UserMemory.copyTo
    }
  }
}
