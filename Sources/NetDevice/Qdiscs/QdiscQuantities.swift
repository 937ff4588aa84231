import Tables
import Timers

/// How values are written, as tc writes them. Linux: `get_rate64()`, `get_size()`, `get_time64()` and `get_percent()` of
/// iproute2.
extension Quantity<UInt64> {
  /// Bytes a second, written in bits or bytes of them.
  static var rate: Self {
    Self("a rate above 0, such as 10mbit or 500kbps") { word in
      let units: [String: Double] = [
        "": 1, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12, "kibit": 0x1p10,
        "mibit": 0x1p20, "gibit": 0x1p30, "tibit": 0x1p40, "bps": 8, "kbps": 8e3, "mbps": 8e6, "gbps": 8e9,
        "tbps": 8e12, "kibps": 0x1p13, "mibps": 0x1p23, "gibps": 0x1p33, "tibps": 0x1p43,
      ]
      guard let bits = scaled(word, units), bits >= 8, bits <= 1e14 else { return nil }
      return UInt64(bits / 8)
    }
  }
}

extension Quantity<Int> {
  /// Bytes; k, m and g are powers of 1024.
  static var size: Self {
    Self("a size of 1 byte to 1 gb, such as 10kb") { word in
      let units: [String: Double] = [
        "": 1, "b": 1, "k": 1024, "kb": 1024, "m": 1_048_576, "mb": 1_048_576, "g": 1_073_741_824,
        "gb": 1_073_741_824, "kbit": 128, "mbit": 131_072, "gbit": 134_217_728,
      ]
      guard let bytes = scaled(word, units), bytes >= 1, bytes <= 1_073_741_824 else { return nil }
      return Int(bytes)
    }
  }
}

extension Quantity<Nanoseconds> {
  /// A span with its unit, up to an hour. tc takes a bare number in one place for microseconds, in another for nanoseconds.
  static var time: Self {
    Self("a time with its unit, up to 3600s, such as 20ms") { word in
      if word == "0" { return .zero }
      let units: [String: Double] = [
        "s": 1e9, "sec": 1e9, "secs": 1e9, "ms": 1e6, "msec": 1e6, "msecs": 1e6, "us": 1e3, "usec": 1e3,
        "usecs": 1e3, "ns": 1, "nsec": 1, "nsecs": 1,
      ]
      guard let span = scaled(word, units), span <= 3.6e12 else { return nil }
      return Nanoseconds(Int64(span.rounded()))
    }
  }
}

/// A number and its unit, whose case does not matter.
private func scaled(_ word: String, _ units: [String: Double]) -> Double? {
  let digits = word.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
  guard let number = Double(digits), number.isFinite,
    let scale = units[word.dropFirst(digits.count).lowercased()]
  else { return nil }
  return number * scale
}

/// Values as tc prints them.
enum QuantityText {
  /// Linux: `tc_print_rate()`.
  static func rate(bytesPerSecond: UInt64) -> String {
    var bits = bytesPerSecond * 8
    var unit = 0
    let units = ["bit", "Kbit", "Mbit", "Gbit", "Tbit"]
    while unit < units.count - 1, bits >= 1000, bits % 1000 == 0 || bits >= 1_000_000 {
      bits /= 1000
      unit += 1
    }
    return "\(bits)\(units[unit])"
  }

  /// Linux: `print_size()`.
  static func size(_ bytes: Int) -> String {
    for (unit, name, slack) in [(1_048_576, "Mb", 1024), (1024, "Kb", 16)] where bytes >= unit {
      let whole = (bytes + unit / 2) / unit
      if abs(whole * unit - bytes) < slack { return "\(whole)\(name)" }
    }
    return "\(bytes)b"
  }

  /// Linux: `print_time64()`.
  static func time(_ span: Nanoseconds) -> String {
    for (unit, name) in [(1e9, "s"), (1e6, "ms"), (1e3, "us")] where Double(span.rawValue) >= unit {
      return significant(Double(span.rawValue) / unit, 3) + name
    }
    return "\(span.rawValue)ns"
  }

  /// So many significant digits, zeros at the end left out, as `%g` does for numbers that need no exponent.
  static func significant(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    var decimals = digits - 1
    var rest = value
    while rest >= 10, decimals > 0 {
      rest /= 10
      decimals -= 1
    }
    if value > 0 {
      while rest < 1, decimals < digits + 6 {
        rest *= 10
        decimals += 1
      }
    }
    for _ in 0..<decimals { scale *= 10 }
    let rounded = UInt64((value * scale).rounded())
    let whole = rounded / UInt64(scale)
    var fraction = "\(rounded % UInt64(scale))"
    fraction = String(repeating: "0", count: max(0, decimals - fraction.count)) + fraction
    while fraction.last == "0" { fraction.removeLast() }
    return fraction.isEmpty ? "\(whole)" : "\(whole).\(fraction)"
  }
}
