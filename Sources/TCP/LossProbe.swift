import Wire

/// A segment sent at the end of a flight that nobody has acknowledged, to draw an ACK before the timer fires
/// (RFC 8985 section 7). Linux: `tlp_high_seq`, `tlp_retrans`.
struct LossProbe {
  /// SND.NXT when it was sent.
  let end: SequenceNumber
  /// It was the last segment again, not new data.
  let isRetransmission: Bool
}
