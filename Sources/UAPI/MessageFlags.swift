/// Flags of a send or receive; Linux's values.
@frozen
public struct MessageFlags: OptionSet, Hashable, Sendable {
  public var rawValue: Int32
  @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
  @inlinable public static var outOfBand: MessageFlags { MessageFlags(rawValue: 0x1) }
  @inlinable public static var peek: MessageFlags { MessageFlags(rawValue: 0x2) }
  @inlinable public static var dontRoute: MessageFlags { MessageFlags(rawValue: 0x4) }
  @inlinable public static var controlTruncated: MessageFlags { MessageFlags(rawValue: 0x8) }
  @inlinable public static var probe: MessageFlags { MessageFlags(rawValue: 0x10) }
  @inlinable public static var truncate: MessageFlags { MessageFlags(rawValue: 0x20) }
  @inlinable public static var dontWait: MessageFlags { MessageFlags(rawValue: 0x40) }
  @inlinable public static var endOfRecord: MessageFlags { MessageFlags(rawValue: 0x80) }
  @inlinable public static var waitAll: MessageFlags { MessageFlags(rawValue: 0x100) }
  @inlinable public static var confirm: MessageFlags { MessageFlags(rawValue: 0x800) }
  @inlinable public static var errorQueue: MessageFlags { MessageFlags(rawValue: 0x2000) }
  @inlinable public static var noSignal: MessageFlags { MessageFlags(rawValue: 0x4000) }
  /// Of `recvmmsg`: only the first message is waited for.
  @inlinable public static var waitForOne: MessageFlags { MessageFlags(rawValue: 0x1_0000) }
  @inlinable public static var more: MessageFlags { MessageFlags(rawValue: 0x8000) }
  /// Of callers inside the stack: the bytes stay as they are, and need no copy. Linux: `MSG_SPLICE_PAGES`.
  @inlinable public static var splicePages: MessageFlags { MessageFlags(rawValue: 0x800_0000) }
  /// Of callers inside the stack: nobody else may change what is spliced. Linux: `MSG_NO_SHARED_FRAGS`.
  @inlinable public static var noSharedFragments: MessageFlags { MessageFlags(rawValue: 0x8_0000) }
  @inlinable public static var zeroCopy: MessageFlags { MessageFlags(rawValue: 0x400_0000) }
  @inlinable public static var fastOpen: MessageFlags { MessageFlags(rawValue: 0x2000_0000) }
}
