import NetNamespace

/// Names at `SocketOptionLevel.udp`.
public enum UDPOptionName {
  public static let cork: Int32 = 1
  public static let segment: Int32 = 103
}

/// Linux: `udp_lib_setsockopt()`, `udp_lib_getsockopt()`.
extension OptionTable {
  static let udpLevel: OptionTable = {
    var table = OptionTable(level: SocketOptionLevel.udp, kinds: .udp, takesInts: true)
    table.add(
      UDPOptionName.cork, "UDP_CORK", .flag,
      get: { (id, layer, _) throws(Errno) in try layer.udp.options(id).cork },
      set: { (isOn, id, layer, host) throws(Errno) in try layer.udp.setCork(id, isOn, host: &host) })
    table.add(
      UDPOptionName.segment, "UDP_SEGMENT", .int,
      get: { (id, layer, _) throws(Errno) in Int32(clamping: try layer.udp.options(id).segmentByteCount) },
      set: { (value, id, layer, _) throws(Errno) in
        guard (0...0xFFFF).contains(value) else { throw .EINVAL }
        try layer.udp.setSegmentByteCount(id, Int(value))
      })
    return table
  }()
}
