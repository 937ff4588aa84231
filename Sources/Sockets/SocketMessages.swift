import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import TCP
import UDP
import Wire

/// Sending and receiving. Linux: `____sys_sendmsg()`, `sock_sendmsg()`, `sock_recvmsg()`.
extension SocketLayer {
  /// Sends what the iterator covers; every form of send comes through here. Never blocks.
  ///
  /// - Returns: bytes taken; a stream may take fewer than there are.
  /// - Throws: EBADF; what the policy says; EFAULT when no byte can be read; and the protocol's errors: EAGAIN, EPIPE,
  ///   EMSGSIZE, EDESTADDRREQ, ENOTCONN ...
  public mutating func sendmsg(
    _ id: SocketID, header: MessageHeader = MessageHeader(), iter: inout IovIter, host: inout Host
  ) throws(Errno) -> Int {
    let flags = header.flags.subtracting(.internalFlags).union(header.internalFlags)
    // What no processor reads cannot be copied.
    if iter.isUnreadable && (id.kind != .tcp || (header.control.deviceMemory ?? 0) == 0) { throw .EFAULT }
    if policy.isInUse { try checkPolicy(id, header, flags, &iter) }
    let asked = iter.count
    iter.copiesUntilFault = copiesUntilFault
    defer { copiesUntilFault = iter.copiesUntilFault }
    let sent = try operations(id).sendmsg(
      id, header: header, flags: flags, iter: &iter, &self, host: &host)
    host.net.tracer.record(
      .sock_sendmsg, socket: id.rawValue, UInt64(asked), UInt64(UInt32(bitPattern: flags.rawValue)),
      UInt64(sent))
    return sent
  }

  /// What is wrong with a datagram before its protocol looks at it.
  mutating func refusals(_ id: SocketID, _ header: borrowing MessageHeader) throws(Errno) -> SendRefusals {
    SendRefusals(name: header.nameError, control: try controlError(id, header))
  }

  /// What is wrong with the control messages of a send. Each protocol tells it among its own errors.
  mutating func controlError(_ id: SocketID, _ header: borrowing MessageHeader) throws(Errno) -> Errno? {
    if let error = header.controlError { return error }
    // What is collected goes as it was begun: its control messages are not looked at.
    guard !header.isParsed, header.control.concernsSocket, let kind = id.kind, !isCollecting(id) else {
      return nil
    }
    let rules = try controlRules(id)
    do throws(Errno) {
      try ControlMessages.check(header.control, for: kind, privileges: privileges, rules)
    } catch {
      return error
    }
    return nil
  }

  /// A caller gave up a send that it had repeated without `MSG_DONTWAIT`, whose EAGAIN was therefore not counted.
  /// Linux: SOCK_NOSPACE at the end of `udp_sendmsg()`.
  public mutating func countTimedOutSend(_ id: SocketID, net: inout Net) {
    try? operations(id).countTimedOutSend(net: &net)
  }

  /// As `sendmsg(2)` takes it: name and control messages as bytes.
  ///
  /// - Parameters:
  ///   - name: what can be read of the name; empty with `nameLength` 0 for none.
  ///   - control: the control messages, whole.
  /// - Throws: EINVAL, EFAULT, EAFNOSUPPORT for the name; EINVAL, EPERM for control messages; and as `sendmsg`.
  public mutating func sendmsg(
    _ id: SocketID, name: RawSpan, nameLength: Int, control: RawSpan, flags: MessageFlags,
    iter: inout IovIter, host: inout Host
  ) throws(Errno) -> Int {
    let header = try messageHeader(
      id, name: name, nameLength: nameLength, control: control, flags: flags, host: host)
    return try sendmsg(id, header: header, iter: &iter, host: &host)
  }

  /// A `msghdr`'s name and control messages, which are bytes there. Of a name over 128 bytes the first 128 are looked at.
  /// Linux: `__copy_msghdr()`; what its protocol finds wrong with either is told by `sendmsg`, in the order of the protocol.
  ///
  /// - Throws: EINVAL for a negative length; EFAULT when the name cannot be read; EBADF; a stream's errors of a name that
  ///   it is to connect to.
  public mutating func messageHeader(
    _ id: SocketID, name: RawSpan, nameLength: Int, control: RawSpan, flags: MessageFlags,
    host: borrowing Host
  ) throws(Errno) -> MessageHeader {
    guard let kind = id.kind else { throw .ENOTSOCK }
    var header = MessageHeader(flags: flags)
    guard nameLength >= 0 else { throw .EINVAL }
    let nameLength = min(nameLength, SocketName.maximumByteCount)
    guard name.byteCount >= nameLength else { throw .EFAULT }
    // What is collected goes where it was begun for, and as it was.
    if isCollecting(id) { return header }
    if nameLength != 0 {
      switch kind {
      // A stream looks at the name only when it is to connect to it.
      case .tcp where flags.contains(.fastOpen):
        header.address = try SocketName.parse(name, length: nameLength)
        // Linux: AF_UNSPEC in `tcp_sendmsg_fastopen()`.
        if header.address == nil { throw .EOPNOTSUPP }
      case .tcp: break
      case .udp, .udpLite, .ping:
        do throws(Errno) {
          header.address = try SocketName.parseDestination(name, length: nameLength, for: kind)
        } catch { header.nameError = error }
      }
    }
    if control.byteCount > 0 {
      header.isParsed = true
      do throws(Errno) {
        header.control = try ControlMessages.parse(
          control, for: kind, privileges: privileges, rules: try controlRules(id),
          isElsewhere: { host.internet.isElsewhere($0) })
      } catch {
        header.controlError = error
      }
    }
    return header
  }

  /// Takes a datagram, or what a stream has. Never blocks.
  ///
  /// - Returns: for a stream, 0 bytes is its end.
  /// - Throws: EBADF; EAGAIN when there is nothing; ENOTCONN; the pending error; EFAULT.
  public mutating func recvmsg(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags = [], host: inout Host
  ) throws(Errno) -> ReceivedMessage {
    let message: ReceivedMessage
    iter.copiesUntilFault = copiesUntilFault
    defer { copiesUntilFault = iter.copiesUntilFault }
    if flags.contains(.errorQueue) {
      let now = host.net.timeOfDay(at: host.net.now)
      let (error, hasMore) = try withCore(id) { (core) throws(Errno) in
        (try core.receiveError(into: &iter, now: now), core.hasQueuedError)
      }
      message = error
      // Who is told of changes only is told of the next. Linux: `sock_dequeue_err_skb()`.
      if hasMore { host.net.wake(id) }
    } else {
      message = try operations(id).recvmsg(id, iter: &iter, flags: flags, &self, host: &host)
    }
    Self.recordReceive(id, message.byteCount, flags, net: host.net)
    return message
  }

  /// As `recvmsg`, for who wants the bytes and nothing beside them: of a stream there is nothing else, and a message with
  /// room for an error's text is not handed up for each piece of it. Linux: `recv(2)`.
  public mutating func recv(
    _ id: SocketID, iter: inout IovIter, flags: MessageFlags = [], host: inout Host
  ) throws(Errno) -> Int {
    guard id.kind == .tcp, !flags.contains(.errorQueue) else {
      return try recvmsg(id, iter: &iter, flags: flags, host: &host).byteCount
    }
    iter.copiesUntilFault = copiesUntilFault
    defer { copiesUntilFault = iter.copiesUntilFault }
    let count = try tcp.recvmsg(id, iter: &iter, flags: flags, host: &host)
    Self.recordReceive(id, count, flags, net: host.net)
    return count
  }

  /// Whether a datagram is being collected.
  private func isCollecting(_ id: SocketID) -> Bool {
    switch id.kind {
    case .udp: udp.isCollecting(id)
    case .udpLite: udpLite.isCollecting(id)
    case .tcp, .ping, nil: false
    }
  }

  /// Whether a receive tells nothing but bytes: of a stream that was not asked when they came or what is left.
  package mutating func givesOnlyBytes(_ id: SocketID, _ flags: MessageFlags) -> Bool {
    guard id.kind == .tcp, flags.isDisjoint(with: [.errorQueue, .outOfBand]) else { return false }
    return (try? withCore(id) { (core) throws(Errno) in !core.tellsArrival && !core.tellsUnread }) ?? true
  }

  private static func recordReceive(_ id: SocketID, _ count: Int, _ flags: MessageFlags, net: borrowing Net) {
    net.tracer.record(
      .sock_recvmsg, socket: id.rawValue, UInt64(count), UInt64(UInt32(bitPattern: flags.rawValue)),
      UInt64(count))
  }
}
