import NetNamespace
import Timers

/// How an option's value lies in the caller's memory.
struct OptionType<Value>: Sendable {
  let decode: @Sendable (RawSpan) throws(Errno) -> Value
  /// The value in so many bytes of room, where that makes a difference; what is longer is cut.
  let encode: @Sendable (Value, _ room: Int) -> [UInt8]

  init(
    decode: @escaping @Sendable (RawSpan) throws(Errno) -> Value,
    encode: @escaping @Sendable (Value, _ room: Int) -> [UInt8]
  ) {
    self.decode = decode
    self.encode = encode
  }

  /// One whose bytes are the same however much room there is.
  init(
    decode: @escaping @Sendable (RawSpan) throws(Errno) -> Value,
    encode: @escaping @Sendable (Value) -> [UInt8]
  ) {
    self.init(decode: decode, encode: { (value, _) in encode(value) })
  }
}

extension OptionType<Int32> {
  /// An `int`. Longer values are allowed, shorter ones EINVAL.
  static let int = OptionType(
    decode: { (bytes) throws(Errno) in try SocketOptionValue.int(bytes) },
    encode: { SocketOptionValue.bytes(UInt32(bitPattern: $0)) })
  /// An `int`, or one byte, as options of the IP level may have it. Linux: `do_ip_setsockopt()`.
  static let intOrByte = OptionType(
    decode: { (bytes) throws(Errno) in try SocketOptionValue.intOrByte(bytes) },
    encode: { SocketOptionValue.intOrByte($0, room: $1) })
}

extension OptionType<Bool> {
  /// An `int` that is 0 or not.
  static let flag = OptionType(
    decode: { (bytes) throws(Errno) in try SocketOptionValue.int(bytes) != 0 },
    encode: { SocketOptionValue.bytes($0) })
  /// The same at the IP level.
  static let flagOrByte = OptionType(
    decode: { (bytes) throws(Errno) in try SocketOptionValue.intOrByte(bytes) != 0 },
    encode: { SocketOptionValue.intOrByte($0 ? 1 : 0, room: $1) })
}

extension OptionType<UInt64> {
  /// Bytes a second as an `int`, or as a `long`; all ones: no limit, and what an `int` cannot tell.
  /// Linux: `SO_MAX_PACING_RATE`.
  static let rate = OptionType(
    decode: { (bytes) throws(Errno) in
      if bytes.byteCount >= 8 { return HostOrder.load64(bytes, 0) }
      let value = UInt32(bitPattern: try SocketOptionValue.int(bytes))
      return value == .max ? .max : UInt64(value)
    },
    encode: { (rate, room) in
      room >= 8 ? SocketOptionValue.bytes(rate) : SocketOptionValue.bytes(UInt32(clamping: rate))
    })
}

extension OptionType<Nanoseconds?> {
  /// A `struct timeval` of two 64-bit numbers; 0: wait for ever.
  static let timeval = OptionType(
    decode: { (bytes) throws(Errno) in try SocketOptionValue.timeout(bytes) },
    encode: { SocketOptionValue.bytes(timeout: $0) })
}

extension OptionType<SocketLinger> {
  static let linger = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= 8 else { throw .EINVAL }
      return SocketLinger(
        isOn: HostOrder.loadInt(bytes, 0) != 0, seconds: HostOrder.load32(bytes, 4))
    },
    encode: { SocketOptionValue.bytes($0.isOn) + SocketOptionValue.bytes($0.seconds) })
}

extension OptionType<[UInt8]> {
  /// A name of at most 15 letters, which the caller may end with a zero byte. Linux: TCP_CA_NAME_MAX.
  static let name = OptionType(
    decode: { (bytes) throws(Errno) in
      guard bytes.byteCount >= 1 else { throw .EINVAL }
      var text: [UInt8] = []
      for offset in 0..<min(bytes.byteCount, 15) {
        let byte = bytes.load8(offset)
        if byte == 0 { break }
        text.append(byte)
      }
      return text
    },
    encode: { $0 + [UInt8](repeating: 0, count: max(0, 16 - $0.count)) })
  /// A struct that can only be read.
  static let bytes = OptionType(decode: { (_) throws(Errno) in throw .ENOPROTOOPT }, encode: { $0 })
}

/// `struct linger`.
struct SocketLinger: Sendable {
  var isOn: Bool
  var seconds: UInt32
}
