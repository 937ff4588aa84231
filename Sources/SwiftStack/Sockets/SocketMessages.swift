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

  /// As sendmsg(2) has it: the name a `sockaddr_in`, and the control messages `cmsghdr`s of 64-bit Linux one behind the other.
  ///
  /// - Parameters:
  ///   - name: empty: the connected peer.
  ///   - nameLength: what is said of its length; `nil`: what it is. Over 128 counts as 128.
  ///   - control: empty: none.
  /// - Throws: EINVAL, EFAULT (shorter than it is said to be) and EAFNOSUPPORT for the name; EINVAL and EPERM for control messages; and as `send`.
  @discardableResult
  public func sendmsg(
    name: [UInt8], nameLength: Int? = nil, control: [UInt8], _ bytes: [UInt8], flags: MessageFlags = []
  ) throws(SocketError) -> Int {
    let header = try Self.calling("sendmsg") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        // Safe: a byte has no padding.
        try state.sockets.messageHeader(
          id, name: unsafe name.span.bytes, nameLength: nameLength ?? name.count,
          control: unsafe control.span.bytes,
          flags: flags, host: state.host)
      }
    }
    return try sendmsg(header, bytes)
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
