import IPv4
import SwiftStack
import Timers
import Wire

/// A packet written byte by byte, checksums and all.
public enum HandmadePacket {
  public static func octets(_ address: IPv4Address) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: address.rawValue >> UInt32(24 - 8 * $0)) }
  }
  public static func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
  /// RFC 1071.
  public static func sum(_ bytes: some Collection<UInt8>) -> Int {
    var sum = 0
    for (index, octet) in bytes.enumerated() { sum += Int(octet) << (index & 1 == 0 ? 8 : 0) }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return sum
  }
  static func put(_ value: Int, at place: Int, in bytes: inout [UInt8]) {
    bytes.replaceSubrange(place..<place + 2, with: word(value))
  }

  /// - Parameter fragment: flags and offset as they lie in the header.
  public static func ip(
    _ source: IPv4Address, _ destination: IPv4Address, protocol number: UInt8, ttl: UInt8 = 64, id: Int = 1,
    fragment: Int = 0, tos: UInt8 = 0, options: [UInt8] = [], _ payload: [UInt8]
  ) -> [UInt8] {
    var header: [UInt8] = [UInt8(0x45 + options.count / 4), tos]
    header += word(20 + options.count + payload.count) + word(id) + word(fragment)
    header += [ttl, number, 0, 0] + octets(source) + octets(destination) + options
    put(~sum(header) & 0xFFFF, at: 10, in: &header)
    return header + payload
  }

  /// What a packet's addresses and protocol add to its payload's sum (RFC 768).
  public static func pseudo(_ packet: [UInt8], _ count: Int) -> [UInt8] {
    var bytes = Array(packet[12..<20])
    bytes += [0, packet[9]]
    bytes += word(count)
    return bytes
  }

  private static func pseudo(
    _ source: IPv4Address, _ destination: IPv4Address, _ number: UInt8, _ count: Int
  ) -> [UInt8] {
    octets(source) + octets(destination) + [0, number] + word(count)
  }

  public static func udp(
    _ source: SocketAddress, _ destination: SocketAddress, ttl: UInt8 = 64, id: Int = 1, fragment: Int = 0,
    tos: UInt8 = 0, options: [UInt8] = [], hasChecksum: Bool = true, _ payload: [UInt8]
  ) -> [UInt8] {
    let (from, to) = (source.address.v4 ?? .any, destination.address.v4 ?? .any)
    var segment = word(Int(source.port)) + word(Int(destination.port)) + word(8 + payload.count) + [0, 0]
    segment += payload
    if hasChecksum {
      put(~sum(pseudo(from, to, 17, segment.count) + segment) & 0xFFFF, at: 6, in: &segment)
    }
    return ip(
      from, to, protocol: 17, ttl: ttl, id: id, fragment: fragment, tos: tos, options: options, segment)
  }

  public static func tcp(
    _ source: SocketAddress, _ destination: SocketAddress, _ flags: UInt8, sequence: UInt32 = 1000,
    acknowledgment: UInt32 = 0, window: Int = 65535, id: Int = 1, _ payload: [UInt8] = []
  ) -> [UInt8] {
    let (from, to) = (source.address.v4 ?? .any, destination.address.v4 ?? .any)
    func long(_ value: UInt32) -> [UInt8] { octets(IPv4Address(value)) }
    var segment = word(Int(source.port)) + word(Int(destination.port)) + long(sequence) + long(acknowledgment)
    segment += [0x50, flags] + word(window) + [0, 0, 0, 0] + payload
    put(~sum(pseudo(from, to, 6, segment.count) + segment) & 0xFFFF, at: 16, in: &segment)
    return ip(from, to, protocol: 6, id: id, fragment: 0x4000, segment)
  }

  public static func icmp(
    _ source: IPv4Address, _ destination: IPv4Address, _ kind: UInt8, _ code: UInt8, rest: [UInt8],
    ttl: UInt8 = 64,
    _ body: [UInt8] = []
  ) -> [UInt8] {
    var message = [kind, code, 0, 0] + rest + body
    put(~sum(message) & 0xFFFF, at: 2, in: &message)
    return ip(source, destination, protocol: 1, ttl: ttl, message)
  }

  /// Whether all of a packet's checksums are right.
  public static func isIntact(_ packet: [UInt8]) -> Bool {
    let header = Int(packet[0] & 0xF) * 4
    guard sum(packet[..<header]) == 0xFFFF else { return false }
    let payload = Array(packet[header...])
    switch packet[9] {
    case 1: return sum(payload) == 0xFFFF
    case 6, 17:
      if packet[9] == 17 && payload[6] == 0 && payload[7] == 0 { return true }
      return sum(pseudo(packet, payload.count) + payload) == 0xFFFF
    default: return true
    }
  }
}

/// A stack with two interfaces, `sim0` with 10.1.0.2/24 and `sim1` with 10.2.0.2/24, and what is on their wires: a client,
/// 10.1.0.1, and a server, 10.2.0.1, both of whom it knows.
public final class RouterBench {
  public static let client = IPv4Address(10, 1, 0, 1)
  public static let server = IPv4Address(10, 2, 0, 1)
  public static let near = IPv4Address(10, 1, 0, 2)
  public static let far = IPv4Address(10, 2, 0, 2)
  static let clientStation: [UInt8] = [2, 0, 0, 0, 0, 0x11]
  static let serverStation: [UInt8] = [2, 0, 0, 0, 0, 0x22]
  public let host: SimulatedStack
  public var stack: Stack { host.stack }

  public init(forwards: Bool = true, mtu: Int = 1500, lendsEngines: Bool = false, queues: Int = 1) throws {
    var configuration = StackConfiguration(address: IPv4Prefix("10.1.0.2/24")!)
    configuration.announcesAddress = false
    configuration.links = [LinkConfiguration(name: "sim1", address: IPv4Prefix("10.2.0.2/24")!, mtu: mtu)]
    host = try SimulatedStack(configuration, queues: queues, lendsEngines: lendsEngines)
    if forwards { try stack.set("net.ipv4.ip_forward", to: "1") }
    try stack.replaceNeighbour(Self.client, hardwareAddress: MACAddress("02:00:00:00:00:11")!)
    try stack.replaceNeighbour(Self.server, hardwareAddress: MACAddress("02:00:00:00:00:22")!, on: "sim1")
  }

  private func station(_ name: String) -> [UInt8] {
    let address =
      name == "sim0" ? stack.configuration.macAddress : stack.configuration.links[0].macAddress
    return (0..<6).map { UInt8(truncatingIfNeeded: address.rawValue >> UInt64(40 - 8 * $0)) }
  }

  /// A packet comes in by an interface.
  ///
  /// - Parameter queue: the one it arrives at; `nil`: by its flow.
  public func receive(
    _ packet: [UInt8], on name: String, metadata: WireFrameMetadata = WireFrameMetadata(), queue: Int? = nil
  ) throws {
    // The NIC's interrupt is moderated.
    advance(.microseconds(200))
    let from = name == "sim0" ? Self.clientStation : Self.serverStation
    let frame = station(name) + from + [8, 0] + packet
    let padded = frame + [UInt8](repeating: 0, count: max(0, 60 - frame.count))
    try host.receive(SimulatedFrame(bytes: padded, metadata: metadata), on: name, queue: queue)
  }

  /// The IP packets that have left by an interface, to whom it belongs to there.
  public func packets(_ name: String) throws -> [[UInt8]] {
    try host.takeFrames(on: name).compactMap { frame in
      guard frame.bytes[12] == 8, frame.bytes[13] == 0 else { return nil }
      let count = Int(frame.bytes[16]) << 8 + Int(frame.bytes[17])
      return Array(frame.bytes[14..<14 + count])
    }
  }

  /// One packet in by one interface, and what leaves by the other.
  public func forward(
    _ packet: [UInt8], from name: String = "sim0", queue: Int? = nil
  ) throws -> [[UInt8]] {
    try receive(packet, on: name, queue: queue)
    return try packets(name == "sim0" ? "sim1" : "sim0")
  }

  public func count(_ name: String) -> UInt64 {
    stack.counterReports.first { $0.name == name }?.value ?? 0
  }
  public func advance(_ time: Nanoseconds) { host.advance(to: host.now + time) }
  public func filter(_ text: String) throws {
    try stack.apply(
      StackChange(words: ["filter", "add"] + text.split(separator: " ").map(String.init), device: nil))
  }
  public func change(_ text: String) throws {
    try stack.apply(
      StackChange(words: text.split(separator: " ").map(String.init), device: "sim0", others: ["sim1"]))
  }
}
