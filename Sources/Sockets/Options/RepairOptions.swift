import Internet
import NetNamespace
import TCP
import Timers

/// Options of `TCP_REPAIR`. Linux: `do_tcp_setsockopt()`, `tcp_repair_options_est()`, `tcp_repair_set_window()`.
extension OptionTable {
  mutating func addRepair() {
    add(
      TCPOptionName.repair, "TCP_REPAIR", .int,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.isInRepair(id) ? 1 : 0 },
      set: { (value, id, layer, host) throws(Errno) in
        try layer.checkRepair(id)
        // -1: off, without a probe.
        guard (-1...1).contains(value) else { throw .EINVAL }
        try layer.tcp.setRepair(id, value == 1, probes: value == 0, host: &host)
      })
    add(
      TCPOptionName.repairQueue, "TCP_REPAIR_QUEUE", .int,
      get: { (id, layer, _) throws(Errno) in Int32(try layer.tcp.repairQueue(id).rawValue) },
      set: { (value, id, layer, _) throws(Errno) in
        guard try layer.tcp.isInRepair(id) else { throw .EPERM }
        guard let byte = UInt8(exactly: value), let queue = RepairQueue(rawValue: byte) else { throw .EINVAL }
        try layer.tcp.setRepairQueue(id, queue)
      })
    add(
      TCPOptionName.queueSequence, "TCP_QUEUE_SEQ", .int,
      get: { (id, layer, _) throws(Errno) in Int32(bitPattern: try layer.tcp.queueSequence(id)) },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.tcp.setQueueSequence(id, UInt32(bitPattern: value))
      })
    add(
      TCPOptionName.repairOptions, "TCP_REPAIR_OPTIONS", .repairOptions, get: nil,
      set: { (options, id, layer, _) throws(Errno) in
        guard try layer.tcp.isInRepair(id) else { throw .EINVAL }
        // What stands before a wrong one counts.
        try layer.tcp.setRepairOptions(id, options.valid)
        if let error = options.error { throw error }
      })
    add(
      SocketOption(
        name: TCPOptionName.repairWindow, label: "TCP_REPAIR_WINDOW", takers: .tcp, refusal: .ENOPROTOOPT,
        read: { (id, layer, _, room) throws(Errno) in
          guard room == RepairWindow.byteCount else { throw .EINVAL }
          guard try layer.tcp.isInRepair(id) else { throw .EPERM }
          return try layer.tcp.repairWindow(id).bytes
        },
        set: { (bytes, id, layer, _) throws(Errno) in
          guard try layer.tcp.isInRepair(id) else { throw .EPERM }
          try layer.tcp.setRepairWindow(id, try RepairWindow(bytes))
        }))
    add(
      TCPOptionName.timestamp, "TCP_TIMESTAMP", .int,
      get: { (id, layer, host) throws(Errno) in
        Int32(bitPattern: try layer.tcp.timestamp(id, now: host.net.now))
      },
      set: { (value, id, layer, host) throws(Errno) in
        guard try layer.tcp.isInRepair(id) else { throw .EPERM }
        try layer.tcp.setTimestamp(id, UInt32(bitPattern: value), now: host.net.now)
      })
  }
}

extension SocketLayer {
  /// Linux: `tcp_can_repair_sock()`.
  func checkRepair(_ id: SocketID) throws(Errno) {
    guard privileges.contains(.netAdmin), try tcp.state(id) != .listen else { throw .EPERM }
  }
}

/// A list of `struct tcp_repair_opt`, up to the first that cannot be.
struct RepairOptionList: Sendable {
  var valid: [RepairOption] = []
  var error: Errno?

  init(_ bytes: RawSpan) {
    for offset in stride(from: 0, through: bytes.byteCount - 8, by: 8) {
      let value = HostOrder.load32(bytes, offset + 4)
      switch HostOrder.load32(bytes, offset) {
      case 2: valid.append(.maximumSegment(Int(UInt16(truncatingIfNeeded: value))))
      case 3:
        let (send, receive) = (Int(value & 0xFFFF), Int(value >> 16))
        // Linux: TCP_MAX_WSCALE.
        guard send <= 14, receive <= 14 else {
          // EFBIG.
          error = Errno(rawValue: 27)
          return
        }
        valid.append(.windowScale(send: send, receive: receive))
      case 4, 8:
        guard value == 0 else {
          error = .EINVAL
          return
        }
        valid.append(HostOrder.load32(bytes, offset) == 4 ? .sackPermitted : .timestamps)
      default: break
      }
    }
  }
}

extension OptionType<RepairOptionList> {
  fileprivate static let repairOptions = OptionType(
    decode: { (bytes) throws(Errno) in RepairOptionList(bytes) }, encode: { (_) in [] })
}

/// `struct tcp_repair_window`: five numbers, of no other length.
extension RepairWindow {
  fileprivate static let byteCount = 20

  fileprivate init(_ bytes: RawSpan) throws(Errno) {
    guard bytes.byteCount == Self.byteCount else { throw .EINVAL }
    self.init(
      sendUpdate: HostOrder.load32(bytes, 0), sendWindow: HostOrder.load32(bytes, 4),
      maximumWindow: HostOrder.load32(bytes, 8), receiveWindow: HostOrder.load32(bytes, 12),
      receiveUpdate: HostOrder.load32(bytes, 16))
  }

  fileprivate var bytes: [UInt8] {
    [sendUpdate, sendWindow, maximumWindow, receiveWindow, receiveUpdate].flatMap {
      SocketOptionValue.bytes($0)
    }
  }
}
