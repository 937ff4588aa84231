import InetSocket
import Shard
import SkBuff
import Sockets
import UDP

/// The full forms: a message with its destination, control messages and flags. Linux: sendmsg(2), recvmsg(2).
extension Socket {
  /// Sends one message. Waits for room, and counts, as `send` does.
  @discardableResult
  public func sendmsg(_ header: MessageHeader, _ bytes: [UInt8]) throws(SocketError) -> Int {
    // Safe: a byte has no padding; the bytes outlive the call.
    try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(SocketError) in
      unsafe try send(buffer, header, "sendmsg")
    }
  }

  /// A send waited for room in vain.
  func countTimedOutSend() {
    try? enter { (state, id) throws(Errno) in state.sockets.countTimedOutSend(id, net: &state.host.net) }
  }

  /// Receives one message, or what a stream has, with where it came from, its flags and its control messages; an error
  /// from the error queue with the flag `.errorQueue`, which never waits: `poll` waits for one.
  public func recvmsg(upTo limit: Int = 65535, flags: MessageFlags = []) throws(SocketError) -> Received {
    try receiveArray("recvmsg", upTo: limit, flags: flags, patience(receiving: flags))
  }

  /// As the blocking form, suspending the task until there is a message.
  ///
  /// - Throws: as the blocking form; ECANCELED when the task was cancelled, and what came stays with the socket.
  public func recvmsg(
    upTo limit: Int = 65535, flags: MessageFlags = []
  ) async throws(SocketError) -> Received {
    try await receiveArray("recvmsg", upTo: limit, flags: flags, patience(receiving: flags))
  }

  private func patience(receiving flags: MessageFlags) -> Patience {
    flags.contains(.errorQueue) ? .none : patience(flags, .receiveTimeout)
  }
}
