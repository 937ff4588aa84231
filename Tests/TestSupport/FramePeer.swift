import IceModel
import SwiftStack
import Timers
import Wire

/// The far end of a wire, frame by frame: several stations in 10.0.0.0/24, written from the RFCs and sharing nothing with
/// the stack under test, which is 10.0.0.2. Answers ARP for its stations; keeps everything else for the test.
public final class FramePeer {
  public let host: SimulatedStack
  /// Who answers ARP: last byte of the address to last byte of the MAC.
  public var stations: [UInt8: UInt8] = [1: 1]
  /// IP packets that the stack sent, in order, with the last byte of the MAC each went to.
  public private(set) var packets: [(bytes: [UInt8], station: UInt8)] = []
  /// ARP packets that the stack sent, in order, with the frame's destination.
  public private(set) var arp: [(bytes: [UInt8], to: [UInt8])] = []
  public static let hostMAC: [UInt8] = [2, 0, 0, 0, 0, 2]
  public static let hostAddress: [UInt8] = [10, 0, 0, 2]

  public init(
    queues: Int = 1, lendsEngines: Bool = false, seed: UInt64 = 1,
    _ configure: (inout StackConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = StackConfiguration()
    configuration.announcesAddress = false
    configure(&configuration)
    host = try SimulatedStack(configuration, queues: queues, lendsEngines: lendsEngines, seed: seed)
    host.advance(to: .origin + .seconds(100))
    _ = host.takeFrames()
  }

  public static func mac(_ last: UInt8) -> [UInt8] { [2, 0, 0, 0, 0, last] }

  // MARK: Time

  public func advance(_ span: Nanoseconds) {
    let end = host.now + span
    while true {
      collect()
      guard let next = host.nextDeadline, next <= end else { break }
      host.advance(to: max(next, host.now))
    }
    host.advance(to: end)
    collect()
  }

  /// Takes what the stack has sent, and answers its ARP requests.
  public func collect() {
    while true {
      let frames = host.takeFrames()
      if frames.isEmpty { return }
      for frame in frames {
        let bytes = frame.bytes
        guard bytes.count >= 34 else { continue }
        if bytes[12] == 8, bytes[13] == 0 {
          let total = Int(bytes[16]) << 8 | Int(bytes[17])
          packets.append((Array(bytes[14..<min(bytes.count, 14 + total)]), bytes[5]))
        } else if bytes[12] == 8, bytes[13] == 6 {
          arp.append((Array(bytes[14..<42]), Array(bytes[0..<6])))
          guard bytes[21] == 1, bytes[38] == 10, let station = stations[bytes[41]] else { continue }
          host.receive(
            Self.arp(
              2, Self.mac(station), Array(bytes[38..<42]), Array(bytes[22..<28]), Array(bytes[28..<32]),
              to: Array(bytes[6..<12])))
        }
      }
    }
  }

  public func takePackets() -> [[UInt8]] {
    collect()
    defer { packets = [] }
    return packets.map(\.bytes)
  }
  public func takeARP() -> [[UInt8]] {
    collect()
    defer { arp = [] }
    return arp.map(\.bytes)
  }

  // MARK: Frames in

  /// An ARP frame: operation, sender and target.
  public static func arp(
    _ operation: UInt8, _ senderMAC: [UInt8], _ sender: [UInt8], _ targetMAC: [UInt8], _ target: [UInt8],
    to destination: [UInt8] = [UInt8](repeating: 0xFF, count: 6)
  ) -> [UInt8] {
    destination + senderMAC + [8, 6, 0, 1, 8, 0, 6, 4, 0, operation] + senderMAC + sender + targetMAC + target
  }

  /// An IP packet to the stack, header checksum right.
  public static func ip(
    _ number: UInt8, _ payload: [UInt8], source: UInt8 = 1, destination: [UInt8] = hostAddress,
    identification: UInt16 = 1, fragment: UInt16 = 0, typeOfService: UInt8 = 0, timeToLive: UInt8 = 64,
    options: [UInt8] = []
  ) -> [UInt8] {
    let length = 20 + options.count
    var header: [UInt8] = [UInt8(0x40 | length / 4), typeOfService]
    header += ScriptedPeer.bytes(UInt16(length + payload.count)) + ScriptedPeer.bytes(identification)
    header += ScriptedPeer.bytes(fragment) + [timeToLive, number, 0, 0, 10, 0, 0, source] + destination
    header += options
    let sum = ScriptedPeer.checksum(header)
    header[10] = UInt8(sum >> 8)
    header[11] = UInt8(sum & 0xFF)
    return header + payload
  }

  /// An IP packet to the stack in fragments, cut at these payload offsets.
  public static func fragments(
    _ number: UInt8, _ payload: [UInt8], at cuts: [Int], source: UInt8 = 1, identification: UInt16 = 7
  ) -> [[UInt8]] {
    let bounds = [0] + cuts + [payload.count]
    return (0..<bounds.count - 1).map { index in
      let isLast = bounds[index + 1] == payload.count
      return ip(
        number, Array(payload[bounds[index]..<bounds[index + 1]]), source: source,
        identification: identification, fragment: UInt16(bounds[index] / 8) | (isLast ? 0 : 0x2000))
    }
  }

  /// A UDP datagram with its checksum; `checksum` overrides it.
  public static func udp(
    _ payload: [UInt8], from sourcePort: UInt16 = 5000, to port: UInt16, source: UInt8 = 1,
    destination: [UInt8] = hostAddress, checksum: UInt16? = nil
  ) -> [UInt8] {
    let length = ScriptedPeer.bytes(UInt16(8 + payload.count))
    let ports = ScriptedPeer.bytes(sourcePort) + ScriptedPeer.bytes(port)
    let pseudo = [10, 0, 0, source] + destination + [0, 17] + length
    let sum = checksum ?? ScriptedPeer.checksum(pseudo + ports + length + [0, 0] + payload)
    return ports + length + ScriptedPeer.bytes(sum) + payload
  }

  /// A TCP segment with its checksum.
  public static func tcp(
    _ flags: UInt8, from sourcePort: UInt16, to port: UInt16, sequence: UInt32, acknowledgment: UInt32 = 0,
    window: UInt16 = 65535, options: [UInt8] = [], source: UInt8 = 1, _ payload: [UInt8] = []
  ) -> [UInt8] {
    var tcp = ScriptedPeer.bytes(sourcePort) + ScriptedPeer.bytes(port) + ScriptedPeer.bytes(sequence)
    tcp += ScriptedPeer.bytes(acknowledgment) + [UInt8(((20 + options.count) / 4) << 4), flags]
    tcp += ScriptedPeer.bytes(window) + [0, 0, 0, 0] + options + payload
    let pseudo: [UInt8] = [10, 0, 0, source] + hostAddress + [0, 6] + ScriptedPeer.bytes(UInt16(tcp.count))
    let sum = ScriptedPeer.checksum(pseudo + tcp)
    tcp[16] = UInt8(sum >> 8)
    tcp[17] = UInt8(sum & 0xFF)
    return tcp
  }

  /// An ICMP message with its checksum.
  public static func icmp(
    _ type: UInt8, _ code: UInt8, rest: [UInt8] = [0, 0, 0, 0], _ body: [UInt8] = []
  ) -> [UInt8] {
    var message = [type, code, 0, 0] + rest + body
    let sum = ScriptedPeer.checksum(message)
    message[2] = UInt8(sum >> 8)
    message[3] = UInt8(sum & 0xFF)
    return message
  }

  /// An IP packet arrives.
  ///
  /// - Parameters:
  ///   - tags: bytes between the addresses and the type: VLAN tags.
  ///   - queue: the one it arrives at; `nil`: by its flow.
  public func receive(
    _ packet: [UInt8], from station: UInt8? = nil, to mac: [UInt8] = hostMAC, tags: [UInt8] = [],
    queue: Int? = nil
  ) {
    host.receive(mac + Self.mac(station ?? packet[15]) + tags + [8, 0] + packet, queue: queue)
    collect()
  }

  public func count(_ name: String) -> UInt64 {
    host.stack.counterReports.first { $0.name == name }?.value ?? .max
  }
}
