import DeviceTestSupport
import NetTestSupport
import NetDevice
import NetNamespace
import Neighbour
@testable import Netfilter
import SkBuff
import Timers
import Wire

/// A neighbour table above a real device, in virtual time.
final class NeighbourBench {
  static let mac = TestCard.ownMAC
  static let peerMAC = MACAddress(0x0200_0000_0001)
  static let peer = IPAddress(IPv4Address(10, 0, 0, 1))

  private let memory = TestMemory(limit: 256 << 20)
  var pool: SkBuffPool { memory.pool }
  var net: Net
  var table: NeighbourTable
  var device: NetDevice
  var card = TestCard(txRing: 1024, rxRing: 64)
  var handle = NeighbourHandle.none
  /// Packets that came back because their neighbour failed, by their mark.
  var failed: [UInt32] = []

  init(seed: UInt64 = 1) {
    net = memory.net(seed: seed, now: .origin)
    device = card.device(net: &net)
    table = NeighbourTable(net: &net)
  }

  deinit {
    table.close(net: &net)
    device.close()
  }

  var now: Nanoseconds { net.now - .origin }

  /// A packet as IPv4 hands it down: 10.0.0.2 to `to`, `mark` to know it by.
  func packet(
    to: IPAddress = peer, mark: UInt32 = 0, byteCount: Int = 40, headroom: Int = 16,
    use: MemoryUse = .ordinary
  ) -> SkBuff {
    guard let allocated = pool.allocate(headroom: headroom, linear: byteCount, use: use) else {
      fatalError("the pool has room")
    }
    var skb = allocated
    skb.put(byteCount)
    guard var bytes = skb.writable() else { fatalError("a new packet is nobody else's") }
    for index in 0..<byteCount { bytes.store8(0, index) }
    IPv4Header(
      totalByteCount: byteCount, identification: UInt16(truncatingIfNeeded: mark), protocol: .udp,
      source: IPv4Address(10, 0, 0, 2), destination: to.v4 ?? .any
    ).write(to: &bytes)
    skb.setNetworkHeader()
    skb.etherType = .ipv4
    skb.mark = mark
    return skb
  }

  @discardableResult
  func send(to: IPAddress = peer, mark: UInt32 = 0) -> XmitResult {
    send(packet(to: to, mark: mark), to: to)
  }

  @discardableResult
  func send(_ packet: consuming SkBuff, to: IPAddress = peer) -> XmitResult {
    let result = table.output(
      PassedPacket(packet), nextHop: to, cache: &handle, device: &device, net: &net)
    drainFailed()
    return result
  }

  func drainFailed() {
    while let skb = table.takeFailed() {
      failed.append(skb.mark)
      skb.drop(.neighbourFailed)
    }
  }

  /// The requests the table asks for.
  func solicitations() -> [NeighbourSolicitation] {
    var list: [NeighbourSolicitation] = []
    while let next = table.takeSolicitation(of: .inet) { list.append(next) }
    return list
  }

  /// What the device puts on the wire.
  func frames() -> [[UInt8]] {
    card.frames(now: net.now) {
      var received = SkBuffQueue()
      while device.poll(budget: 64, into: &received, net: &net) {}
    } runQdisc: {
      device.runQdisc(net: &net)
    }
  }

  /// Moves the clock, serving every timer at its time.
  func advance(_ span: Nanoseconds) {
    let end = net.now + span
    while let next = net.timers.nextDeadline, next <= end {
      net.advance(to: next)
      while let (key, due) = net.timers.popExpired(now: net.now) {
        if key.kind == .neighbour { table.timerExpired(key, due: due, net: &net) }
      }
      drainFailed()
    }
    net.advance(to: end)
  }

  func answer(_ address: IPAddress = peer, mac: MACAddress = peerMAC) {
    table.learn(
      address, hardwareAddress: mac, isReplyToUs: true, isGratuitous: false, device: &device, net: &net)
  }

  func state(_ address: IPAddress = peer) -> NeighbourState? { table.state(of: address, on: .none) }
  func snapshot(_ address: IPAddress = peer) -> NeighbourSnapshot? {
    table.snapshot(now: net.now).first { $0.address == address }
  }
  var count: Int { table.count }
}
