import Foundation
import Testing
import Wire

@testable import LinuxHost
@testable import SwiftStack

/// What `up` does to Linux's side, and what is left of it.
@Suite("Setting up a TAP, in network namespaces", .enabled(if: isPrivileged)) struct TapSetupTests {
  /// Everything about an interface that `up` may change.
  struct State: Equatable {
    var link: LinkDescription?
    var addresses: [IPv4Prefix]
  }

  static func state() throws(LinuxError) -> State {
    var netlink = try NetlinkSocket()
    let link = try netlink.link(named: try InterfaceName("tap0"))
    let addresses = try netlink.addresses().filter { $0.linkIndex == link?.index }.map(\.prefix)
    return State(link: link, addresses: addresses)
  }

  /// A namespace with a persistent TAP, as `ip tuntap add mode tap tap0` makes it.
  static func namespace() throws -> NetworkNamespace {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      do {
        try Command.run("/usr/sbin/ip", ["tuntap", "add", "mode", "tap", "tap0"])
      } catch {
        throw LinuxError(EIO, "add", "tap0", reason: "\(error)")
      }
    }
    return namespace
  }

  /// Runs a stack on tap0 in the namespace and ends it.
  static func runStack(
    host: String = "10.9.0.1/24", own: String = "10.9.0.2/24", mtu: Int = 1400,
    _ body: () throws(LinuxError) -> Void
  ) throws(LinuxError) {
    do {
      var parameters = TapParameters(interface: try InterfaceName("tap0"))
      parameters.hostAddress = IPv4Prefix(host)
      var configuration = StackConfiguration()
      configuration.address = IPv4Prefix(own)!
      configuration.mtu = mtu
      configuration.packetMemory = 16 << 20
      let stack = try Stack(tap: parameters, configuration)
      defer { stack.close() }
      try body()
    } catch {
      throw (error as? LinuxError) ?? LinuxError(EIO, "run", "the stack", reason: "\(error)")
    }
  }

  @Test("a TAP that was there before is left as it was: address, MTU, queue length, down, no engines")
  func restored() throws {
    let namespace = try Self.namespace()
    try namespace.run { () throws(LinuxError) in
      let before = try Self.state()
      #expect(
        before.link?.mtu == 1500 && before.link?.flags.contains(.up) == false && before.addresses.isEmpty)
      for _ in 0..<2 {
        try Self.runStack { () throws(LinuxError) in
          let during = try Self.state()
          #expect(during.link?.mtu == 1400 && during.link?.flags.contains(.up) == true)
          #expect(during.addresses == [IPv4Prefix("10.9.0.1/24")!])
        }
        let after = try Self.state()
        #expect(after.addresses == before.addresses)
        #expect(after.link?.mtu == before.link?.mtu)
        #expect(after.link?.transmitQueueLength == before.link?.transmitQueueLength)
        #expect(after.link?.flags.contains(.up) == false)
        #expect(after.link?.tun == before.link?.tun && before.link?.tun?.hasVirtioNetHeader == false)
      }
      let device = try TapDevice.open(
        TapConfiguration(name: try InterfaceName("tap0"), offloads: .checksum))
      // What the kernel gives a TAP that nobody has changed.
      #expect(device.foundHeaderByteCount == 10)
    }
  }

  @Test("what the owner had set stays: an address, up, another MTU") func ownersSettings() throws {
    let namespace = try Self.namespace()
    try namespace.run { () throws(LinuxError) in
      var netlink = try NetlinkSocket()
      let link = try netlink.link(named: try InterfaceName("tap0"))!
      try netlink.replaceAddress(IPv4Prefix("10.9.0.1/24")!, on: link)
      try netlink.setMTU(1300, of: link)
      try netlink.setTransmitQueueLength(77, of: link)
      try netlink.setUp(link)
      try Self.runStack {}
      let after = try Self.state()
      #expect(after.addresses == [IPv4Prefix("10.9.0.1/24")!] && after.link?.mtu == 1300)
      #expect(after.link?.transmitQueueLength == 77 && after.link?.flags.contains(.up) == true)
    }
  }

  @Test("a set-up that fails puts everything back") func failing() throws {
    let namespace = try Self.namespace()
    try namespace.run { () throws(LinuxError) in
      let before = try Self.state()
      // A TAP's MTU is at least 68; validate() of a stack says so before, so it is asked for here.
      var parameters = TapParameters(interface: try InterfaceName("tap0"))
      parameters.hostAddress = IPv4Prefix("10.9.0.1/24")
      do {
        _ = try TapSetup.make(parameters, network: IPv4Prefix("10.9.0.2/24")!, mtu: 70_000)
        Issue.record("an MTU of 70,000 was taken")
      } catch {}
      let after = try Self.state()
      #expect(after.addresses == before.addresses && after.link?.mtu == before.link?.mtu)
      #expect(after.link?.flags.contains(.up) == false)
      // Attaching had given it a virtio header.
      #expect(after.link?.tun == before.link?.tun)
    }
  }

  @Test("the stack's address that Linux has on the interface itself is refused by name") func exchanged()
    throws
  {
    let namespace = try Self.namespace()
    try namespace.run { () throws(LinuxError) in
      var netlink = try NetlinkSocket()
      let link = try netlink.link(named: try InterfaceName("tap0"))!
      try netlink.replaceAddress(IPv4Prefix("10.9.0.1/24")!, on: link)
      let error = #expect(throws: LinuxError.self) {
        try Self.runStack(host: "10.9.0.2/24", own: "10.9.0.1/24") {}
      }
      #expect(error?.code == EADDRINUSE && error?.description.contains("10.9.0.1") == true)
      #expect(error?.description.contains("tap0") == true)
      #expect(try Self.state().addresses == [IPv4Prefix("10.9.0.1/24")!])
      try netlink.removeAddress(IPv4Prefix("10.9.0.1/24")!, from: link)
      let absent = #expect(throws: LinuxError.self) {
        try netlink.removeAddress(IPv4Prefix("10.9.0.1/24")!, from: link)
      }
      #expect(absent?.code == EADDRNOTAVAIL)
    }
  }

  @Test("an interface that up makes goes with the stack") func own() throws {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      try Self.runStack { () throws(LinuxError) in #expect(try Self.state().link != nil) }
      #expect(try Self.state().link == nil)
    }
  }
}
