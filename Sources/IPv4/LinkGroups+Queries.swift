import Timers
import Wire

/// Questions, and what others report. Linux: `igmp_heard_query()`, `igmp_heard_report()`.
extension LinkGroups {
  /// Somebody else has told an old querier what we would have (RFC 2236 section 3). Linux: `igmp_heard_report()`.
  mutating func hear(report group: IPv4Address, _ terms: GroupTerms) {
    guard isReported(group, terms), let index = index(group) else { return }
    entries[index].due = nil
    entries[index].isReporter = false
    entries[index].unasked = 0
  }

  /// A querier asks. Linux: `igmp_heard_query()`.
  mutating func hear(_ query: IGMPQuery, _ terms: GroupTerms) {
    var group = query.group
    var most = query.responseTime
    switch query.version {
    case 1:
      most = Self.responseInterval
      oldQuerier1 = oldQuerierEnd(terms)
      group = .any
      forgetChanges()
    case 2:
      oldQuerier2 = oldQuerierEnd(terms)
      forgetChanges()
    default:
      switch version(terms) {
      case 1:
        most = Self.responseInterval
        group = .any
      case 2: break
      default:
        queriedRobustness = query.robustness == 0 ? nil : query.robustness
        queryInterval = query.interval == .zero ? Self.queryInterval : query.interval
        if responseInterval >= queryInterval { responseInterval = queryInterval - .seconds(1) }
        if group.isAny {
          guard query.sources.isEmpty else { return }
          let due = draw(within: most, terms)
          if due < generalDue ?? .distantFuture { generalDue = due }
          return
        }
      }
    }
    for index in entries.indices where isReported(entries[index].group, terms) {
      if !group.isAny && entries[index].group != group { continue }
      answer(index, sources: version(terms) == 3 ? query.sources : [], within: most, terms)
    }
  }

  private mutating func answer(
    _ index: Int, sources: [IPv4Address], within most: Nanoseconds, _ terms: GroupTerms
  ) {
    let isBySource = !sources.isEmpty && (entries[index].due == nil || entries[index].isAskedBySource)
    entries[index].isAskedBySource = isBySource
    if isBySource {
      let answer = entries[index].filter.mark(asked: sources)
      entries[index].isAskedBySource = answer.isBySource
      guard answer.answers else { return }
    }
    entries[index].unasked = 0
    if let due = entries[index].due, due - terms.now < most { return }
    start(index, within: most, terms)
  }

  private func oldQuerierEnd(_ terms: GroupTerms) -> Instant {
    terms.now + queryInterval * Int64(robustness(terms)) + responseInterval
  }

  /// An old querier does not understand reports of changes.
  private mutating func forgetChanges() {
    changeDue = nil
    changeReports = 0
    left = []
    for index in entries.indices { entries[index].filter.forgetGone() }
  }
}
