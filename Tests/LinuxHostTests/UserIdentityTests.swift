import CLinux
import Glibc
import Testing

@testable import LinuxHost
@testable import SwiftStack

@Suite("Users, and what they may") struct UserIdentityTests {
  @Test("by name, by number, by a number without a name") func named() throws {
    #expect(try UserIdentity.named("root") == UserIdentity(user: 0, group: 0, name: "root"))
    #expect(try UserIdentity.named("0").name == "root")
    let unknown = try UserIdentity.named("3999999999")
    #expect(unknown == UserIdentity(user: 3_999_999_999, group: 3_999_999_999, name: "user 3999999999"))
    // -1 means "as it was" to setresuid(2).
    for text in ["no-such-user-here", "", "-1", "4294967295", "1x"] {
      let error = #expect(throws: LinuxError.self) { _ = try UserIdentity.named(text) }
      #expect(error?.description.contains("no user of that name") == true, "\(text)")
    }
  }

  @Test("a user namespace's map: which numbers are known inside") func maps() {
    let whole = "         0          0 4294967295\n"
    #expect(UserIdentity.maps(whole, 0) && UserIdentity.maps(whole, 65534))
    let own = "         0       1000          1\n"
    #expect(UserIdentity.maps(own, 0) && !UserIdentity.maps(own, 1) && !UserIdentity.maps(own, 1000))
    let several = "0 1000 1\n1 100000 65536\n"
    #expect(UserIdentity.maps(several, 65534) && !UserIdentity.maps(several, 65537))
    #expect(!UserIdentity.maps("", 0) && !UserIdentity.maps("0 0\n", 0))
  }

  /// On a thread of its own, which is the one that loses its capabilities.
  static func withoutCapabilities(_ body: @escaping @Sendable () -> Void) throws {
    let thread = try StackThread.startJoinable {
      do { try Privileges.drop() } catch { return }
      body()
    }
    thread.join()
  }

  @Test("the TAP's engines are set on an open queue without CAP_NET_ADMIN; an interface's settings are not")
  func engines() throws {
    guard isPrivileged else { return }
    try NetworkNamespace.anonymous().run { () throws(LinuxError) in
      let name = try InterfaceName("tap0")
      let device = try TapDevice.open(TapConfiguration(name: name, offloads: .undone))
      let queue = try device.duplicateQueue()
      let number = queue.descriptor.rawValue
      var netlink = try NetlinkSocket()
      guard let link = try netlink.link(named: name) else { throw LinuxError(ENODEV, "find", "tap0") }
      let held = Guarded<NetlinkSocket?>(netlink)
      let results = Guarded<[Int32]>([])
      do {
        try Self.withoutCapabilities {
          let offload = clinux_tun_set_offload(number, 0)
          let size = clinux_tun_set_header_size(number, 10)
          var refusal: Int32 = 0
          held.withLock { socket in
            do throws(LinuxError) { try socket?.setMTU(1400, of: link) } catch { refusal = error.code }
          }
          results.withLock { $0 = [offload, size, refusal] }
        }
      } catch { throw error as? LinuxError ?? LinuxError(EIO, "start", "a thread") }
      #expect(results.withLock { $0 } == [0, 0, EPERM])
    }
  }

  @Test("a thread without capabilities has no way to another user") func obstacle() throws {
    guard isPrivileged else { return }
    let nobody = UserIdentity(user: 65534, group: 65534, name: "nobody")
    #expect(nobody.obstacle() == nil)
    let said = Guarded("")
    try Self.withoutCapabilities {
      let text = nobody.obstacle() ?? "none"
      said.withLock { $0 = text }
    }
    #expect(said.withLock { $0 } == "CAP_SETGID is missing")
  }
}
