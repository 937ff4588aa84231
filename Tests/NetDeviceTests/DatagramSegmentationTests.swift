import IceModel
import NetDevice
import SkBuff
import Testing
import Wire

/// Frames of several UDP datagrams, as a TAP with USO hands them over.
@Suite struct DatagramSegmentationTests {
  /// The frame that a kernel sender with UDP_SEGMENT makes: one header, partial checksum.
  private func frame(payload: Int, options: Int = 0, tos: UInt8 = 0, id: UInt16 = 0x1234) -> [UInt8] {
    let header = 20 + options
    let total = header + 8 + payload
    var frame: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]
    frame += [0x40 | UInt8(header / 4), tos, UInt8(total >> 8), UInt8(total & 0xFF)]
    frame += [UInt8(id >> 8), UInt8(id & 0xFF), 0, 0, 61, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    frame += [UInt8](repeating: 1, count: options)
    let sum = ~folded(frame[14..<14 + header])
    frame[24] = UInt8(sum >> 8)
    frame[25] = UInt8(sum & 0xFF)
    let length = 8 + payload
    let pseudo = folded([10, 0, 0, 1, 10, 0, 0, 2, 0, 17, UInt8(length >> 8), UInt8(length & 0xFF)])
    frame += [
      0x13, 0x89, 0, 7, UInt8(length >> 8), UInt8(length & 0xFF), UInt8(pseudo >> 8), UInt8(pseudo & 0xFF),
    ]
    return frame + pattern(0..<payload)
  }
  private func metadata(size: UInt16, start: UInt16 = 34) -> WireFrameMetadata {
    var metadata = WireFrameMetadata()
    metadata.gsoType = .udpL4
    metadata.gsoSize = size
    metadata.needsChecksum = true
    metadata.checksumStart = start
    metadata.checksumOffset = 6
    return metadata
  }
  private func received(_ bench: DeviceBench) -> [[UInt8]] {
    bench.poll()
    var result: [[UInt8]] = []
    while let skb = bench.received.popFirst() {
      check(skb.checksumStatus == .unnecessary && skb.gsoSize == 0 && skb.packetType == .host)
      result.append(skb.bytes)
    }
    return result
  }

  @Test(
    "D12 USO: a frame of eleven datagrams becomes eleven, each with its lengths, identification and payload")
  func cutsApart() {
    let bench = DeviceBench(receivesLargeFrames: true)
    bench.card.nic.receive(
      frame(payload: 10004, tos: 3).span, metadata: metadata(size: 1000), now: bench.net.now)
    let datagrams = received(bench)
    #expect(datagrams.map(\.count) == [Int](repeating: 1028, count: 10) + [32])
    #expect(datagrams.flatMap { $0[28...] } == pattern(0..<10004))
    for (index, bytes) in datagrams.enumerated() {
      #expect(Int(word(bytes, 2)) == bytes.count && Int(word(bytes, 24)) == bytes.count - 20)
      #expect(folded(bytes[0..<20]) == 0xFFFF)
      #expect(Int(word(bytes, 4)) == 0x1234 + index)
      // ECN, time to live and ports are every datagram's.
      #expect(bytes[1] == 3 && bytes[8] == 61 && word(bytes, 22) == 7)
    }
    #expect(bench.pool.buffersInUse == 0)
  }

  @Test("D12 USO: IP options are every datagram's; a frame of one datagram is one")
  func shapes() {
    let bench = DeviceBench(receivesLargeFrames: true)
    bench.card.nic.receive(
      frame(payload: 2500, options: 4).span, metadata: metadata(size: 1000, start: 38), now: bench.net.now)
    let datagrams = received(bench)
    #expect(datagrams.map(\.count) == [1032, 1032, 532])
    #expect(datagrams.allSatisfy { $0[20..<24] == [1, 1, 1, 1] && folded($0[0..<24]) == 0xFFFF })
    bench.card.nic.receive(frame(payload: 400).span, metadata: metadata(size: 1000), now: bench.net.now)
    #expect(received(bench).map(\.count) == [428])
  }

  @Test(
    "D12 USO: 128 datagrams are the most; what says more, or lies, is dropped with a reason",
    arguments: [128, 129])
  func bound(count: Int) {
    let bench = DeviceBench(receivesLargeFrames: true)
    bench.card.nic.receive(frame(payload: count * 10).span, metadata: metadata(size: 10), now: bench.net.now)
    #expect(received(bench).count == (count == 128 ? 128 : 0))
    #expect(bench.pool.dropCount(.deviceHeader) == (count == 128 ? 0 : 1))
    #expect(bench.pool.buffersInUse == 0)
  }

  @Test("D12 USO: a total length beyond the frame, or a fragment, is dropped")
  func lies() {
    let bench = DeviceBench(receivesLargeFrames: true)
    var long = frame(payload: 3000)
    long[16] = 0xFF
    long[24] = 0
    long[25] = 0
    bench.card.nic.receive(long.span, metadata: metadata(size: 1000), now: bench.net.now)
    var fragment = frame(payload: 3000)
    fragment[20] = 0x20
    bench.card.nic.receive(fragment.span, metadata: metadata(size: 1000), now: bench.net.now)
    let count = received(bench).count
    #expect(count == 0)
    #expect(bench.pool.dropCount(.deviceHeader) == 2)
    #expect(bench.pool.buffersInUse == 0)
  }

  @Test("D12 a large TCP frame stays one packet")
  func tcpStays() {
    let bench = DeviceBench(receivesLargeFrames: true)
    let sender = DeviceBench(isLimited: false)
    _ = sender.send(sender.tcp(payload: 1000, mss: 0))
    sender.settle()
    let frame = Array(sender.frames[0][6..<12] + sender.frames[0][0..<6] + sender.frames[0][12...])
    var metadata = WireFrameMetadata()
    metadata.gsoType = .tcpv4
    metadata.gsoSize = 500
    metadata.isDataValid = true
    bench.card.nic.receive(frame.span, metadata: metadata, now: bench.net.now)
    bench.poll()
    #expect(bench.received.count == 1)
    bench.received.removeAll()
  }
}
