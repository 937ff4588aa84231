import NetNamespace
import Wire

/// `struct sockaddr` as bytes. Linux: `move_addr_to_kernel()`, and the checks of each protocol.
/// ```
///  | family (host order) | port | address | 8 bytes of zero |
/// ```
public enum SocketName {
  /// `sizeof(struct sockaddr_in)`.
  public static let byteCount = 16
  /// `sizeof(struct sockaddr_storage)`: no name is longer.
  public static let maximumByteCount = 128

  /// Reads an address that a caller gave.
  ///
  /// - Parameters:
  ///   - bytes: what can be read at the address.
  ///   - length: the length the caller said.
  /// - Returns: `nil` for AF_UNSPEC, which `connect` takes as "no peer".
  /// - Throws: EINVAL when the length is negative, over 128 or under 16; EFAULT when fewer bytes can be read;
  ///   EAFNOSUPPORT for another family.
  public static func parse(_ bytes: RawSpan, length: Int) throws(Errno) -> SocketAddress? {
    guard length >= 0, length <= maximumByteCount else { throw .EINVAL }
    guard bytes.byteCount >= length else { throw .EFAULT }
    guard length >= 2 else { throw .EINVAL }
    let family = HostOrder.load16(bytes, 0)
    if family == AddressFamily.unspecified.rawValue { return nil }
    guard length >= byteCount else { throw .EINVAL }
    guard family == AddressFamily.inet.rawValue else { throw .EAFNOSUPPORT }
    return SocketAddress(bytes.loadIPv4(4), port: bytes.load16(2))
  }

  /// As `parse`, for the destination of a datagram: AF_UNSPEC counts as AF_INET there, but for an echo socket.
  /// Linux: `udp_sendmsg()`, `ping_v4_sendmsg()`.
  public static func parseDestination(
    _ bytes: RawSpan, length: Int, for kind: SocketID.Kind = .udp
  ) throws(Errno) -> SocketAddress {
    guard length >= byteCount else { throw .EINVAL }
    if let address = try parse(bytes, length: length) { return address }
    guard kind != .ping else { throw .EAFNOSUPPORT }
    return SocketAddress(bytes.loadIPv4(4), port: bytes.load16(2))
  }

  static func bytes(_ address: SocketAddress) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var span = bytes.mutableSpan
    // Plain bytes, any value is good.
    var target = unsafe span.mutableBytes
    write(address, to: &target)
    return bytes
  }

  /// Writes a `sockaddr_in`. Only an IPv4 address has one.
  @_lifetime(bytes: copy bytes)
  public static func write(_ address: SocketAddress, to bytes: inout MutableRawSpan) {
    HostOrder.store16(AddressFamily.inet.rawValue, to: &bytes, at: 0)
    bytes.store16(address.port, 2)
    bytes.store32(address.address.v4?.rawValue ?? 0, 4)
    bytes.store32(0, 8)
    bytes.store32(0, 12)
  }
}

/// Values of C structs in memory, which are in the machine's order; Swift's targets here are little-endian.
enum HostOrder {
  static func load16(_ bytes: RawSpan, _ offset: Int) -> UInt16 { bytes.load16(offset).byteSwapped }
  static func load32(_ bytes: RawSpan, _ offset: Int) -> UInt32 { bytes.load32(offset).byteSwapped }
  static func loadInt(_ bytes: RawSpan, _ offset: Int) -> Int32 { Int32(bitPattern: load32(bytes, offset)) }
  static func load64(_ bytes: RawSpan, _ offset: Int) -> UInt64 {
    UInt64(load32(bytes, offset)) | UInt64(load32(bytes, offset + 4)) << 32
  }
  @_lifetime(bytes: copy bytes)
  static func store16(_ value: UInt16, to bytes: inout MutableRawSpan, at offset: Int) {
    bytes.store16(value.byteSwapped, offset)
  }
  @_lifetime(bytes: copy bytes)
  static func store32(_ value: UInt32, to bytes: inout MutableRawSpan, at offset: Int) {
    bytes.store32(value.byteSwapped, offset)
  }
  @_lifetime(bytes: copy bytes)
  static func store64(_ value: UInt64, to bytes: inout MutableRawSpan, at offset: Int) {
    store32(UInt32(truncatingIfNeeded: value), to: &bytes, at: offset)
    store32(UInt32(truncatingIfNeeded: value >> 32), to: &bytes, at: offset + 4)
  }
}
