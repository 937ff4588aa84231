import NetNamespace
import TCP

/// How long TCP waits. Linux: `do_tcp_setsockopt()`.
extension OptionTable {
  mutating func addTiming() {
    add(
      TCPOptionName.greatestTimeout, "TCP_RTO_MAX_MS", .count(1000...120_000),
      get: { (id, layer, _) throws(Errno) in Int(try layer.tcp.timeoutLimits(id).greatestTimeout) },
      set: { (milliseconds, id, layer, _) throws(Errno) in
        var limits = try layer.tcp.timeoutLimits(id)
        limits.greatestTimeout = UInt32(milliseconds)
        try layer.tcp.setTimeoutLimits(id, limits)
      })
    addTicks(TCPOptionName.leastTimeout, "TCP_RTO_MIN_US", \.leastTimeout)
    addTicks(TCPOptionName.greatestAckDelay, "TCP_DELACK_MAX_US", \.greatestAckDelay)
    add(
      TCPOptionName.thinLinearTimeouts, "TCP_THIN_LINEAR_TIMEOUTS", .zeroOrOne,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.options(id).thinLinearTimeouts },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in options.thinLinearTimeouts = isOn }
      })
    add(
      TCPOptionName.thinDuplicateAck, "TCP_THIN_DUPACK", .zeroOrOne,
      // Taken, and nothing else, since early retransmission went.
      get: { (_, _, _) throws(Errno) in false }, set: { (_, _, _, _) throws(Errno) in })
  }

  private mutating func addTicks(
    _ name: Int32, _ label: String, _ field: any WritableKeyPath<TimeoutLimits, UInt8> & Sendable
  ) {
    add(
      name, label, .ticks,
      get: { (id, layer, _) throws(Errno) in Int(try layer.tcp.timeoutLimits(id)[keyPath: field]) },
      set: { (milliseconds, id, layer, _) throws(Errno) in
        var limits = try layer.tcp.timeoutLimits(id)
        limits[keyPath: field] = UInt8(milliseconds)
        try layer.tcp.setTimeoutLimits(id, limits)
      })
  }
}

extension OptionType<Bool> {
  /// An `int` of 0 or 1; EINVAL else.
  static let zeroOrOne = OptionType(
    decode: { (bytes) throws(Errno) in try SocketOptionValue.int(bytes, in: 0...1) != 0 },
    encode: { SocketOptionValue.bytes($0) })
}

extension OptionType<Int> {
  /// Microseconds as an `int`, kept in milliseconds, the ticks of a kernel with HZ=1000: up to the next one, two to 200.
  fileprivate static let ticks = OptionType(
    decode: { (bytes) throws(Errno) in
      let microseconds = try SocketOptionValue.int(bytes, in: 1001...200_000)
      return (Int(microseconds) + 999) / 1000
    },
    encode: { SocketOptionValue.bytes($0 * 1000) })
}
