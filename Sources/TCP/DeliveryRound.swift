/// Round trips, counted by what was delivered when a packet was sent that arrives now (draft-cheng-iccrg-delivery-rate-estimation).
struct DeliveryRound {
  /// `delivered` when it began: a packet that was sent after that ends it.
  private var begin: UInt32

  init(at delivered: UInt32 = 0) { begin = delivered }

  /// An ACK has come that tells of deliveries.
  ///
  /// - Parameter delivered: segments that have reached the peer, ever, with those of the ACK.
  /// - Returns: whether another round begins with it.
  mutating func advance(_ sample: RateSample, delivered: UInt32) -> Bool {
    guard sample.hasPacket, Int32(bitPattern: sample.sentDelivered &- begin) >= 0 else { return false }
    begin = delivered
    return true
  }
}
