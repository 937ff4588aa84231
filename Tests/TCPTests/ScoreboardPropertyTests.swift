import NetNamespace
import SkBuff
import Testing
import Timers
import Trace
import Wire

@testable import TCP

/// The verbs alone, in orders that no peer and no sender would bring about, against a recount.
@Suite("The scoreboard, at random")
struct ScoreboardPropertyTests {
  /// A queue of packets without a socket.
  private struct Run: ~Copyable {
    var board = Scoreboard()
    let pool = SkBuffPool(limit: 16 << 20, tracer: Tracer(capacity: 16))
    var random: RandomSource
    var una = SequenceNumber(0xFFFF_F000)
    var next = SequenceNumber(0xFFFF_F000)
    var memory = 0
    var mss = 100
    var rack = RACK()
    var now = Instant.origin

    init(seed: UInt64, hasSACK: Bool) {
      random = RandomSource(seed: seed)
      board.hasSACK = hasSACK
    }

    mutating func below(_ limit: Int) -> Int { Int(random.next(below: UInt32(max(limit, 1)))) }

    /// A packet of the queue, any.
    mutating func somewhere() -> SkBuffQueue.Position? {
      guard var place = board.queue.first else { return nil }
      for _ in 0..<below(board.queue.count) { place = board.queue.position(after: place) ?? place }
      return place
    }

    mutating func send() {
      if board.queue.isEmpty && below(3) == 0 {
        // Half of the sequence space has gone by without a block, or all of it.
        let half = 0x7FFF_FF00
        next += half + below(512)
        if below(2) == 0 { next += half + below(512) }
        una = next
      }
      let count = 1 + below(4 * mss)
      var skb = pool.allocate(headroom: 64, linear: 0)!
      skb.appendFragment(pool.allocatePage()!, offset: 0, byteCount: count, truesize: count)
      skb.tcp.sequence = next
      skb.tcp.endSequence = next + count
      skb.tcp.segmentSize = UInt16(mss)
      skb.tcp.sentAt = now
      skb.tcp.segmentCount = UInt16((count + mss - 1) / mss)
      next += count
      memory += skb.truesize
      board.sent(skb)
    }

    mutating func acknowledge() {
      una += below(next.offset(from: una) + 1)
      var segments = 0
      while let acked = board.acknowledge(upTo: una, memory: &memory) {
        segments += acked.segments
        if !acked.isWhole { break }
      }
      if !board.hasSACK && segments > 0 { _ = board.removeRenoSACKs(acked: segments) }
    }

    mutating func report() {
      guard board.hasSACK else {
        if board.packetsOut > 0 { _ = board.addRenoSACK() }
        return
      }
      board.forgetStaleMark(una: una)
      guard let place = somewhere(), !board.queue[tcp: place].sacked.contains(.sacked) else { return }
      rack.advance(board.queue[tcp: place], least: .zero, now: now)
      board.sack(place)
    }

    mutating func lose() {
      if below(2) == 0, board.hasSACK {
        _ = board.markLosses(rack, window: .microseconds(Int64(below(5))), now: now)
      } else if let place = somewhere() {
        _ = below(2) == 0 ? board.markLost(place) : board.markLostAgain(place)
      }
      if !board.hasSACK { board.limitRenoSACKed() }
    }

    mutating func cut() {
      guard let place = somewhere(), board.queue.length(at: place) > 1,
        !board.queue[tcp: place].sacked.contains(.sacked)
      else { return }
      let size = Int(board.queue[tcp: place].segmentSize)
      let offset = 1 + below(board.queue.length(at: place) - 1)
      let isCut = board.split(place, at: offset, mss: size, memory: &memory)
      #expect(isCut)
      if !board.hasSACK { board.limitRenoSACKed() }
    }

    /// The path takes another size: one packet is cut anew, and short ones behind it join it.
    mutating func newSize() {
      mss = 40 + below(200)
      guard let place = somewhere(), !board.queue[tcp: place].sacked.contains(.sacked) else { return }
      board.resegment(place, mss: mss)
      while let next = board.queue.position(after: place),
        !board.queue[tcp: next].sacked.contains(.sacked),
        board.queue.length(at: place) + board.queue.length(at: next) <= mss,
        board.merge(next, into: place, memory: &memory)
      {}
      if !board.hasSACK { board.limitRenoSACKed() }
    }

    mutating func step() -> String {
      now = now + .microseconds(Int64(below(3)))
      switch below(14) {
      case 0...2:
        send()
        return "sent"
      case 3:
        acknowledge()
        return "acknowledge"
      case 4...6:
        report()
        return "sack"
      case 7, 8:
        lose()
        return "markLost"
      case 9, 10:
        if let place = board.nextToRetransmit() { board.retransmitted(place, hasLeft: below(4) > 0) }
        return "retransmitted"
      case 11:
        cut()
        return "split"
      case 12:
        newSize()
        return "resegment"
      default:
        switch below(8) {
        case 0: _ = board.markAllLost(rack, now: now)
        case 1: board.unmarkLost()
        case 2:
          board.reset()
          una = next
          memory = 0
        default: board.forgetRenoSACKs()
        }
        return "all at once"
      }
    }
  }

  @Test(
    "RFC 6675 whatever verbs come in whatever order, the counters are those of a recount",
    arguments: [true, false])
  func recount(_ hasSACK: Bool) throws {
    for seed in UInt64(1)...300 {
      var run = Run(seed: seed, hasSACK: hasSACK)
      for _ in 0..<200 {
        let what = run.step()
        if let problem = run.board.brokenInvariant() {
          Issue.record("seed \(seed), after \(what): \(problem)")
          return
        }
        var memory = 0
        var place = run.board.queue.first
        while let current = place {
          memory += run.board.queue.truesize(at: current)
          place = run.board.queue.position(after: current)
        }
        let counted = run.memory
        #expect(counted == memory)
      }
    }
  }

  @Test("RFC 6675 pipe() is what was sent, less what arrived and what is lost, and what was sent again")
  func pipe() {
    var run = Run(seed: 1, hasSACK: true)
    for _ in 0..<10 { run.send() }
    let all = run.board.packetsOut
    guard let head = run.board.queue.first else { return }
    let count = Int(run.board.queue[tcp: head].segmentCount)
    var inFlight = [run.board.inFlight - all]
    var again = [run.board.markLost(head)]
    inFlight.append(run.board.inFlight - all)
    var isNext = [run.board.nextToRetransmit() == head]
    run.board.retransmitted(head, hasLeft: true)
    inFlight.append(run.board.inFlight - all)
    isNext.append(run.board.nextToRetransmit() == head)
    // The second loss of the same bytes.
    again.append(run.board.markLost(head))
    inFlight.append(run.board.inFlight - all)
    isNext.append(run.board.nextToRetransmit() == head)
    run.board.sack(head)
    inFlight.append(run.board.inFlight - all)
    #expect(inFlight == [0, -count, 0, -count, -count])
    #expect(again == [0, count])
    #expect(isNext == [true, false, true])
    let (lost, ever, delivered) = (run.board.lostOut, run.board.lostTotal, run.board.delivered)
    #expect(lost == 0 && ever == UInt32(2 * count) && delivered == UInt32(count))
  }
}
