import NetDevice
import NetNamespace
import SkBuff
import Testing
import Trace
import Wire

@Suite struct SegmentationTests {
  /// Checks everything a receiver would of a TCP segment: lengths, both checksums, and returns what differs.
  private func verify(_ frame: [UInt8]) -> (id: UInt16, sequence: UInt32, flags: TCPFlags, payload: [UInt8]) {
    let total = Int(word(frame, 16))
    #expect(frame.count == 14 + total)
    #expect(folded(frame[14..<34]) == 0xFFFF, "IP header checksum")
    let transport = Array(frame[34...])
    let pseudo: [UInt8] =
      Array(frame[26..<34]) + [0, 6, UInt8(transport.count >> 8), UInt8(transport.count & 0xFF)]
    #expect(folded(pseudo + transport) == 0xFFFF, "TCP checksum")
    #expect(Array(frame[0..<16]) == [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 2])
    #expect(Array(frame[54..<66]) == [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8])
    return (word(frame, 18), long(frame, 38), TCPFlags(rawValue: frame[47]), Array(frame[66...]))
  }

  @Test(
    "Q5 TCP GSO in software: ids, sequence numbers, flags and checksums of every segment",
    arguments: [[], [.scatterGather, .checksum], [.checksum]] as [DeviceFeatures])
  func tcp(features: DeviceFeatures) {
    let bench = DeviceBench(features: features, isLimited: false)
    bench.settle()
    let idlePages = bench.pool.pagesInUse
    let flags: TCPFlags = [.ack, .psh, .fin, .cwr, .ece]
    let result = bench.send(
      bench.tcp(
        payload: 10000, linear: 100, piece: 3333, mss: 1448, flags: flags, sequence: 0xFFFF_FF00, id: 0xFFFE))
    #expect(result == .success)
    bench.settle()
    #expect(bench.frames.count == 7)
    var payload: [UInt8] = []
    for (index, frame) in bench.frames.enumerated() {
      let segment = verify(frame)
      #expect(segment.id == 0xFFFE &+ UInt16(index))
      #expect(segment.sequence == 0xFFFF_FF00 &+ UInt32(index * 1448))
      var expected: TCPFlags = [.ack, .ece]
      if index == 0 { expected.insert(.cwr) }
      if index == 6 { expected.insert([.psh, .fin]) }
      #expect(segment.flags == expected)
      #expect(segment.payload.count == (index == 6 ? 10000 - 6 * 1448 : 1448))
      payload += segment.payload
    }
    #expect((payload == pattern(0..<10000)) == true)
    #expect(bench.device.statistics.softwareSegmented == 1)
    #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == idlePages)
  }

  @Test("Q5 what the NIC cuts and what software cuts is the same, byte for byte")
  func agreesWithDevice() {
    let hardware = DeviceBench()
    let software = DeviceBench(features: [])
    for (payload, mss) in [(1449, 1448), (2896, 1448), (5000, 536), (60000, 1448), (100, 64)] {
      let flags: TCPFlags = [.ack, .psh, .cwr]
      _ = hardware.send(hardware.tcp(payload: payload, linear: 10, mss: mss, flags: flags, id: 77))
      _ = software.send(software.tcp(payload: payload, linear: 10, mss: mss, flags: flags, id: 77))
      hardware.settle()
      software.settle()
    }
    #expect(hardware.frames.count == software.frames.count)
    check(hardware.frames == software.frames)
    #expect(hardware.device.statistics.softwareSegmented == 0)
    #expect(software.device.statistics.softwareSegmented == 5)
  }

  @Test("Q5 segments share the packet's pages; a clone's twin is left as it was")
  func sharing() {
    let bench = DeviceBench()
    let skb = bench.tcp(payload: 12000, linear: 0, piece: 4000, mss: 1448)
    let twin = skb.clone()!
    let before = twin.bytes
    let pages = bench.pool.pagesInUse
    var segments = SkBuffQueue()
    let done = GenericSegmentation.segment(skb, features: [.scatterGather, .checksum], into: &segments)
    #expect(done && segments.count == 9)
    #expect(bench.pool.pagesInUse == pages)
    while let segment = segments.popFirst() {
      #expect(segment.headLength == 66 && segment.dataLength > 0)
      #expect(segment.checksumStatus == .partial && segment.checksumStart == 34)
      #expect(segment.networkHeaderOffset == 14 && segment.transportHeaderOffset == 34)
      #expect(!segment.isGSO && segment.headroom == 64 && segment.serial == twin.serial)
    }
    check(twin.bytes == before)
  }

  @Test("P7 a packet that begins at its network header is cut too, with room for the link layer kept")
  func withoutLinkHeader() {
    let bench = DeviceBench()
    var skb = bench.tcp(payload: 3000, mss: 1000)
    skb.pull(14)
    var segments = SkBuffQueue()
    let done = GenericSegmentation.segment(skb, features: [], into: &segments)
    #expect(done && segments.count == 3)
    var offset = 0
    while let segment = segments.popFirst() {
      #expect(segment.networkHeaderOffset == 0 && segment.headroom >= 16)
      let bytes = segment.bytes
      #expect(folded(bytes[0..<20]) == 0xFFFF)
      check(Array(bytes[52...]) == pattern(offset..<offset + 1000))
      offset += 1000
    }
  }

  @Test("Q5 UDP GSO: a datagram each, lengths, ids, checksums; none stays none", arguments: [true, false])
  func udp(hasChecksum: Bool) {
    let bench = DeviceBench(features: [], isLimited: false)
    #expect(bench.send(bench.udp(payload: 3500, segment: 1000, hasChecksum: hasChecksum)) == .success)
    bench.settle()
    #expect(bench.frames.count == 4)
    var payload: [UInt8] = []
    for (index, frame) in bench.frames.enumerated() {
      #expect(word(frame, 18) == 0x1234 + UInt16(index))
      #expect(folded(frame[14..<34]) == 0xFFFF)
      let transport = Array(frame[34...])
      #expect(Int(word(frame, 38)) == transport.count)
      if hasChecksum {
        let pseudo: [UInt8] =
          Array(frame[26..<34]) + [0, 17, UInt8(transport.count >> 8), UInt8(transport.count & 0xFF)]
        #expect(folded(pseudo + transport) == 0xFFFF)
      } else {
        #expect(word(frame, 40) == 0)
      }
      payload += transport[8...]
    }
    check(payload == pattern(0..<3500))
  }

  @Test("Q5 a segment size that the hardware does not cut is cut in software")
  func smallSegments() {
    let bench = DeviceBench(isLimited: false)
    _ = bench.send(bench.tcp(payload: 300, mss: 63))
    bench.settle()
    #expect(bench.frames.count == 5 && bench.device.statistics.softwareSegmented == 1)
    for frame in bench.frames { _ = verify(frame) }
  }

  @Test("Q5 checksum in software; a sum of 0 is sent as all ones")
  func checksum() {
    let bench = DeviceBench(features: [.scatterGather], isLimited: false)
    _ = bench.send(bench.tcp(payload: 501, linear: 0, piece: 100, mss: 0))
    bench.settle()
    _ = verify(bench.frames[0])
    #expect(bench.device.statistics.softwareChecksummed == 1)

    // The field holds the sum of the rest, complemented: adding up to all ones, whose complement is 0.
    var skb = bench.packet([UInt8](repeating: 0, count: 34) + [0x12, 0x34, 0xED, 0xCB])
    skb.setPartialChecksum(start: 34, offset: 2)
    check(skb.completeChecksum())
    #expect(Array(skb.bytes[34...]) == [0x12, 0x34, 0xFF, 0xFF])
  }

  @Test("Q5 completing a checksum does not touch a clone's twin, and refuses marks outside the packet")
  func checksumShared() {
    let bench = DeviceBench()
    var skb = bench.tcp(payload: 100, linear: 100, mss: 0)
    let twin = skb.clone()!
    let before = twin.bytes
    #expect(skb.completeChecksum() && skb.checksumStatus == .none)
    check(twin.bytes == before)
    var wrong = bench.packet([UInt8](repeating: 0, count: 40))
    wrong.setPartialChecksum(start: 38, offset: 16)
    #expect(!wrong.completeChecksum() && wrong.checksumStatus == .partial)
  }

  @Test("Q5 a device without scatter-gather gets packets in one piece")
  func linearize() {
    let bench = DeviceBench(features: [], isLimited: false)
    _ = bench.send(bench.tcp(payload: 1400, linear: 0, piece: 100, mss: 0))
    bench.settle()
    let segment = verify(bench.frames[0])
    check(segment.payload == pattern(0..<1400))
  }

  @Test("B4 the socket stays charged until the last segment is freed")
  func charge() {
    let bench = DeviceBench(features: [], isLimited: false)
    let account = SocketAccount(pool: bench.pool, socket: 3)
    var skb = bench.tcp(payload: 10000, mss: 1448)
    skb.chargeWrite(to: account, socket: 3)
    let charged = account.writeAllocated
    _ = bench.send(skb)
    #expect(account.writeAllocated == charged && charged > 0)
    bench.settle()
    #expect(account.writeAllocated == 0)
  }

  @Test("Q5 a GSO packet whose marks do not fit its headers is dropped, not trusted")
  func malformed() {
    let bench = DeviceBench(features: [])
    var short = bench.tcp(payload: 3000, mss: 1000)
    short.setTransportHeader(20)
    var none = bench.tcp(payload: 3000, mss: 1000)
    none.gsoType = .none
    var udpNamed = bench.tcp(payload: 3000, mss: 1000)
    udpNamed.gsoType = .udpL4
    var queue = SkBuffQueue()
    let results = [
      GenericSegmentation.segment(short, features: [], into: &queue),
      GenericSegmentation.segment(none, features: [], into: &queue),
      GenericSegmentation.segment(udpNamed, features: [], into: &queue),
    ]
    #expect(results == [false, false, false])
    check(queue.isEmpty)
    #expect(bench.pool.dropCount(.gsoFailed) == 3)
  }

  @Test("Features that cannot work alone are taken off")
  func features() {
    #expect(DeviceFeatures([.tsoV4, .scatterGather]).consistent == [])
    #expect(DeviceFeatures([.tsoV4, .checksum]).consistent == .checksum)
    let all: DeviceFeatures = [.tsoV4, .udpSegmentation, .checksum, .scatterGather]
    #expect(all.consistent == all)
    #expect(DeviceBench(features: [.tsoV4]).device.features == .gro)
  }
}
