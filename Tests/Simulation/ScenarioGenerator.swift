import NetNamespace

extension Scenario {
  /// The scenario of a seed: the same one always.
  public init(seed: UInt64) {
    self.init()
    run.seed = seed
    var maker = ScenarioMaker(seed: seed)
    hosts = Side.allCases.map { maker.host($0) }
    links = Side.allCases.map { maker.link(from: $0) }
    talks = (1...maker.pick([1, 1, 1, 2, 3])).map { maker.talk($0, bytes: slowest) }
    let horizon = links.map(\.delay).reduce(0, +) * 6 + maker.pick([300, 3000, 30_000, 300_000, 2_000_000])
    events = (0..<maker.pick([0, 1, 2, 3, 4, 6, 8, 12])).map { _ in
      maker.event(talks: talks.count, horizon: horizon)
    }
    // An end whose peer has gone without a word finds out.
    if mayFail { for index in hosts.indices { hosts[index].keepalive = true } }
  }

  /// Bytes that the slower direction carries in ten seconds.
  private var slowest: Int { links.map { $0.rate == 0 ? 1 << 20 : $0.rate * 1250 }.min() ?? 1 << 20 }
}

/// Draws the parts of a scenario.
struct ScenarioMaker {
  private var random: RandomSource

  init(seed: UInt64) { random = RandomSource(seed: seed &+ 0x5CE7A210) }

  mutating func pick<Value>(_ values: [Value]) -> Value {
    values[Int(random.next(below: UInt32(values.count)))]
  }
  mutating func chance(_ percent: UInt32) -> Bool { random.next(below: 100) < percent }
  /// Up to `most`; small numbers as often as large ones.
  mutating func number(upTo most: Int) -> Int {
    let scale = 1 << pick(Array(0...max(0, Int.bitWidth - 1 - most.leadingZeroBitCount)))
    return Int(random.next(below: UInt32(min(most, scale)))) + 1
  }

  mutating func host(_ side: Side) -> HostPlan {
    var plan = HostPlan(name: side)
    plan.mtu = pick([1500, 1500, 1500, 1500, 9000, 576, 296])
    plan.ring = pick([64, 64, 128, 256])
    plan.memory = pick([8, 16, 16])
    plan.lent = chance(20)
    plan.cc = pick(CongestionWord.allCases)
    plan.sack = chance(85)
    plan.timestamps = chance(85)
    plan.scaling = chance(85)
    plan.ecn = pick([0, 1, 2, 2])
    plan.probing = pick([0, 0, 1, 2])
    plan.qdisc = pick([.fifo, .fifo, .fq, .none])
    plan.send = pick([0, 0, 16_384, 65_536])
    // A buffer of the NIC has to fit in.
    plan.receive = pick([0, 0, plan.mtu > 1500 ? 65_536 : 16_384, 65_536])
    plan.cookies = chance(5) ? 2 : pick([1, 1, 0])
    plan.autocorking = chance(80)
    return plan
  }

  mutating func link(from side: Side) -> LinkPlan {
    var plan = LinkPlan(from: side)
    plan.delay = pick([5, 50, 1000, 10_000, 60_000])
    plan.jitter = chance(25) ? number(upTo: 20_000) : 0
    plan.rate = pick([0, 0, 0, 500, 10_000, 100_000])
    plan.queue = pick([5, 30, 100])
    plan.mark = chance(30) ? 3 : 0
    plan.codel = chance(25)
    return plan
  }

  mutating func talk(_ number: Int, bytes: Int) -> TalkPlan {
    var plan = TalkPlan()
    plan.number = number
    plan.opener = pick(Side.allCases)
    plan.at = chance(60) ? 0 : self.number(upTo: 1_000_000)
    plan.out = chance(80) ? self.number(upTo: min(bytes, 300_000)) : 0
    plan.in = chance(80) ? self.number(upTo: min(bytes, 300_000)) : 0
    plan.chunk = pick([100, 1460, 4096, 32_768, 65_521])
    if max(plan.out, plan.in) < 500 && chance(50) { plan.chunk = 1 }
    plan.closing = pick(ClosingOrder.allCases)
    plan.simultaneous = chance(10)
    return plan
  }

  mutating func event(talks: Int, horizon: Int) -> EventPlan {
    var plan = EventPlan()
    plan.do = pick(Self.deeds)
    plan.side = pick(Side.allCases)
    plan.talk = Int(random.next(below: UInt32(talks))) + 1
    plan.at = number(upTo: horizon)
    if chance(35) {
      plan.at = 0
      plan.when = pick(Self.states)
      plan.of = pick(Side.allCases)
    }
    plan.span = number(upTo: pick([10_000, 300_000, 3_000_000, 15_000_000]))
    measure(&plan)
    return plan
  }

  private mutating func measure(_ plan: inout EventPlan) {
    switch plan.do {
    case .lose, .copy, .flip, .mark, .drop: (plan.count, plan.span) = (number(upTo: 12), 0)
    case .unmap: (plan.count, plan.span) = (number(upTo: 12), pick([0, 0, 1, 2, 3]))
    case .optimistic: plan.count = pick([0, 0, 1, 1000, 1_000_000])
    case .misread, .doorbell: plan.count = number(upTo: 3)
    case .hold: (plan.count, plan.span) = (number(upTo: 6), number(upTo: 300_000))
    case .chance: plan.count = number(upTo: 300)
    case .narrow, .swallow: plan.count = pick([68, 296, 552, 576, 1000, 1400, 1492])
    case .silly: plan.count = number(upTo: 20)
    case .sackLie: plan.count = pick([0, 1, 10_000, 1_000_000_000])
    case .tiny: plan.count = pick([0, 1, 47, 48, 88, 536])
    case .late: plan.count = number(upTo: 100_000)
    case .shortage: plan.count = number(upTo: 600)
    case .unreachable: (plan.count, plan.span) = (pick([0, 1, 2, 3, 9, 13]), 0)
    case .rebind, .shut, .close, .abort, .rewatch: plan.span = 0
    case .option:
      plan.span = 0
      (plan.level, plan.name, plan.count) = pick(Self.options)
    default: break
    }
  }

  /// What breaks a connection comes seldom: it hides the rest.
  private static let deeds =
    Deed.allCases + Deed.allCases.filter { !$0.mayFail } + [.lose, .lose, .hold, .copy, .chance, .cut]
  /// Rare ones are looked for.
  private static let states =
    StateWord.allCases.filter { $0 != .any } + [
      .closing, .closing, .synReceived, .lastAck, .finWait1, .timeWait,
    ]
  /// TCP_NODELAY, TCP_CORK, TCP_QUICKACK, TCP_WINDOW_CLAMP, TCP_NOTSENT_LOWAT, TCP_MAXSEG, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE.
  private static let options: [(Int, Int, Int)] = [
    (6, 1, 1), (6, 1, 0), (6, 3, 1), (6, 3, 0), (6, 12, 0), (6, 12, 1), (6, 10, 3000), (6, 10, 100_000),
    (6, 25, 1),
    (6, 25, 20_000), (6, 2, 100), (1, 7, 1), (1, 7, 100_000), (1, 8, 60_000), (1, 8, 200_000), (1, 9, 1),
  ]
}
