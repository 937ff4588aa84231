import NetNamespace
import Neighbour
import SkBuff
import Timers
import Wire

/// Putting fragments together (RFC 791 section 3.2, RFC 1858, RFC 5722). Linux: `ip_defrag()`.
extension IPv4Layer {
  /// A fragment for us, data at its IP header, trimmed.
  mutating func receiveFragment(
    _ skb: consuming SkBuff, header: IPv4Header, user: ReassemblyUser = .delivery, link: inout LinkLayer,
    net: inout Net
  ) -> Input {
    net.counters.count(.IpReasmReqds)
    net.tracer.record(
      .ip_defrag, skb: skb.serial, UInt64(skb.length), UInt64(header.identification),
      UInt64(header.fragmentOffset))
    let cost = skb.truesize
    // Not even what has been begun is finished: of each datagram 255 fragments more could come. Linux: `inet_frag_find()`.
    let limit = net.settings.reassemblyMemory
    let isFull = limit == 0 || reassembly.memory > limit
    guard !net.pool.isExhausted, !isFull else {
      net.counters.count(.IpReasmFails)
      skb.drop(.reassemblyMemory)
      return .consumed
    }
    let start = header.fragmentOffset
    var end = start + skb.length - header.headerByteCount
    if header.moreFragments && (end - start) & 7 != 0 {
      // All but the last carry whole units of 8 bytes; Linux cuts the rest off.
      end -= (end - start) & 7
      guard skb.trim(to: header.headerByteCount + end - start) else {
        skb.drop(.noMemory)
        return .consumed
      }
    }
    guard end + IPv4Header.minimumByteCount <= 65535 else {
      net.counters.count(.IpReasmFails)
      skb.drop(.fragmentTooFar)
      return .consumed
    }
    let slot = reassembly.find(ReassemblyKey(header, user), net: &net)
    if reassembly.isTooFar(slot, most: net.settings.reassemblyDistance) {
      net.counters.count(.IpReasmFails)
      reassembly.restart(slot, net: &net)
    }
    switch insert(skb, header: header, start: start, end: end, cost: cost, slot: slot) {
    case .waiting:
      guard reassembly.queues[slot].total == reassembly.queues[slot].received else { return .consumed }
      return complete(slot, link: &link, net: &net)
    case .duplicate:
      return .consumed
    case .overlap:
      net.counters.count(.IpExtReasmOverlaps)
      net.counters.count(.IpReasmFails)
      reassembly.remove(slot, reason: .fragmentInvalid, net: &net)
      return .consumed
    case .invalid:
      net.counters.count(.IpReasmFails)
      reassembly.remove(slot, reason: .fragmentInvalid, net: &net)
      return .consumed
    }
  }

  private enum Insertion { case waiting, duplicate, overlap, invalid }

  /// Linux: `ip_frag_queue()`, `inet_frag_queue_insert()`.
  private mutating func insert(
    _ skb: consuming SkBuff, header: IPv4Header, start: Int, end: Int, cost: Int, slot: Int
  ) -> Insertion {
    if let total = reassembly.queues[slot].total, end > total || (!header.moreFragments && end != total) {
      skb.drop(.fragmentInvalid)
      return .invalid
    }
    guard end > start, header.moreFragments || end >= reassembly.queues[slot].end else {
      skb.drop(.fragmentInvalid)
      return .invalid
    }
    guard reassembly.queues[slot].fragments.count < ReassemblyTable.maximumFragments else {
      skb.drop(.fragmentTooFar)
      return .invalid
    }
    // Mostly in order, so the place is sought from the end, run by run: fragments that followed one another.
    var place = reassembly.queues[slot].fragments.last
    let range = start..<end
    var runEnd: Int?
    while let candidate = place {
      let (other, continuesRun) = reassembly.queues[slot].fragments.withPacket(at: candidate) {
        (Self.range(of: $0), $0.continuesRun)
      }
      let end = runEnd ?? other.end
      runEnd = end
      if range.lowerBound >= end { break }
      if !continuesRun {
        guard range.upperBound <= other.start else {
          skb.drop(.fragmentInvalid)
          // What adds nothing to a run is harmless; any other overlap ends the datagram (RFC 5722 section 4).
          return range.lowerBound >= other.start && range.upperBound <= end ? .duplicate : .overlap
        }
        runEnd = nil
      }
      place = reassembly.queues[slot].fragments.position(before: candidate)
    }
    skb.continuesRun = place != nil && place == reassembly.queues[slot].fragments.last && runEnd == start
    if !header.moreFragments { reassembly.queues[slot].total = end }
    reassembly.queues[slot].end = max(reassembly.queues[slot].end, end)
    reassembly.queues[slot].received += end - start
    reassembly.queues[slot].ecn |= 1 << (header.typeOfService & 3)
    reassembly.queues[slot].largestFragment = max(
      reassembly.queues[slot].largestFragment, header.totalByteCount)
    if header.dontFragment {
      reassembly.queues[slot].largestUncut = max(
        reassembly.queues[slot].largestUncut, header.totalByteCount)
    }
    reassembly.queues[slot].memory += cost
    reassembly.memory += cost
    if let place {
      reassembly.queues[slot].fragments.insert(skb, after: place)
    } else {
      reassembly.queues[slot].fragments.prepend(skb)
    }
    return .waiting
  }

  /// Of a packet whose header was checked before and is linear.
  private static func headerByteCount(of skb: borrowing SkBuff) -> Int {
    Int(skb.linear.load8(IPv4Header.Offset.versionAndLength) & 0xF) * 4
  }
  static func header(of skb: borrowing SkBuff) -> IPv4Header? { IPv4Header(parsing: skb.linear) }

  private static func range(of skb: borrowing SkBuff) -> (start: Int, end: Int) {
    let bytes = skb.linear
    let start = Int(bytes.load16(IPv4Header.Offset.fragment) & 0x1FFF) * 8
    return (start, start + skb.length - headerByteCount(of: skb))
  }

  /// All has come: makes one packet of it. Linux: `ip_frag_reasm()`.
  private mutating func complete(_ slot: Int, link: inout LinkLayer, net: inout Net) -> Input {
    guard let ecn = Self.combinedECN(reassembly.queues[slot].ecn) else {
      net.counters.count(.IpReasmFails)
      reassembly.remove(slot, reason: .fragmentInvalid, net: &net)
      return .consumed
    }
    let user = reassembly.queues[slot].key.user
    let largest = max(reassembly.queues[slot].largestFragment, reassembly.queues[slot].largestUncut)
    guard let whole = join(slot, ecn: ecn, net: &net) else {
      net.counters.count(.IpReasmFails)
      reassembly.remove(slot, reason: .noMemory, net: &net)
      return .consumed
    }
    reassembly.remove(slot, net: &net)
    guard let header = Self.header(of: whole) else {
      whole.drop(.ipHeader)
      return .consumed
    }
    net.counters.count(.IpReasmOKs)
    if case .tracking(let isLooped) = user {
      return passPrerouting(
        whole, header: header, isLooped: isLooped, largestFragment: largest, link: &link, net: &net)
    }
    return deliver(whole, header: header, largestFragment: largest, link: &link, net: &net)
  }

  /// What is added to the ECN field of the first fragment, by RFC 3168 section 5.3; `nil`: the mixture is not legitimate.
  /// Of ECT(0) and ECT(1) neither counts for more. Linux: `ip_frag_ecn_table`.
  static func combinedECN(_ seen: UInt8) -> UInt8? {
    if seen & 0b0001 != 0 { return seen == 0b0001 ? 0 : nil }
    return seen & 0b1000 != 0 ? 3 : 0
  }

  /// Free bytes in front of the whole: an echo reply's headers.
  private static let wholeHeadroom = 64

  /// Copies the fragments' payload behind the first one's header: into the linear area, then into small pages, so that
  /// the whole costs about what it holds.
  private mutating func join(_ slot: Int, ecn: UInt8, net: inout Net) -> SkBuff? {
    guard let first = reassembly.queues[slot].fragments.popFirst() else { return nil }
    let headerByteCount = Self.headerByteCount(of: first)
    let linear = SkBuff.smallHeadByteCount - Self.wholeHeadroom
    guard let fresh = net.pool.allocate(headroom: Self.wholeHeadroom, linear: linear, use: .transit) else {
      return nil
    }
    var whole = fresh
    whole.copyMetadata(from: first)
    guard whole.append(of: first, from: 0, count: headerByteCount) else { return nil }
    var page: Page? = nil
    var filled = 0
    guard Self.copyPayload(of: first, into: &whole, page: &page, filled: &filled, net: &net) else {
      return nil
    }
    _ = consume first
    while let skb = reassembly.queues[slot].fragments.popFirst() {
      guard Self.copyPayload(of: skb, into: &whole, page: &page, filled: &filled, net: &net) else {
        return nil
      }
    }
    if let page = consume page, filled > 0 {
      whole.appendFragment(page, offset: 0, byteCount: filled, truesize: SkBuffPool.pageByteCount)
    }
    // Fragments verified one by one say nothing about the whole's checksum.
    whole.checksumStatus = .none
    whole.setNetworkHeader()
    guard var header = Self.header(of: whole), whole.length <= 65535 else { return nil }
    header.totalByteCount = whole.length
    header.moreFragments = false
    header.fragmentOffset = 0
    header.typeOfService |= ecn
    // It must not be cut into smaller pieces again if the largest must not. Linux: `IPSKB_FRAG_PMTU`.
    header.dontFragment =
      reassembly.queues[slot].largestUncut > 0
      && reassembly.queues[slot].largestUncut == reassembly.queues[slot].largestFragment
    guard whole.write(header) else { return nil }
    return whole
  }

  /// Copies what is behind a fragment's header to the end of `whole`: into its linear area, then page by page.
  static func copyPayload(
    of skb: borrowing SkBuff, into whole: inout SkBuff, page: inout Page?, filled: inout Int,
    net: inout Net
  ) -> Bool {
    var offset = headerByteCount(of: skb)
    if page == nil {
      // 0 once fragments follow.
      let count = min(whole.tailroom, skb.length - offset)
      whole.put(copying: skb, from: offset, count: count)
      offset += count
    }
    while offset < skb.length {
      if page == nil {
        page = net.pool.allocatePage(use: .transit)
        filled = 0
      }
      guard let current = page.take() else { return false }
      let count = min(skb.length - offset, current.byteCount - filled)
      current.copy(from: skb, offset, count: count, at: filled)
      offset += count
      filled += count
      if filled == current.byteCount {
        whole.appendFragment(current, offset: 0, byteCount: filled, truesize: SkBuffPool.pageByteCount)
        filled = 0
      } else {
        page = consume current
      }
    }
    return true
  }

  /// The datagram did not become whole in time. Linux: `ip_expire()`.
  mutating func reassemblyTimer(_ key: TimerKey, due: Instant, link: inout LinkLayer, net: inout Net) {
    let slot = Int(key.id)
    guard slot < reassembly.queues.count, reassembly.queues[slot].isInUse,
      reassembly.queues[slot].generation == key.generation, reassembly.queues[slot].timer.expire(at: due)
    else { return }
    net.counters.count(.IpReasmTimeout)
    net.counters.count(.IpReasmFails)
    if let first = reassembly.queues[slot].fragments.first,
      reassembly.queues[slot].fragments.withPacket(at: first, { Self.range(of: $0).start }) == 0,
      var skb = reassembly.queues[slot].fragments.popFirst()
    {
      // Only who sent the first fragment is told (RFC 1122 section 3.3.2).
      skb.setNetworkHeader()
      skb.pull(Self.headerByteCount(of: skb))
      sendICMPError(
        for: skb, reason: .fragmentTimeout, kind: .timeExceeded, code: 1, info: 0, link: &link, net: &net)
    }
    reassembly.remove(slot, reason: .fragmentTimeout, net: &net)
  }
}

/// What a fragment that waits for the others keeps. Linux: `struct ipfrag_skb_cb`.
private struct FragmentControlBlock: ControlBlock {
  var continuesRun: Bool
}

extension SkBuff {
  /// Whether a fragment came behind the one before it, without a gap: the two are one run.
  /// Linux: `fragrun_append_to_last()`.
  fileprivate var continuesRun: Bool {
    get { self[controlBlock: FragmentControlBlock.self].continuesRun }
    set {
      self[controlBlock: FragmentControlBlock.self] = FragmentControlBlock(continuesRun: newValue)
    }
  }
}
