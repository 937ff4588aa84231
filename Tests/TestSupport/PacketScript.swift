import IceModel
import SwiftStack
import Timers
import Wire

/// A stack alone on its wire, with the test as its peer: frames in, frames expected out, all in virtual time.
public final class PacketScript {
  public let host: SimulatedStack
  /// Frames that came out and were not looked at yet.
  public private(set) var pending: [[UInt8]] = []

  public init(_ configuration: StackConfiguration = StackConfiguration(), seed: UInt64 = 1) throws {
    var configuration = configuration
    configuration.announcesAddress = false
    host = try SimulatedStack(configuration, seed: seed)
  }

  /// A frame arrives now.
  public func inject(_ bytes: [UInt8]) {
    host.receive(bytes)
    collect()
  }

  /// Time passes.
  public func advance(by step: Nanoseconds) {
    host.advance(to: host.now + step)
    collect()
  }

  private func collect() { pending += host.takeFrames().map(\.bytes) }

  /// The next frame that came out; `nil` when there is none.
  public func next() -> [UInt8]? {
    collect()
    return pending.isEmpty ? nil : pending.removeFirst()
  }

  /// Bytes as text, two digits each, spaces allowed.
  public static func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }
    return stride(from: 0, to: digits.count - 1, by: 2).map { offset in
      let start = digits.index(digits.startIndex, offsetBy: offset)
      return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16) ?? 0
    }
  }
}
