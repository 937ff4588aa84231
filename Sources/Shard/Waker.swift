/// What threads or tasks sleep on that wait for a socket. What it does is the rim's.
open class Waker: @unchecked Sendable {
  /// Nobody sleeps yet.
  public init() {}
  /// Wakes whoever sleeps. Called when the shard's lock has been left; may come from any thread.
  open func signal() {}
}

/// Waiters to be woken by whoever leaves the shard's lock, in the order of their events: what a woken task does at once
/// may enter the stack.
package struct WokenWaiters: Sendable {
  private var first: Waker?
  private var others: [Waker]?

  package init() {}

  package var isEmpty: Bool { first == nil }

  package mutating func append(_ waiter: Waker) {
    if first == nil {
      first = waiter
    } else if others == nil {
      others = [waiter]
    } else {
      others?.append(waiter)
    }
  }

  package mutating func take() -> WokenWaiters {
    let taken = self
    self = WokenWaiters()
    return taken
  }

  package func wake() {
    first?.signal()
    guard let others else { return }
    for waiter in others { waiter.signal() }
  }
}
