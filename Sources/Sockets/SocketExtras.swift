import NetNamespace
import Timers

/// Options that a socket keeps and its protocol does not act on.
struct SocketExtras {
  var debug = false
  /// `SO_LINGER`; Linux keeps the seconds when it is switched off.
  var isLingering = false
  var lingerSeconds: UInt32 = 0
  /// `SO_KEEPALIVE`, `SO_OOBINLINE`, `SO_RCVLOWAT` of a datagram socket, to which they mean nothing.
  var keepAlive = false
  var outOfBandInline = false
  var receiveLowWater = 1
  /// `SO_NO_CHECK` of a stream.
  var noChecksum = false
  var receiveTimeout: Nanoseconds?
  var sendTimeout: Nanoseconds?
  var broadcast = false
  var receiveTimeToLive = false
  var receiveTypeOfService = false
  var packetInfo = false

  /// `nil` when it is off. Zero: close resets.
  var linger: Nanoseconds? { isLingering ? .seconds(Int64(lingerSeconds)) : nil }
  /// `struct linger`.
  var lingerBytes: [UInt8] { SocketOptionValue.bytes(isLingering) + SocketOptionValue.bytes(lingerSeconds) }

  /// Sets it from a `struct linger`.
  ///
  /// - Throws: EINVAL when it is short.
  mutating func setLinger(_ value: RawSpan) throws(Errno) {
    guard value.byteCount >= 8 else { throw .EINVAL }
    isLingering = HostOrder.loadInt(value, 0) != 0
    if isLingering { lingerSeconds = HostOrder.load32(value, 4) }
  }
}
