import Control
import Glibc
import LinuxHost
import SwiftStack

/// Who a daemon is once its interfaces are open, and who may talk to it.
public struct DaemonUser: Equatable, Sendable {
  /// Who started it: the user that called sudo, not root.
  let starter: UInt32
  /// Whom it becomes; `nil`: it stays who it is.
  let target: UserIdentity?
  /// Somebody named that user.
  let isNamed: Bool
  /// Why it stays root where it would not.
  let notice: String?

  /// What the choice depends on.
  struct Circumstances {
    var current = geteuid()
    /// `SUDO_UID` and `SUDO_GID`: sudo sets both.
    var sudoUser = Self.number("SUDO_UID")
    var sudoGroup = Self.number("SUDO_GID")
    /// Why the process cannot become a user.
    var obstacle: (UserIdentity) -> String? = { $0.obstacle() }

    private static func number(_ name: String) -> UInt32? {
      // Safe: the string is read before anything changes the environment.
      unsafe getenv(name).flatMap { unsafe UInt32(String(cString: $0)) }
    }
  }

  /// - Parameter wanted: what `--user` says.
  /// - Throws: for a user that is not there, or that the process cannot become.
  public init(wanted: String?) throws { try self.init(wanted: wanted, Circumstances()) }

  init(wanted: String?, _ circumstances: Circumstances) throws {
    let current = circumstances.current
    let sudoer = circumstances.sudoUser.flatMap { $0 == .max ? nil : $0 }
    starter = current == 0 ? sudoer ?? 0 : current
    isNamed = wanted != nil
    if let wanted {
      let named = try UserIdentity.named(wanted)
      target = named.user == current ? nil : named
      notice = nil
      guard let target else { return }
      if current != 0 {
        throw StackError("--user \(wanted): only root can run a stack as somebody else")
      }
      if let reason = circumstances.obstacle(target) {
        throw StackError("--user \(wanted): this process cannot become that user: \(reason)")
      }
      return
    }
    guard current == 0 else {
      (target, notice) = (nil, nil)
      return
    }
    let usual = Self.usual(sudoer, circumstances.sudoGroup)
    let reason = circumstances.obstacle(usual)
    target = reason == nil ? usual : nil
    notice = reason.map {
      "the stack stays root, without capabilities: it cannot become \(usual.name): \($0)"
    }
  }

  /// Whom root's daemon becomes when nobody says: the person at the keyboard, who could have it all anyway; without one, as at
  /// boot, the user who owns nothing.
  private static func usual(_ user: UInt32?, _ group: UInt32?) -> UserIdentity {
    guard let user, user != 0 else {
      return (try? UserIdentity.named("nobody")) ?? UserIdentity(user: 65534, group: 65534, name: "nobody")
    }
    let entry = UserIdentity.entry(ofUser: user)
    return UserIdentity(
      user: user, group: group ?? entry?.group ?? user, name: entry?.name ?? "user \(user)")
  }

  /// Root, who started it, and who it is if somebody named that user: nobody's other processes are not the stack's, and the kernel
  /// calls users that it has no number for so, too.
  var callers: ControlCallers {
    var users: Set<UInt32> = [starter]
    if isNamed, let target { users.insert(target.user) }
    return ControlCallers(users: users)
  }

  /// The socket is the starter's; a user of `--user` has it as a group. What that group's others ask for is refused.
  var access: UnixSocketAccess {
    var access = UnixSocketAccess(user: starter)
    guard isNamed, let target, target.user != starter, target.user != 0 else { return access }
    access.group = target.group
    access.mode = 0o660
    return access
  }
}
