import IceHardware
import SkBuff

/// A packet between `tx_map` and DD: the hardware reads its memory, so nobody may have the sk_buff. Only
/// the completion takes it out.
struct HardwareOwnedPacket: ~Copyable {
  let skb: SkBuff
  /// Mapping of the linear area.
  let linear: IOVA
  /// The descriptor whose DD gives the packet back. Linux: `next_to_watch`
  let lastDescriptor: Int
  /// What BQL was told.
  let byteCount: Int
  let segmentCount: Int

  init(skb: consuming SkBuff, linear: IOVA, lastDescriptor: Int, byteCount: Int, segmentCount: Int) {
    self.skb = skb
    self.linear = linear
    self.lastDescriptor = lastDescriptor
    self.byteCount = byteCount
    self.segmentCount = segmentCount
  }
}

/// What the driver remembers of one Tx descriptor. Linux: `struct ice_tx_buf`.
enum TxBuffer: ~Copyable {
  /// Nothing to give back.
  case free
  /// A page fragment, mapped. Linux: ICE_TX_BUF_FRAG
  case fragment(IOVA)
  /// The first descriptor of a packet. Linux: ICE_TX_BUF_SKB
  case packet(HardwareOwnedPacket)
}

/// The buffer records of a ring, one for each descriptor.
///
/// Safety: one allocation, every record initialized from init to deinit; every index is checked.
@safe struct TxBufferTable: ~Copyable {
  private let records: UnsafeMutablePointer<TxBuffer>
  let count: Int

  init(count: Int) {
    self.count = count
    unsafe records = UnsafeMutablePointer<TxBuffer>.allocate(capacity: count)
    for index in 0..<count { unsafe (records + index).initialize(to: .free) }
  }

  deinit {
    unsafe records.deinitialize(count: count)
    unsafe records.deallocate()
  }

  /// Puts a record in place of the one there, which must be free.
  func set(_ index: Int, _ record: consuming TxBuffer) {
    precondition(index >= 0 && index < count, "A Tx buffer index is outside the ring.")
    // Assigning ends the old record, which is .free.
    unsafe records[index] = record
  }

  /// Takes the record out, leaving `.free`.
  func take(_ index: Int) -> TxBuffer {
    precondition(index >= 0 && index < count, "A Tx buffer index is outside the ring.")
    let record = unsafe (records + index).move()
    unsafe (records + index).initialize(to: .free)
    return record
  }

  /// The last descriptor of the packet that begins at `index`, nil when none does.
  func lastDescriptor(_ index: Int) -> Int? {
    precondition(index >= 0 && index < count, "A Tx buffer index is outside the ring.")
    switch unsafe records[index] {
    case .packet(let packet): return packet.lastDescriptor
    case .free: return nil
    case .fragment: return nil
    }
  }
}
