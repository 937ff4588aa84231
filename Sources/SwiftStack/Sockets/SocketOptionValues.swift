import Shard
import Sockets

/// Options by Linux's level, name and bytes, for programs that carry `setsockopt(2)` calls over.
extension Socket {
  /// - Parameters:
  ///   - level: `SOL_SOCKET` 1, `IPPROTO_IP` 0, `IPPROTO_TCP` 6, `IPPROTO_UDP` 17.
  ///   - name: Linux's number, as `TCP_NODELAY` 1.
  ///   - value: the option's bytes in the machine's order, as `setsockopt(2)` takes them.
  /// - Throws: `ENOPROTOOPT` for an option that is not known or not one of such a socket, `EINVAL` for a value that cannot
  ///   be, `EPERM`; the error's `operation` names the option.
  public func setsockopt(level: Int32, name: Int32, value: RawSpan) throws(SocketError) {
    try Self.calling("setsockopt(\(SocketLayer.optionLabel(level: level, name: name)))") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.setsockopt(id, level: level, name: name, value: value, host: &state.host)
      }
    }
  }

  /// An option whose value is an `int`.
  public func setsockopt(level: Int32, name: Int32, _ value: Int32) throws(SocketError) {
    var bytes: InlineArray<4, UInt8> = [0, 0, 0, 0]
    for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: value >> Int32(8 * index)) }
    // Safe: a byte has no padding.
    try setsockopt(level: level, name: name, value: unsafe bytes.span.bytes)
  }

  /// The option's bytes, at most `maximum` of them.
  public func getsockopt(level: Int32, name: Int32, maximum: Int = 256) throws(SocketError) -> [UInt8] {
    try Self.calling("getsockopt(\(SocketLayer.optionLabel(level: level, name: name)))") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.getsockopt(id, level: level, name: name, maximum: maximum, host: state.host)
      }
    }
  }

  /// The same for an option whose value answers a question: `TCP_AO_GET_KEYS`; `IP_MSFILTER` (41) and `MCAST_MSFILTER` (48),
  /// which name the group and say how many sources there is room for.
  ///
  /// - Parameters:
  ///   - question: what `getsockopt(2)` finds where it is to put the value.
  ///   - maximum: the room for the value, bytes; the question's length when left out.
  /// - Returns: what it puts there: of several structs, one after the other, each as long as the question at most. A group may
  ///   have more sources than were asked for; the count says.
  /// - Throws: `EINVAL` for what is no question; for a group `ENODEV`, `EADDRNOTAVAIL` when the socket is not in it there.
  public func getsockopt(
    level: Int32, name: Int32, asking question: RawSpan, maximum: Int? = nil
  ) throws(SocketError) -> [UInt8] {
    try Self.calling("getsockopt(\(SocketLayer.optionLabel(level: level, name: name)))") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.getsockopt(
          id, level: level, name: name, asking: question, maximum: maximum, host: &state.host)
      }
    }
  }
}
