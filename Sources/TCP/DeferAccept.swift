/// `TCP_DEFER_ACCEPT` counts in seconds, but is kept as a number of SYN-ACK retransmissions after 1, 3, 7 ... seconds.
/// Linux: `secs_to_retrans()`, `retrans_to_secs()`.
public enum DeferAccept {
  /// Linux: TCP_TIMEOUT_INIT, TCP_RTO_MAX.
  private static let first: Int32 = 1
  private static let longest: Int32 = 120

  /// How many retransmissions reach at least that far; 0 for nothing or less.
  public static func retransmits(seconds: Int32) -> UInt8 {
    guard seconds > 0 else { return 0 }
    var count: UInt8 = 1
    var period = first
    var wait = first
    while seconds > period && count < 255 {
      count += 1
      wait = min(wait * 2, longest)
      period += wait
    }
    return count
  }

  /// When the last of them has gone unanswered.
  public static func seconds(retransmits count: UInt8) -> Int {
    guard count > 0 else { return 0 }
    var period = first
    var wait = first
    for _ in 1..<count {
      wait = min(wait * 2, longest)
      period += wait
    }
    return Int(period)
  }
}
