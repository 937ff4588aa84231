import IceModel
import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Frames that a kernel sends behind tags of VLAN 0 with their checksum, or their segmentation, left to the wire.
@Suite struct TaggedOffloadTests {
  static let tags: [[UInt8]] = [
    [], [0x81, 0, 0, 0], [0x81, 0, 0xA0, 0], [0x88, 0xA8, 0, 0], [0x88, 0xA8, 0, 0, 0x81, 0, 0x60, 0],
  ]

  /// A frame as `virtio_net_hdr` describes it.
  private func push(
    _ peer: FramePeer, _ packet: [UInt8], tags: [UInt8], field: UInt16, gso: WireFrameMetadata.GSOType,
    size: UInt16
  ) {
    var metadata = WireFrameMetadata()
    metadata.needsChecksum = true
    metadata.checksumStart = UInt16(34 + tags.count)
    metadata.checksumOffset = field
    metadata.gsoType = gso
    metadata.gsoSize = size
    metadata.headerByteCount = UInt16(tags.count) + (gso == .tcpv4 ? 54 : 42)
    peer.host.receive(
      SimulatedFrame(
        bytes: FramePeer.hostMAC + FramePeer.mac(1) + tags + [8, 0] + packet, metadata: metadata))
    peer.collect()
  }
  /// The sum over the pseudo-header alone, which is what the checksum field of such a packet holds.
  private func partial(_ number: UInt8, _ count: Int) -> UInt16 {
    ~ScriptedPeer.checksum(
      [10, 0, 0, 1] + FramePeer.hostAddress + [0, number] + ScriptedPeer.bytes(UInt16(count)))
  }

  @Test("D13 R IPv4 a datagram behind tags of VLAN 0, checksum left to the wire", arguments: tags)
  func datagram(tags: [UInt8]) throws {
    for (size, expected): (UInt16, [Int]) in [(0, [350]), (100, [100, 100, 100, 50])] {
      let peer = try FramePeer(lendsEngines: true)
      let socket = try peer.host.stack.socket(.udp)
      socket.isNonBlocking = true
      try socket.bind(to: SocketAddress(.any, port: 5000))
      let payload = (0..<350).map { UInt8(truncatingIfNeeded: $0) }
      let udp = FramePeer.udp(payload, to: 5000, checksum: partial(17, 358))
      push(peer, FramePeer.ip(17, udp), tags: tags, field: 6, gso: size > 0 ? .udpL4 : .none, size: size)
      var parts: [[UInt8]] = []
      while let bytes = try? socket.receive(upTo: 65535) { parts.append(bytes) }
      #expect(parts.map(\.count) == expected && parts.flatMap(\.self) == payload)
      #expect(peer.count("UdpInErrors") == 0)
    }
  }

  @Test("D13 R IPv4 an echo request behind tags of VLAN 0, checksum left to the wire", arguments: tags)
  func echo(tags: [UInt8]) throws {
    let peer = try FramePeer(lendsEngines: true)
    push(
      peer, FramePeer.ip(1, [8, 0, 0, 0, 0, 1, 0, 2, 1, 2, 3]), tags: tags, field: 2, gso: .none, size: 0)
    let answers = peer.takePackets()
    #expect(answers.count == 1 && answers[0][20] == 0)
    #expect(ScriptedPeer.checksum(Array(answers[0][20...])) == 0)
  }

  @Test("D13 R IPv4 a large TCP frame behind tags of VLAN 0", arguments: tags) func stream(tags: [UInt8])
    throws
  {
    let peer = try FramePeer(lendsEngines: true)
    let listener = try peer.host.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(2, from: 7000, to: 80, sequence: 999, options: [2, 4, 5, 0xB4])))
    let answer = try #require(peer.takePackets().first)
    let acknowledgment = answer[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } &+ 1
    peer.receive(
      FramePeer.ip(
        6, FramePeer.tcp(0x10, from: 7000, to: 80, sequence: 1000, acknowledgment: acknowledgment)))
    let payload = (0..<4000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var segment = FramePeer.tcp(
      0x18, from: 7000, to: 80, sequence: 1000, acknowledgment: acknowledgment, payload)
    segment.replaceSubrange(16..<18, with: ScriptedPeer.bytes(partial(6, segment.count)))
    push(peer, FramePeer.ip(6, segment), tags: tags, field: 16, gso: .tcpv4, size: 1460)
    let connection = try listener.accept()
    connection.isNonBlocking = true
    #expect(try connection.receive(upTo: 65535) == payload)
  }

  @Test("D13 a tag that names a VLAN is not for us, whatever is left to the wire") func foreign() throws {
    let peer = try FramePeer(lendsEngines: true)
    let udp = FramePeer.udp([UInt8](repeating: 1, count: 350), to: 5000, checksum: partial(17, 358))
    for size: UInt16 in [0, 100] {
      push(
        peer, FramePeer.ip(17, udp), tags: [0x81, 0, 0, 5], field: 6, gso: size > 0 ? .udpL4 : .none,
        size: size)
    }
    #expect(peer.count("IpInReceives") == 0)
    #expect(peer.host.stack.dropReports.first { $0.name == "UNHANDLED_PROTO" }?.value == 2)
  }
}
