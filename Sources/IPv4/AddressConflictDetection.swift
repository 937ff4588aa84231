import Timers
import Wire

/// Announcing our addresses and defending them (RFC 5227).
struct AddressConflictDetection {
  /// ANNOUNCE_NUM, ANNOUNCE_INTERVAL, DEFEND_INTERVAL of RFC 5227 section 1.1.
  static let announceCount = 2
  static let announceInterval = Nanoseconds.seconds(2)
  static let defendInterval = Nanoseconds.seconds(10)

  private struct Claim {
    var address: IPv4Address
    var left: Int
    var due: Instant
  }
  private var claims: [Claim] = []
  private var defended: [IPv4Address: Instant] = [:]
  var timer = TimerSlot()
  /// Conflicts that nobody was told about yet.
  private var news: [AddressConflict] = []
  private var told: Set<AddressConflict> = []
  /// Most stations that are told about; a forger may have any number of addresses.
  static let newsLimit = 16

  /// The next announcement's time.
  var next: Instant? { claims.map(\.due).min() }

  mutating func claim(_ address: IPv4Address, at now: Instant) {
    claims.removeAll { $0.address == address }
    claims.append(Claim(address: address, left: Self.announceCount, due: now))
  }

  mutating func forget(_ address: IPv4Address) {
    claims.removeAll { $0.address == address }
    defended[address] = nil
    told = told.filter { $0.address != address }
  }

  var hasNews: Bool { !news.isEmpty }

  /// A conflict that was not seen before; `nil`: none.
  mutating func takeNews() -> AddressConflict? { news.isEmpty ? nil : news.removeFirst() }

  /// An address to announce now; `nil` when none is due.
  mutating func takeDue(now: Instant) -> IPv4Address? {
    guard let index = claims.firstIndex(where: { $0.due <= now }) else { return nil }
    let address = claims[index].address
    claims[index].left -= 1
    claims[index].due = now + Self.announceInterval
    if claims[index].left == 0 { claims.remove(at: index) }
    return address
  }

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

/// An address of ours that another station uses as well.
public struct AddressConflict: Hashable, Sendable {
  public var address: IPv4Address
  public var other: MACAddress
}
