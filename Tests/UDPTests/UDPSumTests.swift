import NetDevice
import NetNamespace
import SkBuff
import Sockets
import Testing
import UDP
import Wire

/// The sum of a datagram that no device makes: over the bytes as they are copied, however they come and wherever the datagram
/// is cut.
@Suite struct UDPSumTests {
  private func datagram(_ packets: [[UInt8]]) -> [UInt8] {
    packets.flatMap { $0[20..<Packet.read16($0, 2)] }
  }

  @Test(
    "I5 pieces of odd lengths, over the edges of fragments: the checksum is right", arguments: [true, false],
    [1500, 596, 1003])
  func pieces(scatter: Bool, mtu: Int) throws {
    let bench = DatagramBench(features: scatter ? [.scatterGather, .checksum] : [], mtu: mtu)
    let id = try bench.udp(port: 40000)
    try bench.connect(id, 7)
    for lengths in [
      [5], [1, 1, 1], [7, 700, 3, 801], [1471, 2], [1477, 1], [1479, 3, 900], [571, 3, 2, 1], [569, 9, 1000],
      // With an MTU of 1,003 a full packet has 7 bytes more than a fragment may, which move on.
      [4001, 4001], [975, 2], [973, 1, 1, 700], [975, 976, 977],
    ] {
      for length in lengths.dropLast() {
        try bench.send(id, (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ length) }, flags: .more)
      }
      try bench.send(id, (0..<(lengths.last ?? 0)).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ 3) })
      bench.settle()
      let whole = datagram(bench.sent)
      bench.sent = []
      #expect(whole.count == 8 + lengths.reduce(0, +))
      #expect(
        Packet.isChecksumRight(whole, source: [10, 0, 0, 2], destination: [10, 0, 0, 1]),
        "\(lengths) \(scatter) \(mtu)")
    }
  }

  @Test("I5 echo requests are summed on the way too") func echo() throws {
    let bench = DatagramBench()
    let id = try bench.sockets.socket(
      family: .inet, type: .datagram, protocol: .icmp, net: &bench.host.net)
    for length in [0, 1, 55, 1999] {
      try bench.send(
        id, [8, 0, 0, 0, 0, 0, 0, 1] + (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 3) },
        to: SocketAddress(DatagramBench.peer, port: 0))
      bench.settle()
      let whole = datagram(bench.sent)
      bench.sent = []
      #expect(whole.count == 8 + length && Packet.checksum(whole) == 0)
    }
  }
}
