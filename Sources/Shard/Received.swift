import InetSocket
import Sockets

/// What a receive brought. Linux: what recvmsg(2) leaves in `struct msghdr`.
public struct Received: Sendable {
  /// The bytes; empty where the caller gave the memory for them.
  public var bytes: [UInt8]
  /// Bytes stored; with `.truncate` asked for, a datagram's whole length.
  public var byteCount: Int
  /// Who sent a datagram; for an error, where the datagram that failed was going. `nil` on a stream.
  public var source: SocketAddress?
  /// `.truncate`: the datagram was longer than the room for it; `.errorQueue`: it is an error.
  public var flags: MessageFlags
  /// The control messages that the socket's options asked for.
  public var control: ReceivedControl

  /// The control messages as recvmsg(2) writes them: `cmsghdr`s of 64-bit Linux one behind the other.
  ///
  /// - Parameter room: most bytes; what is beyond is cut off.
  /// - Returns: the bytes, and whether some were cut off (`MSG_CTRUNC`).
  public func controlMessages(room: Int = 1024) -> (bytes: [UInt8], isTruncated: Bool) {
    var bytes = [UInt8](repeating: 0, count: max(0, room))
    // Safe: a byte has no padding.
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    let written = ControlMessages.write(control, to: &raw)
    return (Array(bytes[..<written.byteCount]), written.isTruncated)
  }

  /// What a stream brings into memory of the caller's.
  init(byteCount: Int) {
    self.init(ReceivedMessage(byteCount: byteCount))
  }

  init(_ message: ReceivedMessage, bytes: [UInt8] = []) {
    self.bytes = bytes
    byteCount = message.byteCount
    source = message.source
    flags = message.flags
    control = message.control
  }
}
