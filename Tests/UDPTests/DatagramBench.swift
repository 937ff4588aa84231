import DeviceTestSupport
import NetTestSupport
import InetSocket
import IPv4
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Sockets
import Timers
import UDP
import Wire

/// Sockets at 10.0.0.2/24 above a real device, in virtual time, with a peer at 10.0.0.1 that answers ARP. Frames are
/// made and checked by arithmetic of this file, not the stack's.
final class DatagramBench {
  static let mac: [UInt8] = [2, 0, 0, 0, 0, 2]
  static let peerMAC: [UInt8] = [2, 0, 0, 0, 0, 1]
  static let address = IPv4Address(10, 0, 0, 2)
  static let peer = IPv4Address(10, 0, 0, 1)

  private let memory = TestMemory()
  var pool: SkBuffPool { memory.pool }
  var host: Host
  let ethernet: InterfaceIndex
  var sockets: SocketLayer
  var card: TestCard
  var input = SkBuffQueue()
  /// IP packets that the peer got, from their IP header on.
  var sent: [[UInt8]] = []

  init(features: DeviceFeatures = [.scatterGather, .checksum, .tsoV4, .udpSegmentation], mtu: Int = 1500) {
    var net = memory.net(seed: 7)
    card = TestCard(mtu: mtu)
    let device = card.device(features: features, net: &net)
    sockets = SocketLayer(net: net, secret: (3, 4))
    host = Host(net: net)
    ethernet = host.link.devices.add(device)
    // Groups and 255.255.255.255 have a way; other networks have none.
    guard let prefix = IPv4Prefix("10.0.0.2/24"), let many = IPv4Prefix("224.0.0.0/3") else {
      fatalError("a prefix parses")
    }
    do {
      try host.addAddress(prefix, on: ethernet)
      try host.addRoute(RouteEntry(many, interface: ethernet))
    } catch {
      fatalError("an address and a route are added: \(error)")
    }
    settle()
    sent.removeAll()
  }

  deinit {
    for id in sockets.sockets() { sockets.abort(id, host: &host) }
    host.close()
    input.removeAll()
  }

  // MARK: Driving

  /// The composition root's loop, until nothing moves. The peer answers ARP requests for its address.
  func settle() {
    var isMoving = true
    while isMoving {
      isMoving = false
      while let frame = card.nextFrame(now: host.net.now) {
        isMoving = true
        if frame[12...13].elementsEqual([8, 6]) {
          if frame[21] == 1 && frame[38..<42].elementsEqual([10, 0, 0, 1]) { answer(frame) }
        } else {
          sent.append(Array(frame[14...]))
        }
      }
      if card.nic.takeInterrupt(now: host.net.now) {
        _ = host.poll(ethernet, into: &input)
        isMoving = true
      }
      while let skb = input.popFirst() {
        sockets.receive(host.receive(skb), host: &host)
      }
      while let skb = host.net.takeBacklog() {
        sockets.receive(host.receive(skb), host: &host)
        isMoving = true
      }
      while let error = host.internet.takeTransportError() { sockets.error(error, host: &host) }
      if host.link.devices[ethernet].hasScheduledWork {
        host.runQdisc(ethernet)
        isMoving = true
      }
    }
  }

  private func answer(_ request: [UInt8]) {
    let reply =
      Self.mac + Self.peerMAC + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + Self.peerMAC + [10, 0, 0, 1] + Self.mac
      + [10, 0, 0, 2] + [UInt8](repeating: 0, count: 18)
    card.receive(reply, now: host.net.now)
  }

  /// A packet from the peer, from its IP header on.
  func receive(_ packet: [UInt8], destinationMAC: [UInt8] = mac) {
    card.receive(destinationMAC + Self.peerMAC + [8, 0] + packet, now: host.net.now)
    settle()
  }

  // MARK: Calls

  func udp(port: UInt16 = 0) throws -> SocketID {
    let id = try sockets.socket(family: .inet, type: .datagram, net: &host.net)
    if port != 0 { try sockets.bind(id, to: SocketAddress(.any, port: port), host: &host) }
    return id
  }
  func connect(_ id: SocketID, _ port: UInt16) throws {
    try sockets.connect(id, to: SocketAddress(Self.peer, port: port), host: &host)
  }

  @discardableResult
  func send(
    _ id: SocketID, _ bytes: [UInt8], to: SocketAddress? = nil, control: SendControl = SendControl(),
    flags: MessageFlags = []
  ) throws -> Int {
    try send(id, bytes, header: MessageHeader(address: to, control: control, flags: flags))
  }

  @discardableResult
  func send(_ id: SocketID, _ bytes: [UInt8], header: MessageHeader) throws -> Int {
    try unsafe bytes.withUnsafeBytes { buffer in
      var iter = unsafe IovIter(source: buffer)
      return try sockets.sendmsg(id, header: header, iter: &iter, host: &host)
    }
  }

  func receive(_ id: SocketID, room: Int = 65536, flags: MessageFlags = []) throws -> (
    bytes: [UInt8], message: ReceivedMessage
  ) {
    var buffer = [UInt8](repeating: 0xEE, count: room)
    let message = try unsafe buffer.withUnsafeMutableBytes { target in
      var iter = unsafe IovIter(destination: target)
      return try sockets.recvmsg(id, iter: &iter, flags: flags, host: &host)
    }
    return (Array(buffer[..<min(room, message.byteCount)]), message)
  }

  func setFlag(_ id: SocketID, level: Int32, name: Int32, _ value: Int32 = 1) throws {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> Int32($0 * 8)) }
    let span = unsafe bytes.span.bytes
    try sockets.setsockopt(id, level: level, name: name, value: span, host: &host)
  }
  func count(_ name: NetCounters.Name) -> UInt64 { host.net.counters[name] }
}

/// Packets by hand (RFC 791, RFC 768, RFC 1071).
enum Packet {
  static func big16(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
  static func read16(_ bytes: [UInt8], _ offset: Int) -> Int {
    Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
  }

  static func checksum(_ bytes: [UInt8]) -> Int {
    var sum = 0
    for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + sum >> 16 }
    return ~sum & 0xFFFF
  }

  static func ip(
    protocol number: UInt8, payload: [UInt8], source: [UInt8] = [10, 0, 0, 1],
    destination: [UInt8] = [10, 0, 0, 2], timeToLive: UInt8 = 64, typeOfService: UInt8 = 0
  ) -> [UInt8] {
    var header =
      [0x45, typeOfService] + big16(20 + payload.count) + [0, 1, 0, 0, timeToLive, number, 0, 0] + source
      + destination
    header.replaceSubrange(10..<12, with: big16(checksum(header)))
    return header + payload
  }

  static func pseudo(_ source: [UInt8], _ destination: [UInt8], _ count: Int) -> [UInt8] {
    source + destination + [0, 17] + big16(count)
  }

  static func udp(
    from: Int, to: Int, _ payload: [UInt8], source: [UInt8] = [10, 0, 0, 1],
    destination: [UInt8] = [10, 0, 0, 2], checksum given: Int? = nil, length: Int? = nil
  ) -> [UInt8] {
    let count = length ?? 8 + payload.count
    var datagram = big16(from) + big16(to) + big16(count) + [0, 0] + payload
    let sum = given ?? checksum(pseudo(source, destination, count) + datagram)
    datagram.replaceSubrange(6..<8, with: big16(sum))
    return ip(protocol: 17, payload: datagram, source: source, destination: destination)
  }

  /// An ICMP error about a packet.
  static func icmpError(type: UInt8, code: UInt8, rest: [UInt8] = [0, 0, 0, 0], about packet: [UInt8])
    -> [UInt8]
  {
    var message = [type, code, 0, 0] + rest + packet.prefix(28)
    message.replaceSubrange(2..<4, with: big16(checksum(message)))
    return ip(protocol: 1, payload: message)
  }

  /// Whether a UDP datagram's checksum is right, pseudo-header included.
  static func isChecksumRight(_ datagram: [UInt8], source: [UInt8], destination: [UInt8]) -> Bool {
    checksum(pseudo(source, destination, datagram.count) + datagram) == 0
  }
}
