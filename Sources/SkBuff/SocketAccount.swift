/// What a socket's packets hold in memory, kept where packets can reach it. Linux: `sk_wmem_alloc`, `sk_rmem_alloc`.
@safe
@frozen
@usableFromInline
struct AccountBlock {
  @usableFromInline var references: Int32
  @usableFromInline var socket: UInt32
  @usableFromInline var writeAllocated: Int
  @usableFromInline var receiveAllocated: Int
  /// Set when transmission stopped at the small-queue limit; the next freed packet asks for another run.
  @usableFromInline var isThrottled: Bool
  @usableFromInline var isPending: Bool
  @usableFromInline var pool: UnsafeMutablePointer<PoolBlock>
  @usableFromInline var nextPending: UnsafeMutablePointer<AccountBlock>?
}

/// A socket's side of its memory account. Packets that the socket owns keep the account alive after the socket is gone,
/// so a packet may be freed at any floor, whenever the NIC is done with it.
///
/// Safety: counts one reference on `block`; the block is freed with the last reference.
@safe
public struct SocketAccount: ~Copyable {
  @usableFromInline let block: UnsafeMutablePointer<AccountBlock>

  /// - Parameter socket: the number `SkBuffPool.takePending()` reports when a throttled socket may send again.
  public init(pool: SkBuffPool, socket: UInt32) {
    unsafe block = .allocate(capacity: 1)
    unsafe block.initialize(
      to: AccountBlock(
        references: 1, socket: socket, writeAllocated: 0, receiveAllocated: 0, isThrottled: false,
        isPending: false, pool: pool.block, nextPending: nil))
  }
  deinit {
    unsafe block.pointee.isThrottled = false
    unsafe PoolBlock.release(account: block)
  }

  /// Truesize of packets on their way down that are not yet freed: in qdisc, ring or neighbour queue.
  @inlinable public var writeAllocated: Int { unsafe block.pointee.writeAllocated }
  /// Truesize of packets in the socket's receive and out-of-order queues.
  @inlinable public var receiveAllocated: Int { unsafe block.pointee.receiveAllocated }
  /// Linux: `TSQ_THROTTLED`.
  @inlinable public var isThrottled: Bool {
    get { unsafe block.pointee.isThrottled }
    nonmutating set { unsafe block.pointee.isThrottled = newValue }
  }
}

extension PoolBlock {
  /// Gives one reference back. Packets freed after their socket leave through here as well.
  @usableFromInline
  static func release(account: UnsafeMutablePointer<AccountBlock>) {
    unsafe account.pointee.references -= 1
    if unsafe account.pointee.references == 0 {
      unsafe account.deinitialize(count: 1)
      unsafe account.deallocate()
    }
  }

  /// The destructor of a packet that counted in `writeAllocated`. Linux: `sock_wfree()`, `tcp_wfree()`.
  @usableFromInline
  static func writeFree(_ account: UnsafeMutablePointer<AccountBlock>, truesize: Int) {
    unsafe account.pointee.writeAllocated -= truesize
    if unsafe account.pointee.isThrottled && !account.pointee.isPending {
      // The list holds a reference until it is taken.
      unsafe account.pointee.isPending = true
      unsafe account.pointee.references += 1
      let pool = unsafe account.pointee.pool
      unsafe account.pointee.nextPending = pool.pointee.pendingAccounts
      unsafe pool.pointee.pendingAccounts = account
    }
    unsafe release(account: account)
  }
}
