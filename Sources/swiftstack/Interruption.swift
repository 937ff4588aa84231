import Glibc
import LinuxHost
import SwiftStack
import Synchronization

/// SIGINT and SIGTERM of a command that has something to finish. The first asks for that; the command looks at `signal`
/// between its steps. If it is stuck in one (output that nobody takes, a FIFO that nobody reads), or a second signal
/// comes, the process ends of the signal after all.
final class Interruption: Sendable {
  /// How long a command may go without a step once it was asked to finish.
  private static let grace = Nanoseconds.seconds(2)
  private static let lookMilliseconds: Int32 = 50

  private let received = Atomic<Int32>(0)
  private let quits = Atomic<Int>(0)
  private let lastStep: Atomic<UInt64>

  /// - Parameter countsQuit: SIGQUIT is counted in `takeQuit`, as ping(8) does, and ends nothing.
  /// To be made before any other thread.
  init(countsQuit: Bool = false) throws {
    lastStep = Atomic(MonotonicClock.now().nanoseconds)
    let signals = try SignalFD(countsQuit ? [.interrupt, .terminate, .quit] : [.interrupt, .terminate])
    let number = signals.takeDescriptor().release()
    try StackThread.start { [self] in watch(SignalFD(OwnedDescriptor(owning: number))) }
  }

  /// The signal that asked the command to finish; `nil` until one has.
  var signal: Signal? { Signal(rawValue: received.load(ordering: .acquiring)) }

  /// The command is not stuck. Whether it was asked to finish.
  func step() -> Bool {
    lastStep.store(MonotonicClock.now().nanoseconds, ordering: .relaxed)
    return signal != nil
  }

  /// Whether SIGQUIT has come since the last time.
  func takeQuit() -> Bool { quits.exchange(0, ordering: .acquiringAndReleasing) > 0 }

  private func watch(_ signals: consuming SignalFD) {
    while true {
      let isReady = OwnedDescriptor.isReady(
        signals.descriptor.rawValue, POLLIN, milliseconds: signal == nil ? -1 : Self.lookMilliseconds)
      if isReady, let next = signals.next() {
        if next == .quit {
          quits.add(1, ordering: .relaxed)
        } else if signal != nil {
          end()
        } else {
          _ = step()
          received.store(next.rawValue, ordering: .releasing)
        }
      }
      let last = Instant(nanoseconds: lastStep.load(ordering: .relaxed))
      if signal != nil, MonotonicClock.now() - last > Self.grace { end() }
    }
  }

  private func end() -> Never { _exit(128 + received.load(ordering: .relaxed)) }
}
