import NetNamespace

/// The first window and its scale, for a SYN or a SYN-ACK (RFC 7323 2.2): whole segments, and no more than a buffer that the
/// owner has fixed. Linux: `tcp_select_initial_window()`, `tcp_connect_init()`, `tcp_openreq_init_rwin()`.
struct InitialWindow {
  /// In bytes.
  let offer: Int
  /// How far the window field is shifted.
  let scale: Int
  /// The largest window there will be, in bytes.
  let clamp: Int

  /// - Parameters:
  ///   - buffer: bytes that the receive queues may take; `isFixed`: by `SO_RCVBUF`.
  ///   - mss: payload of the peer's full segments.
  ///   - isScaled: both sides ask for a scale, or may.
  init(
    _ options: TCPSocketOptions, buffer: Int, isFixed: Bool, segment mss: Int, isScaled: Bool,
    net: borrowing Net
  ) {
    let full = TCPReceiver.windowFrom(space: buffer, ratio: TCPReceiver.initialScalingRatio)
    var most = options.windowClamp > 0 ? options.windowClamp : 65535 << 14
    if isFixed { most = min(most, full) }
    var space = min(full, most)
    if space > mss { space -= space % mss }
    // What the SYN's field cannot say is said by the first ACK.
    offer = isScaled ? space : min(space, 65535)
    var shift = 0
    if isScaled {
      let largest = max(net.settings.tcpReadMemory.most, net.settings.maximumReadMemory)
      var reach = min(max(space, largest), most)
      while shift < 14 && reach > 65535 {
        reach >>= 1
        shift += 1
      }
    }
    scale = shift
    clamp = min(65535 << shift, most)
  }
}
