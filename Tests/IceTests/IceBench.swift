import NetTestSupport
import Ice
import IceHardware
import IceModel
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

/// A driver and a device on one bus, with packet memory: everything below the qdisc, in virtual time.
final class IceBench {
  private let memory: TestMemory
  var tracer: Tracer { memory.tracer }
  var pool: SkBuffPool { memory.pool }
  var net: Net
  let bus: IceBus
  var driver: IceDriver
  var device: IceDevice
  var vector = FrameVector()
  var metadata = WireFrameMetadata()
  var received = SkBuffQueue()

  static let mac = MACAddress(0x0200_0000_0002)
  static let peer = MACAddress(0x0200_0000_0001)

  init(
    tx: Int = 64, rx: Int = 64, engines: OffloadEngines = .own, mtu: Int = 1500, throttle: Int = 0,
    mappings: Int? = nil, hash: Bool = false, poolLimit: Int = 64 << 20
  ) {
    memory = TestMemory(limit: poolLimit, traceCapacity: 1024)
    net = memory.net(now: .origin)
    bus = IceBus(txDescriptorCount: tx, rxDescriptorCount: rx, mappingCapacity: mappings)
    driver = IceDriver(
      bus: bus,
      configuration: .init(
        macAddress: Self.mac, mtu: mtu, receivesLargeFrames: engines == .lent,
        interruptThrottleMicroseconds: throttle, computesHash: hash))
    device = IceDevice(
      bus: bus, configuration: .init(macAddress: Self.mac, engines: engines, maxFrameByteCount: mtu + 14))
    driver.open(net: &net)
  }

  deinit {
    driver.close()
    received.removeAll()
    precondition(bus.iommu.mappedCount == 0, "close() ends every mapping")
  }

  // MARK: Packets

  /// The bytes of a payload: distinguishable at every offset.
  static func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
  }

  /// Ethernet, IPv4 and TCP in front of `payload`, ready for the driver: partial checksum, network header
  /// marked. `pieces` are the fragments' lengths; the rest of the payload is linear.
  func tcp(payload: [UInt8], pieces: [Int] = [], mss: Int = 0, flags: UInt8 = 0x18) -> SkBuff {
    let linear = payload.count - pieces.reduce(0, +)
    guard var skb = pool.allocate(headroom: 64, linear: 54 + linear) else { fatalError("the pool has room") }
    var header: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]
    let total = UInt16(truncatingIfNeeded: 40 + payload.count)
    header += [
      0x45, 0, UInt8(total >> 8), UInt8(total & 0xFF), 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
    ]
    let sum = fold(header[14...])
    header[24] = UInt8(~sum >> 8 & 0xFF)
    header[25] = UInt8(~sum & 0xFF)
    let length = 20 + payload.count
    let pseudo = fold([10, 0, 0, 2, 10, 0, 0, 1, 0, 6, UInt8(length >> 8), UInt8(length & 0xFF)])
    header += [0x13, 0x89, 0x9C, 0x40, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0]
    header += [UInt8(pseudo >> 8), UInt8(pseudo & 0xFF), 0, 0]
    let bytes = header + payload[..<linear]
    unsafe skb.put(bytes.span.bytes)
    var offset = linear
    for piece in pieces {
      append(Array(payload[offset..<offset + piece]), to: &skb)
      offset += piece
    }
    skb.etherType = .ipv4
    skb.setMACHeader(0)
    skb.setNetworkHeader(14)
    skb.setTransportHeader(34)
    skb.setPartialChecksum(start: 34, offset: 16)
    if mss > 0 {
      skb.gsoSize = mss
      skb.gsoType = .tcpv4
      skb.gsoSegments = (payload.count + mss - 1) / mss
    }
    return skb
  }

  /// A packet of the given bytes, no offload asked for.
  func plain(_ bytes: [UInt8]) -> SkBuff {
    guard var skb = pool.allocate(headroom: 64, linear: bytes.count) else { fatalError("the pool has room") }
    unsafe skb.put(bytes.span.bytes)
    return skb
  }

  func append(_ bytes: [UInt8], to skb: inout SkBuff) {
    guard let page = pool.allocatePage(large: bytes.count > 4000) else { fatalError("the pool has room") }
    // Not at the page's start, so that neighbours never merge and alignment is odd.
    let offset = bytes.count + 33 <= page.byteCount ? 33 : 0
    page.fill(unsafe bytes.span.bytes, at: offset)
    skb.appendFragment(page, offset: offset, byteCount: bytes.count, truesize: 4096)
  }

  // MARK: Driving

  enum Answer: Equatable { case ok(Int), busy }

  func send(_ skb: consuming SkBuff, doorbell: Bool = true) -> Answer {
    switch driver.startXmit(skb, ringDoorbell: doorbell, net: &net) {
    case .ok(let byteCount): return .ok(byteCount)
    case .delivered: fatalError("a NIC's packets complete later")
    case .busy(let skb):
      skb.drop(.deviceFull)
      return .busy
    }
  }

  /// Everything the device has for the wire.
  func frames() -> [[UInt8]] {
    var result: [[UInt8]] = []
    while device.fetchFrame(into: &vector, metadata: &metadata, now: net.now) {
      result.append(vector.bytes)
      device.frameDone(accepted: true)
    }
    return result
  }

  func clean(budget: Int = 256) -> TxCompletion { driver.cleanTx(budget: budget, net: &net) }

  func deliver(_ bytes: [UInt8], _ metadata: WireFrameMetadata = WireFrameMetadata()) -> ReceiveOutcome {
    device.receive(bytes.span, metadata: metadata, now: net.now)
  }

  func poll(budget: Int = 64) -> (tx: TxCompletion, received: Int, isComplete: Bool) {
    let result = driver.poll(budget: budget, into: &received, net: &net)
    return (result.tx, result.receivedCount, result.isComplete)
  }

  // The testing macros take no member of a noncopyable value; these wrap the driver's.
  var isQueueStopped: Bool { driver.isQueueStopped }
  var hasTransmitsInFlight: Bool { driver.hasTransmitsInFlight }
  func takeInterrupt() -> Bool { device.takeInterrupt(now: net.now) }

  /// The next received packet's bytes from its data on, and what is known about it.
  struct Received {
    var bytes: [UInt8]
    var linearByteCount: Int
    var fragmentCount: Int
    var checksum: ChecksumStatus
    var gsoSize: Int
    var gsoSegments: Int
    var etherType: EtherType
    var packetType: PacketType
    var macHeaderOffset: Int?
    var hash: UInt32
  }

  func next() -> Received? {
    guard let skb = received.popFirst() else { return nil }
    return Received(
      bytes: skb.copyBytes(), linearByteCount: skb.headLength, fragmentCount: skb.fragmentCount,
      checksum: skb.checksumStatus, gsoSize: skb.gsoSize, gsoSegments: skb.gsoSegments,
      etherType: skb.etherType, packetType: skb.packetType, macHeaderOffset: skb.macHeaderOffset,
      hash: skb.hash)
  }
}

/// The ones-complement sum, 16 bits at a time as RFC 1071 section 1 tells it.
func fold(_ bytes: some Collection<UInt8>) -> Int {
  var sum = 0
  for (index, octet) in bytes.enumerated() { sum += Int(octet) << (index & 1 == 0 ? 8 : 0) }
  while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
  return sum
}

/// Whether a whole TCP/IPv4 frame's lengths and checksums hold.
func isValidTCP(_ frame: [UInt8]) -> Bool {
  let total = Int(frame[16]) << 8 | Int(frame[17])
  guard frame.count >= 14 + total, total >= 40 else { return false }
  let transport = frame[34..<14 + total]
  let pseudo = Array(frame[26..<34]) + [0, 6, UInt8(transport.count >> 8), UInt8(transport.count & 0xFF)]
  return fold(frame[14..<34]) == 0xFFFF && fold(pseudo + Array(transport)) == 0xFFFF
}
