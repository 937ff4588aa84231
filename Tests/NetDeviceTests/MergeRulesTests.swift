import NetDevice
import SkBuff
import Testing
import Wire

/// Which neighbours GRO makes one packet of: those that Linux's `tcp_gro_receive()` and `inet_gro_flush()` do.
@Suite struct MergeRulesTests {
  /// Ethernet, IPv4, TCP without options, payload; addressed to the bench.
  private struct Frame {
    var sequence: UInt32 = 1000
    var acknowledgment: UInt32 = 5
    var flags: TCPFlags = .ack
    var window: UInt16 = 500
    var urgent: UInt16 = 0
    var payload = 1000
    var reserved: UInt8 = 0
    var tos: UInt8 = 0
    var ttl: UInt8 = 64
    var dontFragment = true
    var id: UInt16 = 7
    var options: [UInt8] = []

    var bytes: [UInt8] {
      let header = 20 + options.count
      let total = 20 + header + payload
      var frame: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, tos]
      frame += [UInt8(total >> 8), UInt8(total & 0xFF), UInt8(id >> 8), UInt8(id & 0xFF)]
      frame += [dontFragment ? 0x40 : 0, 0, ttl, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
      let check = ~folded(frame[14..<34])
      frame[24] = UInt8(check >> 8)
      frame[25] = UInt8(check & 0xFF)
      var tcp: [UInt8] = [0x13, 0x89, 0x9C, 0x40]
      tcp += (0..<4).map { UInt8(truncatingIfNeeded: sequence >> (24 - 8 * $0)) }
      tcp += (0..<4).map { UInt8(truncatingIfNeeded: acknowledgment >> (24 - 8 * $0)) }
      tcp += [
        UInt8(header / 4) << 4 | reserved, flags.rawValue, UInt8(window >> 8), UInt8(window & 0xFF), 0, 0,
      ]
      tcp += [UInt8(urgent >> 8), UInt8(urgent & 0xFF)] + options + pattern(0..<payload)
      let sum = ~folded(
        [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, UInt8(tcp.count >> 8), UInt8(tcp.count & 0xFF)] + tcp)
      tcp[16] = UInt8(sum >> 8)
      tcp[17] = UInt8(sum & 0xFF)
      return frame + tcp
    }
    /// The segment that follows, with `change` made to it.
    func next(_ change: (inout Frame) -> Void = { _ in }) -> Frame {
      var frame = self
      frame.sequence &+= UInt32(payload)
      frame.id &+= 1
      change(&frame)
      return frame
    }
  }

  /// How many packets one poll makes of the frames.
  private func packets(_ frames: [Frame], without features: DeviceFeatures = []) -> Int {
    let bench = DeviceBench()
    #expect(throws: Never.self) { try bench.device.setFeatures(features, on: false) }
    for frame in frames { bench.receive(frame.bytes) }
    bench.poll()
    let count = bench.received.count
    bench.received.removeAll()
    return count
  }

  @Test("T11 D12 GRO: two plain neighbours are one packet")
  func plain() {
    let first = Frame()
    #expect(packets([first, first.next()]) == 1)
  }

  @Test("T11 D12 GRO: turned off, every segment comes by itself") func off() {
    let first = Frame()
    #expect(packets([first, first.next()], without: .gro) == 2)
  }

  @Test(
    "T11 D12 GRO: a window update is not lost: segments with different windows stay apart, either way round")
  func window() {
    var shut = Frame()
    shut.window = 0
    #expect(packets([shut, shut.next { $0.window = 60000 }]) == 2)
    var open = Frame()
    open.window = 60000
    #expect(packets([open, open.next { $0.window = 0 }]) == 2)
  }

  @Test(
    "T11 D12 GRO: flags. PSH ends a packet and may come with its last; ECE is the same in all; the rest stays alone",
    arguments: [
      ([], .psh, 1), (.psh, [], 2), (.psh, .psh, 2), (.ece, .ece, 1), (.ece, [], 2), ([], .ece, 2),
      (.cwr, .cwr, 2), (.cwr, [], 2), ([], .cwr, 2), (.urg, .urg, 2), ([], .urg, 2), ([], .fin, 2),
      (.fin, [], 2),
      ([], .rst, 2), ([], .syn, 2),
    ] as [(TCPFlags, TCPFlags, Int)])
  func flags(one: TCPFlags, other: TCPFlags, count: Int) {
    var first = Frame()
    first.flags = one.union(.ack)
    #expect(packets([first, first.next { $0.flags = other.union(.ack) }]) == count)
  }

  @Test("T11 D12 GRO: acknowledgment, options, reserved bits, type of service, TTL and DF must be the same")
  func equalFields() {
    let first = Frame()
    #expect(packets([first, first.next { $0.acknowledgment += 1 }]) == 2)
    #expect(packets([first, first.next { $0.reserved = 1 }]) == 2)
    #expect(packets([first, first.next { $0.tos = 4 }]) == 2)
    // CE on one of them only would be lost, or spread.
    #expect(packets([first, first.next { $0.tos = 3 }]) == 2)
    #expect(packets([first, first.next { $0.ttl = 63 }]) == 2)
    #expect(packets([first, first.next { $0.dontFragment = false }]) == 2)
    var stamped = Frame()
    stamped.options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
    #expect(packets([stamped, stamped.next()]) == 1)
    #expect(packets([stamped, stamped.next { $0.options[7] = 2 }]) == 2)
    #expect(packets([stamped, stamped.next { $0.options[11] = 3 }]) == 2)
    #expect(packets([stamped, stamped.next { $0.options = [] }]) == 2)
  }

  @Test(
    "T11 D12 GRO: sizes. A shorter segment is the last, a longer one begins anew; so does a gap or a repetition"
  )
  func sizes() {
    let first = Frame()
    #expect(packets([first, first.next { $0.payload = 900 }]) == 1)
    let short = first.next { $0.payload = 900 }
    #expect(packets([first, short, short.next { $0.payload = 900 }]) == 2)
    #expect(packets([first, first.next { $0.payload = 1001 }]) == 2)
    #expect(packets([first, first.next { $0.sequence += 1 }]) == 2)
    #expect(packets([first, first]) == 2)
  }

  @Test("T11 D12 GRO: identifications go up by one, or with DF are all the same; the second segment decides")
  func identification() {
    let first = Frame()
    let same: (inout Frame) -> Void = { $0.id = 7 }
    #expect(packets([first, first.next(same)]) == 1)
    #expect(packets([first, first.next(same), first.next().next(same)]) == 1)
    // Fixed, then going up; going up, then back at the first.
    #expect(packets([first, first.next(same), first.next().next { $0.id = 8 }]) == 2)
    #expect(packets([first, first.next(same), first.next().next { $0.id = 9 }]) == 2)
    #expect(packets([first, first.next(), first.next().next(same)]) == 2)
    #expect(packets([first, first.next { $0.id = 9 }]) == 2)
    var fragmentable = Frame()
    fragmentable.dontFragment = false
    #expect(packets([fragmentable, fragmentable.next()]) == 1)
    #expect(packets([fragmentable, fragmentable.next(same)]) == 2)
  }

  @Test("T11 D12 GRO: what a packet of one identification is cut into has it, too")
  func fixedIdentification() {
    let bench = DeviceBench()
    let first = Frame()
    for frame in [first, first.next { $0.id = 7 }] { bench.receive(frame.bytes) }
    bench.poll()
    var skb = bench.received.popFirst()!
    check(skb.hasFixedIdentification && skb.gsoSegments == 2)
    skb.setTransportHeader(20)
    var queue = SkBuffQueue()
    #expect(GenericSegmentation.segment(skb, features: [.scatterGather, .checksum], into: &queue))
    while let segment = queue.popFirst() { check(word(segment.bytes, 4) == 7) }
  }

  @Test("T11 D12 GRO: a pure ACK between two segments stays between them")
  func pureAcknowledgment() {
    let first = Frame()
    var ack = first.next()
    ack.payload = 0
    ack.window = 9000
    let bench = DeviceBench()
    for frame in [first, ack, first.next()] { bench.receive(frame.bytes) }
    bench.poll()
    var lengths: [Int] = []
    while let skb = bench.received.popFirst() { lengths.append(skb.length) }
    // A frame of 54 bytes comes padded to 60; IP cuts it.
    #expect(lengths.count == 3 && lengths[1] < 60)
  }

  @Test("T11 D12 GRO: a stream is looked for among the eight last packets of the poll")
  func lookBack() {
    let first = Frame()
    func others(_ count: Int) -> [Frame] {
      (0..<count).map { index in
        var frame = Frame()
        frame.options = [1, 1, 1, 1]
        frame.sequence = UInt32(50_000 + 5000 * index)
        return frame
      }
    }
    func bytes(_ frames: [Frame]) -> Int {
      let bench = DeviceBench()
      for (index, frame) in frames.enumerated() {
        var bytes = frame.bytes
        if frame.options.count == 4 {
          // Another source port for each.
          bytes[35] = UInt8(index)
          bytes[50] = 0
          bytes[51] = 0
          let count = bytes.count - 34
          let sum = ~folded(
            Array(bytes[26..<34]) + [0, 6, UInt8(count >> 8), UInt8(count & 0xFF)] + bytes[34...])
          bytes[50] = UInt8(sum >> 8)
          bytes[51] = UInt8(sum & 0xFF)
        }
        bench.receive(bytes)
      }
      bench.poll()
      let count = bench.received.count
      bench.received.removeAll()
      return count
    }
    #expect(bytes([first] + others(7) + [first.next()]) == 8)
    #expect(bytes([first] + others(8) + [first.next()]) == 10)
  }
}
