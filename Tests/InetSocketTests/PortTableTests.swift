import NetTestSupport
import InetSocket
import NetNamespace
import SkBuff
import Tables
import Testing
import Timers
import Wire

@Suite struct PortTableTests {
  final class Bench {
    private let memory = TestMemory(limit: 1 << 20)
    var net: Net
    var ports = PortTable()
    private var bindings = [PortBinding](repeating: PortBinding(), count: 101)

    init() { net = memory.net(seed: 11, now: .origin) }

    func bind(
      _ owner: Int, _ address: IPv4Address = .any, port: UInt16, reuseAddress: Bool = false,
      reusePort: Bool = false
    ) throws -> UInt16 {
      try ports.bind(
        &bindings[owner], address: IPAddress(address), port: port, reuseAddress: reuseAddress,
        reusePort: reusePort,
        net: &net)
    }
    func listen(_ owner: Int, _ address: IPv4Address = .any, port: UInt16) throws {
      try ports.listen(&bindings[owner], address: IPAddress(address), port: port)
    }
    func release(_ owner: Int, _ address: IPv4Address = .any, port: UInt16) {
      ports.release(&bindings[owner], address: IPAddress(address), port: port)
    }
    func connect(
      _ owner: Int, to remote: SocketAddress, reuseAddress: Bool = false,
      isTaken: (UInt16) -> Bool = { _ in false }
    ) throws -> UInt16 {
      var walk = ports.search(address: IPAddress(IPv4Address(10, 0, 0, 2)), remote: remote, net: &net)
      while let candidate = ports.next(&walk) {
        if candidate.isShared && isTaken(candidate.port) { continue }
        ports.claim(
          &bindings[owner], port: candidate.port, search: walk, reuseAddress: reuseAddress, reusePort: false)
        return candidate.port
      }
      throw Errno.EADDRNOTAVAIL
    }
    func share(_ owner: Int, with listener: Int, _ address: IPv4Address, port: UInt16) {
      ports.share(
        &bindings[owner], with: bindings[listener], address: IPAddress(address), port: port)
    }
  }
  let one = IPv4Address(10, 0, 0, 2)
  let two = IPv4Address(10, 0, 0, 3)
  let server = SocketAddress(IPv4Address(10, 0, 0, 1), port: 80)

  @Test("D12 a port that comes into use, and one that goes out of it, is told to other shards")
  func changes() throws {
    let bench = Bench()
    let users = SharedMasks(count: 65536)
    let listeners = SharedMasks(count: 65536)
    _ = try bench.bind(0, one, port: 80)
    bench.ports.shared = SharedPorts(users: users, listeners: listeners, shard: 5)
    _ = try bench.bind(1, one, port: 81)
    #expect(users[81] == 1 << 5 && listeners[81] == 0)
    _ = try bench.bind(2, two, port: 81)
    bench.release(1, one, port: 81)
    #expect(users[81] == 1 << 5)
    bench.release(2, two, port: 81)
    #expect(users[81] == 0)
    _ = try bench.bind(3, two, port: 82)
    #expect(users[82] == 1 << 5 && listeners[82] == 0)
    try bench.listen(3, two, port: 82)
    #expect(users[82] == 1 << 5 && listeners[82] == 1 << 5)
    users.set(7, true, at: 82)
    bench.release(3, two, port: 82)
    #expect(users[82] == 1 << 7 && listeners[82] == 0)
  }

  @Test(
    "D12 a port that somebody else holds already is told again when a socket listens on it, and when none does"
  )
  func listening() throws {
    let bench = Bench()
    let users = SharedMasks(count: 65536)
    let listeners = SharedMasks(count: 65536)
    bench.ports.shared = SharedPorts(users: users, listeners: listeners, shard: 1)
    for owner in 0...2 { _ = try bench.bind(owner, port: 80, reusePort: true) }
    #expect(users[80] == 2 && listeners[80] == 0)
    try bench.listen(1, port: 80)
    #expect(users[80] == 2 && listeners[80] == 2)
    try bench.listen(2, port: 80)
    bench.release(1, port: 80)
    #expect(listeners[80] == 2)
    bench.release(2, port: 80)
    #expect(users[80] == 2 && listeners[80] == 0)
  }

  @Test("D12 an ephemeral port is one that no other shard has, for bind() and for connect()")
  func elsewhere() throws {
    let bench = Bench()
    let users = SharedMasks(count: 65536)
    bench.ports.shared = SharedPorts(users: users, shard: 0)
    bench.net.settings.localPorts = 5000...5003
    for port in [5000, 5001, 5003] { users.set(1, true, at: port) }
    #expect(try bench.bind(0, one, port: 0) == 5002)
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(1, one, port: 0) }
    users.set(1, false, at: 5001)
    var search = bench.ports.search(address: IPAddress(one), remote: server, net: &bench.net)
    let found = bench.ports.next(&search)?.port
    let last = bench.ports.next(&search)?.port
    #expect(found == 5001 && last == nil)
  }

  @Test("S4 A port is taken once; any address meets every address, two addresses do not meet")
  func conflicts() throws {
    let bench = Bench()
    #expect(try bench.bind(0, one, port: 80) == 80)
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(1, one, port: 80) }
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(1, port: 80) }
    #expect(try bench.bind(1, two, port: 80) == 80)
    bench.release(0, one, port: 80)
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(0, port: 80) }
    bench.release(1, two, port: 80)
    #expect(try bench.bind(0, port: 80) == 80)
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(1, one, port: 80) }
    #expect(throws: Errno.EINVAL) { try bench.bind(0, port: 81) }
    // Released twice is released once.
    bench.release(0, port: 80)
    bench.release(0, port: 80)
    #expect(bench.ports.count == 0)
  }

  @Test("S4 SO_REUSEADDR shares with others that have it, but not with a listener")
  func reuseAddress() throws {
    let bench = Bench()
    _ = try bench.bind(0, port: 80, reuseAddress: true)
    _ = try bench.bind(1, port: 80, reuseAddress: true)
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(2, port: 80) }
    try bench.listen(0, port: 80)
    try bench.listen(0, port: 80)
    #expect(throws: Errno.EADDRINUSE) { try bench.listen(1, port: 80) }
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(2, port: 80, reuseAddress: true) }
  }

  @Test("S4 SO_REUSEPORT shares with others that have it, listeners too")
  func reusePort() throws {
    let bench = Bench()
    for owner in 0..<3 {
      _ = try bench.bind(owner, port: 80, reusePort: true)
      try bench.listen(owner, port: 80)
    }
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(3, port: 80, reuseAddress: true) }
  }

  @Test("S4 Accepted connections keep the port from a restarting server without SO_REUSEADDR")
  func children() throws {
    for reuse in [false, true] {
      let bench = Bench()
      _ = try bench.bind(0, port: 80, reuseAddress: reuse)
      try bench.listen(0, port: 80)
      bench.share(1, with: 0, one, port: 80)
      bench.release(0, port: 80)
      if reuse {
        _ = try bench.bind(2, port: 80, reuseAddress: true)
        try bench.listen(2, port: 80)
      } else {
        #expect(throws: Errno.EADDRINUSE) { try bench.bind(2, port: 80) }
        bench.release(1, one, port: 80)
        _ = try bench.bind(2, port: 80)
      }
    }
  }

  @Test("S4 RFC 6056: ephemeral ports come from the range, in no order, until none is left")
  func ephemeral() throws {
    let bench = Bench()
    bench.net.settings.localPorts = 40000...40099
    let ports = try (0..<100).map { try bench.bind($0, port: 0) }
    #expect(Set(ports) == Set(40000...40099))
    #expect(ports != ports.sorted())
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(100, port: 0) }
    bench.release(37, port: ports[37])
    #expect(try bench.bind(100, port: 0) == ports[37])
  }

  @Test(
    "S4 RFC 6056: connections to one server use every port, then EADDRNOTAVAIL; another server starts anew")
  func connections() throws {
    let bench = Bench()
    bench.net.settings.localPorts = 40000...40098
    var taken: Set<UInt16> = []
    for owner in 0..<99 {
      let port = try bench.connect(owner, to: server) { taken.contains($0) }
      #expect(taken.insert(port).inserted)
    }
    #expect(taken.count == 99)
    #expect(throws: Errno.EADDRNOTAVAIL) { try bench.connect(99, to: server) { taken.contains($0) } }
    let other = SocketAddress(server.address, port: 81)
    let shared = try bench.connect(99, to: other)
    #expect(taken.contains(shared))
    // A port that connections share is not free for bind().
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(100, port: shared) }
  }

  @Test("S4 connect() leaves ports alone that bind() gave out")
  func connectAvoidsBound() throws {
    let bench = Bench()
    bench.net.settings.localPorts = 40000...40001
    _ = try bench.bind(0, port: 40000, reuseAddress: true)
    #expect(try bench.connect(1, to: server) == 40001)
    #expect(throws: Errno.EADDRNOTAVAIL) { try bench.connect(2, to: server) { $0 == 40001 } }
  }

  @Test("SO_REUSEADDR set before connect() lets bind() share the port later")
  func reuseOfChosenPort() throws {
    let bench = Bench()
    let shared = try bench.connect(1, to: server, reuseAddress: true)
    let own = try bench.connect(2, to: server)
    #expect(try bench.bind(3, port: shared, reuseAddress: true) == shared)
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(4, port: shared) }
    #expect(throws: Errno.EADDRINUSE) { try bench.bind(4, port: own, reuseAddress: true) }
  }
}
