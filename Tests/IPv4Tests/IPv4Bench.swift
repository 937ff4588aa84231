import DeviceTestSupport
import NetTestSupport
import IPv4
import NetDevice
import NetNamespace
import Neighbour
import SkBuff
import Timers
import Wire

/// IPv4 above a real device, in virtual time: 10.0.0.2/24 with a gateway at 10.0.0.1, which is a static neighbour
/// unless asked otherwise.
final class IPv4Bench {
  static let mac = TestCard.ownMAC
  static let peerMAC = MACAddress(0x0200_0000_0001)
  static let own = IPv4Address(10, 0, 0, 2)
  static let peer = IPv4Address(10, 0, 0, 1)

  private let memory: TestMemory
  var pool: SkBuffPool { memory.pool }
  var net: Net
  var link: LinkLayer
  var ip: IPv4Layer
  let ethernet: InterfaceIndex
  var card: TestCard

  init(
    mtu: Int = 1500, knowsPeer: Bool = true, memory: Int = 256 << 20,
    features: DeviceFeatures = [.scatterGather, .checksum, .tsoV4, .udpSegmentation]
  ) {
    self.memory = TestMemory(limit: memory)
    net = self.memory.net()
    card = TestCard(mtu: mtu, txRing: 1024, rxRing: 512)
    let device = card.device(features: features, net: &net)
    link = LinkLayer(net: &net)
    ethernet = link.devices.add(device)
    ip = IPv4Layer(net: &net)
    ip.hooks.name(ethernet, "test0")
    do {
      try ip.addAddress(IPv4Prefix("10.0.0.2/24")!, on: ethernet, link: link)
      try ip.addRoute(RouteEntry(IPv4Prefix("0.0.0.0/0")!, gateway: Self.peer), link: link)
      if knowsPeer {
        try ip.setNeighbour(Self.peer, on: ethernet, hardwareAddress: Self.peerMAC, link: &link, net: &net)
      }
    } catch { fatalError("an address and a default route can be set: \(error)") }
  }

  deinit {
    ip.close(net: &net)
    link.close(net: &net)
  }

  // MARK: Wire

  /// What the device puts on the wire.
  func frames() -> [[UInt8]] {
    card.frames(now: net.now) {
      var received = SkBuffQueue()
      while link.devices[ethernet].poll(budget: 64, into: &received, net: &net) {}
    } runQdisc: {
      link.devices[ethernet].runQdisc(net: &net)
    }
  }
  /// The IP packets among them, padding cut off.
  func packets() -> [[UInt8]] {
    frames().filter { $0[12] == 8 && $0[13] == 0 }.map { frame in
      Array(frame[14..<14 + Int(frame[16]) << 8 + Int(frame[17])])
    }
  }

  /// What became of a received packet, in a form that can be compared.
  enum Outcome: Equatable {
    case consumed
    case delivered(UInt8, payload: [UInt8], source: IPv4Address, typeOfService: UInt8)
    case error(TransportError)
    static func == (a: Outcome, b: Outcome) -> Bool { "\(a)" == "\(b)" }
  }

  /// Puts a frame on the wire, and returns what IP makes of it.
  @discardableResult
  func deliver(_ frame: [UInt8]) -> Outcome {
    _ = card.nic.receive(frame.span, now: net.now)
    _ = card.nic.takeInterrupt(now: net.now)
    var received = SkBuffQueue()
    _ = link.devices[ethernet].poll(budget: 64, into: &received, net: &net)
    var outcome = Outcome.consumed
    while let skb = received.popFirst() { outcome = receive(skb) }
    return outcome
  }

  func receive(_ skb: consuming SkBuff) -> Outcome {
    switch ip.receive(skb, link: &link, net: &net) {
    case .consumed: return ip.takeTransportError().map { .error($0) } ?? .consumed
    case .tcp(let skb, let header): return Self.outcome(skb, header)
    case .udp(let skb, let header): return Self.outcome(skb, header)
    case .icmp(let skb, let header): return Self.outcome(skb, header)
    }
  }

  private static func outcome(_ skb: borrowing SkBuff, _ header: IPv4Header) -> Outcome {
    .delivered(
      header.protocol.rawValue, payload: bytes(of: skb), source: header.source,
      typeOfService: header.typeOfService)
  }

  static func bytes(of skb: borrowing SkBuff) -> [UInt8] { skb.copyBytes() }

  // MARK: Making packets, byte by byte

  static func sum(_ bytes: some Collection<UInt8>) -> Int {
    var sum = 0
    for (index, octet) in bytes.enumerated() { sum += Int(octet) << (index & 1 == 0 ? 8 : 0) }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return sum
  }
  static func octets(_ address: IPv4Address) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: address.rawValue >> UInt32(24 - 8 * $0)) }
  }

  /// A frame with an IPv4 packet in it.
  static func frame(
    source: IPv4Address = peer, destination: IPv4Address = own, protocol number: UInt8 = 17, id: Int = 1,
    fragment: Int = 0, tos: UInt8 = 0, options: [UInt8] = [], to mac: [UInt8] = [2, 0, 0, 0, 0, 2],
    _ payload: [UInt8]
  ) -> [UInt8] {
    let total = 20 + options.count + payload.count
    var header: [UInt8] = [
      UInt8(0x45 + options.count / 4), tos, UInt8(total >> 8), UInt8(total & 0xFF), UInt8(id >> 8),
      UInt8(id & 0xFF), UInt8(fragment >> 8), UInt8(fragment & 0xFF), 64, number, 0, 0,
    ]
    header += octets(source) + octets(destination) + options
    let check = ~sum(header) & 0xFFFF
    header[10] = UInt8(check >> 8)
    header[11] = UInt8(check & 0xFF)
    return mac + [2, 0, 0, 0, 0, 1, 8, 0] + header + payload
  }

  /// An ICMP message with its checksum.
  static func icmp(_ kind: UInt8, _ code: UInt8, rest: [UInt8] = [0, 0, 0, 0], _ body: [UInt8]) -> [UInt8] {
    var message = [kind, code, 0, 0] + rest + body
    let check = ~sum(message) & 0xFFFF
    message[2] = UInt8(check >> 8)
    message[3] = UInt8(check & 0xFF)
    return message
  }

  static func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
  }

  // MARK: Sending

  /// A transport's packet: `payload`, of which `linear` bytes lie in the linear area and the rest in a page.
  func transport(_ payload: [UInt8], linear: Int = 8) -> SkBuff {
    let front = min(linear, payload.count)
    guard var allocated = pool.allocate(headroom: 64, linear: front) else { fatalError("the pool has room") }
    unsafe allocated.put(Array(payload[..<front]).span.bytes)
    var offset = front
    while offset < payload.count {
      guard let page = pool.allocatePage(large: true) else { fatalError("the pool has room") }
      let count = min(payload.count - offset, page.byteCount)
      page.fill(unsafe payload.span.bytes.extracting(offset..<offset + count), at: 0)
      allocated.appendFragment(page, offset: 0, byteCount: count, truesize: count)
      offset += count
    }
    allocated.setTransportHeader()
    return allocated
  }

  func route(to: IPv4Address = peer) -> Route {
    do { return try ip.route(to: to, from: nil, link: link, net: &net) } catch {
      fatalError("a route exists: \(error)")
    }
  }

  @discardableResult
  func send(
    _ payload: [UInt8], to: IPv4Address = peer, linear: Int = 8, options: IPv4SendOptions? = nil
  ) -> XmitResult {
    var route = route(to: to)
    return ip.output(
      transport(payload, linear: linear), route: &route, options: options ?? IPv4SendOptions(protocol: .udp),
      link: &link, net: &net)
  }

  /// Moves the clock, serving every timer at its time.
  func advance(_ span: Nanoseconds) {
    let end = net.now + span
    while let next = net.timers.nextDeadline, next <= end {
      net.advance(to: next)
      while let (key, due) = net.timers.popExpired(now: net.now) {
        ip.timerExpired(key, due: due, link: &link, net: &net)
      }
    }
    net.advance(to: end)
  }

  func join(_ group: IPv4Address) {
    ip.joinGroup(group, on: ethernet, link: &link, net: &net)
  }

  // The testing macros take no member of a noncopyable value; these wrap them.
  func isCurrent(_ route: Route) -> Bool { ip.isCurrent(route) }
  func neighbourState(_ address: IPv4Address) -> NeighbourState? {
    link.neighbours.state(of: IPAddress(address), on: ethernet)
  }
  var neighbourCount: Int { link.neighbours.count }
  func conflicts() -> [AddressConflict] {
    var list: [AddressConflict] = []
    while let conflict = ip.takeAddressConflict() { list.append(conflict) }
    return list
  }
  func count(_ name: NetCounters.Name) -> UInt64 { net.counters[name] }
  func errors() -> [TransportError] {
    var list: [TransportError] = []
    while let error = ip.takeTransportError() { list.append(error) }
    return list
  }
  func routeError(to: IPv4Address, from: IPv4Address? = nil) -> Errno? {
    do {
      _ = try ip.route(to: to, from: from, link: link, net: &net)
      return nil
    } catch { return error }
  }
}
