/// Packets of one queue in the order in which they were last sent. Linux: `tsorted_sent_queue`.
///
/// Safety: the links lie in packets that their queue owns. They are set and cleared only here, and a packet that has them
/// does not leave its queue: `SkBuffQueue.remove` traps.
@safe
@frozen
public struct SentOrder: ~Copyable {
  @usableFromInline var head: UnsafeMutablePointer<SkBuffHeader>?
  @usableFromInline var tail: UnsafeMutablePointer<SkBuffHeader>?

  public init() {
    unsafe head = nil
    unsafe tail = nil
  }

  @inlinable public var first: SkBuffQueue.Position? {
    guard let header = unsafe head else { return nil }
    return unsafe SkBuffQueue.Position(header)
  }
  @inlinable public var last: SkBuffQueue.Position? {
    guard let header = unsafe tail else { return nil }
    return unsafe SkBuffQueue.Position(header)
  }
  @inlinable public func position(after place: SkBuffQueue.Position) -> SkBuffQueue.Position? {
    guard let header = unsafe place.header.pointee.sentAfter else { return nil }
    return unsafe SkBuffQueue.Position(header)
  }
  @inlinable public func position(before place: SkBuffQueue.Position) -> SkBuffQueue.Position? {
    guard let header = unsafe place.header.pointee.sentBefore else { return nil }
    return unsafe SkBuffQueue.Position(header)
  }
  @inlinable public func contains(_ place: SkBuffQueue.Position) -> Bool {
    unsafe place.header.pointee.isInSentOrder
  }

  /// The packet was sent now: it comes last, wherever it was.
  @inlinable @inline(__always)
  public mutating func append(_ place: SkBuffQueue.Position) {
    if unsafe place.header == tail { return }
    insert(place, after: last)
  }

  /// The packet was sent with `other`; with `nil`, before all others.
  @inlinable @inline(__always)
  public mutating func insert(_ place: SkBuffQueue.Position, after other: SkBuffQueue.Position?) {
    remove(place)
    let next = unsafe other == nil ? head : other?.header.pointee.sentAfter
    unsafe place.header.pointee.sentBefore = other?.header
    unsafe place.header.pointee.sentAfter = next
    if let other { unsafe other.header.pointee.sentAfter = place.header } else { unsafe head = place.header }
    if let next = unsafe next {
      unsafe next.pointee.sentBefore = place.header
    } else {
      unsafe tail = place.header
    }
    unsafe place.header.pointee.isInSentOrder = true
  }

  /// Nothing, when the packet is not in it.
  @inlinable @inline(__always)
  public mutating func remove(_ place: SkBuffQueue.Position) {
    guard unsafe place.header.pointee.isInSentOrder else { return }
    let next = unsafe place.header.pointee.sentAfter
    let previous = unsafe place.header.pointee.sentBefore
    if let next = unsafe next { unsafe next.pointee.sentBefore = previous } else { unsafe tail = previous }
    if let previous = unsafe previous { unsafe previous.pointee.sentAfter = next } else { unsafe head = next }
    unsafe place.header.pointee.sentAfter = nil
    unsafe place.header.pointee.sentBefore = nil
    unsafe place.header.pointee.isInSentOrder = false
  }

  public mutating func removeAll() {
    while let place = first { remove(place) }
  }
}
