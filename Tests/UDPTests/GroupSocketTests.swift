import IPv4
import InetSocket
import NetNamespace
import Sockets
import Testing
import Wire

/// Sending to groups, and what a member hears. What is expected is what Linux 6.18 did, with `lo` as 1 and another device as 2.
@Suite("U4 sockets and groups")
struct GroupSocketTests {
  private static let own: [UInt8] = [10, 0, 0, 2]
  private static let group: [UInt8] = [239, 1, 1, 1]
  private static let none: [UInt8] = [0, 0, 0, 0]
  private static let groupAddress = SocketAddress(IPv4Address(239, 1, 1, 1), port: 5000)

  private func set(_ bench: DatagramBench, _ socket: SocketID, _ name: Int32, _ words: [UInt8]...) -> Errno? {
    let bytes = words.flatMap { $0 }
    do throws(Errno) {
      // Safe: a byte has no padding.
      let span = unsafe bytes.span.bytes
      try bench.sockets.setsockopt(socket, level: 0, name: name, value: span, host: &bench.host)
      return nil
    } catch { return error }
  }
  private func get(_ bench: DatagramBench, _ socket: SocketID, _ name: Int32) throws -> [UInt8] {
    try bench.sockets.getsockopt(socket, level: 0, name: name, maximum: 4, host: bench.host)
  }
  /// From 10.0.0.1 to the group; whether the socket gets it.
  private func hears(_ bench: DatagramBench, _ socket: SocketID, from last: UInt8 = 1) -> Bool {
    bench.receive(
      Packet.udp(from: 9, to: 5000, [last], source: [10, 0, 0, last], destination: Self.group),
      destinationMAC: [1, 0, 0x5E, 1, 1, 1])
    return (try? bench.receive(socket, flags: .dontWait))?.bytes == [last]
  }
  private func storage(_ address: [UInt8]) -> [UInt8] {
    [2, 0, 0, 0] + address + [UInt8](repeating: 0, count: 120)
  }

  private func filter(
    _ bench: DatagramBench, _ socket: SocketID, _ name: Int32, _ asked: [UInt8], room: Int = 4096
  ) throws(Errno) -> [UInt8] {
    // Safe: a byte has no padding.
    let span = unsafe asked.span.bytes
    return try bench.sockets.getsockopt(
      socket, level: 0, name: name, asking: span, maximum: room, host: &bench.host)
  }

  @Test(
    "IP_MSFILTER and MCAST_MSFILTER read a filter back: its mode, how many sources, and as many as there is room for"
  )
  func readFilter() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    #expect(set(bench, socket, GroupOptionName.join, Self.group, Self.own) == nil)
    let old = Self.group + Self.own + [9, 9, 9, 9]
    // All sources: MCAST_EXCLUDE, none.
    #expect(
      try filter(bench, socket, GroupOptionName.filter, old + [5, 0, 0, 0])
        == Self.group + Self.own + [0, 0, 0, 0, 0, 0, 0, 0])
    for last in [UInt8(7), 8, 9] {
      #expect(set(bench, socket, GroupOptionName.blockSource, Self.group, Self.own, [10, 0, 0, last]) == nil)
    }
    #expect(
      try filter(bench, socket, GroupOptionName.filter, old + [2, 0, 0, 0])
        == Self.group + Self.own + [0, 0, 0, 0, 3, 0, 0, 0, 10, 0, 0, 7, 10, 0, 0, 8])
    let index: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0]
    let head = index + storage(Self.group)
    let answer = try filter(bench, socket, GroupOptionName.filterAny, head + [9, 9, 9, 9, 9, 0, 0, 0])
    #expect(answer.count == 144 + 3 * 128 && Array(answer[..<136]) == head)
    #expect(Array(answer[136..<144]) == [0, 0, 0, 0, 3, 0, 0, 0])
    #expect(Array(answer[144..<152]) == [2, 0, 0, 0, 10, 0, 0, 7])
    // Only these.
    let only = Self.group + Self.own + [1, 0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 5]
    #expect(set(bench, socket, GroupOptionName.filter, only) == nil)
    #expect(
      try filter(bench, socket, GroupOptionName.filter, old + [1, 0, 0, 0]) == only)
    #expect(try filter(bench, socket, GroupOptionName.filter, old + [0, 0, 0, 0]).count == 16)
  }

  @Test("a filter that cannot be read: EINVAL, ENODEV, EADDRNOTAVAIL as Linux has them") func unreadFilter()
    throws
  {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let name = GroupOptionName.filter
    let count: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0]
    #expect(throws: Errno.EADDRNOTAVAIL) { try filter(bench, socket, name, Self.group + Self.own + count) }
    #expect(throws: Errno.EINVAL) { try filter(bench, socket, name, Self.own + Self.own + count) }
    #expect(throws: Errno.EINVAL) { try filter(bench, socket, name, Self.group + Self.own + [0, 0, 0, 0]) }
    #expect(throws: Errno.ENODEV) { try filter(bench, socket, name, Self.group + [10, 0, 0, 99] + count) }
    #expect(set(bench, socket, GroupOptionName.join, Self.group, Self.own) == nil)
    let any = GroupOptionName.filterAny
    for (index, errno) in [(UInt8(0), Errno.EADDRNOTAVAIL), (1, .EADDRNOTAVAIL)] {
      #expect(throws: errno) {
        try filter(bench, socket, any, [index, 0, 0, 0, 0, 0, 0, 0] + storage(Self.group) + count)
      }
    }
    #expect(throws: Errno.EINVAL) {
      try filter(
        bench, socket, any, [2, 0, 0, 0, 0, 0, 0, 0] + [10, 0] + storage(Self.group).dropFirst(2) + count)
    }
  }

  @Test("U4 igmp_max_memberships and igmp_max_msf: no group and no source more, ENOBUFS") func mostGroups()
    throws
  {
    let bench = DatagramBench()
    bench.host.net.settings.maximumMemberships = 2
    bench.host.net.settings.maximumSources = 1
    let socket = try bench.udp(port: 5000)
    for last in [UInt8(1), 2, 3] {
      #expect(
        set(bench, socket, GroupOptionName.join, [239, 1, 1, last], Self.own) == (last == 3 ? .ENOBUFS : nil))
    }
    #expect(set(bench, socket, GroupOptionName.blockSource, Self.group, Self.own, [10, 0, 0, 7]) == nil)
    #expect(set(bench, socket, GroupOptionName.blockSource, Self.group, Self.own, [10, 0, 0, 8]) == .ENOBUFS)
  }

  @Test("IP_MULTICAST_IF in three forms, and what cannot be") func interface() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let name = GroupOptionName.interface
    #expect(set(bench, socket, name, Self.own) == nil)
    #expect(try get(bench, socket, name) == Self.own)
    #expect(set(bench, socket, name, [10, 0, 0, 9]) == .EADDRNOTAVAIL)
    #expect(set(bench, socket, name, Self.none, Self.none, [99, 0, 0, 0]) == .EADDRNOTAVAIL)
    #expect(set(bench, socket, name, Self.none, Self.none, [255, 255, 255, 255]) == .EADDRNOTAVAIL)
    #expect(set(bench, socket, name, [10, 0, 0]) == .EINVAL)
    #expect(set(bench, socket, name, Self.group, Self.own) == nil)
    #expect(set(bench, socket, name, Self.none, Self.none, [1, 0, 0, 0]) == nil)
    #expect(try get(bench, socket, name) == Self.none)
    bench.sent.removeAll()
    try bench.send(socket, [1], to: Self.groupAddress)
    bench.settle()
    #expect(bench.sent.isEmpty)
    #expect(set(bench, socket, name, Self.own) == nil)
    try bench.send(socket, [1], to: Self.groupAddress)
    bench.settle()
    #expect(bench.sent.count == 1)
    // The socket's own device comes first.
    try bench.setFlag(socket, level: 1, name: SocketOptionName.bindToInterface, 2)
    #expect(set(bench, socket, name, [127, 0, 0, 1]) == .EINVAL)
    #expect(set(bench, socket, name, Self.own) == nil)
    let connected = try bench.udp()
    #expect(set(bench, connected, name, [127, 0, 0, 1]) == nil)
    try bench.sockets.connect(connected, to: Self.groupAddress, host: &bench.host)
    #expect(try bench.sockets.localAddress(connected).address == IPAddress(.loopback))
    let stream = try bench.sockets.socket(family: .inet, type: .stream, net: &bench.host.net)
    #expect(set(bench, stream, name, Self.own) == .EINVAL)
  }

  @Test("our copy comes back to members by IP_MULTICAST_LOOP; a time to live of 0 makes no other")
  func loop() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    func sendAndHear(_ count: Int = 1) throws -> (heard: Bool, frames: Int) {
      bench.sent.removeAll()
      let bytes = [UInt8](repeating: 7, count: count)
      try bench.send(socket, bytes, to: Self.groupAddress)
      bench.settle()
      let heard = (try? bench.receive(socket, flags: .dontWait))?.bytes == bytes
      return (heard, bench.sent.count)
    }
    #expect(try sendAndHear() == (false, 1))
    #expect(set(bench, socket, GroupOptionName.join, Self.group, Self.own) == nil)
    #expect(try sendAndHear() == (true, 1))
    #expect(set(bench, socket, GroupOptionName.loop, [0]) == nil)
    #expect(try sendAndHear() == (false, 1))
    #expect(set(bench, socket, GroupOptionName.loop, [9, 0, 0, 0]) == nil)
    #expect(try get(bench, socket, GroupOptionName.loop) == [1, 0, 0, 0])
    #expect(set(bench, socket, GroupOptionName.loop) == .EINVAL)
    #expect(set(bench, socket, GroupOptionName.timeToLive, [0, 0, 0, 0]) == nil)
    #expect(try sendAndHear() == (true, 0))
    #expect(try sendAndHear(4000) == (true, 0))
  }

  @Test("another's group is heard by IP_MULTICAST_ALL, on the device where it was joined") func all() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let other = try bench.udp()
    #expect(!hears(bench, socket))
    #expect(set(bench, other, GroupOptionName.join, Self.group, Self.none, [1, 0, 0, 0]) == nil)
    #expect(!hears(bench, socket))
    #expect(set(bench, other, GroupOptionName.join, Self.group, Self.none, [2, 0, 0, 0]) == nil)
    #expect(hears(bench, socket))
    #expect(set(bench, socket, GroupOptionName.all, [2, 0, 0, 0]) == .EINVAL)
    #expect(set(bench, socket, GroupOptionName.all, [0, 0, 0, 0]) == nil)
    #expect(!hears(bench, socket))
    #expect(set(bench, socket, GroupOptionName.join, Self.group, Self.own) == nil)
    #expect(hears(bench, socket))
    bench.sockets.abort(other, host: &bench.host)
    #expect(hears(bench, socket))
  }

  @Test("sources: those asked for, those not blocked, and a whole filter") func sources() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    func source(_ name: Int32, _ last: UInt8) -> Errno? {
      set(bench, socket, name, Self.group, Self.own, [10, 0, 0, last])
    }
    #expect(source(GroupOptionName.blockSource, 1) == .EINVAL)
    #expect(source(GroupOptionName.joinSource, 9) == nil)
    #expect(!hears(bench, socket) && hears(bench, socket, from: 9))
    #expect(source(GroupOptionName.joinSource, 9) == .EADDRNOTAVAIL)
    #expect(source(GroupOptionName.blockSource, 9) == .EINVAL)
    #expect(source(GroupOptionName.leaveSource, 1) == .EADDRNOTAVAIL)
    #expect(source(GroupOptionName.leaveSource, 9) == nil)
    #expect(source(GroupOptionName.leaveSource, 9) == .EINVAL)
    #expect(set(bench, socket, GroupOptionName.join, Self.group, Self.own) == nil)
    #expect(source(GroupOptionName.blockSource, 1) == nil)
    #expect(source(GroupOptionName.blockSource, 1) == .EADDRNOTAVAIL)
    #expect(!hears(bench, socket) && hears(bench, socket, from: 9))
    #expect(source(GroupOptionName.unblockSource, 7) == .EADDRNOTAVAIL)
    #expect(source(GroupOptionName.unblockSource, 1) == nil)
    #expect(hears(bench, socket))
    // Blocked once, the socket stays with "all but these".
    #expect(source(GroupOptionName.joinSource, 1) == .EINVAL)
    func filter(_ mode: UInt8, _ count: UInt8, _ sources: [UInt8]) -> Errno? {
      set(
        bench, socket, GroupOptionName.filter, Self.group, Self.own, [mode, 0, 0, 0], [count, 0, 0, 0],
        sources.flatMap { [10, 0, 0, $0] })
    }
    #expect(filter(2, 1, [1]) == .EINVAL)
    #expect(filter(1, 2, [1]) == .EINVAL)
    #expect(filter(1, 11, [1]) == .ENOBUFS)
    #expect(filter(1, 2, [8, 9]) == nil)
    #expect(!hears(bench, socket) && hears(bench, socket, from: 9))
    #expect(filter(0, 1, [9]) == nil)
    #expect(hears(bench, socket) && !hears(bench, socket, from: 9))
    #expect(filter(1, 0, []) == nil)
    #expect(filter(1, 0, []) == .EADDRNOTAVAIL)
    #expect(filter(0, 0, []) == .EINVAL)
  }

  @Test("a source that another socket wants is not heard by one that does not") func sourcesOfTwo() throws {
    let bench = DatagramBench()
    let (socket, other) = (try bench.udp(), try bench.udp())
    for id in [socket, other] {
      try bench.setFlag(id, level: 1, name: 2)
      try bench.sockets.bind(id, to: SocketAddress(.any, port: 5000), host: &bench.host)
    }
    #expect(set(bench, other, GroupOptionName.join, Self.group, Self.own) == nil)
    #expect(set(bench, socket, GroupOptionName.joinSource, Self.group, Self.own, [10, 0, 0, 9]) == nil)
    #expect(!hears(bench, socket) && hears(bench, socket, from: 9))
    #expect(try [bench.receive(other).bytes, bench.receive(other).bytes] == [[1], [9]])
    // But these: the other way about.
    #expect(set(bench, other, GroupOptionName.blockSource, Self.group, Self.own, [10, 0, 0, 9]) == nil)
    #expect(hears(bench, other) && hears(bench, socket, from: 9))
    #expect(throws: Errno.EAGAIN) { try bench.receive(other, flags: .dontWait) }
  }

  @Test("the calls without a family") func anyFamily() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let head: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0]
    let (group, first) = (storage(Self.group), storage([10, 0, 0, 1]))
    #expect(set(bench, socket, GroupOptionName.joinAny, head, Self.none) == .EINVAL)
    #expect(set(bench, socket, GroupOptionName.joinAny, head, group) == nil)
    #expect(set(bench, socket, GroupOptionName.joinAny, head, group) == .EADDRINUSE)
    #expect(hears(bench, socket))
    #expect(set(bench, socket, GroupOptionName.blockSourceAny, head, group, first) == nil)
    #expect(!hears(bench, socket))
    #expect(set(bench, socket, GroupOptionName.unblockSourceAny, head, group, first) == nil)
    #expect(hears(bench, socket))
    let wrong = [UInt8](repeating: 0, count: 128)
    #expect(set(bench, socket, GroupOptionName.blockSourceAny, head, group, wrong) == .EADDRNOTAVAIL)
    let only: [UInt8] = [1, 0, 0, 0, 1, 0, 0, 0]
    #expect(set(bench, socket, GroupOptionName.filterAny, head, group, only, wrong) == .EADDRNOTAVAIL)
    #expect(set(bench, socket, GroupOptionName.filterAny, head, group, only, storage([10, 0, 0, 9])) == nil)
    #expect(!hears(bench, socket) && hears(bench, socket, from: 9))
    #expect(set(bench, socket, GroupOptionName.joinSourceAny, head, group, first) == nil)
    #expect(hears(bench, socket))
    #expect(set(bench, socket, GroupOptionName.leaveSourceAny, head, group, first) == nil)
    #expect(!hears(bench, socket))
    #expect(set(bench, socket, GroupOptionName.leaveAny, head, group) == nil)
    #expect(set(bench, socket, GroupOptionName.leaveAny, head, group) == .EADDRNOTAVAIL)
  }

  @Test("a socket may be in 20 groups, with 10 sources each") func limits() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    for last: UInt8 in 1...20 {
      #expect(set(bench, socket, GroupOptionName.join, [239, 2, 1, last], Self.own) == nil)
    }
    #expect(set(bench, socket, GroupOptionName.join, [239, 2, 1, 21], Self.own) == .ENOBUFS)
    for last: UInt8 in 1...10 {
      #expect(
        set(bench, socket, GroupOptionName.blockSource, [239, 2, 1, 1], Self.own, [10, 1, 0, last]) == nil)
    }
    #expect(
      set(bench, socket, GroupOptionName.blockSource, [239, 2, 1, 1], Self.own, [10, 1, 0, 11]) == .ENOBUFS)
  }
}
