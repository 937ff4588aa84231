import NetNamespace
import UDP
import Wire

/// What a send says beside its bytes. Linux: `struct msghdr`, its control messages already parsed.
public struct MessageHeader: Sendable {
  /// `nil`: the connected peer. A connected stream socket ignores it.
  public var address: SocketAddress?
  /// Control messages. Linux: `msg_control`.
  public var control: SendControl
  /// `MSG_*`. Linux: the argument of `sendmsg()`.
  public var flags: MessageFlags
  /// What is wrong with a datagram's name; told when nothing that comes before it is.
  @usableFromInline package var nameError: Errno?
  /// What is wrong with the control messages; told when nothing that comes before it is. Linux: `sockc_err` of a stream.
  @usableFromInline package var controlError: Errno?
  /// The control messages came as bytes, and what they may ask for was looked at as they were read.
  @usableFromInline var isParsed = false
  /// Flags that only callers inside the stack may set.
  @usableFromInline package var internalFlags: MessageFlags = []

  @inlinable public init(
    address: SocketAddress? = nil, control: SendControl = SendControl(), flags: MessageFlags = []
  ) {
    self.address = address
    self.control = control
    self.flags = flags
  }
}

extension MessageFlags {
  /// What only the kernel's own callers may set: `MSG_SENDPAGE_NOPOLICY`, `MSG_SENDPAGE_DECRYPTED`, `MSG_SPLICE_PAGES`.
  /// Linux: `MSG_INTERNAL_SENDMSG_FLAGS`.
  static let internalFlags = MessageFlags(rawValue: 0x10000 | 0x10_0000 | 0x800_0000)
}
