import Glibc
import InetSocket
import Shard
import Sockets
import Synchronization

/// Held while a socket of one of several shards takes a port by its number, so that of two that ask at once one gets it.
///
/// A thread that leaves a shard wakes others, and what runs then may take a port on the same thread.
final class PortTaking: Sendable {
  private let lock = Guarded<Void>(())
  private let holder = Atomic<UInt>(0)

  func hold<Result>(_ body: () throws(Errno) -> Result) throws(Errno) -> Result {
    let thread = UInt(pthread_self())
    if holder.load(ordering: .relaxed) == thread { return try body() }
    return try lock.withLock { (_) throws(Errno) in
      holder.store(thread, ordering: .relaxed)
      defer { holder.store(0, ordering: .relaxed) }
      return try body()
    }
  }
}

extension Socket {
  /// Runs `body`, which opens a connection from a port that the socket was bound to, when no other shard has that very
  /// connection.
  ///
  /// - Throws: EADDRNOTAVAIL.
  func takingFlow<Result>(
    _ wish: ConnectionWish, _ body: () throws(Errno) -> Result
  ) throws(Errno) -> Result {
    try stack.portTaking.hold { () throws(Errno) in
      for (index, other) in stack.shards.enumerated() where wish.others >> UInt64(index) & 1 == 1 {
        if other.inspect({ $0.sockets.tcp.refuses(wish) }) { throw .EADDRNOTAVAIL }
      }
      return try body()
    }
  }

  /// Runs `body`, which takes a port by its number or listens on it, when no other shard's sockets are in the way: behind
  /// one address a port is one thing, whichever shard has it.
  ///
  /// - Parameter asked: by `bind()`; `nil`: the socket's own.
  /// - Throws: EADDRINUSE.
  func takingPort(_ asked: SocketAddress?, _ body: () throws(Errno) -> Void) throws(Errno) {
    guard stack.shards.count > 1 else { return try body() }
    try stack.portTaking.hold { () throws(Errno) in
      let wish = try? enter { (state, id) throws(Errno) in try state.sockets.portWish(id, asked) }
      if let wish = wish ?? nil {
        for (index, other) in stack.shards.enumerated() where wish.others >> UInt64(index) & 1 == 1 {
          if other.inspect({ $0.sockets.refuses(wish, of: id) }) { throw .EADDRINUSE }
        }
      }
      try body()
    }
  }
}
