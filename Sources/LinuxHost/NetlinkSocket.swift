import CLinux
import CMnl
import Glibc

/// A NETLINK_ROUTE socket: the kernel's interfaces, addresses and routes, asked and changed through
/// libmnl. It stays in the network namespace it was opened in, whoever uses it later.
///
/// Every error carries the kernel's own explanation where it gives one (NETLINK_EXT_ACK).
@safe
public struct NetlinkSocket: ~Copyable {
  /// Owned; closed in deinit.
  private let socket: OpaquePointer
  private let portID: UInt32
  private var sequence: UInt32 = 0
  /// Reused for every datagram. A dump's datagrams are at most 32 KiB.
  private var buffer = [UInt8](repeating: 0, count: 65536)

  public init() throws(LinuxError) {
    // Safe: libmnl returns NULL or a socket that is ours to close.
    guard let socket = unsafe mnl_socket_open2(NETLINK_ROUTE, clinux_socket_close_on_exec) else {
      throw .last("open", "a netlink route socket")
    }
    guard unsafe mnl_socket_bind(socket, 0, 0) == 0 else {
      let error = LinuxError.last("bind", "a netlink route socket")
      unsafe mnl_socket_close(socket)
      throw error
    }
    var on: Int32 = 1
    for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
      // An older kernel without one of them only says less; nothing depends on it.
      _ = unsafe mnl_socket_setsockopt(socket, option, &on, 4)
    }
    unsafe self.socket = socket
    portID = unsafe mnl_socket_get_portid(socket)
  }

  public var rawDescriptor: Int32 { unsafe mnl_socket_get_fd(socket) }

  deinit {
    unsafe mnl_socket_close(socket)
  }

  /// Sends a request and collects the whole reply: the messages of a dump, the answer to a get, or
  /// nothing for a change that was acknowledged.
  mutating func transact(
    _ request: borrowing NetlinkRequest, _ operation: String, _ subject: String
  ) throws(LinuxError) -> [NetlinkMessage] {
    // An answer to a get is one message with nothing to say it was the last, unless asked for an ACK.
    precondition(request.endsVisibly, "A netlink request asks for a dump or an acknowledgement.")
    // A dump during which the tables changed is asked again; a busy system gets its last answer used.
    for _ in 0..<3 {
      var reply = NetlinkReply()
      sequence &+= 1
      guard unsafe request.send(on: socket, sequence: sequence) else { throw .last(operation, subject) }
      while !reply.isComplete { try receive(into: &reply, operation, subject) }
      if let error = reply.error {
        throw LinuxError(
          error, operation, subject, advice: Self.advice(for: error), kernelMessage: reply.kernelMessage)
      }
      if !reply.wasInterrupted { return reply.messages }
    }
    throw LinuxError(EAGAIN, operation, subject, reason: "the kernel's tables kept changing while being read")
  }

  private mutating func receive(
    into reply: inout NetlinkReply, _ operation: String, _ subject: String
  ) throws(LinuxError) {
    // Safe: the buffer's own pointer and count; libmnl reports ENOSPC for a longer datagram.
    let count = unsafe buffer.withUnsafeMutableBytes { room in
      unsafe mnl_socket_recvfrom(socket, room.baseAddress, room.count)
    }
    if count < 0 {
      if errno == EINTR { return }
      throw .last("read the kernel's answer to: \(operation)", subject)
    }
    let (sequence, portID) = (self.sequence, self.portID)
    // Safe: mnl_nlmsg_ok checks that each message lies within the remaining bytes before it is read.
    unsafe buffer.withUnsafeBytes { all in
      var remaining = Int32(count)
      var next = unsafe all.baseAddress!.assumingMemoryBound(to: nlmsghdr.self)
      while unsafe mnl_nlmsg_ok(next, remaining) {
        let header = unsafe next.pointee
        if unsafe mnl_nlmsg_seq_ok(next, sequence) && mnl_nlmsg_portid_ok(next, portID) {
          let payload = unsafe UnsafeRawBufferPointer(
            start: mnl_nlmsg_get_payload(next), count: mnl_nlmsg_get_payload_len(next))
          reply.take(
            NetlinkMessage(type: header.nlmsg_type, payload: unsafe Array(payload)), flags: header.nlmsg_flags
          )
        }
        unsafe next = UnsafePointer(mnl_nlmsg_next(next, &remaining)!)
      }
    }
  }

  private static func advice(for error: Int32) -> String? {
    error == EPERM ? "It takes CAP_NET_ADMIN: run as root." : nil
  }
}
