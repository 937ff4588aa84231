import NetNamespace
import Timers
import Wire

/// Probing for addresses, announcing and defending them (RFC 5227).
struct AddressConflictDetection {
  /// ANNOUNCE_NUM, ANNOUNCE_INTERVAL, DEFEND_INTERVAL of RFC 5227 section 1.1.
  static let announceCount = 2
  static let announceInterval = Nanoseconds.seconds(2)
  static let defendInterval = Nanoseconds.seconds(10)
  /// PROBE_WAIT, PROBE_NUM, PROBE_MIN and PROBE_MAX, ANNOUNCE_WAIT; MAX_CONFLICTS, RATE_LIMIT_INTERVAL.
  static let probeWait = Nanoseconds.seconds(1)
  static let probeCount = 3
  static let probeIntervals = (least: Nanoseconds.seconds(1), most: Nanoseconds.seconds(2))
  static let announceWait = Nanoseconds.seconds(2)
  static let conflictLimit = 10
  static let rateLimitInterval = Nanoseconds.seconds(60)
  /// Most addresses that are asked for at a time.
  static let probeLimit = 64

  private struct Claim {
    var address: IPv4Address
    var left: Int
    var due: Instant
  }
  private var claims: [Claim] = []
  /// An address that is asked for: so many probes are still to be sent.
  private struct Probe {
    var own: InterfaceAddress
    var left: Int
    var due: Instant
  }
  private var probes: [Probe] = []
  private var claimed: [InterfaceAddress] = []
  /// Addresses that were lost so far (section 2.1.1).
  private var lossCount = 0
  private var defended: [IPv4Address: Instant] = [:]
  var timer = TimerSlot()
  /// Conflicts that nobody was told about yet.
  private var news: [AddressConflict] = []
  private var told: Set<AddressConflict> = []
  /// Most stations that are told about; a forger may have any number of addresses.
  static let newsLimit = 16

  /// What is due.
  enum Due {
    case announcement(IPv4Address)
    case probe(InterfaceAddress)
  }

  /// When something is due next.
  var next: Instant? {
    let announcement = claims.map(\.due).min()
    guard let probe = probes.map(\.due).min() else { return announcement }
    return min(announcement ?? probe, probe)
  }

  mutating func claim(_ address: IPv4Address, at now: Instant) {
    claims.removeAll { $0.address == address }
    claims.append(Claim(address: address, left: Self.announceCount, due: now))
  }

  mutating func forget(_ address: IPv4Address) {
    claims.removeAll { $0.address == address }
    defended[address] = nil
    told = told.filter { $0.address != address }
  }

  var hasNews: Bool { !news.isEmpty || !claimed.isEmpty }

  /// A conflict that was not seen before; `nil`: none.
  mutating func takeNews() -> AddressConflict? { news.isEmpty ? nil : news.removeFirst() }
  mutating func takeClaimed() -> InterfaceAddress? { claimed.isEmpty ? nil : claimed.removeFirst() }

  /// What to send now; `nil` when nothing is due. Addresses whose wait is over are found among the claimed ones then.
  mutating func takeDue(now: Instant, random: inout RandomSource) -> Due? {
    while let index = probes.firstIndex(where: { $0.due <= now }) {
      guard probes[index].left > 0 else {
        claimed.append(probes.remove(at: index).own)
        continue
      }
      probes[index].left -= 1
      let (least, most) = Self.probeIntervals
      probes[index].due =
        now + (probes[index].left == 0 ? Self.announceWait : least + Self.draw(most - least, &random))
      return .probe(probes[index].own)
    }
    guard let index = claims.firstIndex(where: { $0.due <= now }) else { return nil }
    let address = claims[index].address
    claims[index].left -= 1
    claims[index].due = now + Self.announceInterval
    if claims[index].left == 0 { claims.remove(at: index) }
    return .announcement(address)
  }

  private static func draw(_ span: Nanoseconds, _ random: inout RandomSource) -> Nanoseconds {
    Nanoseconds(Int64(random.next(below: 1 << 20)) * (span.rawValue >> 20))
  }

  // MARK: Probes

  /// - Throws: EEXIST, ENOBUFS.
  mutating func probe(_ own: InterfaceAddress, now: Instant, random: inout RandomSource) throws(Errno) {
    guard !probes.contains(where: { $0.own.address == own.address }) else { throw .EEXIST }
    guard probes.count < Self.probeLimit else { throw .ENOBUFS }
    // Not faster than this once so many were lost.
    let pause = lossCount >= Self.conflictLimit ? Self.rateLimitInterval : .zero
    probes.append(
      Probe(own: own, left: Self.probeCount, due: now + pause + Self.draw(Self.probeWait, &random)))
  }

  func isProbing(_ address: IPv4Address, on interface: InterfaceIndex) -> Bool {
    !probes.isEmpty && probes.contains { $0.own.address == address && $0.own.interface == interface }
  }

  mutating func stopProbing(_ address: IPv4Address) -> Bool {
    let count = probes.count
    probes.removeAll { $0.own.address == address }
    return probes.count < count
  }

  /// Another station has an address that is asked for, or asks for it as well: it is not to be used.
  mutating func lose(_ address: IPv4Address, to other: MACAddress, now: Instant) {
    guard stopProbing(address) else { return }
    lossCount += 1
    if news.count < Self.newsLimit {
      news.append(AddressConflict(address: address, other: other, isLost: true))
    }
  }

  // MARK: Conflicts

  /// Somebody else uses our address.
  ///
  /// - Returns: whether to defend it with an announcement; not twice within 10 s, lest two hosts do so for ever
  ///   (section 2.4 b, c).
  mutating func conflict(_ address: IPv4Address, with other: MACAddress, now: Instant) -> Bool {
    let found = AddressConflict(address: address, other: other)
    if told.count < Self.newsLimit && told.insert(found).inserted { news.append(found) }
    if let last = defended[address], now - last < Self.defendInterval { return false }
    defended[address] = now
    return true
  }
}

/// An address of ours, or one that we wanted, that another station uses as well.
public struct AddressConflict: Hashable, Sendable {
  public var address: IPv4Address
  public var other: MACAddress
  /// It was asked for before it was used, and is not ours.
  public var isLost = false
}
