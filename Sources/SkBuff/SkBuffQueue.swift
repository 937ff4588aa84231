/// A first-in first-out list of packets, linked through the packets themselves: no operation allocates.
/// Linux: `struct sk_buff_head`.
///
/// Safety: owns every packet on the list; links are set and cleared only here.
@safe
@frozen
public struct SkBuffQueue: ~Copyable {
  @usableFromInline var head: UnsafeMutablePointer<SkBuffHeader>?
  @usableFromInline var tail: UnsafeMutablePointer<SkBuffHeader>?
  /// How many packets are on the list.
  public internal(set) var count: Int

  public init() {
    unsafe head = nil
    unsafe tail = nil
    count = 0
  }

  deinit {
    var next = unsafe head
    while let header = unsafe next {
      unsafe next = header.pointee.next
      unsafe PoolBlock.free(buffer: header)
    }
  }

  @inlinable public var isEmpty: Bool { unsafe head == nil }

  /// Adds at the end. Linux: `__skb_queue_tail()`.
  public mutating func append(_ skb: consuming SkBuff) {
    let header = unsafe skb.surrender()
    unsafe header.pointee.next = nil
    unsafe header.pointee.previous = tail
    if let tail = unsafe tail { unsafe tail.pointee.next = header } else { unsafe head = header }
    unsafe tail = header
    count += 1
  }

  /// Adds at the front. Linux: `__skb_queue_head()`.
  public mutating func prepend(_ skb: consuming SkBuff) {
    let header = unsafe skb.surrender()
    unsafe header.pointee.previous = nil
    unsafe header.pointee.next = head
    if let head = unsafe head { unsafe head.pointee.previous = header } else { unsafe tail = header }
    unsafe head = header
    count += 1
  }

  /// Removes the first packet. Linux: `__skb_dequeue()`.
  public mutating func popFirst() -> SkBuff? {
    guard let header = unsafe head else { return nil }
    return unsafe remove(header)
  }

  /// Removes the last packet. Linux: `__skb_dequeue_tail()`.
  public mutating func popLast() -> SkBuff? {
    guard let header = unsafe tail else { return nil }
    return unsafe remove(header)
  }

  @inline(__always) mutating func remove(_ header: UnsafeMutablePointer<SkBuffHeader>) -> SkBuff {
    unsafe precondition(!header.pointee.isInSentOrder, "a packet leaves its queue with links to others of it")
    let next = unsafe header.pointee.next
    let previous = unsafe header.pointee.previous
    if let next = unsafe next {
      unsafe next.pointee.previous = previous
    } else {
      unsafe tail = previous
    }
    if let previous = unsafe previous {
      unsafe previous.pointee.next = next
    } else {
      unsafe head = next
    }
    unsafe header.pointee.next = nil
    unsafe header.pointee.previous = nil
    count -= 1
    return unsafe SkBuff(adopting: header)
  }

  /// Moves all of `other`'s packets to the end of this list. Linux: `skb_queue_splice_tail_init()`.
  public mutating func append(contentsOf other: inout SkBuffQueue) {
    guard let first = unsafe other.head else { return }
    if let tail = unsafe tail {
      unsafe tail.pointee.next = first
      unsafe first.pointee.previous = tail
    } else {
      unsafe head = first
    }
    unsafe tail = other.tail
    count += other.count
    unsafe other.head = nil
    unsafe other.tail = nil
    other.count = 0
  }

  /// Frees every packet.
  public mutating func removeAll() {
    while let skb = popFirst() { _ = consume skb }
  }

  // MARK: Places on the list

  /// A place on the list, good until the packet there is removed. Linux: a `struct sk_buff *` used to walk a queue.
  ///
  /// Safety: only the queue that made it reads it, while the packet is still on the list.
  @safe
  @frozen
  public struct Position: Equatable {
    @usableFromInline let header: UnsafeMutablePointer<SkBuffHeader>
    @usableFromInline init(_ header: UnsafeMutablePointer<SkBuffHeader>) { unsafe self.header = header }
    @inlinable public static func == (a: Position, b: Position) -> Bool { unsafe a.header == b.header }
  }

  @inlinable public var first: Position? {
    guard let header = unsafe head else { return nil }
    return unsafe Position(header)
  }
  @inlinable public var last: Position? {
    guard let header = unsafe tail else { return nil }
    return unsafe Position(header)
  }
  @inlinable public func position(after place: Position) -> Position? {
    guard let header = unsafe place.header.pointee.next else { return nil }
    return unsafe Position(header)
  }
  @inlinable public func position(before place: Position) -> Position? {
    guard let header = unsafe place.header.pointee.previous else { return nil }
    return unsafe Position(header)
  }

  /// Uses the packet at `place` where it stands; it stays on the list.
  @inlinable
  public func withPacket<Result: ~Copyable, Failure: Error>(
    at place: Position, _ body: (borrowing SkBuff) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let skb = unsafe SkBuff(adopting: place.header)
    do {
      let result = try body(skb)
      _ = unsafe skb.surrender()
      return result
    } catch {
      _ = unsafe skb.surrender()
      throw error
    }
  }

  /// Changes the packet at `place` where it stands; it stays on the list.
  @inlinable
  public mutating func withMutablePacket<Result: ~Copyable, Failure: Error>(
    at place: Position, _ body: (inout SkBuff) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var skb = unsafe SkBuff(adopting: place.header)
    do {
      let result = try body(&skb)
      _ = unsafe skb.surrender()
      return result
    } catch {
      _ = unsafe skb.surrender()
      throw error
    }
  }

  public mutating func remove(at place: Position) -> SkBuff { unsafe remove(place.header) }

  public mutating func insert(_ skb: consuming SkBuff, after place: Position) {
    let header = unsafe skb.surrender()
    let next = unsafe place.header.pointee.next
    unsafe header.pointee.previous = place.header
    unsafe header.pointee.next = next
    unsafe place.header.pointee.next = header
    if let next = unsafe next { unsafe next.pointee.previous = header } else { unsafe tail = header }
    count += 1
  }

  public mutating func insert(_ skb: consuming SkBuff, before place: Position) {
    if let previous = position(before: place) {
      insert(skb, after: previous)
    } else {
      prepend(skb)
    }
  }
}

extension SkBuff {
  /// Ends this value without freeing: a list now owns the packet.
  @usableFromInline consuming func surrender() -> UnsafeMutablePointer<SkBuffHeader> {
    let header = unsafe self.header
    discard self
    return unsafe header
  }
}

extension SkBuffQueue {
  /// Bytes in the packet at `place`.
  @inlinable public func length(at place: Position) -> Int { unsafe Int(place.header.pointee.length) }
  @inlinable public func truesize(at place: Position) -> Int { unsafe Int(place.header.pointee.truesize) }
}
