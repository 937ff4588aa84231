import InetSocket
import Internet
import NetNamespace
import SkBuff
import Testing
import Wire

@testable import Sockets

/// `SO_BINDTODEVICE`: which packets a socket gets, which ports are in its way, and by which device it sends. What is
/// expected was tried on Linux 6.18.
@Suite("S10 SO_BINDTODEVICE")
struct BoundDeviceTests {
  private typealias Place = (address: IPv4Address, device: String)
  private static let loopback = IPv4Address.loopback
  private static let own = IPv4Address(10, 0, 0, 2)
  private let bench = SocketBench()

  private func ping() throws -> SocketID {
    try bench.sockets.socket(family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
  }
  private func bind(_ id: SocketID, toDevice name: String) throws {
    try bench.set(id, 1, 25, Array(name.utf8))
  }
  private func bind(_ id: SocketID, _ address: IPv4Address, _ port: UInt16) throws {
    try bench.sockets.bind(id, to: SocketAddress(address, port: port), host: &bench.host)
  }
  private func connect(_ id: SocketID, _ address: IPv4Address, _ port: UInt16) throws {
    try bench.sockets.connect(id, to: SocketAddress(address, port: port), host: &bench.host)
    bench.settle()
  }
  private func source(_ id: SocketID) throws -> IPAddress { try bench.sockets.localAddress(id).address }
  /// The device that `eth0` is called in the bench.
  private var ethernet: String { bench.host.link.devices[bench.ethernet].name }
  private func errno(_ body: () throws -> Void) -> Errno? {
    do {
      try body()
      return nil
    } catch { return error as? Errno }
  }

  @Test("by name and by index, on every kind of socket; the empty name unbinds", arguments: 0...2)
  func values(kind: Int) throws {
    let id = kind == 2 ? try ping() : try bench.socket(kind == 0 ? .stream : .datagram)
    #expect(try bench.bytes(id, 1, 25).isEmpty && bench.get(id, 1, 62) == 0)
    try bind(id, toDevice: "lo")
    #expect(try bench.bytes(id, 1, 25) == [0x6C, 0x6F, 0] && bench.get(id, 1, 62) == 1)
    #expect(throws: Errno.EINVAL) { try bench.bytes(id, 1, 25, maximum: 15) }
    #expect(throws: Errno.ENODEV) { try bind(id, toDevice: "eth9") }
    #expect(try bench.get(id, 1, 62) == 1)
    try bench.set(id, 1, 62, 2)
    #expect(try bench.bytes(id, 1, 25) == Array(ethernet.utf8) + [0])
    #expect(throws: Errno.EINVAL) { try bench.set(id, 1, 62, -1) }
    try bench.set(id, 1, 62, 99)
    #expect(try bench.get(id, 1, 62) == 99)
    #expect(throws: Errno.ENODEV) { try bench.bytes(id, 1, 25) }
    try bind(id, toDevice: "")
    #expect(try bench.bytes(id, 1, 25).isEmpty && bench.get(id, 1, 62) == 0)
    try bind(id, toDevice: "lo")
    #expect(throws: Errno.EINVAL) { try bench.set(id, 0, 50, [0, 0, 0, 1]) }
    try bench.set(id, 0, 50, [0, 0, 0, 0])
  }

  @Test("without CAP_NET_RAW a socket may take a device, and not change or leave it")
  func privilege() throws {
    for id in [try bench.socket(.stream), try bench.socket(.datagram), try ping()] {
      bench.sockets.privileges = .netAdmin
      try bind(id, toDevice: "lo")
      for name in ["lo", ethernet, ""] { #expect(throws: Errno.EPERM) { try bind(id, toDevice: name) } }
      #expect(throws: Errno.ENODEV) { try bind(id, toDevice: "eth9") }
      for index: Int32 in [0, -1] { #expect(throws: Errno.EPERM) { try bench.set(id, 1, 62, index) } }
      bench.sockets.privileges = [.netAdmin, .netRaw]
      try bind(id, toDevice: "")
    }
  }

  @Test("a port can be had once on each device; a socket without one meets them all")
  func conflicts() throws {
    for type in [SocketType.stream, .datagram] {
      for (first, second) in [
        (IPv4Address.any, IPv4Address.any), (.any, Self.own), (Self.own, .any), (Self.own, Self.own),
      ] {
        for one in ["", "lo", ethernet] {
          for other in ["", "lo", ethernet] {
            let (a, b) = (try bench.socket(type), try bench.socket(type))
            try bind(a, toDevice: one)
            try bind(b, toDevice: other)
            try bind(a, first, 700)
            let expected: Errno? = one.isEmpty || other.isEmpty || one == other ? .EADDRINUSE : nil
            #expect(errno { try bind(b, second, 700) } == expected, "\(type) \(one)/\(other)")
            for id in [a, b] { try bench.sockets.close(id, host: &bench.host) }
          }
        }
      }
    }
  }

  @Test("a device set after bind() asks nobody; listen() does")
  func changedAfterBind() throws {
    let (a, b) = (try bench.socket(.stream), try bench.socket(.stream))
    try bind(a, toDevice: "lo")
    try bind(b, toDevice: ethernet)
    for id in [a, b] { try bind(id, .any, 700) }
    try bind(b, toDevice: "lo")
    for id in [a, b] {
      #expect(throws: Errno.EADDRINUSE) { try bench.sockets.listen(id, backlog: 1, net: &bench.host.net) }
    }
    try bind(b, toDevice: ethernet)
    for id in [a, b] { try bench.sockets.listen(id, backlog: 1, net: &bench.host.net) }
    for id in [a, b] { try bench.sockets.close(id, host: &bench.host) }
    let last = try bench.socket(.stream)
    try bind(last, .any, 700)
  }

  /// Places of sockets, a destination, and which of them gets what is sent there.
  private var rules: [(places: [Place], to: IPv4Address, winner: Int?)] {
    let any = IPv4Address.any
    let (lo, own, eth) = (Self.loopback, Self.own, ethernet)
    return [
      ([(any, ""), (any, "lo")], lo, 1), ([(any, ""), (any, eth)], lo, 0), ([(lo, ""), (any, "lo")], lo, 0),
      ([(any, "lo")], lo, 0), ([(any, eth)], lo, nil), ([(lo, ""), (lo, "lo")], lo, 1),
      ([(any, "lo"), (any, eth)], lo, 0), ([(any, ""), (any, "lo")], own, 0),
      ([(any, ""), (any, eth)], own, 1), ([(own, ""), (any, eth)], own, 0), ([(any, "lo")], own, nil),
      ([(any, eth)], own, 0), ([(own, ""), (own, "lo")], own, 0), ([(own, ""), (own, eth)], own, 1),
      ([(any, "lo"), (any, eth)], own, 1),
    ]
  }

  @Test(
    "U1 a datagram goes by address first, then to the socket of its device, then to one without; to no other")
  func datagrams() throws {
    for (places, to, winner) in rules {
      for isTurned in [false, true] {
        var sockets: [SocketID] = []
        for place in isTurned ? places.reversed() : places {
          let id = try bench.socket(.datagram)
          try bench.set(id, 1, 2, 1)
          try bind(id, toDevice: place.device)
          try bind(id, place.address, 700)
          sockets.append(id)
        }
        let sender = try bench.socket(.datagram)
        _ = try bench.send(
          sender, [7], header: MessageHeader(address: SocketAddress(to, port: 700)))
        bench.settle()
        let got = sockets.map { (try? bench.receive($0)) == [7] }
        let expected = places.indices.map { $0 == winner }
        #expect(got == (isTurned ? expected.reversed() : expected), "\(places) to \(to)")
        for id in sockets + [sender] { try bench.sockets.close(id, host: &bench.host) }
      }
    }
  }

  @Test(
    "S8 a connection goes by address first, then to the listener of its device; its child has that device")
  func listeners() throws {
    for (places, to, winner) in rules {
      var listeners: [SocketID] = []
      for place in places {
        let id = try bench.socket(.stream)
        try bench.set(id, 1, 15, 1)
        try bind(id, toDevice: place.device)
        try bind(id, place.address, 700)
        try bench.sockets.listen(id, backlog: 1, net: &bench.host.net)
        listeners.append(id)
      }
      let client = try bench.socket(.stream)
      try connect(client, to, 700)
      let outcome = errno { try bench.sockets.finishConnect(client, net: bench.host.net) }
      #expect(outcome == (winner == nil ? .ECONNREFUSED : nil), "\(places) to \(to)")
      for (index, listener) in listeners.enumerated() {
        let child = try? bench.sockets.accept(listener, net: &bench.host.net)
        #expect((child != nil) == (index == winner), "\(places) to \(to)")
        if let child {
          #expect(try bench.get(child, 1, 62) == bench.get(listener, 1, 62))
          bench.sockets.abort(child, host: &bench.host)
        }
      }
      for id in listeners + [client] { bench.sockets.abort(id, host: &bench.host) }
      bench.settle()
    }
  }

  @Test("U1 of two that are connected alike the latest gets it, if its device fits")
  func connected() throws {
    let there = SocketAddress(Self.loopback, port: 5555)
    for (first, second, winner) in [("", "lo", 1), ("lo", "", 1), (ethernet, "", 1), ("", ethernet, 0)] {
      var sockets: [SocketID] = []
      for device in [first, second] {
        let id = try bench.socket(.datagram)
        try bench.set(id, 1, 2, 1)
        try bind(id, Self.loopback, 700)
        try bench.sockets.connect(id, to: there, host: &bench.host)
        try bind(id, toDevice: device)
        sockets.append(id)
      }
      let sender = try bench.socket(.datagram)
      try bind(sender, Self.loopback, 5555)
      _ = try bench.send(
        sender, [7], header: MessageHeader(address: SocketAddress(Self.loopback, port: 700)))
      bench.settle()
      #expect(
        sockets.map { (try? bench.receive($0)) == [7] } == [winner == 0, winner == 1], "\(first)/\(second)")
      for id in sockets + [sender] { try bench.sockets.close(id, host: &bench.host) }
    }
  }

  @Test("E2 connect() takes the device's address, and goes by it where no route does")
  func sources() throws {
    for type in [SocketType.stream, .datagram] {
      for (device, to, expected) in [
        ("lo", Self.loopback, Self.loopback), (ethernet, Self.loopback, Self.own),
        (ethernet, Self.own, Self.own), ("lo", Self.own, Self.own), ("lo", IPv4Address(8, 8, 8, 8), Self.own),
        (ethernet, IPv4Address(8, 8, 8, 8), Self.own), ("lo", .any, Self.loopback),
        (ethernet, .any, Self.own),
      ] {
        let id = try bench.socket(type)
        try bind(id, toDevice: device)
        #expect(errno { try connect(id, to, 9) } == nil)
        if type == .datagram {
          #expect(try source(id) == IPAddress(expected), "\(device) to \(to)")
          // 0.0.0.0 is this host, by an address of the device.
          let peer = try bench.sockets.remoteAddress(id).address
          #expect(peer == IPAddress(to.isAny ? expected : to), "\(device) to \(to)")
        }
        bench.sockets.abort(id, host: &bench.host)
      }
      let id = try bench.socket(type)
      #expect(throws: Errno.ENETUNREACH) { try connect(id, IPv4Address(8, 8, 8, 8), 9) }
      try bench.set(id, 1, 62, 99)
      #expect(throws: Errno.ENODEV) { try connect(id, Self.loopback, 9) }
      try bind(id, toDevice: ethernet)
      try? bind(id, Self.loopback, 0)
      if type == .stream { #expect(throws: Errno.EINVAL) { try connect(id, Self.loopback, 9) } }
    }
  }

  @Test(
    "I6 a connection that moves to another device hears no more of the old one, and goes on when it is back")
  func moved() throws {
    let (listener, client) = (try bench.socket(.stream), try bench.socket(.stream))
    try bind(listener, .any, 700)
    try bench.sockets.listen(listener, backlog: 1, net: &bench.host.net)
    try connect(client, Self.own, 700)
    let child = try bench.sockets.accept(listener, net: &bench.host.net)
    try bind(client, toDevice: ethernet)
    _ = try bench.send(child, [1])
    bench.settle()
    #expect(try bench.receive(client) == [1])
    try bind(client, toDevice: "lo")
    _ = try bench.send(child, [2])
    bench.settle()
    #expect(throws: Errno.self) { try bench.receive(client) }
    // A stranger's segment: the other end is told.
    #expect(throws: Errno.ECONNRESET) { try bench.receive(child) }
  }

  @Test("S10 a ping's reply comes by the device that it is bound to, or not at all")
  func pings() throws {
    for (device, to, isAnswered) in [
      ("", Self.loopback, true), ("lo", Self.loopback, true), (ethernet, Self.loopback, false),
      ("lo", Self.own, false), (ethernet, Self.own, true),
    ] {
      let id = try ping()
      try bind(id, toDevice: device)
      _ = try bench.send(
        id, [8, 0, 0, 0, 0, 0, 0, 1], header: MessageHeader(address: SocketAddress(to, port: 0)))
      bench.settle()
      #expect(((try? bench.receive(id)) != nil) == isAnswered, "\(device) to \(to)")
      try bench.sockets.close(id, host: &bench.host)
    }
  }
}
