import InetSocket
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Wire

// Sends that lend their memory instead of having it copied. Linux: the parts of `tcp_sendmsg_locked()` that look at
// `MSG_ZEROCOPY`.
extension TCPConnection {
  /// Takes the caller's bytes. Never blocks.
  ///
  /// With `MSG_ZEROCOPY`, of a socket with `SO_ZEROCOPY` or for an owner who is told, packets carry the caller's memory,
  /// when it may be lent and the route's device takes packets in pieces; else the bytes are copied, and that is said.
  ///
  /// - Returns: how many were taken: fewer than offered when memory ran out or another floor's turn is due.
  /// - Throws: ENOBUFS when too many notifications are under way; and as `sendBytes`.
  mutating func sendmsg(
    _ iter: inout IovIter, flags: MessageFlags, controlError: Errno?, host: inout Host
  ) throws(Errno) -> Int {
    guard flags.contains(.zeroCopy), iter.count > 0, iter.hasNotification || core.options.zeroCopy else {
      // MSG_ZEROCOPY wins, also where it is nothing.
      var lending = Lending.none
      if flags.contains(.splicePages), !flags.contains(.zeroCopy), canLend(iter.isLendable, &host) {
        lending = .spliced(isShared: !flags.contains(.noSharedFragments))
      }
      return try sendBytes(&iter, lending: lending, flags: flags, controlError: controlError, host: &host)
    }
    // The caller's own, or that of a call which goes on, is the caller's to end.
    if let given = unsafe iter.notification?.takeUnretainedValue() {
      let lending = lending(given, iter.isLendable, &host)
      return try sendBytes(&iter, lending: lending, flags: flags, controlError: controlError, host: &host)
    }
    let made = try beginZeroCopy(iter.count, net: host.net)
    let lending = lending(made, iter.isLendable, &host)
    do {
      let count = try sendBytes(
        &iter, lending: lending, flags: flags, controlError: controlError, host: &host)
      core.endZeroCopy(made, net: host.net)
      return count
    } catch {
      core.abortZeroCopy(made, net: host.net)
      throw error
    }
  }

  /// - Throws: ENOBUFS.
  mutating func beginZeroCopy(_ byteCount: Int, net: borrowing Net) throws(Errno) -> SendNotification {
    let earlier = sender.writeQueue.last.flatMap { sender.notification(at: $0) }
    return try core.beginZeroCopy(byteCount, extending: earlier, net: net)
  }

  private mutating func lending(
    _ notification: SendNotification, _ isLendable: Bool, _ host: inout Host
  ) -> Lending {
    if canLend(isLendable, &host) { return .notified(notification) }
    notification.isCopied = true
    return .none
  }

  /// Whether packets may carry the caller's memory: it outlives the call, and the route's device takes packets in pieces.
  private mutating func canLend(_ isLendable: Bool, _ host: inout Host) -> Bool {
    // The route may have to be found again.
    if state.isConnected { _ = currentMSS(host: &host) }
    guard isLendable, let route = core.route else { return false }
    return host.link.features(of: route.interface).contains(.scatterGather)
  }
}

/// How the bytes of a send get into packets.
enum Lending {
  /// They are copied.
  case none
  /// Packets carry the caller's memory, and somebody is told when they do not any more.
  case notified(SendNotification)
  /// Packets carry memory that stays as it is, or may change as `isShared` says. Linux: `MSG_SPLICE_PAGES`.
  case spliced(isShared: Bool)

  var isNone: Bool { if case .none = self { true } else { false } }
}

extension TCPSender {
  /// Whose memory a packet of the write queue carries. Linux: `skb_zcopy()`.
  mutating func notification(at place: SkBuffQueue.Position) -> SendNotification? {
    writeQueue.withPacket(at: place) { $0.notification }
  }

  /// Whether bytes may be added to the packet: it tells one owner only. Linux: EEXIST of `skb_zerocopy_iter_stream()`.
  mutating func takes(_ lending: Lending, at place: SkBuffQueue.Position) -> Bool {
    guard case .notified(let notification) = lending, let other = self.notification(at: place) else {
      return true
    }
    return other === notification
  }

  /// Adds up to `count` of the caller's bytes to a packet of the write queue.
  ///
  /// - Parameter fragments: `max_skb_frags`; notified memory takes all the slots there are.
  mutating func append(
    _ iter: inout IovIter, count: Int, _ lending: Lending, use: MemoryUse, fragments: Int,
    at place: SkBuffQueue.Position
  ) -> (byteCount: Int, fault: Bool) {
    writeQueue.withMutablePacket(at: place) { skb in
      switch lending {
      case .none: skb.append(from: &iter, count: count, use: use, fragments: fragments)
      case .notified(let notification):
        (skb.lend(from: &iter, count: count, notification, use: use), false)
      case .spliced(let isShared):
        (
          skb.lend(from: &iter, count: count, nil, isShared: isShared, use: use, fragments: fragments), false
        )
      }
    }
  }
}

extension TCPLayer {
  /// A send with `MSG_ZEROCOPY` that opens the connection has its number before, and goes on with it when the connection is
  /// there already. What goes in the SYN is copied. Linux: `tcp_sendmsg_fastopen()` with `uarg`.
  ///
  /// - Throws: ENOBUFS; as `sendOpening`, and as `sendmsg` of a connection that is there.
  mutating func sendOpeningNotified(
    _ index: Int, to remote: SocketAddress?, _ iter: inout IovIter, flags: MessageFlags, controlError: Errno?,
    host: inout Host
  ) throws(Errno) -> Int {
    // The caller's own is the caller's to end.
    if let given = unsafe iter.notification?.takeUnretainedValue() {
      if let count = try sendOpening(index, to: remote, &iter, host: &host) {
        given.isCopied = true
        return count
      }
      return try sendOpened(index, iter: &iter, flags: flags, controlError: controlError, host: &host)
    }
    let made = try sockets[index].beginZeroCopy(iter.count, net: host.net)
    defer { unsafe iter.notification = nil }
    do {
      var count = try sendOpening(index, to: remote, &iter, host: &host)
      if count != nil {
        made.isCopied = true
      } else {
        // Safe: `made` is held here until the call ends.
        unsafe iter.notification = .passUnretained(made)
        count = try sendOpened(index, iter: &iter, flags: flags, controlError: controlError, host: &host)
      }
      sockets[index].core.endZeroCopy(made, net: host.net)
      return count ?? 0
    } catch {
      sockets[index].core.abortZeroCopy(made, net: host.net)
      throw error
    }
  }

  /// Whether every segment is signed, for which its bytes are read.
  public func isSigned(_ id: SocketID) -> Bool {
    guard let index = try? slot(id) else { return false }
    return sockets[index].signedByteCount > 0
  }

  /// Whether the last packet that waits has bytes that may change, for tests.
  package mutating func isTailShared(_ id: SocketID) -> Bool {
    guard let index = try? slot(id), let tail = sockets[index].sender.writeQueue.last else { return false }
    return sockets[index].sender.writeQueue.withPacket(at: tail) { $0.hasSharedFragments }
  }

  /// Takes a number for a send that will need several attempts. The caller ends it.
  ///
  /// - Returns: `nil` for a socket without `SO_ZEROCOPY`.
  /// - Throws: EBADF; ENOBUFS.
  public mutating func beginZeroCopy(
    _ id: SocketID, byteCount: Int, net: borrowing Net
  ) throws(Errno) -> SendNotification? {
    let index = try slot(id)
    guard sockets[index].core.options.zeroCopy else { return nil }
    return try sockets[index].beginZeroCopy(byteCount, net: net)
  }
}
