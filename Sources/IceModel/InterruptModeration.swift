import IceHardware
import Timers

/// Decides when the queue pair's interrupt fires: when it is enabled, there is a cause, and the interval
/// since the last one has passed. Firing disables it until the driver re-enables it at the end of its poll.
struct InterruptModeration: ~Copyable {
  private let registers: RegisterFile
  private var hasCause = false
  private var lastFired: Instant? = nil

  init(registers: RegisterFile) { self.registers = registers }

  mutating func reset() {
    hasCause = false
    lastFired = nil
  }

  /// A completion or a frame was written back.
  mutating func raise() { hasCause = true }

  private var control: InterruptControl {
    InterruptControl(rawValue: UInt32(truncatingIfNeeded: registers.read(.GLINT_DYN_CTL)))
  }

  /// When the interrupt may fire; nil when it is off or has no cause.
  var deadline: Instant? {
    if !hasCause { return nil }
    let control = control
    if !control.isEnabled { return nil }
    guard let lastFired else { return .origin }
    return lastFired + .microseconds(Int64(control.throttleMicroseconds))
  }

  /// Fires if due.
  mutating func take(now: Instant) -> Bool {
    guard let deadline, deadline <= now else { return false }
    registers.write(.GLINT_DYN_CTL, UInt64(control.rawValue & ~1))
    hasCause = false
    lastFired = now
    return true
  }
}
