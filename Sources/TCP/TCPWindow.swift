import NetNamespace
import SkBuff
import Timers
import Wire

// The receive window: how much to offer, and never to take back what was offered.
extension TCPConnection {
  /// Linux: `TCP_MIN_MSS`.
  static let leastMSS = 88

  func windowFrom(space: Int) -> Int { TCPReceiver.windowFrom(space: space, ratio: receiver.scalingRatio) }
  func spaceFrom(window: Int) -> Int { (window << 8) / max(1, receiver.scalingRatio) }
  /// Linux: `tcp_full_space()`, `tcp_space()`.
  var fullSpace: Int { windowFrom(space: core.receiveBuffer) }
  var freeSpace: Int { windowFrom(space: max(0, core.receiveBuffer - core.account.receiveAllocated)) }

  /// What the SYN or SYN-ACK offers.
  mutating func selectInitialWindow(segment mss: Int, net: borrowing Net) {
    let window = InitialWindow(
      options, buffer: core.receiveBuffer, isFixed: core.isReceiveBufferFixed, segment: mss,
      isScaled: hasWindowScale, net: net)
    receiver.offer(window.offer)
    receiver.rcvWscale = window.scale
    receiver.windowClamp = window.clamp
    receiver.rcvSsthresh = window.offer
  }

  /// The handshake is over: the window stays below the buffer by a segment, where there is room for two, and time stamps are
  /// no payload. Linux: `tcp_init_buffer_space()`.
  mutating func fitWindowToBuffer() {
    if hasTimestamps && state == .established { receiver.advertisedMSS -= 12 }
    let segment = receiver.advertisedMSS
    var clamp = min(receiver.windowClamp, fullSpace)
    if clamp > 2 * segment && clamp + segment > fullSpace { clamp = max(2 * segment, fullSpace - segment) }
    receiver.windowClamp = clamp
    receiver.rcvSsthresh = min(receiver.rcvSsthresh, clamp)
    receiver.readSpace.space = min(
      receiver.rcvWnd, receiver.rcvSsthresh, CongestionWindow.initialSegments * segment)
  }

  /// `TCP_WINDOW_CLAMP` on an open connection: the offer follows it, without taking back what was offered.
  /// Linux: `tcp_set_window_clamp()`.
  mutating func applyWindowClamp() {
    let clamp = options.windowClamp
    guard clamp > 0, state.isConnected else { return }
    let isSmaller = clamp < receiver.windowClamp
    receiver.windowClamp = clamp
    receiver.rcvSsthresh =
      isSmaller ? min(receiver.rcvSsthresh, clamp) : max(receiver.rcvSsthresh, min(receiver.rcvWnd, clamp))
  }

  /// The window to offer now, in bytes. Linux: `__tcp_select_window()`.
  func proposedWindow() -> Int {
    var mss = receiver.rcvMSS
    let full = min(receiver.windowClamp, fullSpace)
    var free = freeSpace
    if mss > full { mss = max(1, full) }
    if free < full >> 1 {
      // RFC 1122 4.2.3.3: no silly window; under memory shortage close it rather than offer crumbs.
      let scaled = (free >> receiver.rcvWscale) << receiver.rcvWscale
      if scaled < full >> 4 || free < mss { return 0 }
    }
    free = min(free, receiver.rcvSsthresh)
    if hasWindowScale && receiver.rcvWscale > 0 {
      let unit = 1 << receiver.rcvWscale
      return ((free + unit - 1) >> receiver.rcvWscale) << receiver.rcvWscale
    }
    var window = receiver.rcvWnd
    if window <= free - mss || window > free {
      window = free / mss * mss
    } else if mss == full && free > window + (full >> 1) {
      window = free
    }
    return window
  }

  /// The window field for an outgoing segment; records the offer. A window once offered is not taken back
  /// (RFC 9293 3.8.6), but where memory is short of what was offered. Linux: `tcp_select_window()`.
  mutating func selectWindow(net: inout Net) -> UInt16 {
    if receiver.ack.isOutOfMemory {
      receiver.offer(0)
      return 0
    }
    let old = receiver.rcvWnd
    let current = receiver.receiveWindow
    if net.pool.isUnderPressure {
      receiver.rcvSsthresh = min(receiver.rcvSsthresh, 4 * receiver.advertisedMSS)
    }
    var new = proposedWindow()
    if new < current {
      let unit = 1 << receiver.rcvWscale
      if new == 0 { net.counters.count(.TcpExtTCPWantZeroWindowAdv) }
      new = ((current + unit - 1) >> receiver.rcvWscale) << receiver.rcvWscale
    }
    receiver.offer(new)
    new = min(new, receiver.rcvWscale == 0 ? 65535 : 65535 << receiver.rcvWscale)
    let field = new >> receiver.rcvWscale
    if field == 0 {
      if old != 0 { net.counters.count(.TcpExtTCPToZeroWindowAdv) }
    } else if old == 0 {
      net.counters.count(.TcpExtTCPFromZeroWindowAdv)
    }
    return UInt16(truncatingIfNeeded: field)
  }

  /// Opens the ceiling of the offered window as data arrives, if its packets use memory well.
  /// Linux: `tcp_grow_window()`.
  mutating func growWindow(payload: Int, truesize: Int, net: borrowing Net) {
    let room = min(receiver.windowClamp, freeSpace) - receiver.rcvSsthresh
    guard room > 0, !net.pool.isUnderPressure else { return }
    guard let increment = windowIncrement(payload: payload, truesize: truesize, net: net) else { return }
    // Twice the payload keeps the ceiling ahead of a sender in slow start.
    receiver.rcvSsthresh += min(room, max(increment, 2 * payload))
    receiver.ack.quick |= 1
  }

  /// A packet that uses its memory as the window assumes raises the ceiling by two segments; one that wastes some does
  /// so only while the ceiling is that far from the largest buffer; `nil`: not at all. Linux: `__tcp_grow_window()`.
  private func windowIncrement(payload: Int, truesize: Int, net: borrowing Net) -> Int? {
    var carried = windowFrom(space: truesize)
    if carried <= payload { return 2 * receiver.advertisedMSS }
    carried >>= 1
    var window = windowFrom(space: net.settings.tcpReadMemory.most) >> 1
    while receiver.rcvSsthresh <= window {
      if carried <= payload { return 2 * receiver.rcvMSS }
      carried >>= 1
      window >>= 1
    }
    return nil
  }

  /// Learns the peer's segment size, how much payload its packets carry per byte of memory, and whether it may wait for
  /// an ACK. Linux: `tcp_measure_rcv_mss()`.
  mutating func measureReceive(payload: Int, gsoSize: Int, truesize: Int, flags: TCPFlags) {
    let segment = gsoSize > 0 ? gsoSize : payload
    let previous = receiver.ack.lastSegmentSize
    receiver.ack.lastSegmentSize = 0
    if segment >= receiver.rcvMSS {
      if payload >= segment && truesize > 0 && segment > 500 {
        let ratio = min(max((payload << 8) / truesize, 1), 250)
        if ratio != receiver.scalingRatio {
          let before = receiver.scalingRatio
          receiver.scalingRatio = ratio
          if ratio < before {
            receiver.rcvSsthresh = min(receiver.rcvSsthresh, max(fullSpace, 2 * receiver.rcvMSS))
          }
          if options.windowClamp == 0 {
            receiver.windowClamp = max(receiver.windowClamp, min(fullSpace, 65535 << receiver.rcvWscale))
          }
          // What a window cannot hold no reader takes in a round trip: the buffer would never grow.
          receiver.readSpace.space = min(receiver.readSpace.space, fullSpace)
        }
      }
      receiver.rcvMSS = min(segment, receiver.advertisedMSS)
      if flags.contains(.psh) { receiver.ack.isPushed = true }
      return
    }
    // Two equal segments in a row that are not the ends of writes, or that are large: the peer's MSS went down.
    let least = flags.isDisjoint(with: [.fin, .urg, .syn, .psh]) ? Self.leastMSS : 536
    if segment + (hasTimestamps ? 12 : 0) >= least {
      receiver.ack.lastSegmentSize = segment
      if segment == previous {
        receiver.rcvMSS = segment
        return
      }
    }
    if receiver.ack.isPushed { receiver.ack.isPushedTwice = true }
    receiver.ack.isPushed = true
  }

  /// Dynamic right-sizing: offers twice what the reader took in one round trip. Linux: `tcp_rcv_space_adjust()`.
  mutating func adjustReceiveSpace(net: borrowing Net) {
    let now = net.now
    let rtt = receiver.readSpace.rtt > 0 ? receiver.readSpace.rtt : max(sender.rtt.smoothed8 >> 3, 1)
    guard (now - receiver.readSpace.since).microseconds >= rtt else { return }
    let copied = receiver.copiedSeq.offset(from: receiver.readSpace.sequence)
    if copied > receiver.readSpace.space {
      if !core.isReceiveBufferFixed && !net.pool.isUnderPressure {
        var window = (copied << 1) + 16 * receiver.advertisedMSS
        if receiver.readSpace.space > 0 {
          let grow = window &* (copied - receiver.readSpace.space) / receiver.readSpace.space
          window += grow << 1
        }
        let wanted = min(spaceFrom(window: max(window, 0)), net.settings.tcpReadMemory.most)
        if wanted > core.receiveBuffer {
          core.receiveBuffer = wanted
          let most = options.windowClamp > 0 ? options.windowClamp : 65535 << receiver.rcvWscale
          receiver.windowClamp = min(windowFrom(space: wanted), most)
        }
      }
      receiver.readSpace.space = copied
    }
    receiver.readSpace.sequence = receiver.copiedSeq
    receiver.readSpace.since = now
  }

  /// Round trips as a receiver sees them, from timestamps. Linux: `tcp_rcv_rtt_measure_ts()`.
  mutating func measureReceiveRTT(echo: UInt32, hasEcho: Bool, payload: Int, now: Instant) {
    if hasEcho && echo != 0 {
      guard payload >= receiver.rcvMSS else { return }
      let elapsed = Int64(Int32(bitPattern: sender.timestamp(now) &- echo))
      if elapsed >= 0 && elapsed < 60_000 { noteReceiveRTT(max(elapsed * 1000, 1000)) }
      return
    }
    if receiver.readSpace.rttSince != .origin {
      guard receiver.rcvNxt.isAtOrAfter(receiver.readSpace.rttSequence) else { return }
      noteReceiveRTT(max((now - receiver.readSpace.rttSince).microseconds, 1))
    }
    receiver.readSpace.rttSequence = receiver.rcvNxt + receiver.rcvWnd
    receiver.readSpace.rttSince = now
  }

  private mutating func noteReceiveRTT(_ sample: Int64) {
    receiver.readSpace.rtt =
      receiver.readSpace.rtt == 0
      ? sample : min(sample, receiver.readSpace.rtt - (receiver.readSpace.rtt >> 3) + (sample >> 3))
  }
}
