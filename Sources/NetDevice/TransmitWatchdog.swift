import Ice
import NetNamespace
import Timers
import Trace

extension NetDevice {
  /// How long a stopped queue may make no progress. Linux: `watchdog_timeo`.
  public static let watchdogTime = Nanoseconds.seconds(5)

  private var watchdogKey: TimerKey { TimerKey(kind: .watchdog, id: UInt32(interface.rawValue)) }

  /// Sees to it that a queue that has just stopped is looked at again.
  mutating func armWatchdog(net: inout Net) {
    watchdog.arm(watchdogKey, at: net.now + Self.watchdogTime, in: &net.timers)
  }

  /// A timer of the device's has come: `.qdisc` runs the queue, or asks for `runIngress`, `.watchdog` looks after a stopped one.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, net: inout Net) {
    switch key.kind {
    case .qdisc where key == ingressKey:
      if ingress.timer.expire(at: due) { hasIngressWork = true }
    case .qdisc where qdiscTimer.expire(at: due): runQdisc(net: &net)
    case .watchdog where watchdog.expire(at: due): watchTransmit(net: &net)
    default: break
    }
  }

  /// Resets a queue that has been stopped for 5 s without progress. Packets on the ring are freed, those that wait above
  /// it are sent again. Linux: `dev_watchdog()`.
  private mutating func watchTransmit(net: inout Net) {
    guard isUp, isStopped else { return }
    let deadline = lastProgress + Self.watchdogTime
    guard deadline <= net.now else {
      watchdog.arm(watchdogKey, at: deadline, in: &net.timers)
      return
    }
    statistics.watchdogTimeouts += 1
    statistics.lastWatchdogTimeout = net.now
    driver.reset(net: &net)
    startOver(net: net)
  }
}
