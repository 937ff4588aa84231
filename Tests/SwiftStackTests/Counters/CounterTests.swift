import Testing

/// Counters as `nstat` names them.
@Suite struct CounterTests {
  @Test(
    "P9 U9 counters: an event moves what counts it, by the right amount, and nothing else",
    arguments: CounterEvent.all)
  func moves(event: CounterEvent) throws {
    let moved = try event.measure()
    let difference = Set(moved.keys).union(event.moves.keys).filter { moved[$0] != event.moves[$0] }.sorted()
    #expect(
      moved == event.moves, "\(difference.map { "\($0) \(moved[$0] ?? 0) not \(event.moves[$0] ?? 0)" })")
  }
}
