import Testing
import Wire

@Suite struct PacketDescriptionTests {
  @Test("tcpdump -n -S -e: a frame is printed in its words", arguments: Tcpdump.frames.indices)
  func tcpdump(_ index: Int) {
    let (name, bytes, line) = Tcpdump.frames[index]
    #expect(PacketDescription(frame: bytes.raw).description == line, "\(name)")
  }

  @Test("tcpdump -n -S: an IPv4 packet without a frame is printed alike")
  func withoutFrame() throws {
    let (_, bytes, line) = try #require(Tcpdump.frames.first { $0.name == "syn ack" })
    let text = PacketDescription(ipv4: Array(bytes.dropFirst(14)).raw).description
    #expect(text.hasPrefix("10.0.0.1.41000 > 10.0.0.2.7: Flags [S.]"))
    #expect(line.hasSuffix(text))
  }

  @Test("a packet cut off anywhere is printed as far as it goes, and says so")
  func cutOff() {
    for (name, bytes, line) in Tcpdump.frames where name != "ip padded" {
      for count in 0..<bytes.count {
        let text = PacketDescription(frame: Array(bytes.prefix(count)).raw).description
        let isWhole = line.hasSuffix(": ") && count >= 14
        #expect(text.contains("[|") || text.contains("truncated-ip") || isWhole, "\(name), \(count) bytes")
      }
    }
    let short = PacketDescription(frame: [1, 2, 3].raw).description
    #expect(short == "[|ether]")
  }

  @Test("any byte in any place of a packet is printed: nothing traps")
  func anyByte() {
    for (_, bytes, _) in Tcpdump.frames {
      for index in bytes.indices {
        for value: UInt8 in [0, 1, 0x0F, 0x45, 0x7F, 0xF0, 0xFF] {
          var changed = bytes
          changed[index] = value
          #expect(!PacketDescription(frame: changed.raw).description.isEmpty)
        }
      }
    }
  }

  @Test("RFC 9293 section 3.1: flags as tcpdump has them, in its order")
  func flags() {
    #expect("\(TCPFlags([.syn, .fin]))" == "FS")
    #expect("\(TCPFlags([.psh, .ack, .urg]))" == "P.U")
    #expect("\(TCPFlags([]))" == "none")
  }

  @Test("headers print themselves: addresses, ports, flags and options as words")
  func headers() {
    let ip = IPv4Header(
      totalByteCount: 60, identification: 7, dontFragment: true, protocol: .tcp,
      source: IPv4Address(10, 0, 0, 1), destination: IPv4Address(10, 0, 0, 2))
    #expect(
      "\(ip)"
        == "10.0.0.1 > 10.0.0.2: tos 0x0, ttl 64, id 7, offset 0, flags [DF], proto TCP (6), length 60")
    let tcp = TCPHeader(
      sourcePort: 41000, destinationPort: 7, sequence: SequenceNumber(1000), flags: .syn, window: 64240)
    #expect("\(tcp)" == "41000 > 7: Flags [S], seq 1000, win 64240")
    #expect("\(UDPHeader(sourcePort: 1, destinationPort: 2, totalByteCount: 13))" == "1 > 2: UDP, length 5")
    var options = TCPOptions()
    options.maximumSegmentSize = 1460
    options.sackPermitted = true
    options.hasTimestamps = true
    options.timestampValue = 9
    options.windowScale = 7
    #expect("\(options)" == "mss 1460,sackOK,TS val 9 ecr 0,nop,wscale 7")
    #expect("\(ICMPHeader(kind: .echoRequest, code: 0, rest: 0x0007_0003))" == "echo request, id 7, seq 3")
  }
}
