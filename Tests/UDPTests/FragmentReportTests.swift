import Sockets
import Testing

/// What a socket is told of the fragments that a datagram came in.
@Suite struct FragmentReportTests {
  @Test("S6 IP_RECVFRAGSIZE: bytes of the largest fragment, its header included; of what came whole nothing")
  func largestFragment() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 99)
    let name = IPOptionName.receiveFragmentSize
    try bench.setFlag(id, level: 0, name: name)
    let whole = Packet.udp(from: 9, to: 99, (0..<500).map { UInt8(truncatingIfNeeded: $0) })
    bench.receive(whole)
    #expect(try bench.receive(id).message.control.largestFragment == nil)
    func cut() {
      for (start, end) in [(0, 304), (304, 508)] {
        var packet = Packet.ip(protocol: 17, payload: Array(whole[(20 + start)..<(20 + end)]))
        packet[6] = end < 508 ? 0x20 : 0
        packet[7] = UInt8(start / 8)
        packet.replaceSubrange(10..<12, with: [0, 0])
        packet.replaceSubrange(10..<12, with: Packet.big16(Packet.checksum(Array(packet[..<20]))))
        bench.receive(packet)
      }
    }
    cut()
    let message = try bench.receive(id).message
    #expect(message.byteCount == 500 && message.control.largestFragment == 324)
    try bench.setFlag(id, level: 0, name: name, 0)
    cut()
    #expect(try bench.receive(id).message.control.largestFragment == nil)
  }
}
