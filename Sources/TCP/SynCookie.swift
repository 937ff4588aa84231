import InetSocket
import Tables
import Wire

/// What the number of a SYN-ACK says of the SYN that it answers, so that nothing is kept of it (RFC 4987 section 3.6): the
/// minute, and the peer's segment size. Linux: `secure_tcp_syn_cookie()`, `check_tcp_syn_cookie()`.
struct SynCookie {
  /// Segment sizes that a cookie can tell; a SYN's is rounded down. Linux: `msstab`.
  static let segmentSizes = [536, 1300, 1440, 1460]
  /// How many minutes one is good for, the one begun counted. Linux: `MAX_SYNCOOKIE_AGE`.
  static let age: UInt32 = 2
  private static let valueBits: UInt32 = 24

  private let keyed: SipHash
  private let tuple: FourTuple

  init(_ tuple: FourTuple, keyed: SipHash) {
    self.tuple = tuple
    self.keyed = keyed
  }

  /// What is added to the SYN's number, so that a cookie tells nobody the minute.
  private var base: UInt32 { UInt32(truncatingIfNeeded: hash(3)) }
  /// Of the SYN's number as well, where Linux only adds it: with a first segment of three bytes or fewer lost the second one
  /// would name another segment size, and begin the stream.
  private func hash(minute: UInt32, _ initial: SequenceNumber) -> UInt32 {
    UInt32(truncatingIfNeeded: keyed.hash(hash(1 << 31 | UInt64(minute)), UInt64(initial.rawValue)))
  }
  private func hash(_ purpose: UInt64) -> UInt64 {
    keyed.hash(local: tuple.local, remote: tuple.remote, purpose: purpose)
  }

  /// The number for a SYN-ACK.
  ///
  /// - Parameters:
  ///   - initial: the SYN's number.
  ///   - segmentSize: what the SYN names, in bytes.
  func number(initial: SequenceNumber, segmentSize: Int, minute: UInt32) -> SequenceNumber {
    let index = Self.segmentSizes.lastIndex { $0 <= segmentSize } ?? 0
    let value = (hash(minute: minute, initial) &+ UInt32(index)) & ((1 << Self.valueBits) - 1)
    return SequenceNumber(base &+ initial.rawValue &+ minute << Self.valueBits &+ value)
  }

  /// The segment size that a cookie tells, in bytes; `nil`: it is none of ours, or too old.
  func segmentSize(of number: SequenceNumber, initial: SequenceNumber, minute: UInt32) -> Int? {
    let cookie = number.rawValue &- base &- initial.rawValue
    let elapsed = (minute &- cookie >> Self.valueBits) & 0xFF
    guard elapsed < Self.age else { return nil }
    let index = (cookie &- hash(minute: minute &- elapsed, initial)) & ((1 << Self.valueBits) - 1)
    return index < Self.segmentSizes.count ? Self.segmentSizes[Int(index)] : nil
  }
}

/// What the lowest bits of a cookie's time stamp say of the SYN's other options.
/// Linux: `cookie_init_timestamp()`, `cookie_timestamp_decode()`.
struct CookieOptions {
  /// `nil`: the SYN asked for none.
  var windowScale: UInt8?
  var sackPermitted = false
  var isECN = false

  private static let scaleMask: UInt32 = 0xF
  private static let sackBit: UInt32 = 1 << 4
  private static let ecnBit: UInt32 = 1 << 5
  private static let mask: UInt32 = 0x3F

  init(windowScale: UInt8?, sackPermitted: Bool, isECN: Bool) {
    self.windowScale = windowScale
    self.sackPermitted = sackPermitted
    self.isECN = isECN
  }

  /// - Parameter timestamp: what the peer echoes, without the connection's offset.
  init(timestamp: UInt32) {
    let scale = timestamp & Self.scaleMask
    windowScale = scale == Self.scaleMask ? nil : UInt8(scale)
    sackPermitted = timestamp & Self.sackBit != 0
    isECN = timestamp & Self.ecnBit != 0
  }

  /// The latest time stamp that says so and is not ahead of the clock, in milliseconds.
  func timestamp(at now: UInt32) -> UInt32 {
    let bits =
      (windowScale.map(UInt32.init) ?? Self.scaleMask) | (sackPermitted ? Self.sackBit : 0)
      | (isECN ? Self.ecnBit : 0)
    let stamp = now & ~Self.mask | bits
    return stamp > now ? stamp &- (Self.mask + 1) : stamp
  }
}
