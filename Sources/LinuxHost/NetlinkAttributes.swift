import CLinux
import CMnl

/// The attributes of a received message, copied out of the socket's buffer. libmnl walks them and
/// checks every length; a value of the wrong size reads as absent.
struct NetlinkAttributes: Equatable {
  private var values: [UInt16: [UInt8]] = [:]

  /// - Parameter bytes: attributes from the first byte on; what follows a malformed one is ignored.
  init(_ bytes: ArraySlice<UInt8>) {
    // libmnl wants netlink's 4-byte alignment, which an array of its own has.
    let bytes = Array(bytes)
    // Safe: `attribute` moves only over what mnl_attr_ok has found to lie within the remaining bytes.
    unsafe bytes.withUnsafeBytes { all in
      guard let start = all.baseAddress else { return }
      var offset = 0
      while offset < all.count {
        let attribute = unsafe (start + offset).assumingMemoryBound(to: nlattr.self)
        guard unsafe mnl_attr_ok(attribute, Int32(all.count - offset)) else { return }
        let payload = unsafe UnsafeRawBufferPointer(
          start: mnl_attr_get_payload(attribute), count: Int(mnl_attr_get_payload_len(attribute)))
        unsafe values[mnl_attr_get_type(attribute)] = unsafe Array(payload)
        offset += (unsafe Int(attribute.pointee.nla_len) + 3) & ~3
      }
    }
  }

  func bytes(_ type: Int) -> [UInt8]? { values[UInt16(type)] }

  func nested(_ type: Int) -> NetlinkAttributes? { bytes(type).map { NetlinkAttributes($0[...]) } }

  func u8(_ type: Int) -> UInt8? { bytes(type).flatMap { $0.count == 1 ? $0[0] : nil } }

  /// Host byte order.
  func u32(_ type: Int) -> UInt32? {
    bytes(type).flatMap { b in
      b.count == 4 ? UInt32(b[0]) | UInt32(b[1]) << 8 | UInt32(b[2]) << 16 | UInt32(b[3]) << 24 : nil
    }
  }

  /// Network byte order: addresses.
  func u32BigEndian(_ type: Int) -> UInt32? { u32(type)?.byteSwapped }

  func string(_ type: Int) -> String? {
    bytes(type).map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
