import Sockets
import TCP

extension Socket {
  /// Runs `body`, which takes a port by its number or listens on it, when no other shard's sockets are in the way: behind
  /// one address a port is one thing, whichever shard has it.
  ///
  /// - Parameter asked: by `bind()`; `nil`: the socket's own.
  /// - Throws: EADDRINUSE.
  func takingPort(_ asked: SocketAddress?, _ body: () throws(Errno) -> Void) throws(Errno) {
    guard type == .tcp, stack.shards.count > 1 else { return try body() }
    // One at a time, so that of two sockets that ask at once one gets it.
    try stack.portTaking.withLock { (_) throws(Errno) in
      let wish = try? enter { (state, id) throws(Errno) in try state.sockets.tcp.portWish(id, asked) }
      if let wish = wish ?? nil {
        for other in stack.shards where other !== shard {
          if other.inspect({ $0.sockets.tcp.refuses(wish) }) { throw .EADDRINUSE }
        }
      }
      try body()
    }
  }
}
