/// Kinds of fault that every state of a connection has to have met.
public enum Fault: Int, CaseIterable, Sendable {
  case loss, reordering, duplication, corruption, ringFull, lostDoorbell, lateWriteBack, clockJump,
    memoryShortage, abort

  var name: String {
    switch self {
    case .loss: "loss"
    case .reordering: "reorder"
    case .duplication: "copy"
    case .corruption: "corrupt"
    case .ringFull: "ring full"
    case .lostDoorbell: "doorbell"
    case .lateWriteBack: "late WB"
    case .clockJump: "jump"
    case .memoryShortage: "memory"
    case .abort: "abort"
    }
  }
}

/// How often each kind of fault met a connection in each state.
public struct FaultTable: Sendable {
  private var counts = [Int](repeating: 0, count: StateWord.allCases.count * Fault.allCases.count)

  public init() {}

  /// Reads the numbers of a line that `numbers` wrote.
  public init?(_ numbers: [Int]) {
    guard numbers.count == counts.count else { return nil }
    counts = numbers
  }

  /// Row by row.
  public var numbers: [Int] { counts }

  mutating func note(_ fault: Fault, _ state: StateWord) {
    counts[(StateWord.allCases.firstIndex(of: state) ?? 0) * Fault.allCases.count + fault.rawValue] += 1
  }

  public static func + (left: Self, right: Self) -> Self {
    var sum = left
    for index in sum.counts.indices { sum.counts[index] += right.counts[index] }
    return sum
  }
}
