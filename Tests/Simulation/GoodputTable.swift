import Timers

/// How much a connection brings over a path of 50 Mbit/s, and what the model of its congestion control says: a table that a
/// change of behaviour shows in.
public struct GoodputCell {
  var congestion: CongestionWord
  /// There and back, milliseconds.
  var roundTrip: Int
  /// Frames that the bottleneck's queue holds.
  var queue: Int
  /// Thousandths of the frames that are lost, and that come 3 ms late.
  var loss: Int
  var late: Int

  private static let rate = 50_000
  private static let seconds = 10
  private static let payload = 1448

  /// Every combination; the path marks nothing, so that DCTCP is Reno here.
  public static var all: [GoodputCell] {
    [CongestionWord.reno, .cubic, .bbr].flatMap { congestion in
      [10, 40, 100].flatMap { roundTrip in
        [60, 600].flatMap { queue in
          [0, 1, 10, 30].flatMap { loss in
            [0, 20].map { late in
              GoodputCell(congestion: congestion, roundTrip: roundTrip, queue: queue, loss: loss, late: late)
            }
          }
        }
      }
    }
  }

  /// Runs it: a line of the table.
  public func line() throws -> String {
    let measured = try goodput()
    let model = prediction
    func column(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    let name = congestion.rawValue + String(repeating: " ", count: 9 - congestion.rawValue.count)
    return name
      + [
        column("\(roundTrip)", 8), column("\(queue)", 7), column(Self.decimal(Double(loss) / 10), 8),
        column(Self.decimal(Double(late) / 10), 8), column(Self.decimal(measured), 8),
        column(Self.decimal(model), 7),
        column("\(Int((measured / model * 100).rounded())) %", 7),
      ].joined()
  }

  private static func decimal(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  /// Mbit/s of payload.
  private func goodput() throws -> Double {
    var scenario = Scenario()
    scenario.run.seed = UInt64(roundTrip * 1000 + queue + loss)
    for side in Side.allCases {
      var host = HostPlan(name: side)
      host.cc = congestion
      host.ring = 1024
      host.memory = 64
      scenario.hosts.append(host)
      var link = LinkPlan(from: side)
      link.delay = roundTrip * 500
      if side == .a { (link.rate, link.queue, link.loss, link.late) = (Self.rate, queue, loss, late) }
      scenario.links.append(link)
    }
    var talk = TalkPlan()
    talk.out = 1 << 40
    talk.chunk = Pattern.period
    scenario.talks = [talk]
    let bytes = try Simulation(scenario).received(for: .seconds(Int64(Self.seconds)))
    return Double(bytes) * 8 / 1e6 / Double(Self.seconds)
  }

  /// What the algorithm's model says for random losses, no more than the link carries.
  private var prediction: Double {
    let line = Double(Self.rate) / 1000 * Double(Self.payload) / 1514
    let share = Double(loss) / 1000
    guard loss > 0 else { return line }
    let seconds = Double(roundTrip) / 1000
    let segmentsPerSecond: Double
    // Mathis et al., "The macroscopic behavior of the TCP congestion avoidance algorithm": bytes are counted, not ACKs
    // (RFC 3465).
    let reno = (1.5 / share).squareRoot() / seconds
    switch congestion {
    case .reno, .dctcp: segmentsPerSecond = reno
    // RFC 9438 section 5.2, and no less than Reno (section 4.3).
    case .cubic:
      let root = (seconds / share).squareRoot()
      segmentsPerSecond = max(1.054 * root * root.squareRoot() / seconds, reno)
    // The rate that is delivered, whatever is lost (draft-cardwell-iccrg-bbr-congestion-control-00 section 1).
    case .bbr: return line * (1 - share)
    }
    return min(segmentsPerSecond * Double(Self.payload) * 8 / 1e6, line)
  }
}

extension Simulation {
  /// Bytes that the listeners' programs have read after so long.
  func received(for span: Nanoseconds) -> Int {
    let limit = now + span
    for side in Side.allCases { touch(side) }
    while let next = nextMoment, next <= limit { advance(to: next) }
    return ends.filter { !$0.isOpener }.map(\.received).reduce(0, +)
  }
}
