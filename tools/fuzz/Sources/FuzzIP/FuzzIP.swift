import FuzzSupport
import IPv4
import Ice
import IceHardware
import IceModel
import NetDevice
import NetNamespace
import Neighbour
import SkBuff
import Timers
import Trace
import Wire

/// The IP receive path with the device under it: IPv4, reassembly, ICMP and ARP input, and what they answer.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzIP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var floor = NetworkFloor()
  for var step in FrameScript(unsafe FuzzInput.bytes(start, count)) {
    if step.fixesAddresses {
      FrameRepair.fixAddresses(&step.frame, mac: [2, 0, 0, 0, 0, 2], address: [10, 0, 0, 2])
    }
    if step.fixesChecksums { FrameRepair.fixChecksums(&step.frame) }
    floor.pass(milliseconds: step.milliseconds)
    floor.receive(step.frame)
  }
  floor.finish()
  return 0
}

/// Network layer, device, driver and NIC, with nobody above.
private struct NetworkFloor: ~Copyable {
  var net: Net
  var link: LinkLayer
  var ip: IPv4Layer
  let ethernet: InterfaceIndex
  var nic: IceDevice
  var vector = FrameVector(capacity: 64)
  var metadata = WireFrameMetadata()

  static let mac = MACAddress(0x02_00_00_00_00_02)

  init() {
    let tracer = Tracer()
    let pool = SkBuffPool(limit: 16 << 20, tracer: tracer)
    net = Net(
      pool: pool, tracer: tracer, settings: NetSettings(), seed: 1, now: Instant(nanoseconds: 1_000_000_000))
    let bus = IceBus(txDescriptorCount: 64, rxDescriptorCount: 64)
    nic = IceDevice(bus: bus, configuration: IceDevice.Configuration(macAddress: Self.mac))
    var driver = IceDriver(bus: bus, configuration: IceDriver.Configuration(macAddress: Self.mac))
    driver.open(net: &net)
    let device = NetDevice(
      configuration: NetDeviceConfiguration(name: "fuzz0", macAddress: Self.mac), driver: driver, net: &net)
    link = LinkLayer(net: &net)
    ethernet = link.devices.add(device)
    ip = IPv4Layer(net: &net)
    do {
      try ip.addAddress(IPv4Prefix(IPv4Address(10, 0, 0, 2), length: 24)!, on: ethernet, link: link)
    } catch {
      preconditionFailure("A first address can be added.")
    }
  }

  mutating func pass(milliseconds: UInt64) {
    advance(to: Instant(nanoseconds: net.now.nanoseconds &+ milliseconds &* 1_000_000))
  }

  mutating func advance(to instant: Instant) {
    while let due = net.timers.nextDeadline, due <= instant {
      net.advance(to: due)
      guard let expired = net.timers.popExpired(now: due) else { break }
      ip.timerExpired(expired.key, due: expired.due, link: &link, net: &net)
      drain()
    }
    net.advance(to: instant)
  }

  mutating func receive(_ frame: [UInt8]) {
    guard frame.count >= 14, var skb = net.pool.allocate(headroom: 64, linear: frame.count) else { return }
    // The frame outlives the call, which copies it.
    unsafe skb.put(frame.span.bytes)
    skb.setMACHeader()
    guard let ethernet = unsafe EthernetHeader(parsing: frame.span.bytes) else {
      skb.drop(.unknownEtherType)
      return
    }
    skb.pull(EthernetHeader.byteCount)
    skb.setNetworkHeader()
    skb.etherType = ethernet.type
    skb.interface = self.ethernet
    skb.packetType =
      ethernet.destination == Self.mac ? .host : ethernet.destination.isBroadcast ? .broadcast : .otherHost
    give(skb)
    while let looped = net.takeBacklog() { give(looped) }
    while ip.takeTransportError() != nil {}
    drain()
    precondition(net.pool.allocatedByteCount <= 24 << 20, "Packet memory stays inside its limit.")
  }

  private mutating func give(_ skb: consuming SkBuff) {
    switch ip.receive(skb, link: &link, net: &net) {
    case .consumed: break
    case .tcp(let segment, _): segment.drop(.noSocket)
    case .udp(let datagram, _):
      // As the root does when no socket wants it.
      ip.sendICMPError(
        for: datagram, reason: .noSocket, kind: .destinationUnreachable, code: ICMPHeader.Unreachable.port,
        info: 0, link: &link, net: &net)
    case .icmp(let reply, _): reply.drop(.noSocket)
    }
  }

  /// The NIC sends what it has, the driver cleans up.
  private mutating func drain() {
    for _ in 0..<64 {
      var isQuiet = true
      while nic.fetchFrame(into: &vector, metadata: &metadata, now: net.now) {
        precondition(vector.byteCount <= 1514 + 4, "No frame is longer than the link carries.")
        nic.frameDone(accepted: true)
        isQuiet = false
      }
      var input = SkBuffQueue()
      if link.devices[ethernet].poll(budget: 64, into: &input, net: &net) { isQuiet = false }
      while let skb = input.popFirst() { skb.drop(.otherHost) }
      link.devices[ethernet].runQdisc(net: &net)
      if isQuiet { return }
    }
  }

  /// Long after, when everything that waits has been given up, nothing is left but what the driver holds.
  consuming func finish() {
    for _ in 0..<200 { pass(milliseconds: 1_000) }
    let pool = net.pool
    let tracer = net.tracer
    ip.close(net: &net)
    link.close(net: &net)
    drop(self)
    // Traps when a packet is still somewhere.
    pool.destroy()
    tracer.destroy()
  }
}

private func drop(_ floor: consuming NetworkFloor) {}
