import Shard
import Sockets

/// What one try of a send took, and whether it has opened the connection that it was for (RFC 7413).
struct SendPart: Sendable {
  var byteCount: Int
  /// A caller that may wait waits for the peer's answer first; for another that is all.
  var isOpening: Bool

  /// - Parameters:
  ///   - isFirst: whether it is the caller's first try.
  ///   - mayWait: whether the caller does.
  init(
    isFirst: Bool, mayWait: Bool, _ state: inout Shard, _ id: SocketID,
    _ body: (inout Shard) throws(Errno) -> Int
  ) throws(Errno) {
    do throws(Errno) {
      byteCount = try body(&state)
      isOpening = isFirst && state.sockets.tcp.isOpening(id)
    } catch {
      guard error == .EINPROGRESS, isFirst, mayWait else { throw error }
      byteCount = 0
      isOpening = true
    }
  }
}

extension Socket {
  /// Runs a send. One that opens a connection from a port that the socket was bound to asks other shards first, as
  /// `connect` does.
  func holdingFlow<Result>(
    _ header: MessageHeader, _ body: () throws(Errno) -> Result
  ) throws(Errno) -> Result {
    guard header.flags.contains(.fastOpen), type == .tcp, let address = header.address else {
      return try body()
    }
    let wish = try enter { (state, id) throws(Errno) in
      state.sockets.tcp.connectionWish(id, to: address, host: &state.host)
    }
    guard let wish else { return try body() }
    return try takingFlow(wish, body)
  }
}
