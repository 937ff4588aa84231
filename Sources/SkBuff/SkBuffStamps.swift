extension SkBuff {
  @inlinable public var stamps: StampRequest {
    get { unsafe header.pointee.stamps }
    set { unsafe header.pointee.stamps = newValue }
  }
  /// Names the packet in its stamps. Linux: `tskey`.
  @inlinable public var stampKey: UInt32 {
    get { unsafe header.pointee.stampKey }
    set { unsafe header.pointee.stampKey = newValue }
  }

  /// Takes the time for who asked for it. Linux: `skb_tx_timestamp()`, `__skb_tstamp_tx()`.
  @inlinable @inline(__always) public func stamp(_ event: StampEvent) {
    if stamps.contains(event.request) { report(event) }
  }

  @usableFromInline @inline(never) func report(_ event: StampEvent) {
    // No processor reads device memory: the time is lost. Linux: `skb_orphan_frags_rx()` fails.
    if !stamps.contains(.withoutBytes) && isUnreadable { return }
    let pool = self.pool
    var bytes: [UInt8] = []
    if !stamps.contains(.withoutBytes) {
      // Linux: `skb_orphan_frags_rx()` in `__skb_tstamp_tx()`.
      noteCopied()
      // Safe: as many bytes as the array is said to have are copied.
      bytes = unsafe [UInt8](unsafeUninitializedCapacity: length) { (room, count) in
        count = unsafe copyBits(from: 0, into: UnsafeMutableRawBufferPointer(room)) ? length : 0
      }
    }
    let generation = unsafe header.pointee.writeOwner?.pointee.generation ?? 0
    pool.report(
      TransmitStamp(
        socket: socket, generation: generation, event: event, key: stampKey, time: pool.tracer.now,
        departure: timestamp == .origin ? pool.tracer.now : timestamp, interface: interface, bytes: bytes,
        networkHeader: bytes.isEmpty ? nil : networkHeaderOffset))
  }
}

extension SkBuffPool {
  /// Most stamps that wait to be told; what comes then is lost.
  static let stampLimit = 4096

  package func report(_ stamp: TransmitStamp) {
    guard unsafe stamp.socket != 0 && block.pointee.stamps.count < Self.stampLimit else { return }
    unsafe block.pointee.stamps.append(stamp)
    unsafe block.pointee.hasStamps = true
  }

  /// Whether `takeStamps()` has something.
  @inlinable package var hasStamps: Bool { unsafe block.pointee.hasStamps }

  /// Says of a socket's stamps that nobody was told of yet how its connection is, where that is still to be said.
  package func describeStamps(of socket: UInt32, by statistics: (TransmitStamp) -> [UInt8]) {
    for index in unsafe block.pointee.stamps.indices {
      let stamp = unsafe block.pointee.stamps[index]
      guard stamp.socket == socket, stamp.statistics.isEmpty else { continue }
      unsafe block.pointee.stamps[index].statistics = statistics(stamp)
    }
  }

  /// The stamps that nobody was told of yet, in their order.
  package func takeStamps() -> [TransmitStamp] {
    unsafe block.pointee.hasStamps = false
    let stamps = unsafe block.pointee.stamps
    unsafe block.pointee.stamps = []
    return stamps
  }
}
