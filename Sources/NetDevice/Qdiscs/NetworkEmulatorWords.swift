import NetNamespace
import Tables
import Timers

extension NetworkEmulator.Parameters {
  var holdsBack: Bool { latency > .zero || jitter > .zero || rate != nil }
  var lossCorrelation: Share {
    if case .random(let chance) = loss { chance.correlation } else { .none }
  }

  /// What `init(parsing:)` takes. tc's `seed`, `slot`, `ecn` and `loss state`, and the link layer's overhead behind `rate`,
  /// are not among it.
  static let usage = """
    netem [limit PACKETS] [delay TIME [JITTER [CORRELATION]]] [distribution uniform|normal|pareto|paretonormal]
      [loss [random] PERCENT [CORRELATION] | loss gemodel P [R [1-H [1-K]]]] [duplicate PERCENT [CORRELATION]]
      [corrupt PERCENT [CORRELATION]] [reorder PERCENT [CORRELATION] [gap N]] [rate RATE]
    """

  private static let otherNames = ["latency": "delay", "drop": "loss"]

  /// iproute2: `netem_parse_opt()`.
  init(parsing words: inout Words) throws(WordError) {
    while let word = words.next() {
      try words.once(Self.otherNames[word] ?? word)
      switch word {
      case "limit": limit = try words.value(of: word, .count("packets", in: 1...1_000_000))
      case "delay", "latency":
        latency = try words.value(of: word, .time)
        if let jitter = try words.optional(word, .time) {
          self.jitter = jitter
          delayCorrelation = try words.optional(word, .share) ?? .none
        }
      case "distribution": distribution = try words.value(of: word, .distribution)
      case "loss", "drop": loss = try Self.loss(&words)
      case "duplicate": duplicate = try Self.chance(word, &words)
      case "corrupt": corrupt = try Self.chance(word, &words)
      case "reorder": reorder = try Self.chance(word, &words)
      case "gap": gap = try words.value(of: word, .count("packets", in: 1...1_000_000))
      case "rate":
        rate = try words.value(of: word, .rate)
        if words.beginsNumber { throw words.wrong("\"rate\" takes no overhead and no cells here") }
      case "slot", "seed", "ecn": throw words.wrong("\"\(word)\" is not supported")
      default:
        throw words.wrong(
          "unknown parameter \"\(word)\": expected limit, delay, distribution, loss, duplicate, corrupt, "
            + "reorder, gap or rate")
      }
    }
    if reorder.share != .none {
      guard latency > .zero else { throw words.wrong("\"reorder\" needs a \"delay\" to overtake") }
      gap = max(gap, 1)
    } else if gap > 0 {
      throw words.wrong("\"gap\" needs \"reorder\"")
    }
    if distribution != .uniform, jitter == .zero {
      throw words.wrong("\"distribution\" needs a \"delay\" with jitter")
    }
  }

  private static func chance(
    _ word: String, _ words: inout Words
  ) throws(WordError) -> NetworkEmulator.Chance {
    let share = try words.value(of: word, .share)
    return NetworkEmulator.Chance(share: share, correlation: try words.optional(word, .share) ?? .none)
  }

  private static func loss(_ words: inout Words) throws(WordError) -> NetworkEmulator.Loss {
    if words.skip("gemodel") {
      // Each share may have its name before it, as they are printed.
      func share(_ name: String) throws(WordError) -> Share? {
        if words.skip(name) { return try words.value(of: name, .share) }
        return try words.optional("loss gemodel", .share)
      }
      _ = words.skip("p")
      let p = try words.value(of: "loss gemodel", .share)
      let r = try share("r")
      let inBad = r == nil ? nil : try share("1-h")
      let inGood = inBad == nil ? nil : try share("1-k")
      return .gilbertElliott(
        p: p, r: r ?? p.complement, inBad: inBad ?? .all, inGood: inGood ?? .none)
    }
    if words.skip("state") {
      throw words.wrong("\"loss state\" is not supported: expected random or gemodel")
    }
    _ = words.skip("random")
    return .random(try chance("loss", &words))
  }

  /// As `tc qdisc show`.
  var description: String {
    func text(_ name: String, _ chance: NetworkEmulator.Chance) -> String {
      if chance.share == .none { return "" }
      return " \(name) \(chance.share)" + (chance.correlation == .none ? "" : " \(chance.correlation)")
    }
    var line = "limit \(limit)"
    if latency > .zero || jitter > .zero {
      line += " delay \(QuantityText.time(latency))"
      if jitter > .zero { line += "  \(QuantityText.time(jitter))" }
      if delayCorrelation != .none { line += " \(delayCorrelation)" }
    }
    switch loss {
    case .none: break
    case .random(let chance): line += text("loss", chance)
    case .gilbertElliott(let p, let r, let inBad, let inGood):
      line += " loss gemodel p \(p) r \(r) 1-h \(inBad) 1-k \(inGood)"
    }
    line += text("duplicate", duplicate) + text("reorder", reorder) + text("corrupt", corrupt)
    if let rate { line += " rate \(QuantityText.rate(bytesPerSecond: rate))" }
    return line + (gap > 0 ? " gap \(gap)" : "")
  }
}
