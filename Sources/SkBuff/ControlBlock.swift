/// What one floor keeps in the packets on its queues, in the 48 bytes that every packet has for whoever holds it.
/// Linux: what is cast from `skb->cb`.
///
/// Only plain data, at most `SkBuff.controlBlockByteCount` bytes, and zero must be a value of it: a new packet's control
/// block is zero, that of one that changes floors is what the floor before left.
public protocol ControlBlock: BitwiseCopyable, Sendable {}

extension SkBuff {
  /// Linux: `sizeof(skb->cb)`.
  public static let controlBlockByteCount = 48

  /// The control block as the floor that holds the packet declares it.
  @inlinable public subscript<Block: ControlBlock>(controlBlock type: Block.Type) -> Block {
    get { unsafe Self.controlBlock(of: header, as: type).pointee }
    _modify { yield unsafe &Self.controlBlock(of: header, as: type).pointee }
  }

  /// Safety: the header begins with 48 bytes, aligned to 8, that nothing but this reads; any bits are a value of a type
  /// that is bitwise copyable and has no padding that matters.
  @inlinable @inline(__always)
  static func controlBlock<Block: ControlBlock>(
    of header: UnsafeMutablePointer<SkBuffHeader>, as type: Block.Type
  ) -> UnsafeMutablePointer<Block> {
    precondition(
      MemoryLayout<Block>.size <= controlBlockByteCount && MemoryLayout<Block>.alignment <= 8,
      "a control block is no larger than 48 bytes")
    return unsafe UnsafeMutableRawPointer(header).assumingMemoryBound(to: type)
  }
}

extension SkBuffQueue {
  /// The control block of the packet at `place`, in place.
  @inlinable public subscript<Block: ControlBlock>(controlBlock place: Position, type: Block.Type) -> Block {
    get { unsafe SkBuff.controlBlock(of: place.header, as: type).pointee }
    // Not `nonmutating`: the thread sanitizer of Swift 6.3 takes the queue's first word for an address then.
    _modify { yield unsafe &SkBuff.controlBlock(of: place.header, as: type).pointee }
  }
}
