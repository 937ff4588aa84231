import IceHardware
import IceModel
import Timers
import Wire

/// The shortest driver there can be: writes descriptors by hand, so that the device is tested against the
/// layouts and not against the real driver.
@safe final class HandDriver {
  let bus: IceBus
  var device: IceDevice
  var vector = FrameVector()
  var metadata = WireFrameMetadata()
  var now = Instant.origin
  var next = 0
  private let memory: UnsafeMutableRawPointer
  private var used = 0
  static let mac = MACAddress(0x0200_0000_0002)

  init(engines: OffloadEngines = .own, maxFrameByteCount: Int = 1514) {
    bus = IceBus(txDescriptorCount: 64, rxDescriptorCount: 64, mappingCapacity: 1024)
    device = IceDevice(
      bus: bus,
      configuration: .init(macAddress: Self.mac, engines: engines, maxFrameByteCount: maxFrameByteCount))
    unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xEE, count: 1 << 20)
  }

  deinit { unsafe memory.deallocate() }

  /// Puts bytes somewhere in memory, not adjacent to anything, and maps them.
  func place(_ bytes: [UInt8]) -> IOVA {
    let base = unsafe memory + used
    used += (bytes.count + 128) & ~63
    unsafe bytes.withUnsafeBytes { unsafe base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    return unsafe bus.iommu.map(base, byteCount: bytes.count, .toDevice)!
  }

  func post(_ words: TxQuadWords) {
    bus.txRing[next] = words
    next = (next + 1) % bus.txRing.count
  }

  /// One data descriptor: address, command bits, offsets field, length.
  func data(_ address: IOVA, _ command: UInt64, offsets: UInt64 = 0, _ byteCount: Int, tag: UInt64 = 0) {
    post(
      TxQuadWords(
        first: address.rawValue,
        second: command << 4 | offsets << 16 | UInt64(byteCount) << 34 | tag << 48))
  }

  func context(_ command: UInt64, byteCount: UInt64 = 0, mss: UInt64 = 0, tag: UInt64 = 0) {
    post(TxQuadWords(first: tag << 32, second: 1 | command << 4 | byteCount << 30 | mss << 50))
  }

  func doorbell() { bus.registers.write(.QTX_COMM_DBELL, UInt64(next)) }

  /// The next frame, taken by the wire.
  func frame() -> [UInt8]? {
    guard device.fetchFrame(into: &vector, metadata: &metadata, now: now) else { return nil }
    let bytes = vector.bytes
    device.frameDone(accepted: true)
    return bytes
  }

  // The testing macros take no call on a noncopyable value; these wrap the device's.

  func fetch() -> Bool { device.fetchFrame(into: &vector, metadata: &metadata, now: now) }
  func offer() -> Bool { device.receiveVector(into: &vector) }
  func complete(_ byteCount: Int) -> ReceiveOutcome {
    device.receiveDone(byteCount: byteCount, metadata: WireFrameMetadata(), now: now)
  }
  func takeInterrupt(at now: Instant) -> Bool { device.takeInterrupt(now: now) }
  func interruptPending(at now: Instant) -> Bool { device.interruptPending(now: now) }

  /// Sends bytes cut into the given pieces, with these commands on every descriptor.
  func send(_ bytes: [UInt8], pieces: [Int], command: UInt64, offsets: UInt64) {
    var offset = 0
    for (index, size) in pieces.enumerated() {
      let isLast = index == pieces.count - 1
      let part = Array(bytes[offset..<offset + size])
      data(place(part), command | (isLast ? 0x3 : 0), offsets: offsets, size)
      offset += size
    }
    doorbell()
  }

  // MARK: Receive

  var rxAddresses: [IOVA] = []

  /// Posts so many buffers.
  func postBuffers(_ count: Int, byteCount: Int = 2048, maxFrame: Int = 1518, hash: Bool = false) {
    bus.registers.write(
      .QRX_CONTEXT, UInt64(byteCount / 128) | UInt64(maxFrame) << 7 | (hash ? 1 << 24 : 0))
    for index in 0..<count {
      let base = unsafe memory + used
      used += byteCount
      let address = unsafe bus.iommu.map(base, byteCount: byteCount, .fromDevice)!
      rxAddresses.append(address)
      bus.rxRing[index] = RxQuadWords(address.rawValue, 0, 0, 0)
    }
    bus.registers.write(.QRX_TAIL, UInt64(count))
  }

  func receive(_ bytes: [UInt8], _ metadata: WireFrameMetadata = WireFrameMetadata()) -> ReceiveOutcome {
    device.receive(bytes.span, metadata: metadata, now: now)
  }

  /// The written-back descriptor `index`, nil when it is not done.
  func written(_ index: Int) -> RxFlexDescriptor? {
    bus.rxRing.isDone(index) ? RxFlexDescriptor(unpacking: bus.rxRing[index]) : nil
  }

  func received(_ index: Int, _ byteCount: Int) -> [UInt8] {
    guard case .memory(let base) = bus.iommu.translate(rxAddresses[index], byteCount: byteCount, .fromDevice)
    else {
      return []
    }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: byteCount))
  }
}
