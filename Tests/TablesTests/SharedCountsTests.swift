import Testing

@testable import Tables

@Suite struct SharedCountsTests {
  @Test("S4 a hash names each of several shards as often as it has members")
  func weights() {
    let counts = SharedCounts(count: 4, shardCount: 3)
    #expect(counts.choice(among: 0b111, at: 2, by: .max) == nil, "nobody has any")
    counts.add(true, of: 0, at: 2)
    for _ in 0..<3 { counts.add(true, of: 2, at: 2) }
    counts.add(true, of: 1, at: 3)
    var chosen = [0, 0, 0]
    for step in 0..<1024 {
      guard let shard = counts.choice(among: 0b111, at: 2, by: UInt64(step) << 54) else {
        Issue.record("somebody has some")
        return
      }
      chosen[shard] += 1
    }
    #expect(chosen == [256, 0, 768])
    #expect(counts.choice(among: 0b001, at: 2, by: .max) == 0, "of those that are asked for")
    #expect(counts.choice(among: 0b010, at: 2, by: 0) == nil)
    for _ in 0..<3 { counts.add(false, of: 2, at: 2) }
    #expect(counts.choice(among: 0b101, at: 2, by: .max) == 0)
    for _ in 0..<2 { counts.add(false, of: 0, at: 2) }
    #expect(counts.choice(among: 0b101, at: 2, by: 0) == nil, "below none there is nothing")
  }
}
