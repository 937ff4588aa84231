import Wire

/// DCTCP (RFC 8257): the window is closed by as much as the network marks, not by half of it. Grows as Reno does, and halves
/// as Reno does where something is lost. Linux: `net/ipv4/tcp_dctcp.c`.
struct DCTCP {
  /// What alpha is in units of, and begins at (RFC 8257 section 3.3, step 1). Linux: `DCTCP_MAX_ALPHA`.
  static let one: UInt32 = 1024
  /// g = 1/16 (RFC 8257 section 4.2). Linux: `dctcp_shift_g`.
  private static let gainShift: UInt32 = 4

  /// Both ends have agreed to ECN; without it this is Reno. Linux: `dctcp_reno` where it is not.
  private(set) var isEnabled = false
  /// DCTCP.Alpha: the share of what is sent that comes there marked, in 1/1024.
  private(set) var alpha = DCTCP.one
  /// DCTCP.WindowEnd: the observation window ends with what was sent when it began.
  private var windowEnd = SequenceNumber(0)
  /// Segments that had arrived there when it began, and those of them marked.
  private var arrivedBefore: UInt32 = 0
  private var markedBefore: UInt32 = 0
  /// DCTCP.CE: the last data packet came marked.
  private(set) var isReceivingMarks = false

  /// The connection is open. Linux: `dctcp_init()`.
  mutating func begin(isEnabled: Bool, next: SequenceNumber, arrived: UInt32, marked: UInt32) {
    self = DCTCP()
    self.isEnabled = isEnabled
    beginWindow(next: next, arrived: arrived, marked: marked)
  }

  private mutating func beginWindow(next: SequenceNumber, arrived: UInt32, marked: UInt32) {
    windowEnd = next
    arrivedBefore = arrived
    markedBefore = marked
  }

  /// An ACK came: at the end of an observation window alpha becomes (1 - g) * alpha + g * M, where M is the share of the
  /// window that was marked (RFC 8257 section 3.3, steps 5 to 9). Linux: `dctcp_update_alpha()`, which counts segments, too.
  mutating func acknowledged(_ una: SequenceNumber, next: SequenceNumber, arrived: UInt32, marked: UInt32) {
    guard isEnabled, !una.isBefore(windowEnd) else { return }
    // What the shift leaves nothing of goes, too, or it would never be 0.
    let decay = alpha >> Self.gainShift
    alpha -= decay == 0 ? alpha : decay
    let newlyMarked = UInt64(marked &- markedBefore)
    if newlyMarked > 0 {
      let share = newlyMarked * UInt64(Self.one >> Self.gainShift) / UInt64(max(arrived &- arrivedBefore, 1))
      alpha = min(alpha + UInt32(truncatingIfNeeded: share), Self.one)
    }
    beginWindow(next: next, arrived: arrived, marked: marked)
  }

  /// cwnd * (1 - alpha / 2) (RFC 8257 section 3.3). Linux: `dctcp_ssthresh()`.
  func threshold(window: Int) -> Int {
    guard isEnabled else { return Self.halved(window) }
    return max(window - window * Int(alpha) / (2 * Int(Self.one)), 2)
  }

  /// Something was lost (RFC 8257 section 3.5). Linux: `dctcp_react_to_loss()`.
  static func halved(_ window: Int) -> Int { max(window >> 1, 2) }

  /// A data packet came.
  ///
  /// - Returns: whether it is of another state than the one before: what is owed for that one is to tell of its state first
  ///   (RFC 8257 section 3.2). Linux: `dctcp_ece_ack_update()`.
  mutating func received(isMarked: Bool) -> Bool {
    defer { isReceivingMarks = isMarked }
    return isMarked != isReceivingMarks
  }

  /// `struct tcp_dctcp_info`, of this observation window in bytes. Linux: `dctcp_get_info()`.
  func info(mss: Int, arrived: UInt32, marked: UInt32) -> [UInt32] {
    guard isEnabled else { return [0, 0, 0, 0] }
    // Two of 16 bits, the first one low.
    let states = 1 | (isReceivingMarks ? 1 << 16 : 0) as UInt32
    let size = UInt32(truncatingIfNeeded: mss)
    return [states, alpha, size &* (marked &- markedBefore), size &* (arrived &- arrivedBefore)]
  }
}
