import Foundation
import IceModel
import Testing
import Timers
import Wire

@testable import LinuxHost

@Suite("TAP and netlink, in network namespaces", .enabled(if: isPrivileged)) struct TapAndNetlinkTests {
  static let hostMAC = MACAddress(0x0200_0000_0001)
  static let stackMAC = MACAddress(0x0200_0000_0002)
  static let hostPrefix = IPv4Prefix("10.9.0.1/24")!

  /// RFC 826: who has 10.9.0.1, tell 10.9.0.2 at 02:00:00:00:00:02.
  static let arpRequest: [UInt8] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10,
    9, 0, 2, 0,
    0, 0, 0, 0, 0, 10, 9, 0, 1,
  ]
  /// The answer: 10.9.0.1 is at 02:00:00:00:00:01.
  static let arpReply: [UInt8] = [
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 9, 0, 1, 2, 0, 0,
    0, 0, 2, 10,
    9, 0, 2,
  ]

  static func openTap(
    _ name: String = "tap0", queues: Int = 1, offloads: TapOffloads? = nil,
    existing: TapConfiguration.Existing = .attachIfIdle
  ) throws(LinuxError) -> TapDevice {
    try TapDevice.open(
      TapConfiguration(
        name: try InterfaceName(name), queueCount: queues, offloads: offloads, existing: existing))
  }

  static func configure() throws(LinuxError) {
    var netlink = try NetlinkSocket()
    guard let link = try netlink.link(named: try InterfaceName("tap0")) else {
      throw LinuxError(ENODEV, "find", "tap0")
    }
    try netlink.setHardwareAddress(hostMAC, of: link)
    try netlink.replaceAddress(hostPrefix, on: link)
    try netlink.setUp(link)
  }

  /// Memory for one frame; the vector's segments point into it.
  static func withFrame<R>(_ bytes: [UInt8], split: Int? = nil, _ body: (borrowing FrameVector) throws -> R)
    rethrows -> R
  {
    var bytes = bytes
    return try unsafe bytes.withUnsafeMutableBytes { room in
      var vector = FrameVector(capacity: 4)
      let first = split ?? room.count
      _ = unsafe vector.appendSegment(room.baseAddress!, byteCount: first)
      if first < room.count {
        _ = unsafe vector.appendSegment(room.baseAddress! + first, byteCount: room.count - first)
      }
      return try body(vector)
    }
  }

  /// Reads frames until one is `wanted`; the kernel also sends its own (MLD, router solicitations).
  static func waitForFrame(
    _ queue: borrowing TapQueue, headers: Bool, _ wanted: [UInt8]
  ) throws -> VirtioNetHeader? {
    var room = [UInt8](repeating: 0, count: 65536)
    return try unsafe room.withUnsafeMutableBytes { room in
      var vector = FrameVector(capacity: 4)
      // Two segments, so that a frame is scattered over both.
      _ = unsafe vector.appendSegment(room.baseAddress!, byteCount: 20)
      _ = unsafe vector.appendSegment(room.baseAddress! + 20, byteCount: room.count - 20)
      while try queue.descriptor.waitUntilReady(POLLIN, milliseconds: 5000, subject: "the TAP") {
        var header = VirtioNetHeader(flags: 0xFF)
        let result = headers ? queue.read(&header, into: vector) : queue.read(into: vector)
        guard case .bytes(let count) = result else { continue }
        let length = headers ? count - 12 : count
        if unsafe Array(room[..<length]) == wanted { return header }
      }
      return nil
    }
  }

  @Test("D11 a frame in two pieces goes out, the kernel answers ARP, the answer is scattered") func arp()
    throws
  {
    let namespace = try NetworkNamespace.anonymous()
    var tap = try namespace.run { () throws(LinuxError) in
      let tap = try Self.openTap()
      try Self.configure()
      return tap
    }
    #expect(tap.headerByteCount == 0)
    // Used from outside the namespace.
    let queue = tap.takeQueue()!
    let isLast = tap.takeQueue() == nil
    #expect(isLast)
    let written = Self.withFrame(Self.arpRequest, split: 14) { queue.write($0) }
    #expect(written == .bytes(42))
    #expect(try Self.waitForFrame(queue, headers: false, Self.arpReply) != nil)
  }

  @Test("D13 with IFF_VNET_HDR each frame has 12 bytes in front, both ways") func virtio() throws {
    let namespace = try NetworkNamespace.anonymous()
    var tap = try namespace.run { () throws(LinuxError) in
      let tap = try Self.openTap(offloads: .undone)
      try Self.configure()
      return tap
    }
    #expect(tap.headerByteCount == 12)
    #expect(tap.offloads?.isSuperset(of: [.checksum, .tso4, .tsoECN]) == true)
    let queue = tap.takeQueue()!
    let written = Self.withFrame(Self.arpRequest, split: 14) { queue.write(VirtioNetHeader(), $0) }
    #expect(written == .bytes(54))
    #expect(try Self.waitForFrame(queue, headers: true, Self.arpReply) == VirtioNetHeader())
    // A header that lies about the frame is refused by the kernel and harms nothing else.
    let lie = VirtioNetHeader(flags: VirtioNetHeader.needsChecksum, csumStart: 60_000, csumOffset: 16)
    let refused = Self.withFrame(Self.arpRequest) { queue.write(lie, $0) }
    #expect(refused == .error(EINVAL))
    let again = Self.withFrame(Self.arpRequest) { queue.write(VirtioNetHeader(), $0) }
    #expect(again == .bytes(54))
  }

  @Test("an empty queue would block, and a TAP that is down refuses frames with EIO") func edges() throws {
    let namespace = try NetworkNamespace.anonymous()
    var tap = try namespace.run { () throws(LinuxError) in try Self.openTap() }
    let queue = tap.takeQueue()!
    let read = Self.withFrame([UInt8](repeating: 0, count: 2000)) { queue.read(into: $0) }
    #expect(read == .wouldBlock)
    let written = Self.withFrame(Self.arpRequest) { queue.write($0) }
    #expect(written == .error(EIO))
  }

  @Test("several queues make one multi-queue TAP, and a second one on it is refused") func multiQueue() throws
  {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      var tap = try Self.openTap(queues: 3)
      var netlink = try NetlinkSocket()
      let link = try netlink.link(named: tap.name)
      #expect(link?.kind == "tun" && link?.isTap == true)
      #expect(
        link?.tun?.isMultiQueue == true && link?.tun?.queueCount == 3 && link?.tun?.isPersistent == false)
      let error = #expect(throws: LinuxError.self) { _ = try Self.openTap(queues: 3) }
      #expect(error?.description.contains("cannot open the TAP tap0: another program is using it") == true)
      var numbers: Set<Int32> = []
      while let queue = tap.takeQueue() { numbers.insert(queue.descriptor.rawValue) }
      #expect(numbers.count == 3)
    }
  }

  @Test("a second TAP of the same name is busy; when the first is closed the name is free") func busy() throws
  {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      do {
        let tap = try Self.openTap()
        let error = #expect(throws: LinuxError.self) { _ = try Self.openTap() }
        #expect(error?.code == EBUSY)
        _ = tap.name
      }
      _ = try Self.openTap(existing: .refuse)
    }
  }

  @Test("an interface that is not a TAP is refused by name and kind") func notATap() throws {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      let error = #expect(throws: LinuxError.self) { _ = try Self.openTap("lo") }
      #expect(error?.description.contains("exists and is not a TAP") == true)
    }
  }

  @Test("netlink sets and reads back MTU, MAC, queue length and flags") func links() throws {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      let tap = try Self.openTap()
      var netlink = try NetlinkSocket()
      guard let link = try netlink.link(named: tap.name) else { throw LinuxError(ENODEV, "find", "tap0") }
      try netlink.setMTU(9000, of: link)
      try netlink.setHardwareAddress(Self.hostMAC, of: link)
      try netlink.setTransmitQueueLength(5000, of: link)
      try netlink.setUp(link)
      let after = try netlink.link(index: link.index)
      #expect(
        after?.mtu == 9000 && after?.hardwareAddress == Self.hostMAC && after?.transmitQueueLength == 5000)
      #expect(after?.flags.isSuperset(of: [.up, .lowerUp]) == true && after?.name == tap.name)
      try netlink.setDown(link)
      #expect(try netlink.link(index: link.index)?.flags.contains(.up) == false)
      #expect(Set(try netlink.links().map(\.name.text)) == ["lo", "tap0"])
      #expect(try netlink.link(named: try InterfaceName("none")) == nil)
      try netlink.delete(link)
      #expect(try netlink.link(named: tap.name) == nil)
      try netlink.delete(link)
    }
  }

  @Test("MTU out of range: the kernel's own words are in the error") func extendedAcknowledgement() throws {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      let tap = try Self.openTap()
      var netlink = try NetlinkSocket()
      guard let link = try netlink.link(named: tap.name) else { throw LinuxError(ENODEV, "find", "tap0") }
      let error = #expect(throws: LinuxError.self) { try netlink.setMTU(70_000, of: link) }
      #expect(error?.code == EINVAL)
      #expect(error?.kernelMessage == "mtu greater than device maximum")
      #expect(
        error?.description.hasPrefix("cannot set the MTU 70000 on tap0: Invalid argument (kernel: mtu")
          == true)
      // The socket is in step afterwards.
      #expect(try netlink.link(named: tap.name)?.mtu == 1500)
    }
  }

  @Test("addresses and routes are added, kept on repetition, and listed") func addressesAndRoutes() throws {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.run { () throws(LinuxError) in
      let tap = try Self.openTap()
      var netlink = try NetlinkSocket()
      guard let link = try netlink.link(named: tap.name) else { throw LinuxError(ENODEV, "find", "tap0") }
      try netlink.setUp(link)
      try netlink.replaceAddress(Self.hostPrefix, on: link)
      try netlink.replaceAddress(Self.hostPrefix, on: link)
      let addresses = try netlink.addresses().filter { $0.linkIndex == link.index }
      #expect(addresses.map(\.prefix) == [Self.hostPrefix] && addresses.first?.label == "tap0")
      let gateway = IPv4Address(10, 9, 0, 2)
      try netlink.addRoute(to: IPv4Prefix("192.0.2.0/24")!, via: gateway, on: link)
      try netlink.addRoute(to: IPv4Prefix("0.0.0.0/0")!, via: gateway, on: link)
      try netlink.addRoute(to: IPv4Prefix("198.51.100.0/24")!, on: link)
      let routes = try netlink.routes()
      func route(_ text: String) -> RouteDescription? { routes.first { $0.destination == IPv4Prefix(text)! } }
      #expect(
        route("10.9.0.0/24")?.gateway == nil
          && route("10.9.0.0/24")?.preferredSource == Self.hostPrefix.address)
      #expect(route("192.0.2.0/24")?.gateway == gateway && route("192.0.2.0/24")?.linkIndex == link.index)
      #expect(route("0.0.0.0/0")?.gateway == gateway)
      #expect(route("198.51.100.0/24")?.linkIndex == link.index && routes.count == 4)
      let error = #expect(throws: LinuxError.self) {
        try netlink.addRoute(to: IPv4Prefix("192.0.2.0/24")!, via: gateway, on: link)
      }
      #expect(error?.code == EEXIST)
    }
  }

  @Test("a TAP moves to another namespace and its queue goes with it") func move() throws {
    let here = try NetworkNamespace.anonymous()
    let there = try NetworkNamespace.anonymous()
    var tap = try here.run { () throws(LinuxError) in
      let tap = try Self.openTap()
      var netlink = try NetlinkSocket()
      guard let link = try netlink.link(named: tap.name) else { throw LinuxError(ENODEV, "find", "tap0") }
      try netlink.move(link, to: there)
      #expect(try netlink.link(named: tap.name) == nil)
      return tap
    }
    try there.run { () throws(LinuxError) in try Self.configure() }
    let queue = tap.takeQueue()!
    #expect(Self.withFrame(Self.arpRequest) { queue.write($0) } == .bytes(42))
    #expect(try Self.waitForFrame(queue, headers: false, Self.arpReply) != nil)
  }

  @Test("a thread is back in its own namespace after run, also after an error") func restored() throws {
    func current() throws -> String {
      try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self/ns/net")
    }
    let home = try current()
    let namespace = try NetworkNamespace.anonymous()
    #expect(try current() == home)
    var inside = ""
    try namespace.run { () throws(LinuxError) in inside = (try? current()) ?? "" }
    #expect(inside != home && inside.hasPrefix("net:["))
    #expect(throws: LinuxError.self) {
      try namespace.run { () throws(LinuxError) in throw LinuxError(EIO, "test", "") }
    }
    #expect(try current() == home)
  }

  @Test(
    "a named namespace is found, and a persistent idle TAP in it is used",
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/ip")))
  func named() throws {
    let ip = "/usr/sbin/ip"
    let name = "swiftstack-lh-\(getpid())"
    try Command.run(ip, ["netns", "add", name])
    defer { _ = try? Command.run(ip, ["netns", "del", name]) }
    try Command.run(ip, ["-n", name, "tuntap", "add", "mode", "tap", "tap0"])
    try Command.run(ip, ["-n", name, "tuntap", "add", "mode", "tun", "tun0"])
    let namespace = try NetworkNamespace(named: name)
    try namespace.run { () throws(LinuxError) in
      let refused = #expect(throws: LinuxError.self) { _ = try Self.openTap(existing: .refuse) }
      #expect(refused?.code == EEXIST)
      let queues = #expect(throws: LinuxError.self) { _ = try Self.openTap(queues: 2) }
      #expect(queues?.description.contains("was made with one queue and 2 were asked for") == true)
      let tun = #expect(throws: LinuxError.self) { _ = try Self.openTap("tun0") }
      #expect(tun?.description.contains("exists and is not a TAP but a TUN") == true)
      let tap = try Self.openTap(offloads: [.checksum, .tso4, .tsoECN])
      let busy = #expect(throws: LinuxError.self) { _ = try Self.openTap() }
      #expect(busy?.code == EBUSY)
      var netlink = try NetlinkSocket()
      #expect(try netlink.link(named: tap.name)?.tun?.isPersistent == true)
    }
  }
}
