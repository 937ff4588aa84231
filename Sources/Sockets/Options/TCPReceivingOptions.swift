import NetNamespace
import TCP

/// What a receiver and an acceptor want to know, and what no connection here is. Linux: `do_tcp_setsockopt()`,
/// `do_tcp_getsockopt()`.
extension OptionTable {
  mutating func addReceiving() {
    add(
      TCPOptionName.unreadByteCount, "TCP_INQ", .zeroOrOne,
      get: { (id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.tellsUnread }
      },
      set: { (isOn, id, layer, _) throws(Errno) in
        try layer.withCore(id) { (core) throws(Errno) in core.tellsUnread = isOn }
      })
    add(
      TCPOptionName.saveSyn, "TCP_SAVE_SYN", .count(0...2),
      get: { (id, layer, _) throws(Errno) in Int(try layer.tcp.options(id).saveSyn) },
      set: { (mode, id, layer, _) throws(Errno) in
        try layer.tcp.withOptions(id) { (options) throws(Errno) in options.saveSyn = UInt8(mode) }
      })
    add(
      SocketOption(
        name: TCPOptionName.savedSyn, label: "TCP_SAVED_SYN", takers: .all, refusal: .ENOPROTOOPT,
        read: { (id, layer, _, room) throws(Errno) in try layer.tcp.takeSavedSyn(id, room: room) }, set: nil))
    add(
      TCPOptionName.isMultipath, "TCP_IS_MPTCP", .int,
      get: { (id, layer, _) throws(Errno) in
        _ = try layer.tcp.options(id)
        return 0
      })
    add(
      SocketOption(
        name: TCPOptionName.upperLayerProtocol, label: "TCP_ULP", takers: .all, refusal: .ENOPROTOOPT,
        read: { (id, layer, _, _) throws(Errno) in
          _ = try layer.tcp.options(id)
          return []
        },
        set: { (name, _, _, _) throws(Errno) in
          // ENOENT: there is none, as in a kernel without their modules.
          throw name.byteCount == 0 ? .EINVAL : Errno(rawValue: 2)
        }, isName: true))
  }
}
