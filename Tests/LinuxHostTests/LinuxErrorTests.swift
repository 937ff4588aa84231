import Glibc
import Testing

@testable import LinuxHost

@Suite("Bad input: error texts") struct LinuxErrorTests {
  @Test("one line: what, on what, why, the kernel's words, what to do") func description() {
    let error = LinuxError(
      EINVAL, "set the MTU 1 on", "tap0", advice: "Choose one from 68 to 65521.",
      kernelMessage: "mtu less than minimum")
    #expect(
      error.description
        == "cannot set the MTU 1 on tap0: Invalid argument (kernel: mtu less than minimum). Choose one from 68 to 65521."
    )
  }

  @Test("no /dev/net/tun names the driver and how to load it") func noDriver() {
    let text = TapConflict.openError(ENOENT).description
    #expect(text.hasPrefix("cannot open /dev/net/tun: No such file or directory. "))
    #expect(text.contains("modprobe tun"))
  }

  @Test("EPERM from TUNSETIFF names the capability") func notPermitted() throws {
    let error = TapConflict.attachError(EPERM, try InterfaceName("tap0"))
    #expect(error.code == EPERM)
    #expect(
      error.description.hasPrefix(
        "cannot open the TAP tap0: this process lacks CAP_NET_ADMIN. Run it as root"))
  }

  @Test(
    "capability 12 is bit 12 of the effective set",
    arguments: [(0x1000, true), (0x0FFF, false), (0x2000, false)])
  func capabilityBit(_ set: UInt64, _ expected: Bool) {
    #expect(Privileges.contains(set, Privileges.networkAdmin) == expected)
  }

  static func link(kind: String?, _ tun: TunDescription?) throws -> LinkDescription {
    LinkDescription(
      index: 7, name: try InterfaceName("tap0"), kind: kind, tun: tun, mtu: 1500, flags: [],
      hardwareAddress: nil,
      transmitQueueLength: 1000)
  }
  static func tun(tap: Bool = true, persistent: Bool = true, multi: Bool = false, queues: Int? = nil)
    -> TunDescription
  {
    TunDescription(
      isTap: tap, isPersistent: persistent, isMultiQueue: multi, hasVirtioNetHeader: false,
      hasPacketInfo: false,
      queueCount: queues
    )
  }

  @Test("an existing interface is explained") func conflicts() throws {
    var wanted = TapConfiguration(name: try InterfaceName("tap0"))
    func text(_ kind: String?, _ tun: TunDescription?) throws -> String? {
      let link = try Self.link(kind: kind, tun)
      do { try TapConflict.check(link, against: wanted) } catch { return error.description }
      return nil
    }
    #expect(try text("veth", nil)?.contains("exists and is not a TAP but a veth") == true)
    #expect(try text(nil, nil)?.contains("exists and is not a TAP. Choose") == true)
    #expect(try text("tun", Self.tun(tap: false))?.contains("not a TAP but a TUN") == true)
    #expect(try text("tun", Self.tun(persistent: false))?.contains("another program is using it") == true)
    #expect(
      try text("tun", Self.tun(multi: true, queues: 2))?.contains("another program is using it") == true)
    #expect(
      try text("tun", Self.tun(multi: true, queues: 0))?.contains("several queues and one was asked") == true)
    #expect(try text("tun", Self.tun()) == nil)
    wanted.queueCount = 4
    #expect(try text("tun", Self.tun())?.contains("one queue and 4 were asked") == true)
    #expect(try text("tun", Self.tun(multi: true, queues: 0)) == nil)
    wanted.existing = .refuse
    #expect(
      try text("tun", Self.tun(multi: true, queues: 0))?.contains("an interface of that name exists") == true)
  }

  @Test("an unknown namespace says so and how to make one") func unknownNamespace() {
    let error = #expect(throws: LinuxError.self) { _ = try NetworkNamespace(named: "no-such-namespace-here") }
    #expect(error?.code == ENOENT)
    #expect(
      error?.description.hasPrefix(
        "cannot open the network namespace \"no-such-namespace-here\": there is no namespace of that name.")
        == true)
    #expect(throws: LinuxError.self) { _ = try NetworkNamespace(named: "../../proc/self/ns/net") }
  }
}
