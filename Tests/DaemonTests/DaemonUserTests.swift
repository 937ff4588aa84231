import Control
import Glibc
import LinuxHost
import SwiftStack
import Testing

@testable import Daemon

/// Who a daemon becomes, and who may talk to it.
@Suite struct DaemonUserTests {
  static func user(
    _ wanted: String? = nil, current: UInt32 = 0, sudo: UInt32? = nil, group: UInt32? = nil,
    obstacle: String? = nil
  ) throws -> DaemonUser {
    var circumstances = DaemonUser.Circumstances()
    circumstances.current = current
    circumstances.sudoUser = sudo
    circumstances.sudoGroup = group
    circumstances.obstacle = { _ in obstacle }
    return try DaemonUser(wanted: wanted, circumstances)
  }

  @Test("by sudo: the user that called it, with that group; the socket is that user's")
  func sudo() throws {
    let user = try Self.user(sudo: 3_999_999_999, group: 1234)
    #expect(user.target == UserIdentity(user: 3_999_999_999, group: 1234, name: "user 3999999999"))
    #expect(user.callers.users == [0, 3_999_999_999])
    #expect(user.access == UnixSocketAccess(user: 3_999_999_999, mode: 0o600) && user.notice == nil)
    #expect(try Self.user(sudo: 3_999_999_999).target?.group == 3_999_999_999)
  }

  @Test(
    "by root itself, also through sudo: nobody, whose other processes are not served", arguments: [nil, 0])
  func root(sudo: UInt32?) throws {
    let user = try Self.user(sudo: sudo, group: sudo)
    #expect(user.target?.name == "nobody" && user.target?.user == 65534)
    #expect(user.callers.users == [0] && user.access == UnixSocketAccess(user: 0, mode: 0o600))
  }

  @Test("--user: that user, who is served; the socket is the group's too, beside who started it")
  func named() throws {
    let user = try Self.user("3999999998", sudo: 3_999_999_999, group: 7)
    #expect(user.target?.user == 3_999_999_998 && user.target?.group == 3_999_999_998)
    #expect(user.callers.users == [0, 3_999_999_998, 3_999_999_999])
    #expect(user.access == UnixSocketAccess(user: 3_999_999_999, group: 3_999_999_998, mode: 0o660))
    let own = try Self.user("3999999999", sudo: 3_999_999_999)
    #expect(own.access.mode == 0o600 && own.callers.users == [0, 3_999_999_999])
  }

  @Test("--user root stays root") func staying() throws {
    let user = try Self.user("root", sudo: 3_999_999_999)
    #expect(user.target == nil && user.notice == nil && user.callers.users == [0, 3_999_999_999])
  }

  @Test("a user other than root stays, and can be nobody else") func unprivileged() throws {
    let user = try Self.user(current: 3_999_999_999, sudo: 5, obstacle: "CAP_SETUID is missing")
    #expect(user.target == nil && user.notice == nil && user.callers.users == [0, 3_999_999_999])
    #expect(user.access.user == 3_999_999_999 && user.access.mode == 0o600)
    #expect(try Self.user("3999999999", current: 3_999_999_999).target == nil)
    let error = #expect(throws: StackError.self) { try Self.user("root", current: 3_999_999_999) }
    #expect(error?.description.contains("only root") == true)
  }

  @Test("where it cannot become anybody: it stays and says so, unless somebody was named") func obstacle()
    throws
  {
    let user = try Self.user(obstacle: "CAP_SETUID is missing")
    #expect(user.target == nil && user.callers.users == [0])
    #expect(user.notice?.contains("nobody") == true && user.notice?.contains("CAP_SETUID") == true)
    let error = #expect(throws: StackError.self) {
      try Self.user("nobody", obstacle: "CAP_SETUID is missing")
    }
    #expect(error?.description.contains("CAP_SETUID is missing") == true)
  }

  @Test("a name that nobody has") func unknown() {
    #expect(throws: LinuxError.self) { try Self.user("no-such-user-here") }
  }
}
