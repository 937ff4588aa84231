/// What a socket's packets hold in memory, kept where packets can reach it. Linux: `sk_wmem_alloc`, `sk_rmem_alloc`.
@safe
@frozen
@usableFromInline
struct AccountBlock {
  @usableFromInline var references: Int32
  @usableFromInline var socket: UInt32
  /// Which of those that have had the number.
  @usableFromInline var generation: UInt32
  @usableFromInline var writeAllocated: Int
  @usableFromInline var receiveAllocated: Int
  /// Set when transmission stopped at the small-queue limit; the next freed packet asks for another run.
  @usableFromInline var isThrottled: Bool
  @usableFromInline var isPending: Bool
  /// That run is under way: packets of it that go no further are no reason for another one.
  @usableFromInline var isSending = false
  @usableFromInline var pool: UnsafeMutablePointer<PoolBlock>
  @usableFromInline var nextPending: UnsafeMutablePointer<AccountBlock>?
  /// Stands in line for memory of this use, between these two.
  @usableFromInline var isWaiting = false
  @usableFromInline var waitingUse = MemoryUse.ordinary
  @usableFromInline var nextWaiting: UnsafeMutablePointer<AccountBlock>? = nil
  @usableFromInline var previousWaiting: UnsafeMutablePointer<AccountBlock>? = nil

  init(socket: UInt32, generation: UInt32, pool: UnsafeMutablePointer<PoolBlock>) {
    references = 1
    self.socket = socket
    self.generation = generation
    writeAllocated = 0
    receiveAllocated = 0
    isThrottled = false
    isPending = false
    unsafe self.pool = pool
    unsafe nextPending = nil
  }
}

/// A socket's side of its memory account. Packets that the socket owns keep the account alive after the socket is gone,
/// so a packet may be freed at any floor, whenever the NIC is done with it.
///
/// Safety: counts one reference on `block`; the block is freed with the last reference.
@safe
public struct SocketAccount: ~Copyable {
  @usableFromInline let block: UnsafeMutablePointer<AccountBlock>

  /// - Parameter socket: the number `SkBuffPool.takePending()` reports when a throttled socket may send again.
  public init(pool: SkBuffPool, socket: UInt32, generation: UInt32 = 0) {
    unsafe block = .allocate(capacity: 1)
    unsafe block.initialize(to: AccountBlock(socket: socket, generation: generation, pool: pool.block))
  }
  deinit {
    unsafe block.pointee.isThrottled = false
    stopWaiting()
    unsafe PoolBlock.release(account: block)
  }

  /// Truesize of packets on their way down that are not yet freed: in qdisc, ring or neighbour queue.
  @inlinable public var writeAllocated: Int { unsafe block.pointee.writeAllocated }
  /// Truesize of packets in the socket's receive and out-of-order queues.
  @inlinable public var receiveAllocated: Int { unsafe block.pointee.receiveAllocated }
  /// Memory that the socket keeps of what arrived, beside packets: entries of its error queue. Below zero gives back.
  @inlinable public func chargeReceive(by byteCount: Int) {
    unsafe block.pointee.receiveAllocated += byteCount
  }
  /// Linux: `TSQ_THROTTLED`.
  @inlinable public var isThrottled: Bool {
    get { unsafe block.pointee.isThrottled }
    nonmutating set { unsafe block.pointee.isThrottled = newValue }
  }

  /// The run that `isThrottled` asked for is under way.
  public var isSending: Bool {
    get { unsafe block.pointee.isSending }
    nonmutating set { unsafe block.pointee.isSending = newValue }
  }

  // MARK: Waiting for memory

  /// Whether the socket was refused memory and its turn has not come.
  package var isWaitingForMemory: Bool { unsafe block.pointee.isWaiting }

  /// Whether a writer would get memory for such a use: room for an empty segment, which takes two pieces, and for a byte
  /// in it. What `takeMemoryWaiter()` waits for too.
  public func admitsWriter(_ use: MemoryUse) -> Bool {
    unsafe block.pointee.pool.pointee.admitsWriter(use, after: 0)
  }

  /// Stands in line for memory of such a use: `SkBuffPool.takeMemoryWaiter()` names the socket when there is some again
  /// and those who came earlier have had their turn. Who stands there already keeps the place, unless the use is another.
  /// Linux: `sk_stream_wait_memory()`.
  public func waitForMemory(_ use: MemoryUse) {
    if unsafe block.pointee.isWaiting {
      if unsafe block.pointee.waitingUse == use { return }
      unsafe PoolBlock.unlistWaiting(block)
    }
    unsafe block.pointee.isWaiting = true
    unsafe block.pointee.waitingUse = use
    let pool = unsafe block.pointee.pool
    let line = Int(use.rawValue)
    unsafe block.pointee.nextWaiting = nil
    unsafe block.pointee.previousWaiting = pool.pointee.waiting[line].last
    if let last = unsafe pool.pointee.waiting[line].last {
      unsafe last.pointee.nextWaiting = block
    } else {
      unsafe pool.pointee.waiting[line].first = block
    }
    unsafe pool.pointee.waiting[line].last = block
  }

  /// Leaves the line: the socket got memory, or wants none.
  public func stopWaiting() {
    if unsafe block.pointee.isWaiting { unsafe PoolBlock.unlistWaiting(block) }
  }
}

extension SkBuffPool {
  /// Whether somebody stands in line for memory.
  @inlinable public var hasMemoryWaiters: Bool {
    unsafe block.pointee.waiting[0].first != nil || block.pointee.waiting[1].first != nil
  }

  /// Whether there is something to do about memory: pressure to count, others' queues to prune, somebody to wake.
  @inlinable public var wantsRelief: Bool {
    unsafe block.pointee.pressureEntries > 0 || hasMemoryWaiters || isExhausted
  }

  /// The socket that has waited longest for memory, when there is some for it; it leaves the line and is to be woken.
  /// Those who want no more than each is guaranteed have a line of their own and come first.
  ///
  /// - Parameter served: how many were taken in this round; each is thought to take a chunk.
  public func takeMemoryWaiter(served: Int) -> UInt32? {
    for use in [MemoryUse.guaranteed, .ordinary] {
      guard let account = unsafe block.pointee.waiting[Int(use.rawValue)].first,
        unsafe block.pointee.admitsWriter(use, after: served)
      else { continue }
      unsafe PoolBlock.unlistWaiting(account)
      return unsafe account.pointee.socket
    }
    return nil
  }

  /// A socket whose packets were freed after it stopped at its small-queue limit, first come first; `nil` when there is
  /// none, 0 for one that is gone. Linux: the list that `tcp_tasklet_func()` walks.
  public func takePending() -> UInt32? {
    guard let account = unsafe block.pointee.firstPending else { return nil }
    let next = unsafe account.pointee.nextPending
    unsafe block.pointee.firstPending = next
    if unsafe next == nil { unsafe block.pointee.lastPending = nil }
    unsafe account.pointee.isPending = false
    unsafe account.pointee.nextPending = nil
    let socket = unsafe account.pointee.socket
    let live = unsafe account.pointee.isThrottled
    // Whoever still finds no room says so again.
    unsafe account.pointee.isThrottled = false
    unsafe PoolBlock.release(account: account)
    return live ? socket : 0
  }
}

extension PoolBlock {
  /// - Parameter served: chunks that others are thought to take first.
  @usableFromInline
  func admitsWriter(_ use: MemoryUse, after served: Int) -> Bool {
    used + (served + Self.piecesOfSegment) * Self.chunkCost <= ceilings[Int(use.rawValue)]
  }
  /// The header and the data block of an empty segment, either of which may need a chunk.
  private static let piecesOfSegment = 2

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
    if unsafe account.pointee.isThrottled && !account.pointee.isPending && !account.pointee.isSending {
      // The list holds a reference until it is taken.
      unsafe account.pointee.isPending = true
      unsafe account.pointee.references += 1
      let pool = unsafe account.pointee.pool
      if let last = unsafe pool.pointee.lastPending {
        unsafe last.pointee.nextPending = account
      } else {
        unsafe pool.pointee.firstPending = account
      }
      unsafe pool.pointee.lastPending = account
    }
    unsafe release(account: account)
  }

  static func unlistWaiting(_ account: UnsafeMutablePointer<AccountBlock>) {
    let pool = unsafe account.pointee.pool
    let line = unsafe Int(account.pointee.waitingUse.rawValue)
    let next = unsafe account.pointee.nextWaiting
    let previous = unsafe account.pointee.previousWaiting
    if let next = unsafe next {
      unsafe next.pointee.previousWaiting = previous
    } else {
      unsafe pool.pointee.waiting[line].last = previous
    }
    if let previous = unsafe previous {
      unsafe previous.pointee.nextWaiting = next
    } else {
      unsafe pool.pointee.waiting[line].first = next
    }
    unsafe account.pointee.nextWaiting = nil
    unsafe account.pointee.previousWaiting = nil
    unsafe account.pointee.isWaiting = false
  }
}
