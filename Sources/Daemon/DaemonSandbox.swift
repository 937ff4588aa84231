import Glibc
import LinuxHost
import SwiftStack

/// What a daemon gives up once its interfaces are open and before its first thread starts, and who does the rest for it.
///
/// After that it opens no file and makes no socket of Linux's: frames, the control socket, the log and the standard streams are
/// descriptors that it has. What the end takes is the keeper's, which has the lock of the control socket and, for an interface
/// that was there before, a queue of it, a spare /dev/net/tun and a netlink socket.
public struct DaemonSandbox: Sendable {
  let user: DaemonUser
  /// Whether system calls are filtered; debuggers and sanitizers make others.
  let filtersCalls: Bool

  public init(user: DaemonUser, filtersCalls: Bool) {
    self.user = user
    self.filtersCalls = filtersCalls
  }

  /// Starts who cleans up, and leaves it to that.
  func startKeeper(
    of listener: Guarded<UnixListener?>, _ restorations: [HeldRestoration]
  ) throws -> Keeper {
    let lock = listener.withLock { $0?.lockDescriptor }
    let keeper = try Keeper.start(keeping: restorations.flatMap(\.descriptors) + [lock].compactMap(\.self)) {
      try Privileges.drop(keepingNetworkAdmin: !restorations.isEmpty)
      try filter(.keeper)
    } putBack: {
      for restoration in restorations { restoration.apply() }
      listener.withLock { $0?.removePath() }
    }
    for restoration in restorations { restoration.leave() }
    listener.withLock { $0?.leavePath() }
    return keeper
  }

  /// For the process as it is from now on.
  func enter() throws {
    // Read while that can be: the log has times of day. With TZ set the C library does not look at the file again.
    _ = unsafe setenv("TZ", ":/etc/localtime", 0)
    tzset()
    try Privileges.forgo()
    if let target = user.target { try target.become() }
    try Privileges.drop()
    try filter(.daemon)
  }

  private func filter(_ filter: SystemCallFilter) throws {
    guard filtersCalls else { return }
    Signal.restoreCrashDefaults()
    try filter.install()
  }
}
