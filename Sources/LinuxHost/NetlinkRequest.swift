import CLinux
import CMnl

/// One netlink message being built: header, the family's fixed part, attributes. libmnl writes it.
@safe
struct NetlinkRequest: ~Copyable {
  /// Far above the largest request made here; every put checks against it.
  private static let capacity = 2048

  /// Owned, zeroed by libmnl's putters as the message grows, `capacity` bytes.
  private let buffer: UnsafeMutableRawPointer
  private let header: UnsafeMutablePointer<nlmsghdr>

  /// - Parameter flags: beside NLM_F_REQUEST: NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE ...
  init(_ type: Int, flags: Int32) {
    // Owned from here to deinit, aligned for every netlink structure.
    unsafe buffer = UnsafeMutableRawPointer.allocate(byteCount: Self.capacity, alignment: 16)
    unsafe header = mnl_nlmsg_put_header(buffer)
    unsafe header.pointee.nlmsg_type = UInt16(type)
    unsafe header.pointee.nlmsg_flags = UInt16(NLM_F_REQUEST | flags)
  }

  deinit {
    unsafe buffer.deallocate()
  }

  /// Whether the kernel will mark the end of its reply: with NLMSG_DONE or an acknowledgement.
  var endsVisibly: Bool { unsafe Int32(header.pointee.nlmsg_flags) & (NLM_F_DUMP | NLM_F_ACK) != 0 }

  /// The family's fixed part: `ifinfomsg`, `ifaddrmsg`, `rtmsg`. Comes before any attribute.
  mutating func putFixedPart<T: BitwiseCopyable>(_ value: T) {
    let size = MemoryLayout<T>.size
    precondition(
      unsafe Int(header.pointee.nlmsg_len) + size <= Self.capacity, "A netlink request outgrew its buffer.")
    // Safe: the room was just checked; libmnl returns a place of `size` bytes in our buffer.
    let place = unsafe mnl_nlmsg_put_extra_header(header, size)!
    unsafe place.storeBytes(of: value, as: T.self)
  }

  mutating func put(_ attribute: Int, _ value: UInt32) {
    let fits = unsafe mnl_attr_put_u32_check(header, Self.capacity, UInt16(attribute), value)
    precondition(fits, "A netlink request outgrew its buffer.")
  }

  /// A NUL-terminated string.
  mutating func put(_ attribute: Int, _ text: String) {
    // Safe: libmnl copies the string, whose NUL-terminated bytes Swift lends for the call.
    let fits = unsafe mnl_attr_put_strz_check(header, Self.capacity, UInt16(attribute), text)
    precondition(fits, "A netlink request outgrew its buffer.")
  }

  mutating func put(_ attribute: Int, _ bytes: [UInt8]) {
    // Safe: libmnl copies the array's bytes, lent for the call.
    let fits = unsafe bytes.withUnsafeBytes { source in
      unsafe mnl_attr_put_check(header, Self.capacity, UInt16(attribute), source.count, source.baseAddress)
    }
    precondition(fits, "A netlink request outgrew its buffer.")
  }

  /// Sends the message under a sequence number. Returns false with errno set when that fails.
  func send(on socket: OpaquePointer, sequence: UInt32) -> Bool {
    unsafe header.pointee.nlmsg_seq = sequence
    // Safe: nlmsg_len bytes of our buffer have been written.
    return unsafe mnl_socket_sendto(socket, header, Int(header.pointee.nlmsg_len)) >= 0
  }
}
