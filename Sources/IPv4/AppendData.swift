import NetNamespace
import SkBuff
import Timers
import Wire

/// One datagram while its bytes are being collected. Linux: `struct inet_cork` with its queue, `ip_append_data()`.
///
/// A datagram that fits the MTU is one packet. A longer one is cut into fragment-sized packets while it is copied:
/// each but the last carries a multiple of 8 bytes (RFC 791 section 3.2). The last packet may be filled to the MTU; when
/// more bytes follow it, those past the multiple of 8 move on to the next packet.
///
/// Every packet begins at its share of the IP payload and has room in front for the IP header and the device's. The
/// transport header's bytes are left unwritten in the first packet.
public struct AppendData: ~Copyable {
  private var packets = SkBuffQueue()
  /// Bytes collected, transport header included.
  public private(set) var byteCount = 0
  /// The sum over the payload of the packets that are complete; transport header left out.
  private var sum = InternetChecksum()
  private var truesize = 0
  private var use = MemoryUse.ordinary
  private let transportHeaderByteCount: Int
  /// IP payload of a packet that is the last one, and of one that another follows.
  private let wholePayload: Int
  private let alignedPayload: Int
  private var limit: Int
  private let headerByteCount: Int
  private let headroom: Int
  private let scatterGather: Bool
  private let isSummed: Bool
  /// The payload is summed while it is copied: it will be wanted, and nobody else can make it.
  private let sumsCopies: Bool
  /// The sum over the payload of the last packet, and whether all of that was summed.
  private var tailSum = InternetChecksum()
  private var isTailSummed = false
  /// The datagram was whole with its first bytes: the device makes its checksum. Linux: `CHECKSUM_PARTIAL`.
  public private(set) var isLeftToDevice = false
  /// Who is told of the memory that the datagram carries. Linux: `skb_zcopy()`.
  public private(set) var notification: SendNotification?
  /// Whom the first packet's times are told, and its number.
  public var stamp: (request: StampRequest, key: UInt32) = ([], 0)

  /// - Parameters:
  ///   - mtu: of the path, or of the device when the path's is not to be used.
  ///   - refusesFragments: a datagram over `mtu` is EMSGSIZE. Linux: not `ip_sk_ignore_df()`.
  ///   - headroom: bytes the device needs in front of the IP header.
  ///   - scatterGather: whether the device takes page fragments.
  ///   - isSummed: whether the payload's sum will be asked for when the datagram is cut.
  ///   - sumsCopies: unless the device makes the sum, it is wanted whether or not the datagram is cut.
  ///   - optionByteCount: bytes of IP options that each packet will have.
  public init(
    transportHeaderByteCount: Int, mtu: Int, refusesFragments: Bool, headroom: Int, scatterGather: Bool,
    isSummed: Bool, sumsCopies: Bool = false, optionByteCount: Int = 0
  ) {
    self.transportHeaderByteCount = transportHeaderByteCount
    headerByteCount = IPv4Header.minimumByteCount + optionByteCount
    wholePayload = max(mtu, 68) - headerByteCount
    alignedPayload = wholePayload & ~7
    limit = refusesFragments ? wholePayload : 0xFFFF - headerByteCount
    self.headroom = headroom + headerByteCount
    self.scatterGather = scatterGather
    self.isSummed = isSummed
    self.sumsCopies = sumsCopies && isSummed
  }

  /// Of an empty datagram: `count` bytes are all that it will have, unless `more` are to come, and its device can sum them.
  /// Linux: the choice of `csummode` in `__ip_append_data()`.
  public mutating func leaveSumToDevice(count: Int, more: Bool) {
    isLeftToDevice = !more && transportHeaderByteCount + count <= wholePayload
  }

  /// Whether `count` bytes more would be too many. Linux: `maxnonfragsize`.
  public func isExceeded(by count: Int) -> Bool {
    count > limit - byteCount - (packets.isEmpty ? transportHeaderByteCount : 0)
  }

  /// The sender's mind about fragments may change from one append to the next.
  public mutating func setRefusing(fragments: Bool) {
    limit = fragments ? wholePayload : 0xFFFF - headerByteCount
  }

  /// How many packets the datagram makes so far.
  public var packetCount: Int { packets.count }
  /// What the collected packets cost in memory.
  public var memory: Int { truesize }

  /// Adds `count` of the caller's bytes. After an error the datagram is not whole any more: end it.
  ///
  /// - Parameters:
  ///   - account: the sending socket's; packets are charged to it as they are completed.
  ///   - notification: the packet carries the caller's memory, if that may be lent, the device takes packets in pieces and sums
  ///     them; else the bytes are copied, and that is said. `nil`: they are copied.
  ///   - sendBuffer: SO_SNDBUF. The first packet needs the account below it, later ones below twice it.
  /// - Throws: EMSGSIZE over 65,515 bytes, or over the MTU when fragments are refused; EFAULT; EAGAIN when the send
  ///   buffer is full; ENOBUFS when it is overrun by the datagram itself or memory is short.
  public mutating func append(
    from iter: inout IovIter, count: Int, lendingFor notification: SendNotification? = nil,
    splicing: MessageFlags = [],
    account: borrowing SocketAccount, socket: UInt32, sendBuffer: Int, pool: SkBuffPool
  ) throws(Errno) {
    var isLent = splicing.contains(.splicePages) && scatterGather && iter.isLendable
    let isShared = !splicing.contains(.noSharedFragments)
    if let notification {
      isLent = packets.isEmpty && isLeftToDevice && scatterGather && iter.isLendable
      if isLent { self.notification = notification } else { notification.isCopied = true }
    }
    let header = packets.isEmpty ? transportHeaderByteCount : 0
    guard !isExceeded(by: count) else { throw .EMSGSIZE }
    guard iter.count >= count else { throw .EFAULT }
    if packets.isEmpty {
      guard account.writeAllocated < sendBuffer else { throw .EAGAIN }
      let linear = isLent ? header : linearBytes(header + count)
      // A socket with nothing on its way gets its datagram.
      use = account.writeAllocated == 0 ? .guaranteed : .ordinary
      guard var skb = allocate(linear, pool) else { throw .ENOBUFS }
      skb.put(header)
      skb.setTransportHeader()
      skb.stamps = stamp.request
      skb.stampKey = stamp.key
      byteCount = header
      isTailSummed = sumsCopies && !isLeftToDevice
      packets.append(skb)
    }
    var left = count
    while left > 0 {
      guard var last = packets.popLast() else { preconditionFailure("a datagram in the making has a packet") }
      let whole = wholePayload - last.length
      let room = left <= whole ? whole : alignedPayload - last.length
      guard room <= 0 else {
        let part = min(room, left)
        let failure =
          isLent
          ? lend(&last, from: &iter, count: part, notification, isShared: isShared)
          : fill(&last, from: &iter, count: part)
        packets.append(last)
        if let failure { throw failure }
        left -= part
        byteCount += part
        continue
      }
      guard account.writeAllocated + last.truesize <= 2 * sendBuffer else { throw .ENOBUFS }
      let gap = last.length - alignedPayload
      let linear = isLent ? gap : linearBytes(min(gap + left, wholePayload))
      guard var next = allocate(max(linear, gap), pool) else { throw .ENOBUFS }
      // What moves on is summed again. Linux: `skb_copy_and_csum_bits()`.
      var moved = InternetChecksum()
      if gap > 0 {
        next.put(copying: last, from: alignedPayload, count: gap)
        moved.add(last.checksum(from: alignedPayload, count: gap), at: 0)
        tailSum.subtract(moved)
        guard last.trim(to: alignedPayload) else { throw .ENOBUFS }
      }
      settle(&last, account: account, socket: socket, summing: isSummed)
      tailSum = moved
      isTailSummed = sumsCopies && !isLeftToDevice
      packets.append(last)
      packets.append(next)
    }
  }

  /// Linear bytes for a packet that will carry `count`: all of them when they fit the packet's own small area or the
  /// device needs them in one piece; otherwise only the headers, and the bytes go to page fragments.
  private func linearBytes(_ count: Int) -> Int {
    let wanted = min(count, wholePayload)
    if headroom + wanted <= SkBuff.smallHeadByteCount { return wanted }
    if !scatterGather && headroom + wanted <= SkBuffPool.chunkByteCount { return wanted }
    return transportHeaderByteCount
  }

  /// A long linear area takes a whole page, but is charged as what Linux's allocator would give it: the limits that count
  /// truesize (SO_SNDBUF, packets that wait for a neighbour) hold as many fragments as there.
  private func allocate(_ linear: Int, _ pool: SkBuffPool) -> SkBuff? {
    guard var skb = pool.allocate(headroom: headroom, linear: linear, use: use) else { return nil }
    let needed = headroom + linear
    if needed > SkBuff.smallHeadByteCount && needed <= 2048 { skb.truesize = SkBuff.overhead + 2048 }
    return skb
  }

  private mutating func fill(_ skb: inout SkBuff, from iter: inout IovIter, count: Int) -> Errno? {
    let header = truesize == 0 ? transportHeaderByteCount : 0
    if count <= skb.tailroom && (count <= SkBuff.smallHeadByteCount || !scatterGather) {
      let place = skb.length - header
      var sum: InternetChecksum? = isTailSummed ? InternetChecksum() : nil
      guard skb.put(from: &iter, count: count, sum: &sum) else { return .EFAULT }
      if let sum { tailSum.add(sum, at: place) }
      return nil
    }
    var left = count
    while left > 0 {
      let place = skb.length - header
      var sum: InternetChecksum? = isTailSummed ? InternetChecksum() : nil
      let (added, fault) = skb.append(from: &iter, count: left, use: use, sum: &sum)
      if let sum { tailSum.add(sum, at: place) }
      if fault { return .EFAULT }
      if added == 0 { return skb.fragmentCount == SkBuff.maximumFragments ? .EMSGSIZE : .ENOMEM }
      left -= added
    }
    return nil
  }

  private mutating func lend(
    _ skb: inout SkBuff, from iter: inout IovIter, count: Int, _ notification: SendNotification?,
    isShared: Bool
  ) -> Errno? {
    isTailSummed = false
    let added = skb.lend(from: &iter, count: count, notification, isShared: isShared, use: use)
    if added == count { return nil }
    return skb.fragmentCount == SkBuff.maximumFragments ? .EMSGSIZE : .ENOMEM
  }

  /// The packet is complete: its bytes are summed, unless they were when they were copied, and the socket pays for it.
  private mutating func settle(
    _ skb: inout SkBuff, account: borrowing SocketAccount, socket: UInt32, summing: Bool
  ) {
    if summing && isTailSummed {
      sum.add(tailSum, at: 0)
    } else if summing {
      // Packets before it carry multiples of 8 bytes, so this one begins at an even offset.
      let header = truesize == 0 ? transportHeaderByteCount : 0
      sum.add(skb.checksum(from: header, count: skb.length - header), at: 0)
    }
    truesize += skb.truesize
    skb.chargeWrite(to: account, socket: socket)
  }

  /// Ends the datagram.
  ///
  /// - Parameter sumsWhole: whether the sum is wanted even when the datagram is one packet.
  /// - Returns: its packets, first one first, and the sum over the payload, if that was asked for.
  public consuming func finish(
    account: borrowing SocketAccount, socket: UInt32, sumsWhole: Bool
  ) -> FinishedDatagram {
    if var last = packets.popLast() {
      let isOnly = packets.isEmpty
      settle(&last, account: account, socket: socket, summing: isOnly ? sumsWhole : isSummed)
      packets.append(last)
    }
    return FinishedDatagram(packets: packets, byteCount: byteCount, sum: sum)
  }
}

/// A datagram whose bytes are all there. Linux: what `ip_make_skb()` returns.
public struct FinishedDatagram: ~Copyable {
  public var packets: SkBuffQueue
  /// Transport header and payload.
  public let byteCount: Int
  /// Sum over the payload, transport header left out.
  public private(set) var sum: InternetChecksum

  init(packets: consuming SkBuffQueue, byteCount: Int, sum: InternetChecksum) {
    self.packets = packets
    self.byteCount = byteCount
    self.sum = sum
  }

  /// Sums the first `end` bytes of the datagram only, transport header left out.
  ///
  /// - Parameter first: the first packet, which is already taken off.
  public mutating func sumAgain(_ first: borrowing SkBuff, upTo end: Int, transportHeader: Int) {
    var sum = InternetChecksum()
    var left = end
    let part = min(left, first.length)
    if part > transportHeader {
      sum.add(first.checksum(from: transportHeader, count: part - transportHeader), at: 0)
    }
    left -= part
    var place = packets.first
    while let here = place, left > 0 {
      // Packets before the last carry multiples of 8 bytes.
      let count = min(left, packets.length(at: here))
      sum.add(packets.withPacket(at: here) { $0.checksum(from: 0, count: count) }, at: 0)
      left -= count
      place = packets.position(after: here)
    }
    self.sum = sum
  }

  /// When its packets may leave, of which `first` is already taken off. Linux: `skb->tstamp` in `__ip_make_skb()`.
  public mutating func setDeparture(of first: inout SkBuff, _ time: Instant) {
    first.timestamp = time
    var place = packets.first
    while let here = place {
      packets.withMutablePacket(at: here) { $0.timestamp = time }
      place = packets.position(after: here)
    }
  }
}
