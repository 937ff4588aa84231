import NetNamespace
import UDP

/// Names at `SocketOptionLevel.udp`.
public enum UDPOptionName {
  public static let cork: Int32 = 1
  public static let segment: Int32 = 103
  public static let receiveOffload: Int32 = 104
  public static let sendCoverage: Int32 = 10
  public static let receiveCoverage: Int32 = 11
}

/// Linux: `udp_lib_setsockopt()`, `udp_lib_getsockopt()`.
extension OptionTable {
  static let udpLevel: OptionTable = {
    var table = OptionTable(level: SocketOptionLevel.udp, kinds: [.udp, .udpLite], takesInts: true)
    table.add(
      UDPOptionName.cork, "UDP_CORK", .flag,
      get: { (id, layer, _) throws(Errno) in
        try layer.withUDP(id) { (udp) throws(Errno) in try udp.options(id).cork }
      },
      set: { (isOn, id, layer, host) throws(Errno) in
        if id.kind == .udpLite { return try layer.udpLite.setCork(id, isOn, host: &host) }
        try layer.udp.setCork(id, isOn, host: &host)
      })
    table.add(
      UDPOptionName.segment, "UDP_SEGMENT", .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withUDP(id) { (udp) throws(Errno) in Int32(clamping: try udp.options(id).segmentByteCount) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        guard (0...0xFFFF).contains(value) else { throw .EINVAL }
        try layer.withUDP(id) { (udp) throws(Errno) in try udp.setSegmentByteCount(id, Int(value)) }
      })
    table.add(
      UDPOptionName.receiveOffload, "UDP_GRO", .flag,
      get: { (id, layer, _) throws(Errno) in
        try layer.withUDP(id) { (udp) throws(Errno) in try udp.options(id).receiveOffload }
      },
      set: { (isOn, id, layer, host) throws(Errno) in
        if id.kind == .udpLite { return try layer.udpLite.setReceiveOffload(id, isOn, net: &host.net) }
        try layer.udp.setReceiveOffload(id, isOn, net: &host.net)
      })
    table.addCoverage(UDPOptionName.sendCoverage, "UDPLITE_SEND_CSCOV", \.sendCoverage)
    table.addCoverage(UDPOptionName.receiveCoverage, "UDPLITE_RECV_CSCOV", \.receiveCoverage)
    return table
  }()
}

extension OptionTable {
  /// Of UDP it can be read only, and is 0.
  fileprivate mutating func addCoverage(
    _ name: Int32, _ label: String, _ field: any WritableKeyPath<DatagramOptions, UInt16?> & Sendable
  ) {
    add(
      name, label, .int,
      get: { (id, layer, _) throws(Errno) in
        try layer.withUDP(id) { (udp) throws(Errno) in Int32(try udp.options(id)[keyPath: field] ?? 0) }
      },
      set: { (value, id, layer, _) throws(Errno) in
        try layer.withUDP(id) { (udp) throws(Errno) in try udp.setCoverage(id, value, field) }
      })
  }
}
