import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

/// BBR on a path of 40 Mbit/s and 20 ms there and back, which is 67 segments of 1,448 bytes.
@Suite("BBR")
struct BBRTests {
  private func bulk(_ name: String = "bbr", loss: Double = 0, rate: UInt64 = 40_000_000) throws
    -> BulkTransfer
  {
    var settings = NetSettings()
    settings.tcpCongestionControl = name == "bbr" ? .bbr : .cubic
    let bulk = try BulkTransfer(seed: 2, delay: .milliseconds(10), rate: rate, settings: settings)
    bulk.wire.leftToRight.loss = loss
    return bulk
  }

  private func info(_ bulk: BulkTransfer) throws -> TCPInfo { try #require(bulk.sender.tcpInfo) }

  private func mode(_ bulk: BulkTransfer) -> BBR.Mode? {
    let index = bulk.sender.id.index
    return bulk.wire.left.stack.shards[0].inspect { shard -> BBR.Mode? in
      switch shard.sockets.tcp.sockets[index].sender.congestion {
      case .bbr(let bbr): return bbr.value.mode
      default: return nil
      }
    }
  }

  /// Payload of so many megabits a second, for a second, less headers.
  private func share(_ bytes: Int, of rate: Int, for seconds: Int = 1) -> Double {
    Double(bytes) * 8 / Double(rate * seconds) * 1514 / 1448
  }

  @Test("BBR the pipe is full and the queue short: the path's rate at little more than its round trip")
  func fills() throws {
    let bulk = try bulk()
    _ = bulk.run(for: .seconds(1))
    #expect(mode(bulk) == .probeBandwidth)
    let bytes = bulk.run(for: .seconds(3))
    #expect(share(bytes, of: 40_000_000, for: 3) > 0.93)
    let info = try info(bulk)
    #expect(info.congestionControl == "bbr")
    #expect(info.smoothedRTT < .milliseconds(30))
    #expect((67...180).contains(info.congestionWindow))
    #expect(info.totalRetransmissions == 0)
    // 40 Mbit/s are 5 MB/s; the gains are 5/4 and 3/4.
    #expect((3_400_000...6_300_000).contains(info.pacingBytesPerSecond))
  }

  @Test("BBR start-up ends when the rate grows no more, and takes back what it has queued")
  func startup() throws {
    let bulk = try bulk()
    #expect(mode(bulk) == .startup)
    var modes: [BBR.Mode] = []
    for _ in 0..<60 {
      _ = bulk.run(for: .milliseconds(10))
      if let mode = mode(bulk), modes.last != mode { modes.append(mode) }
    }
    #expect(modes == [.startup, .drain, .probeBandwidth])
    #expect(try info(bulk).slowStartThreshold != nil)
  }

  @Test(
    "BBR loss is no sign of congestion: 2 % of frames lost, and four fifths of the rate; CUBIC has less than half"
  )
  func loss() throws {
    var shares: [Double] = []
    for name in ["bbr", "cubic"] {
      let bulk = try bulk(name, loss: 0.02)
      _ = bulk.run(for: .seconds(1))
      shares.append(share(bulk.run(for: .seconds(4)), of: 40_000_000, for: 4))
    }
    #expect(shares[0] > 0.8)
    #expect(shares[1] < 0.5)
  }

  @Test("BBR every ten seconds the window is four segments for 200 ms; then it is what it was")
  func probesRTT() throws {
    let bulk = try bulk(rate: 10_000_000)
    _ = bulk.run(for: .seconds(9))
    let before = try info(bulk).congestionWindow
    var least = before
    var spans = 0
    for _ in 0..<200 {
      _ = bulk.run(for: .milliseconds(10))
      if mode(bulk) == .probeRTT { spans += 1 }
      least = min(least, try info(bulk).congestionWindow)
    }
    #expect(least == 4)
    #expect((20...32).contains(spans))
    #expect(mode(bulk) == .probeBandwidth)
    #expect(try info(bulk).congestionWindow >= before / 2)
  }

  @Test(
    "BBR a path that becomes wider is noticed within a few cycles, one that becomes narrower within ten rounds"
  )
  func changes() throws {
    let bulk = try bulk(rate: 10_000_000)
    _ = bulk.run(for: .seconds(1))
    bulk.wire.leftToRight.rate = 40_000_000
    _ = bulk.run(for: .seconds(3))
    #expect(share(bulk.run(for: .seconds(1)), of: 40_000_000) > 0.9)
    bulk.wire.leftToRight.rate = 10_000_000
    _ = bulk.run(for: .seconds(3))
    #expect(share(bulk.run(for: .seconds(1)), of: 10_000_000) > 0.9)
    #expect(try info(bulk).smoothedRTT < .milliseconds(60))
  }

  @Test("BBR a timeout: the window is one segment, and what it was when the path is back")
  func timeout() throws {
    let bulk = try bulk()
    _ = bulk.run(for: .seconds(1))
    let before = try info(bulk).congestionWindow
    bulk.wire.leftToRight.loss = 1
    _ = bulk.run(for: .milliseconds(400))
    #expect(try info(bulk).congestionState == .loss)
    #expect(try info(bulk).congestionWindow <= 4)
    bulk.wire.leftToRight.loss = 0
    _ = bulk.run(for: .seconds(2))
    #expect(try info(bulk).congestionWindow * 2 >= before)
    #expect(share(bulk.run(for: .seconds(1)), of: 40_000_000) > 0.9)
  }

  @Test("BBR a timeout: what it was is back with the ACK that ends the loss, not segment by segment")
  func afterTimeout() throws {
    var settings = NetSettings()
    settings.tcpCongestionControl = .bbr
    // Nothing is undone: the loss was real.
    settings.tcpFRTO = 0
    let open = try ScriptedConnection.withSACK(settings: settings, rtt: .milliseconds(20))
    open.inspect { $0.sender.window.segments = 40 }
    let base = try open.flight(3)
    open.peer.advance(.milliseconds(400))
    #expect(open.info.congestionState == .loss && open.info.congestionWindow == 1)
    open.acknowledge(base: base, upTo: 3)
    #expect(open.info.congestionState == .open)
    #expect((40...43).contains(open.info.congestionWindow))
  }

  @Test("BBR in a recovery the window is BBR's: what arrives does not shrink it to a threshold")
  func recovery() throws {
    var settings = NetSettings()
    settings.tcpCongestionControl = .bbr
    let open = try ScriptedConnection.withSACK(settings: settings, rtt: .milliseconds(20))
    let base = try open.flight(30, window: 30)
    open.inspect { $0.sender.window.threshold = 5 }
    // What is paced has left by then.
    open.peer.advance(.milliseconds(30))
    open.acknowledge(base: base, upTo: 0, sack: [1..<4])
    #expect(open.info.congestionState == .recovery)
    let first = open.info.congestionWindow
    #expect(first > 25)
    open.acknowledge(base: base, upTo: 0, sack: [1..<8])
    #expect(open.info.congestionState == .recovery && open.info.congestionWindow >= first)
  }

  @Test("BBR begins in start-up, however long the stack is up: it probes no round trip before ten seconds")
  func beginning() throws {
    var settings = NetSettings()
    settings.tcpCongestionControl = .bbr
    let peer = try ScriptedPeer(settings: settings)
    peer.advance(.seconds(60))
    let open = try ScriptedConnection(peer: peer, rtt: .milliseconds(100))
    func gain() -> UInt32 { open.inspect { $0.sender.congestion.info(mss: 1460) }[4] }
    // 739 of 256.
    #expect(gain() == 739)
    open.acknowledge(base: try open.flight(3), upTo: 3)
    #expect(gain() == 739 && open.info.congestionWindow >= 10)
  }

  @Test("BBR the first rate is the first window in the round trip of the handshake, before anything is sent")
  func firstRate() throws {
    var settings = NetSettings()
    settings.tcpCongestionControl = .bbr
    let open = try ScriptedConnection.withSACK(settings: settings, rtt: .milliseconds(100))
    // Ten segments of 1,460 bytes in 100 ms, 2.89 times that, less a hundredth.
    #expect((410_000...425_000).contains(open.info.pacingBytesPerSecond))
  }

  private func change(_ bulk: BulkTransfer, to kind: CongestionControlKind) {
    let id = bulk.sender.id
    let isDone = bulk.wire.left.stack.shards[0].inspect {
      (try? $0.sockets.tcp.setCongestionControl(id, kind, net: $0.host.net)) != nil
    }
    #expect(isDone)
  }

  @Test("BBR TCP_CONGESTION takes it on an open connection, and gives it back")
  func changed() throws {
    let bulk = try bulk("cubic")
    _ = bulk.run(for: .milliseconds(300))
    change(bulk, to: .bbr)
    _ = bulk.run(for: .seconds(1))
    #expect(try info(bulk).congestionControl == "bbr")
    #expect(share(bulk.run(for: .seconds(1)), of: 40_000_000) > 0.9)
    change(bulk, to: .cubic)
    #expect(share(bulk.run(for: .seconds(1)), of: 40_000_000) > 0.8)
  }

  @Test("BBR an application that sends little now and then says nothing of the bandwidth")
  func applicationLimited() throws {
    let bulk = try bulk()
    _ = bulk.run(for: .seconds(1))
    let before = try info(bulk).pacingBytesPerSecond
    for _ in 0..<20 {
      _ = try? bulk.sender.send([UInt8](repeating: 1, count: 1000))
      bulk.wire.run(for: .milliseconds(100)) {
        while let bytes = try? bulk.reader.receive(upTo: 1 << 20), !bytes.isEmpty {}
        return false
      }
    }
    #expect(try info(bulk).pacingBytesPerSecond * 2 > before)
  }

  // MARK: How it begins

  @Test(
    "BBR without an RTT of the handshake a millisecond is thought: nothing waits for long, and data that is lost goes again"
  )
  func withoutRTT() throws {
    var settings = NetSettings()
    settings.tcpCongestionControl = .bbr
    let peer = try ScriptedPeer(hostPort: 7100, settings: settings, probesTails: true)
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 7100))
    try listener.listen()
    peer.send(0x02, sequence: 1000, options: [2, 4, 5, 0xB4, 1, 1, 4, 2])
    let base = try #require(peer.next()).sequence &+ 1
    // The SYN-ACK goes twice: of which of them the ACK is cannot be told.
    peer.advance(.milliseconds(1200))
    _ = peer.all()
    peer.send(0x10, sequence: 1001, acknowledgment: base)
    let socket = try listener.accept()
    socket.isNonBlocking = true
    try socket.send([UInt8](repeating: 1, count: 40_000))
    // The client's request tells nothing of what was sent.
    peer.send(0x18, sequence: 1001, acknowledgment: base, payload: [1, 2, 3])
    var acknowledged = base
    for _ in 0..<40 {
      peer.advance(.milliseconds(100))
      for segment in peer.all() where segment.sequence == acknowledged {
        acknowledged &+= UInt32(segment.payload.count)
      }
      peer.send(0x10, sequence: 1004, acknowledgment: acknowledged)
    }
    #expect(acknowledged &- base == 40_000)
  }

  @Test(
    "BBR chosen on an open connection: no threshold, the RTT that is known; the same again changes nothing")
  func chosen() throws {
    let open = try ScriptedConnection.withSACK(rtt: .milliseconds(100))
    let socket = open.socket.id
    func choose(_ kind: CongestionControlKind) {
      let isDone = open.peer.host.stack.shards[0].inspect {
        (try? $0.sockets.tcp.setCongestionControl(socket, kind, net: $0.host.net)) != nil
      }
      #expect(isDone)
    }
    open.inspect {
      $0.sender.window.threshold = 7
      $0.sender.window.segments = 10
    }
    choose(.bbr)
    #expect(open.info.slowStartThreshold == nil)
    // Ten segments of 1,460 bytes in 100 ms, 2.89 times that, less a hundredth.
    #expect((410_000...425_000).contains(open.info.pacingBytesPerSecond))
    let words = open.inspect { $0.sender.congestion.info(mss: 1460) }
    #expect(words[2] == 100_000)
    open.inspect { $0.sender.window.segments = 20 }
    choose(.bbr)
    #expect((410_000...425_000).contains(open.info.pacingBytesPerSecond))
  }

  @Test("RFC 6937 a recovery that BBR began goes on under Reno: no burst")
  func recoveryGoesOn() throws {
    let open = try ScriptedConnection.withSACK(rtt: .milliseconds(100))
    let base = try open.flight(10)
    open.inspect {
      $0.sender.recovery.priorWindow = 10
      $0.sender.recovery.prrOut = 1
      $0.sender.recovery.prrDelivered = 0
      $0.sender.window.threshold = nil
      $0.sender.reduceWindow(newlyDelivered: 2, newlyLost: 1, flags: [])
    }
    #expect(open.info.congestionWindow == 12)
    open.acknowledge(base: base, upTo: 10)
  }

  @Test("BBR after a pause the next packets leave at the path's rate, whatever the phase was")
  func pause() throws {
    let bulk = try bulk()
    _ = bulk.run(for: .seconds(1))
    for round in 0..<10 {
      // What is queued leaves first.
      bulk.wire.run(for: round == 0 ? .seconds(4) : .milliseconds(130)) {
        while let bytes = try? bulk.reader.receive(upTo: 1 << 20), !bytes.isEmpty {}
        return false
      }
      _ = try? bulk.sender.send([UInt8](repeating: 1, count: 1000))
      #expect((4_200_000...5_200_000).contains(try info(bulk).pacingBytesPerSecond))
    }
  }

  @Test("BBR, HyStart++ rounds are counted from what was delivered when they begin, however much that is")
  func late() {
    for first in [UInt32(1000), 0x8000_03E8] {
      var start = HyStart(delivered: first)
      var delivered = first
      var phases: [HyStart.Phase] = []
      for round in 0..<3 {
        let begin = delivered
        for _ in 0..<10 {
          var sample = RateSample.delivered(1)
          sample.hasPacket = true
          sample.sentDelivered = begin
          sample.rtt = .milliseconds(20 + 10 * Int64(round))
          delivered &+= 1
          phases.append(start.acked(sample, delivered: delivered))
        }
      }
      #expect(phases.last == .conservative)
    }
  }

  // MARK: Its filter

  @Test("BBR the greatest of ten rounds, whatever comes in which order")
  func filter() {
    var random = RandomSource(seed: 4)
    var filter = WindowedMaximum()
    var seen: [(round: UInt32, value: Double)] = []
    var round: UInt32 = 0
    for _ in 0..<3000 {
      // Now and then nothing is sent for long, and all that is known is too old.
      round += random.next(below: 40) == 0 ? 25 : random.next(below: 2)
      let value = Double(random.next(below: 1000))
      seen.append((round, value))
      filter.note(value, round: round, window: 10)
      seen.removeAll { round - $0.round > 10 }
      let most = seen.map(\.value).max() ?? 0
      // Three samples stand for all: never more than the greatest, seldom much less.
      #expect(filter.value <= most && filter.value >= value)
    }
  }
}
