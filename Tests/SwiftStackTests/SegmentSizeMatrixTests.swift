import IceModel
import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Every MTU x engines x the peer's MSS x its options x what a router says half-way: no segment larger than the peer and
/// the path take, and everything arrives.
@Suite struct SegmentSizeMatrixTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var mtu: Int
    var lendsEngines: Bool
    /// The peer's MSS option; `nil`: none, which means 536.
    var mss: Int?
    var hasTimestamps: Bool
    var hasSACK: Bool
    /// What a router says after a third; `nil`: nothing.
    var pathMTU: Int?
    var testDescription: String {
      "MTU \(mtu)\(lendsEngines ? " offload" : ""), MSS \(mss.map(String.init) ?? "-")"
        + "\(hasTimestamps ? ", TS" : "")\(hasSACK ? ", SACK" : ""), path \(pathMTU.map(String.init) ?? "-")"
    }
  }

  static let cases: [Case] = {
    var all: [Case] = []
    for mtu in [576, 1006, 1280, 1500, 4000, 9000] {
      for lendsEngines in [false, true] {
        for mss in [nil, 216, 536, 1240, 1460, 8960] as [Int?] {
          for pathMTU in [nil, 552, 1100, 1492] as [Int?] where pathMTU ?? 0 < mtu {
            for options in [0, 3] {
              all.append(
                Case(
                  mtu: mtu, lendsEngines: lendsEngines, mss: mss, hasTimestamps: options != 0,
                  hasSACK: options != 0, pathMTU: pathMTU))
            }
          }
        }
      }
    }
    return all
  }()

  /// The peer: acknowledges what it gets, loses what is too long for the path.
  private final class Reader {
    let test: Case
    let peer: FramePeer
    var next: UInt32 = 0
    var stamp: UInt32 = 0
    var hasShrunk = false
    var hasReported = false
    /// The report had arrived when the frames that are being looked at were sent.
    var isReportKnown = false
    var received = 0
    var held: [UInt32: Int] = [:]
    var complaints: [String] = []
    let byteCount: Int

    init(_ test: Case, byteCount: Int) throws {
      self.test = test
      self.byteCount = byteCount
      peer = try FramePeer(lendsEngines: test.lendsEngines, seed: 3) {
        $0.mtu = test.mtu
        $0.services = false
      }
    }

    var options: [UInt8] {
      test.hasTimestamps ? [1, 1, 8, 10] + ScriptedPeer.bytes(UInt32(77)) + ScriptedPeer.bytes(stamp) : []
    }

    func send(_ flags: UInt8, _ sequence: UInt32, _ options: [UInt8]) {
      peer.host.receive(
        FramePeer.hostMAC + FramePeer.mac(1) + [8, 0]
          + FramePeer.ip(
            6,
            FramePeer.tcp(
              flags, from: 40000, to: 6000, sequence: sequence, acknowledgment: next, options: options)))
    }

    /// The largest payload of one segment that may come.
    var limit: Int {
      let mss = min(test.mss ?? 536, test.mtu - 40)
      let path = isReportKnown ? min(mss, (test.pathMTU ?? test.mtu) - 40) : mss
      return path - (test.hasTimestamps ? 12 : 0)
    }

    func take(_ frame: SimulatedFrame) {
      let bytes = frame.bytes
      guard bytes[12] == 8 else { return }
      if bytes[13] == 6 {
        if bytes[21] == 1, bytes[41] == 1 {
          peer.host.receive(
            FramePeer.arp(
              2, FramePeer.mac(1), [10, 0, 0, 1], FramePeer.hostMAC, FramePeer.hostAddress,
              to: FramePeer.hostMAC))
        }
        return
      }
      let total = Int(bytes[16]) << 8 | Int(bytes[17])
      let header = Int(bytes[46] >> 4) * 4
      let payload = total - 20 - header
      let sequence = bytes[38..<42].reduce(0) { $0 << 8 | UInt32($1) }
      if test.hasTimestamps && header >= 32 {
        stamp = bytes[58..<62].reduce(0) { $0 << 8 | UInt32($1) }
      }
      guard payload > 0 else { return }
      let size = frame.metadata.gsoType == .none ? payload : Int(frame.metadata.gsoSize)
      if size > limit { complaints.append("segment of \(size) over \(limit)") }
      if size + header + 20 > test.mtu { complaints.append("packet of \(size + header + 20)") }
      if bytes[20] & 0x40 == 0 { complaints.append("no DF") }
      if let pathMTU = test.pathMTU, hasShrunk, size + header + 20 > pathMTU {
        // The router drops it and says so, quoting its beginning.
        peer.host.receive(
          FramePeer.hostMAC + FramePeer.mac(1) + [8, 0]
            + FramePeer.ip(
              1,
              FramePeer.icmp(
                3, 4, rest: [0, 0] + ScriptedPeer.bytes(UInt16(pathMTU)), Array(bytes[14..<42]))))
        hasReported = true
        return
      }
      held[sequence] = max(held[sequence] ?? 0, payload)
      while let (start, count) = held.first(where: { next &- $0.key < UInt32($0.value) }) {
        held[start] = nil
        let fresh = count - Int(next &- start)
        next &+= UInt32(fresh)
        received += fresh
      }
      if received > byteCount / 3 { hasShrunk = true }
    }

    func run() throws {
      let listener = try peer.host.stack.socket(.tcp)
      listener.isNonBlocking = true
      try listener.bind(to: SocketAddress(.any, port: 6000))
      try listener.listen()
      var offer: [UInt8] = test.mss.map { [2, 4] + ScriptedPeer.bytes(UInt16($0)) } ?? []
      if test.hasSACK { offer += [1, 1, 4, 2] }
      send(2, 1000, offer + options)
      var frames = peer.host.takeFrames()
      for frame in frames where frame.bytes[13] == 6 { take(frame) }
      frames += peer.host.takeFrames()
      let answer = try #require(frames.last { $0.bytes[13] == 0 }).bytes
      next = answer[38..<42].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
      if test.hasTimestamps { stamp = answer[62..<66].reduce(0) { $0 << 8 | UInt32($1) } }
      send(16, 1001, options)
      let server = try listener.accept()
      server.isNonBlocking = true
      let bytes = [UInt8](repeating: 5, count: byteCount)
      var sent = 0
      var rounds = 0
      while received < byteCount && rounds < 4000 {
        rounds += 1
        if sent < byteCount, let count = try? server.send(Array(bytes[sent...])) { sent += count }
        let frames = peer.host.takeFrames()
        isReportKnown = hasReported
        for frame in frames { take(frame) }
        if frames.isEmpty {
          peer.host.advance(to: peer.host.nextDeadline ?? peer.host.now + .milliseconds(10))
        }
        send(16, 1001, options)
      }
    }
  }

  @Test(
    "D4 P3 no segment is over the peer's MSS or the path's MTU, and all bytes arrive",
    arguments: [576, 1006, 1280, 1500, 4000, 9000])
  func matrix(mtu: Int) throws {
    // More than one flight of the initial window.
    let byteCount = mtu > 2000 ? 120_000 : 24_000
    for test in Self.cases where test.mtu == mtu {
      let reader = try Reader(test, byteCount: byteCount)
      try reader.run()
      #expect(reader.complaints.isEmpty, "\(test): \(reader.complaints.prefix(3))")
      #expect(reader.received == byteCount, "\(test): \(reader.received)")
      if let pathMTU = test.pathMTU, min(test.mss ?? 536, mtu - 40) + 40 > pathMTU {
        #expect(reader.hasReported, "\(test)")
      }
    }
  }
}
