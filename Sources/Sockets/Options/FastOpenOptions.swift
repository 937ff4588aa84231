import Internet
import NetNamespace
import TCP

/// Options of RFC 7413. Linux: `do_tcp_setsockopt()`.
extension OptionTable {
  mutating func addFastOpen() {
    add(
      TCPOptionName.fastOpen, "TCP_FASTOPEN", .int,
      get: { (id, layer, _) throws(Errno) in Int32(clamping: try layer.tcp.options(id).fastOpenQueue) },
      set: { (length, id, layer, host) throws(Errno) in
        guard length >= 0 else { throw .EINVAL }
        try layer.tcp.setFastOpenQueue(id, Int(length), net: host.net)
      })
    add(
      TCPOptionName.fastOpenConnect, "TCP_FASTOPEN_CONNECT", .int,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.options(id).fastOpenConnect ? 1 : 0 },
      set: { (value, id, layer, host) throws(Errno) in
        guard (0...1).contains(value) else { throw .EINVAL }
        guard host.net.settings.tcpFastOpen.contains(.client) else { throw .EOPNOTSUPP }
        guard try layer.tcp.state(id) == .close else { throw .EINVAL }
        try layer.tcp.withOptions(id) { (options) throws(Errno) in options.fastOpenConnect = value == 1 }
      })
    add(
      TCPOptionName.fastOpenNoCookie, "TCP_FASTOPEN_NO_COOKIE", .int,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.options(id).fastOpenWithoutCookie ? 1 : 0 },
      set: { (value, id, layer, _) throws(Errno) in
        guard (0...1).contains(value) else { throw .EINVAL }
        let state = try layer.tcp.state(id)
        guard state == .close || state == .listen else { throw .EINVAL }
        try layer.tcp.withOptions(id) { (options) throws(Errno) in
          options.fastOpenWithoutCookie = value == 1
        }
      })
    add(
      TCPOptionName.fastOpenKey, "TCP_FASTOPEN_KEY", .fastOpenKeys, isName: true,
      get: { (id, layer, _) throws(Errno) in try layer.tcp.fastOpenKeys(id) },
      set: { (keys, id, layer, _) throws(Errno) in
        guard let keys else { throw .EINVAL }
        try layer.tcp.setFastOpenKeys(id, keys)
      })
  }
}

extension OptionType<FastOpenKeys?> {
  /// One key of 16 bytes, or two.
  fileprivate static let fastOpenKeys = OptionType(
    decode: { (bytes) throws(Errno) in
      let all = (0..<min(bytes.byteCount, 2 * FastOpenKeys.keyByteCount + 1)).map { bytes.load8($0) }
      return FastOpenKeys(all)
    },
    encode: { $0?.bytes ?? [] })
}
