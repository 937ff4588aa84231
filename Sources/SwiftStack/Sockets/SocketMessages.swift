import SkBuff
import Sockets
import UDP

/// The full forms: a message with its destination, control messages and flags. Linux: sendmsg(2), recvmsg(2).
extension Socket {
  /// Sends one message; a stream may take fewer bytes than there are. Waits for room as `send` does.
  @discardableResult
  public func sendmsg(_ header: MessageHeader, _ bytes: [UInt8]) throws(SocketError) -> Int {
    var header = header
    let deadline = waitLimit(header.flags, sendTimeout)
    header.flags.insert(.dontWait)
    do {
      return try waiting(for: .writable, until: deadline) { [header] (state, id) throws(Errno) in
        try state.sendMessage(id, header, bytes)
      }
    } catch {
      throw SocketError("sendmsg", error, header.address)
    }
  }

  /// Receives one message, or what a stream has, with where it came from, its flags and its control messages; an error
  /// from the error queue with the flag `.errorQueue`.
  public func recvmsg(
    upTo limit: Int = 65535, flags: MessageFlags = []
  ) throws(SocketError) -> (bytes: [UInt8], message: ReceivedMessage) {
    try Self.calling("recvmsg") { () throws(Errno) in
      try waiting(for: .readable, until: waitLimit(flags, receiveTimeout)) { (state, id) throws(Errno) in
        try state.receiveMessage(id, upTo: limit, flags: flags.union(.dontWait))
      }
    }
  }
}

extension ShardState {
  fileprivate mutating func sendMessage(
    _ id: SocketID, _ header: MessageHeader, _ bytes: [UInt8]
  ) throws(Errno) -> Int {
    // Safe: a byte has no padding; the bytes outlive the iterator.
    unsafe try bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
      var iter = unsafe IovIter(source: buffer)
      return try sockets.sendmsg(id, header: header, iter: &iter, ip: &ip, net: &net)
    }
  }

  fileprivate mutating func receiveMessage(
    _ id: SocketID, upTo limit: Int, flags: MessageFlags
  ) throws(Errno) -> (bytes: [UInt8], message: ReceivedMessage) {
    var buffer = [UInt8](repeating: 0, count: max(limit, 0))
    var span = buffer.mutableSpan
    // Safe: any byte is a valid UInt8; the buffer outlives the iterator.
    var bytes = unsafe span.mutableBytes
    let message = unsafe try bytes.withUnsafeMutableBytes { (room) throws(Errno) in
      var iter = unsafe IovIter(destination: room)
      return try sockets.recvmsg(id, iter: &iter, flags: flags, ip: &ip, net: &net)
    }
    buffer.removeLast(max(0, buffer.count - message.byteCount))
    return (buffer, message)
  }
}
