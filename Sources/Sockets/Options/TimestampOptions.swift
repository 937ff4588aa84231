import InetSocket
import NetNamespace

/// Times of packets. Linux: `sock_set_timestamp()`, `sock_set_timestamping()`, `SO_TXTIME` in `sk_setsockopt()`.
extension OptionTable {
  mutating func addTimestamps() {
    addArrival(SocketOptionName.timestamp, "SO_TIMESTAMP", [])
    addArrival(SocketOptionName.timestampNanoseconds, "SO_TIMESTAMPNS", .inNanoseconds)
    addArrival(SocketOptionName.timestampNew, "SO_TIMESTAMP_NEW", .isNew)
    addArrival(SocketOptionName.timestampNanosecondsNew, "SO_TIMESTAMPNS_NEW", [.inNanoseconds, .isNew])
    add(.timestamping(SocketOptionName.timestamping, "SO_TIMESTAMPING", isNew: false))
    add(.timestamping(SocketOptionName.timestampingNew, "SO_TIMESTAMPING_NEW", isNew: true))
    add(.transmitTime)
  }

  private mutating func addArrival(_ name: Int32, _ label: String, _ form: ArrivalReport) {
    add(
      name, label, .flag,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.arrivalReport == form.union(.isOn) }
      },
      set: { (isOn, id, layer, host) throws(Errno) in
        let clock = host.net.arrivalClock
        try layer.withCore(id) { (core) throws(Errno) in
          if isOn {
            core.arrivalReport = form.union(.isOn)
            core.followArrivals(clock)
          } else {
            // The form of SO_TIMESTAMPING stays.
            core.arrivalReport.subtract([.isOn, .inNanoseconds])
          }
        }
      })
  }
}

extension SocketOption {
  fileprivate static func timestamping(_ name: Int32, _ label: String, isNew: Bool) -> SocketOption {
    SocketOption(
      name: name, label: label, takers: .all, refusal: .ENOPROTOOPT,
      read: { (id, layer, _, _) throws(Errno) in
        let flags = try layer.withCore(id) { (core) throws(Errno) -> UInt32 in
          let isTold = !isNew || core.arrivalReport.contains(.isNew)
          return isTold ? core.timestamping.rawValue : 0
        }
        // struct so_timestamping: flags, and a clock of a device, which none here has.
        return SocketOptionValue.bytes(flags) + SocketOptionValue.bytes(UInt32(0))
      },
      set: { (bytes, id, layer, host) throws(Errno) in
        let flags = TimestampingFlags(rawValue: UInt32(bitPattern: try SocketOptionValue.int(bytes)))
        try layer.setTimestamping(id, flags, isNew: isNew, host.net.arrivalClock)
      })
  }

  /// `struct sock_txtime`: clock, flags.
  fileprivate static let transmitTime = SocketOption(
    name: SocketOptionName.transmitTime, label: "SO_TXTIME", takers: .all, refusal: .ENOPROTOOPT,
    read: { (id, layer, _, _) throws(Errno) in
      let options = try layer.withCore(id) { (core) throws(Errno) in core.transmitTime }
      let flags = (options?.isDeadline ?? false ? 1 : 0) | (options?.reportsErrors ?? false ? 2 : 0)
      return SocketOptionValue.bytes(UInt32(bitPattern: options?.clock ?? 0)) + SocketOptionValue.bytes(flags)
    },
    set: { (bytes, id, layer, _) throws(Errno) in
      guard bytes.byteCount == 8 else { throw .EINVAL }
      let (clock, flags) = (HostOrder.loadInt(bytes, 0), HostOrder.load32(bytes, 4))
      // SOF_TXTIME_DEADLINE_MODE, SOF_TXTIME_REPORT_ERRORS.
      guard flags & ~3 == 0 else { throw .EINVAL }
      // CLOCK_MONOTONIC is for everybody.
      guard clock == 1 || layer.privileges.contains(.netAdmin) else { throw .EPERM }
      // CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_TAI.
      guard [0, 1, 11].contains(clock) else { throw .EINVAL }
      try layer.withCore(id) { (core) throws(Errno) in
        core.transmitTime = TransmitTimeOptions(
          clock: clock, isDeadline: flags & 1 != 0, reportsErrors: flags & 2 != 0)
      }
    })
}

extension SocketLayer {
  /// - Throws: EINVAL for flags that nobody knows or that do not go together, and for byte numbers of a stream without a
  ///   connection; EOPNOTSUPP for a device's clock without a device.
  fileprivate mutating func setTimestamping(
    _ id: SocketID, _ flags: TimestampingFlags, isNew: Bool, _ clock: ArrivalClock
  ) throws(Errno) {
    guard flags.isSubset(of: .known) else { throw .EINVAL }
    if flags.contains(.identifiersFromWrite) && !flags.contains(.identifiers) { throw .EINVAL }
    let (old, device) = try withCore(id) { (core) throws(Errno) in
      (core.timestamping, core.options.boundIndex)
    }
    if flags.contains(.identifiers) && !old.contains(.identifiers) {
      let base = id.kind == .tcp ? try tcp.stampBase(id, fromWrite: flags.contains(.identifiersFromWrite)) : 0
      try withCore(id) { (core) throws(Errno) in core.startStampKeys(at: base) }
    }
    if flags.contains(.statistics) && !flags.contains(.timeOnly) { throw .EINVAL }
    // No device here has a clock to be bound to.
    if flags.contains(.boundClock) { throw device == 0 ? .EOPNOTSUPP : .EINVAL }
    try withCore(id) { (core) throws(Errno) in
      core.timestamping = flags
      if isNew {
        core.arrivalReport.insert(.isNew)
      } else {
        core.arrivalReport.remove(.isNew)
      }
      core.followArrivals(clock)
    }
  }
}
