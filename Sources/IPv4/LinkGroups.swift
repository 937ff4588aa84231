import NetNamespace
import Timers
import Wire

/// What the sysctls say about groups, and the moment.
struct GroupTerms: Sendable {
  var now: Instant
  /// Draws delays; another one each time.
  var seed: UInt64
  /// `net.ipv4.igmp_qrv`: how often a report is made, until the querier says otherwise.
  var robustness: Int
  /// `net.ipv4.igmp_link_local_mcast_reports`.
  var reportsLinkLocal: Bool
  /// `net.ipv4.conf.all.force_igmp_version`; 0: as the queriers are.
  var forcedVersion: Int

  init(net: inout Net) {
    now = net.now
    seed = net.random.next()
    robustness = net.settings.igmpRobustness
    reportsLinkLocal = net.settings.igmpLinkLocalReports
    forcedVersion = net.settings.forceIGMPVersion
  }
}

/// A message that has to leave by a link.
struct GroupMessage: Sendable, Equatable {
  var destination: IPv4Address
  var bytes: [UInt8]
}

/// The groups that this host is in on one link, and how it tells the routers there: the host's part of IGMP, versions 1
/// to 3 (RFC 1112, RFC 2236, RFC 3376). Linux: `struct in_device`, `struct ip_mc_list`.
struct LinkGroups: Sendable {
  struct Entry: Sendable {
    let group: IPv4Address
    /// Sockets in it.
    var users = 1
    var filter: SourceFilter
    /// Reports that still have to say in which mode it is.
    var modeReports = 0
    /// When it is reported by itself: the answer to a question, or what an old querier is told unasked.
    var due: Instant?
    var unasked = 0
    /// We were the last to report it, and owe the leave message (RFC 2236 section 3).
    var isReporter = false
    /// The question was about some sources only.
    var isAskedBySource = false
  }

  static let allHosts = IPv4Address(224, 0, 0, 1)
  private static let allRouters = IPv4Address(224, 0, 0, 2)
  private static let allReporters = IPv4Address(224, 0, 0, 22)
  /// RFC 3376 sections 8.2 and 8.3.
  static let queryInterval = Nanoseconds.seconds(125)
  static let responseInterval = Nanoseconds.seconds(10)
  /// RFC 2236 section 8.10, RFC 3376 section 8.11.
  private static let unaskedIntervals = (old: Nanoseconds.seconds(10), new: Nanoseconds.seconds(1))
  /// Linux reports a moment after the join, so that what follows at once is in the same report.
  private static let moment = Nanoseconds.milliseconds(2)

  /// The latest first.
  var entries: [Entry] = []
  /// Those that were left, until that has been reported.
  var left: [Entry] = []
  private(set) var outbox: [GroupMessage] = []
  private var isUp = true
  /// Bytes of an IGMP message that fit into a packet.
  var room = 1476

  // The querier.
  var oldQuerier1 = Instant.origin
  var oldQuerier2 = Instant.origin
  /// What the querier said; `nil`: the settings hold.
  var queriedRobustness: Int?
  var queryInterval = Self.queryInterval
  var responseInterval = Self.responseInterval
  /// The answer to a question about all groups.
  var generalDue: Instant?
  /// The next report of changes, and how many follow.
  var changeDue: Instant?
  var changeReports = 0
  private var draws: UInt64 = 0

  // MARK: Membership

  /// Whether a packet to a group is for us. Questions about a group are, whoever asks.
  func accepts(_ group: IPv4Address, from source: IPv4Address?, isIGMP: Bool) -> Bool {
    guard let entry = entries.first(where: { $0.group == group }) else { return false }
    guard !isIGMP, let source, !source.isAny else { return true }
    return entry.filter.accepts(source)
  }

  func index(_ group: IPv4Address) -> Int? { entries.firstIndex { $0.group == group } }

  /// One socket more. Linux: `____ip_mc_inc_group()`.
  mutating func join(_ group: IPv4Address, excluding: Bool, _ terms: GroupTerms) {
    if let index = index(group) {
      entries[index].users += 1
      let change = entries[index].filter.add(
        [], excluding: excluding, isSocket: true, robustness: robustness(terms))
      return note(change, index, terms)
    }
    var entry = Entry(group: group, filter: SourceFilter(excluding: excluding))
    if let old = left.firstIndex(where: { $0.group == group }) {
      // It was left a moment ago: what has not been told of that is not true any more.
      let before = left.remove(at: old)
      if excluding {
        entry.modeReports = robustness(terms)
      } else {
        entry.filter = before.filter
        entry.filter.repeatSources(robustness(terms))
      }
    }
    entries.insert(entry, at: 0)
    announce(0, terms)
  }

  /// Linux: `igmp_group_added()`.
  private mutating func announce(_ index: Int, _ terms: GroupTerms) {
    guard isUp, isReported(entries[index].group, terms) else { return }
    entries[index].unasked = terms.robustness
    if version(terms) < 3 {
      return start(index, within: Self.moment, terms)
    }
    if entries[index].filter.isExcluding { entries[index].modeReports = robustness(terms) }
    reportChanges(terms)
  }

  /// One socket less, with the filter that it had. Linux: `ip_mc_leave_src()`, `__ip_mc_dec_group()`.
  mutating func leave(
    _ group: IPv4Address, excluding: Bool, sources: [IPv4Address], _ terms: GroupTerms
  ) {
    remove(sources, of: group, excluding: excluding, isSocket: true, terms)
    guard let index = index(group) else { return }
    entries[index].users -= 1
    guard entries[index].users == 0 else { return }
    let entry = entries.remove(at: index)
    if isUp { announceEnd(entry, terms) }
  }

  /// Linux: `__igmp_group_dropped()`.
  private mutating func announceEnd(_ entry: Entry, _ terms: GroupTerms) {
    guard isReported(entry.group, terms) else { return }
    switch version(terms) {
    case 1: break
    case 2:
      guard entry.isReporter else { return }
      outbox.append(GroupMessage(destination: Self.allRouters, bytes: IGMPMessage.leave(entry.group)))
    default:
      var entry = entry
      entry.modeReports = robustness(terms)
      if !entry.filter.isExcluding { entry.filter.repeatSources(robustness(terms)) }
      left.insert(entry, at: 0)
      reportChanges(terms)
    }
  }

  /// More sources. Linux: `ip_mc_add_src()`.
  mutating func add(
    _ sources: [IPv4Address], to group: IPv4Address, excluding: Bool, isSocket: Bool, _ terms: GroupTerms
  ) {
    guard let index = index(group) else { return }
    let change = entries[index].filter.add(
      sources, excluding: excluding, isSocket: isSocket, robustness: robustness(terms))
    note(change, index, terms)
  }

  /// Linux: `ip_mc_del_src()`.
  mutating func remove(
    _ sources: [IPv4Address], of group: IPv4Address, excluding: Bool, isSocket: Bool, _ terms: GroupTerms
  ) {
    guard let index = index(group) else { return }
    let change = entries[index].filter.remove(
      sources, excluding: excluding, isSocket: isSocket, robustness: robustness(terms),
      remembers: version(terms) == 3)
    note(change, index, terms)
  }

  private mutating func note(_ change: SourceFilter.Change, _ index: Int, _ terms: GroupTerms) {
    if change == .none { return }
    if change == .mode { entries[index].modeReports = robustness(terms) }
    reportChanges(terms)
  }

  // MARK: Link

  mutating func setLink(up: Bool, _ terms: GroupTerms) {
    isUp = up
    if up {
      left = []
      for index in entries.indices { announce(index, terms) }
      return
    }
    for index in entries.indices {
      entries[index].due = nil
      entries[index].isReporter = false
    }
    changeDue = nil
    changeReports = 0
    generalDue = nil
  }

  // MARK: Timers

  /// When there is something to send next.
  var due: Instant? {
    var first = [changeDue, generalDue].compactMap { $0 }.min()
    for entry in entries { if let due = entry.due, due < first ?? .distantFuture { first = due } }
    return first
  }

  func robustness(_ terms: GroupTerms) -> Int { queriedRobustness ?? terms.robustness }

  func isReported(_ group: IPv4Address, _ terms: GroupTerms) -> Bool {
    guard group != Self.allHosts else { return false }
    return terms.reportsLinkLocal || group.rawValue & 0xFFFF_FF00 != 0xE000_0000
  }

  /// The version of the oldest querier that was heard of late (RFC 3376 section 7.2.1).
  func version(_ terms: GroupTerms) -> Int {
    if terms.forcedVersion != 0 { return terms.forcedVersion }
    return terms.now < oldQuerier1 ? 1 : terms.now < oldQuerier2 ? 2 : 3
  }

  private func unaskedInterval(_ terms: GroupTerms) -> Nanoseconds {
    version(terms) < 3 ? Self.unaskedIntervals.old : Self.unaskedIntervals.new
  }

  mutating func draw(within most: Nanoseconds, _ terms: GroupTerms) -> Instant {
    draws &+= 1
    // The finaliser of SplitMix64: every draw is another number.
    var word = terms.seed &+ draws &* 0x9E37_79B9_7F4A_7C15
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    word ^= word >> 31
    let span = UInt64(max(1, most.rawValue))
    return terms.now + Nanoseconds(Int64(word.multipliedFullWidth(by: span).high)) + Self.moment
  }

  mutating func start(_ index: Int, within most: Nanoseconds, _ terms: GroupTerms) {
    entries[index].due = draw(within: most, terms)
  }

  /// Changes are reported, in a moment and again. Linux: `igmp_ifc_event()`.
  private mutating func reportChanges(_ terms: GroupTerms) {
    guard isUp, version(terms) == 3 else { return }
    changeReports = robustness(terms)
    changeDue = draw(within: .milliseconds(1), terms)
  }

  /// Makes what is due.
  mutating func expire(_ terms: GroupTerms) {
    if let due = changeDue, due <= terms.now {
      changeDue = nil
      send(changes(terms))
      if changeReports > 0 {
        changeReports -= 1
        changeDue = draw(within: unaskedInterval(terms), terms)
      }
    }
    if let due = generalDue, due <= terms.now {
      generalDue = nil
      var records: [GroupRecord] = []
      for index in entries.indices where isReported(entries[index].group, terms) {
        records.append(state(index))
      }
      send(records)
    }
    for index in entries.indices {
      guard let due = entries[index].due, due <= terms.now else { continue }
      entries[index].due = nil
      if entries[index].unasked > 0 {
        entries[index].unasked -= 1
        if entries[index].unasked > 0 { start(index, within: unaskedInterval(terms), terms) }
      }
      entries[index].isReporter = true
      report(index, terms)
    }
  }

  private mutating func report(_ index: Int, _ terms: GroupTerms) {
    let group = entries[index].group
    guard isReported(group, terms) else { return }
    switch version(terms) {
    case 1: outbox.append(GroupMessage(destination: group, bytes: IGMPMessage.report1(group)))
    case 2: outbox.append(GroupMessage(destination: group, bytes: IGMPMessage.report2(group)))
    default: send([state(index)])
    }
  }

  private mutating func send(_ records: [GroupRecord]) {
    for bytes in IGMPMessage.reports(records, room: room) {
      outbox.append(GroupMessage(destination: Self.allReporters, bytes: bytes))
    }
  }

  mutating func takeOutbox() -> [GroupMessage] {
    defer { outbox = [] }
    return outbox
  }

  // MARK: Records

  /// As the group is now, for who asked.
  private mutating func state(_ index: Int) -> GroupRecord {
    let entry = entries[index]
    let list = entry.filter.listed(isAskedOnly: entry.isAskedBySource)
    entries[index].filter.clearAsked()
    entries[index].isAskedBySource = false
    return GroupRecord(
      entry.filter.isExcluding ? .isExcluding : .isIncluding, entry.group, list)
  }

  /// What has changed and was not told often enough. Linux: `igmpv3_send_cr()`.
  private mutating func changes(_ terms: GroupTerms) -> [GroupRecord] {
    var records: [GroupRecord] = []
    for index in left.indices {
      if left[index].filter.isExcluding {
        records.append(GroupRecord(.turnsIncluding, left[index].group, []))
      } else {
        let sources = left[index].filter.takeLeft()
        if !sources.isEmpty { records.append(GroupRecord(.blocks, left[index].group, sources)) }
        let gone = left[index].filter.takeGone(isSilent: false)
        if !gone.isEmpty { records.append(GroupRecord(.blocks, left[index].group, gone)) }
      }
      left[index].modeReports -= 1
    }
    left.removeAll { $0.modeReports <= 0 }
    for index in entries.indices where isReported(entries[index].group, terms) {
      let group = entries[index].group
      let isExcluding = entries[index].filter.isExcluding
      // A new mode is told with all its sources, once (RFC 3376 section 5.1).
      let isSilent = (entries[index].modeReports > 0)
      let new = entries[index].filter.takeNew(isSilent: isSilent)
      if !new.isEmpty { records.append(GroupRecord(isExcluding ? .blocks : .allows, group, new)) }
      let gone = entries[index].filter.takeGone(isSilent: isSilent)
      if !gone.isEmpty { records.append(GroupRecord(isExcluding ? .allows : .blocks, group, gone)) }
      if isSilent {
        records.append(
          GroupRecord(
            isExcluding ? .turnsExcluding : .turnsIncluding, group, entries[index].filter.turned()))
        entries[index].modeReports -= 1
      }
    }
    return records
  }
}
