/// Kinds of fault that every state of a connection has to have met.
enum Fault: String, CaseIterable {
  case loss, reordering, duplication, corruption, ringFull, lostDoorbell, lateWriteBack, clockJump,
    memoryShortage, abort
}

/// How often each kind of fault met a connection in each state.
public struct FaultTable: Sendable {
  private var counts: [StateWord: [Fault: Int]] = [:]

  public init() {}

  mutating func note(_ fault: Fault, _ state: StateWord) {
    counts[state, default: [:]][fault, default: 0] += 1
  }

  public mutating func add(_ other: Self) {
    for (state, row) in other.counts { counts[state, default: [:]].merge(row, uniquingKeysWith: +) }
  }

  /// A line for each state: its name, then each fault and how often.
  public var lines: [String] {
    StateWord.allCases.filter { $0 != .any }.map { state in
      ([state.rawValue] + Fault.allCases.map { "\($0.rawValue)=\(counts[state]?[$0] ?? 0)" }).joined(
        separator: " ")
    }
  }
}
