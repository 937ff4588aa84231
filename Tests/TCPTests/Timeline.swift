import SwiftStack
import TestSupport

/// A segment and when it came.
struct TimedSegment {
  /// Since the watch began.
  var after: Nanoseconds
  var segment: ScriptedSegment
  var milliseconds: Int64 { after.milliseconds }
  var second: Int64 { (after.milliseconds + 500) / 1000 }
}

extension ScriptedPeer {
  /// Lets time pass, and tells what came and when. `answer` may answer each segment.
  func timeline(
    for span: Nanoseconds, answer: (ScriptedSegment) -> Void = { _ in }
  ) -> [TimedSegment] {
    let start = host.now
    let end = start + span
    var result: [TimedSegment] = []
    func take() {
      while let segment = next() {
        result.append(TimedSegment(after: host.now - start, segment: segment))
        answer(segment)
      }
    }
    take()
    while let deadline = host.nextDeadline, deadline <= end {
      advance(max(deadline, host.now) - host.now)
      take()
    }
    advance(end - host.now)
    take()
    return result
  }

  /// A counter of the stack by the name that `nstat` prints.
  func counter(_ name: String) -> UInt64 {
    host.stack.counterReports.first { $0.name == name }?.value ?? 0
  }
}

extension ScriptedConnection {
  /// Sends an acknowledgment of everything that a segment brings, without looking at what came before it.
  func acknowledge(through segment: ScriptedSegment) {
    let length = UInt32(segment.payload.count) &+ (segment.isFin ? 1 : 0)
    acknowledge(segment.sequence &+ length)
  }
}

/// Levels and names of `setsockopt`.
enum Option {
  static let keepAlive: (Int32, Int32) = (1, 9)
  static let keepIdle: (Int32, Int32) = (6, 4)
  static let keepInterval: (Int32, Int32) = (6, 5)
  static let keepCount: (Int32, Int32) = (6, 6)
  static let noDelay: (Int32, Int32) = (6, 1)
  static let cork: (Int32, Int32) = (6, 3)
  static let synCount: (Int32, Int32) = (6, 7)
  static let linger2: (Int32, Int32) = (6, 8)
  static let windowClamp: (Int32, Int32) = (6, 10)
  static let userTimeout: (Int32, Int32) = (6, 18)
  static let notSentLowWater: (Int32, Int32) = (6, 25)
  static let sendBuffer: (Int32, Int32) = (1, 7)
  static let receiveBuffer: (Int32, Int32) = (1, 8)
  static let priority: (Int32, Int32) = (1, 12)
}

extension Socket {
  func set(_ option: (Int32, Int32), _ value: Int32) throws {
    try setsockopt(level: option.0, name: option.1, value)
  }
}
