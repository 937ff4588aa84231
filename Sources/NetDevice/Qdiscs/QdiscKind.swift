import Tables

/// Which queueing discipline a device has, by iproute2's name.
@frozen
public enum QdiscKind: String, Sendable, CaseIterable {
  case noqueue
  case pfifoFast = "pfifo_fast"
  case tbf
  case netem
  case fq

  /// Whether it may hold packets back for a time of its own.
  public var isTimed: Bool {
    switch self {
    case .noqueue, .pfifoFast: false
    case .tbf, .netem: true
    // Packets that come in have no departure time.
    case .fq: false
    }
  }

  /// The words that `QdiscConfiguration.init(parsing:)` takes.
  public var usage: String {
    switch self {
    case .noqueue, .pfifoFast: rawValue
    case .tbf: TokenBucketFilter.Parameters.usage
    case .netem: NetworkEmulator.Parameters.usage
    case .fq: FairQueue.Parameters.usage
    }
  }
}

/// A queueing discipline with its parameters: what `tc qdisc replace` takes and `tc qdisc show` prints.
public enum QdiscConfiguration: Sendable, Equatable {
  case noqueue
  case pfifoFast
  case tbf(TokenBucketFilter.Parameters)
  case netem(NetworkEmulator.Parameters)
  case fq(FairQueue.Parameters)

  /// Reads a kind and its parameters in iproute2's words: `tbf rate 10mbit burst 10kb latency 50ms`.
  ///
  /// - Throws: a sentence that names the word and what is expected there.
  public init(parsing words: [String]) throws(WordError) {
    guard let first = words.first, let kind = QdiscKind(rawValue: first) else {
      let known = QdiscKind.allCases.map(\.rawValue).joined(separator: ", ")
      throw WordError(
        words.first.map { "unknown qdisc \"\($0)\": expected one of \(known)" }
          ?? "no qdisc is named: expected one of \(known)")
    }
    var rest = Words(words, from: 1, about: first)
    switch kind {
    case .noqueue: self = .noqueue
    case .pfifoFast: self = .pfifoFast
    case .tbf: self = .tbf(try TokenBucketFilter.Parameters(parsing: &rest))
    case .netem: self = .netem(try NetworkEmulator.Parameters(parsing: &rest))
    case .fq: self = .fq(try FairQueue.Parameters(parsing: &rest))
    }
    if let word = rest.next() { throw rest.wrong("unknown parameter \"\(word)\": expected no parameters") }
  }

  /// Which one it is.
  public var kind: QdiscKind {
    switch self {
    case .noqueue: .noqueue
    case .pfifoFast: .pfifoFast
    case .tbf: .tbf
    case .netem: .netem
    case .fq: .fq
    }
  }

  /// The parameters as `tc qdisc show` prints them; empty when there are none.
  public var options: String {
    switch self {
    case .noqueue: ""
    case .pfifoFast:
      "bands 3 priomap " + (0..<16).map { "\(PfifoFast.band(priority: UInt32($0)))" }.joined(separator: " ")
    case .tbf(let parameters): parameters.description
    case .netem(let parameters): parameters.description
    case .fq(let parameters): parameters.description
    }
  }
}
