import IceModel
import SkBuff
import Testing
import Timers

@testable import Services
@testable import Shard
@testable import SwiftStack

/// A wire in virtual time that carries frames: what it was given goes out when the test says so.
private final class CarryingWire: Wire {
  struct Frame {
    var bytes: [UInt8]
    var metadata: WireFrameMetadata
  }
  /// Frames that it can carry at once; 0: it puts all out at once.
  var capacity = 0
  var out: [Frame] = []
  var arriving: [Frame] = []
  private var first = 0
  private var carried: [(kept: Kept, metadata: WireFrameMetadata)] = []
  private var outcomes = 0
  private(set) var mostCarried = 0
  private(set) var carriedCount = 0
  private(set) var finishCount = 0
  private(set) var hasToAnnounce = false

  /// Reads the memory when the frame goes out, as the thread does.
  ///
  /// Safety: `header` lives as long as the object.
  @safe
  final class Kept {
    var frame = FrameVector(capacity: 64)
    let header = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 64)
    init(_ other: borrowing FrameVector) { unsafe frame.take(other, headerInto: header) }
    deinit { unsafe header.deallocate() }
  }

  override func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
    #expect(carried.isEmpty, "a frame overtakes")
    out.append(Frame(bytes: frame.bytes, metadata: metadata))
    return .done(0)
  }

  override func receive(
    into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata
  ) -> WireOutcome {
    guard first < arriving.count else { return .wouldBlock }
    let next = arriving[first]
    first += 1
    metadata = next.metadata
    return .done(unsafe next.bytes.withUnsafeBytes { unsafe frame.copyBytes(from: $0) })
  }

  override var carryingRoom: Int { capacity - carried.count - outcomes }
  override func carry(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) {
    carried.append((Kept(frame), metadata))
    carriedCount += 1
    mostCarried = max(mostCarried, carried.count)
  }
  override func takeOutcome() -> WireOutcome? {
    guard outcomes > 0 else { return nil }
    outcomes -= 1
    return .done(0)
  }
  override func announceOutcomes() -> Bool {
    hasToAnnounce = outcomes == 0
    return hasToAnnounce
  }
  override func finishCarrying() {
    finishCount += 1
    putOut()
  }

  var isCarrying: Bool { !carried.isEmpty }
  /// What was carried goes out.
  func putOut(_ count: Int = .max) {
    let count = min(count, carried.count)
    for item in carried[..<count] { out.append(Frame(bytes: item.kept.frame.bytes, metadata: item.metadata)) }
    carried.removeFirst(count)
    outcomes += count
  }
}

/// A shard whose wire carries, and its peer.
private final class Pair {
  final class Side {
    let wire = CarryingWire()
    var shard: Shard
    /// Outlives the shard.
    private let memory: ShardMemory
    init(_ address: IPv4Address, _ mac: MACAddress, lendsEngines: Bool, seed: UInt64) throws {
      var configuration = StackConfiguration()
      configuration.address = try #require(IPv4Prefix(address, length: 24))
      configuration.macAddress = mac
      shard = try Shard(
        configuration, wire: wire, lendsEngines: lendsEngines, seed: (seed, seed + 1, seed + 2), now: .origin,
        timeOfDayOffset: { nil })
      memory = shard.memory
    }
    func turn(_ now: Instant) {
      shard.host.net.advance(to: now)
      _ = shard.turn(
        isReadable: true, frameLimit: DrainPolicy.entryFrameCount)
      shard.owners.woken.take().wake()
    }
  }
  static let addresses = (IPv4Address(10, 0, 0, 2), IPv4Address(10, 0, 0, 3))
  let ours: Side
  let peer: Side
  var now = Instant.origin

  init(lendsEngines: Bool) throws {
    ours = try Side(Self.addresses.0, MACAddress(0x0200_0000_0002), lendsEngines: lendsEngines, seed: 1)
    peer = try Side(Self.addresses.1, MACAddress(0x0200_0000_0003), lendsEngines: lendsEngines, seed: 9)
    try ours.shard.startServices()
  }

  /// A turn of each; frames of both cross. Our wire puts out what it carries meanwhile.
  func step(_ carriedOut: Int = .max) {
    now = now + .microseconds(20)
    ours.turn(now)
    ours.wire.putOut(carriedOut)
    peer.wire.arriving += ours.wire.out
    ours.wire.out = []
    peer.turn(now)
    ours.wire.arriving += peer.wire.out
    peer.wire.out = []
  }

  /// A bulk transfer each way.
  func begin() throws {
    for (port, isSender) in [(UInt16(9), true), (19, false)] {
      let program = Transfer(isSender: isSender)
      let socket = try peer.shard.socket(.tcp)
      do throws(Errno) {
        try peer.shard.connect(socket, to: SocketAddress(Self.addresses.0, port: port))
      } catch { if error != .EINPROGRESS { throw error } }
      peer.shard.give(socket, to: peer.shard.start(program))
      transfers.append(program)
    }
  }
  var transfers: [Transfer] = []

  /// Sends what the discard service takes, or checks what the character generator sends.
  final class Transfer: Program {
    let isSender: Bool
    var bytes: [UInt8] = []
    var sent = 0
    init(isSender: Bool) { self.isSender = isSender }
    override func ready(_ socket: SocketID, on shard: inout Shard) {
      let block = [UInt8](repeating: 0x61, count: 64 << 10)
      while isSender, let count = try? shard.send(socket, block, flags: .dontWait) { sent += count }
      while !isSender, let part = try? shard.receiveArray(socket, upTo: 1 << 20, flags: .dontWait),
        !part.bytes.isEmpty
      { bytes += part.bytes }
    }
  }
}

@Suite struct CarriedFrameTests {
  @Test(
    "T1 both directions busy: frames are carried, in order and whole, and given back when it is quiet",
    arguments: [true, false])
  func both(lendsEngines: Bool) throws {
    let pair = try Pair(lendsEngines: lendsEngines)
    pair.ours.wire.capacity = 64
    try pair.begin()
    for index in 0..<600 { pair.step(index % 7 * 9) }
    #expect(pair.ours.wire.carriedCount > 500)
    let (sender, reader) = (pair.transfers[0], pair.transfers[1])
    #expect(sender.sent > 4 << 20 && reader.bytes.count > 4 << 20)
    let expected = CharacterGenerator.text(from: 0)
    let isWhole = zip(reader.bytes[..<65536], expected).allSatisfy { $0 == $1 }
    #expect(isWhole)
    let info = pair.peer.shard.sockets.sockets().compactMap {
      pair.peer.shard.sockets.tcpInfo($0, now: pair.now)?.totalRetransmissions
    }
    #expect(info.allSatisfy { $0 == 0 })
  }

  @Test("T1 one direction busy: nothing is carried", arguments: [0, 1])
  func one(way: Int) throws {
    let pair = try Pair(lendsEngines: true)
    pair.ours.wire.capacity = 64
    try pair.begin()
    for socket in pair.peer.shard.sockets.sockets()
    where pair.peer.shard.sockets.tcpInfo(socket, now: pair.now) != nil {
      let program = pair.peer.shard.owners[socket].program
      if pair.peer.shard.program(program) === pair.transfers[way] {
        pair.peer.shard.finish(socket, reset: true)
      }
    }
    for _ in 0..<300 { pair.step() }
    #expect(pair.transfers[0].sent + pair.transfers[1].bytes.count > 4 << 20)
    #expect(pair.ours.wire.carriedCount == 0)
  }

  /// Frames of ours are under way, and none has been put out.
  private func carrying() throws -> Pair {
    let pair = try Pair(lendsEngines: true)
    pair.ours.wire.capacity = 64
    try pair.begin()
    for _ in 0..<400 {
      pair.step(0)
      if pair.ours.wire.isCarrying { break }
    }
    return pair
  }

  @Test("D11 a ring with carried frames is emptied when the wire has put them out, not before")
  func reopening() throws {
    let pair = try carrying()
    #expect(pair.ours.wire.isCarrying)
    pair.ours.shard.reopenNIC()
    #expect(pair.ours.wire.finishCount > 0 && !pair.ours.wire.isCarrying)
    let before = pair.transfers[1].bytes.count
    for _ in 0..<50_000 where pair.transfers[1].bytes.count < before + (4 << 20) { pair.step() }
    #expect(pair.transfers[1].bytes.count >= before + (4 << 20), "what comes after is written back")
    pair.ours.shard.closeAll()
    #expect(!pair.ours.wire.isCarrying && pair.ours.shard.duty.carriedCount == 0)
    pair.ours.shard.dismantle()
  }

  @Test("T1 whoever would sleep while frames are carried has itself woken, or does not sleep")
  func sleeping() throws {
    let pair = try carrying()
    pair.ours.turn(pair.now)
    #expect(pair.ours.wire.isCarrying && pair.ours.wire.hasToAnnounce)
    pair.ours.wire.putOut(1)
    #expect(pair.ours.shard.settledDeadline == .origin)
  }
}
