import Wire

/// The sources that sockets of this host want of one group on one link, all sockets' wishes together (RFC 3376 section
/// 3.2), and which of them routers have still to be told about. Linux: `struct ip_sf_list`, `ip_mc_add_src()`.
struct SourceFilter: Sendable {
  /// A source that a socket has named.
  struct Source: Sendable {
    let address: IPv4Address
    /// Sockets that ask for it, and that block it.
    var includers = 0
    var excluders = 0
    /// Reports that still have to carry its change.
    var reports = 0
    /// The querier asked for it.
    var isAsked = false
    /// Whether it stood on the list of the reports before the change that is being made.
    fileprivate var wasListed = false

    init(_ address: IPv4Address) { self.address = address }
  }
  /// What a change means for the reports.
  enum Change {
    case none
    case sources
    /// From "only these" to "all but these", or back.
    case mode
  }

  /// Sockets that ask for some sources, and that ask for all but some.
  private(set) var includers = 0
  private(set) var excluders = 0
  /// The mode that is reported: with nobody left, the last.
  private(set) var isExcluding: Bool
  private(set) var sources: [Source] = []
  /// Sources that are on the list no more, until that has been reported.
  private(set) var gone: [Source] = []

  init(excluding: Bool) {
    isExcluding = excluding
    if excluding { excluders = 1 } else { includers = 1 }
  }

  /// Whether the group's packets from a source are for a socket here. Linux: `ip_check_mc_rcu()`.
  func accepts(_ source: IPv4Address) -> Bool {
    guard let named = sources.first(where: { $0.address == source }) else { return excluders > 0 }
    return named.includers > 0 || named.excluders != excluders
  }

  /// Whether a source stands on the list that a report of the present mode carries.
  private func isListed(_ source: Source) -> Bool {
    excluders > 0 ? source.excluders == excluders && source.includers == 0 : source.includers > 0
  }

  private mutating func mark() {
    for index in sources.indices { sources[index].wasListed = isListed(sources[index]) }
  }

  // MARK: Changes

  /// A socket wants something: with `isSocket`, in a mode it was not in; without, more sources in the same mode.
  mutating func add(_ named: [IPv4Address], excluding: Bool, isSocket: Bool, robustness: Int) -> Change {
    mark()
    let wasExcluding = isExcluding
    if isSocket { if excluding { excluders += 1 } else { includers += 1 } }
    for address in named {
      let index = sources.firstIndex { $0.address == address } ?? sources.count
      if index == sources.count { sources.append(Source(address)) }
      if excluding { sources[index].excluders += 1 } else { sources[index].includers += 1 }
    }
    if wasExcluding != (excluders > 0) && includers + excluders > 0 { return turn() }
    return settle(robustness: robustness) ? .sources : .none
  }

  /// The opposite of `add`.
  ///
  /// - Parameter remembers: sources that are gone have to be reported (not to old queriers).
  mutating func remove(
    _ named: [IPv4Address], excluding: Bool, isSocket: Bool, robustness: Int, remembers: Bool
  ) -> Change {
    mark()
    if isSocket { if excluding { excluders -= 1 } else { includers -= 1 } }
    var isReportDue = false
    for address in named {
      guard let index = sources.firstIndex(where: { $0.address == address }) else { continue }
      if excluding { sources[index].excluders -= 1 } else { sources[index].includers -= 1 }
      guard sources[index].includers == 0 && sources[index].excluders == 0 else { continue }
      var old = sources.remove(at: index)
      guard old.wasListed && remembers else { continue }
      old.reports = robustness
      gone.insert(old, at: 0)
      isReportDue = true
    }
    if isExcluding && excluders == 0 && includers > 0 { return turn() }
    return settle(robustness: robustness) || isReportDue ? .sources : .none
  }

  /// A report of the new mode tells every source at once.
  private mutating func turn() -> Change {
    isExcluding = excluders > 0
    for index in sources.indices { sources[index].reports = 0 }
    return .mode
  }

  /// Notes which sources came onto the list, and which left it. Returns whether any did.
  private mutating func settle(robustness: Int) -> Bool {
    var isChanged = false
    for index in sources.indices {
      let isListed = isListed(sources[index])
      guard isListed != sources[index].wasListed else { continue }
      isChanged = true
      let old = gone.firstIndex { $0.address == sources[index].address }
      if isListed {
        if let old { gone.remove(at: old) }
        sources[index].reports = robustness
      } else {
        sources[index].reports = 0
        if old == nil { gone.insert(sources[index], at: 0) }
        gone[old ?? 0].reports = robustness
      }
    }
    return isChanged
  }

  /// Nothing that is gone will be reported: the querier is too old to understand, or has been told.
  mutating func forgetGone() { gone = [] }

  /// All of it is to be told again.
  mutating func repeatSources(_ robustness: Int) {
    for index in sources.indices { sources[index].reports = robustness }
  }

  // MARK: Lists of reports

  /// The list behind "only these" or "all but these": of the present state.
  func listed(isAskedOnly: Bool) -> [IPv4Address] {
    sources.filter { source in
      guard (!isAskedOnly || source.isAsked) else { return false }
      return !isExcluding || isListed(source)
    }.map(\.address)
  }

  /// The list of a report that says that the mode has changed.
  func turned() -> [IPv4Address] { sources.filter { isListed($0) }.map(\.address) }

  /// Sources that came onto the list; one report more has told it.
  ///
  /// - Parameter isSilent: the report of a new mode tells them.
  mutating func takeNew(isSilent: Bool) -> [IPv4Address] {
    var list: [IPv4Address] = []
    for index in sources.indices where sources[index].reports > 0 {
      sources[index].reports -= 1
      if !isSilent { list.append(sources[index].address) }
    }
    return list
  }

  /// As `takeNew`, those that left it.
  mutating func takeGone(isSilent: Bool) -> [IPv4Address] {
    let list = gone.filter { $0.reports > 0 }.map(\.address)
    for index in gone.indices where gone[index].reports > 0 { gone[index].reports -= 1 }
    gone.removeAll { $0.reports == 0 }
    return isSilent ? [] : list
  }

  /// Of a group that was left: everything is gone. Those that have been told often enough are forgotten.
  mutating func takeLeft() -> [IPv4Address] {
    let list = sources.map(\.address)
    for index in sources.indices where sources[index].reports > 0 { sources[index].reports -= 1 }
    sources.removeAll { $0.reports == 0 }
    return list
  }

  // MARK: Questions

  /// Notes the sources that a querier asks for. Returns whether any of them is ours to answer for; false: nobody here
  /// wants what was asked. Linux: `igmp_marksources()`.
  mutating func mark(asked: [IPv4Address]) -> (answers: Bool, isBySource: Bool) {
    if isExcluding {
      let blocked = sources.filter { isListed($0) && asked.contains($0.address) }
      return (blocked.count != asked.count, false)
    }
    var isAny = false
    for index in sources.indices where asked.contains(sources[index].address) {
      sources[index].isAsked = true
      isAny = true
    }
    return (isAny, isAny)
  }

  mutating func clearAsked() {
    for index in sources.indices { sources[index].isAsked = false }
  }
}
