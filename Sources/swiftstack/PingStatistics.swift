import Control
import FoundationEssentials
import LinuxHost
import SwiftStack

/// What ping(8) prints per event and at the end.
struct PingStatistics {
  let host: String
  private(set) var transmitted = 0
  private(set) var received = 0
  private var duplicates = 0
  private var errors = 0
  private var times: [Double] = []
  private var started = Instant.origin
  private var ended = Instant.origin

  init(host: String) { self.host = host }

  mutating func begin() { started = MonotonicClock.now() }
  mutating func end() { ended = MonotonicClock.now() }

  /// Counts an event and gives the line to print for it, if it has one.
  mutating func take(_ report: PingReport) -> String? {
    switch report.event {
    case .sent:
      transmitted += 1
      return nil
    case .reply, .duplicate:
      let milliseconds = report.milliseconds ?? 0
      if report.event == .reply { received += 1 } else { duplicates += 1 }
      times.append(milliseconds)
      let suffix = report.event == .duplicate ? " (DUP!)" : ""
      let ttl = report.timeToLive.map { " ttl=\($0)" } ?? ""
      return "\(report.byteCount) bytes from \(report.from): icmp_seq=\(report.sequence)\(ttl) "
        + "time=\(Self.format(milliseconds)) ms\(suffix)"
    case .failed:
      if report.from.isEmpty { return "ping: \(report.text ?? "failed")" }
      errors += 1
      return "From \(report.from) icmp_seq=\(report.sequence) \(report.text ?? "failed")"
    }
  }

  /// ping(8): three decimals below 1 ms, fewer above.
  static func format(_ milliseconds: Double) -> String {
    if milliseconds >= 100 { return fixed(milliseconds, 0) }
    if milliseconds >= 10 { return fixed(milliseconds, 1) }
    return milliseconds >= 1 ? fixed(milliseconds, 2) : fixed(milliseconds, 3)
  }

  static func fixed(_ value: Double, _ digits: Int) -> String { FixedPoint.format(value, digits: digits) }

  /// ping(8) on SIGQUIT: `2/2 packets, 0% loss, min/avg/ewma/max = ...`, here with the mean.
  var interim: String {
    var line = "\(received)/\(transmitted) packets, \(lossText)% loss"
    if let least = times.min(), let most = times.max() {
      let mean = times.reduce(0, +) / Double(times.count)
      line += ", min/avg/max = \([least, mean, most].map { Self.fixed($0, 3) }.joined(separator: "/")) ms"
    }
    return line
  }

  private var lossText: String {
    let loss = transmitted == 0 ? 0 : Double(transmitted - received) * 100 / Double(transmitted)
    return loss == loss.rounded() ? "\(Int(loss))" : "\(Double(Int(loss * 10000)) / 10000)"
  }

  var summary: String {
    var lines = ["--- \(host) ping statistics ---"]
    var line = "\(transmitted) packets transmitted, \(received) received"
    if duplicates > 0 { line += ", +\(duplicates) duplicates" }
    if errors > 0 { line += ", +\(errors) errors" }
    line += ", \(lossText)% packet loss, time \((ended - started).milliseconds)ms"
    lines.append(line)
    if !times.isEmpty {
      let mean = times.reduce(0, +) / Double(times.count)
      let square = times.reduce(0) { $0 + $1 * $1 } / Double(times.count)
      let deviation = max(0, square - mean * mean).squareRoot()
      let values = [times.min() ?? 0, mean, times.max() ?? 0, deviation].map { Self.fixed($0, 3) }
      lines.append("rtt min/avg/max/mdev = \(values.joined(separator: "/")) ms")
    }
    return lines.joined(separator: "\n")
  }
}
