import IPv4
import NetNamespace
import SkBuff
import Testing
import Wire

/// IP options on the way in, each byte of them (RFC 791 section 3.1, Linux's `__ip_options_compile()`).
@Suite struct OptionTests {
  static let udp: [UInt8] = [0x13, 0x88, 0, 53, 0, 8, 0, 0]

  struct Case: Sendable, CustomTestStringConvertible {
    var options: [UInt8]
    /// The pointer of the parameter problem; `nil`: taken.
    var pointer: UInt8?
    init(_ options: [UInt8], _ pointer: UInt8?) {
      self.options = options
      self.pointer = pointer
    }
    var testDescription: String { "\(options)" }
  }
  static let cases = [
    // A length that cannot be names the option.
    Case([7, 0, 4, 0], 20), Case([7, 1, 4, 0], 20), Case([1, 7, 1, 0], 21), Case([1, 1, 1, 7], 23),
    Case([7, 200, 4, 0], 20), Case([99, 5, 0, 0], 20),
    // Record route: too short, pointer below 4, no room for an address where the pointer is, twice.
    Case([7, 2, 0, 0], 21), Case([7, 4, 3, 0], 22), Case([7, 7, 4, 0, 0, 0, 0, 0], nil),
    Case([7, 7, 5, 0, 0, 0, 0, 0], 22), Case([7, 7, 8, 0, 0, 0, 0, 0], nil),
    Case([7, 3, 4, 7, 3, 4, 0, 0], 23),
    // Timestamp: too short, pointer below 5, no room for a stamp, for one with its address, overflow full, twice.
    Case([68, 3, 5, 0], 21), Case([68, 4, 4, 0], 22), Case([68, 8, 4, 0, 0, 0, 0, 0], 22),
    Case([68, 8, 5, 0, 0, 0, 0, 0], nil),
    Case([68, 8, 6, 0, 0, 0, 0, 0], 22), Case([68, 8, 5, 1, 0, 0, 0, 0], 22),
    Case([68, 8, 5, 3, 0, 0, 0, 0], 22), Case([68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0], nil),
    Case([68, 4, 5, 0xF0], 23), Case([68, 4, 5, 0xE0], nil), Case([68, 4, 5, 0, 68, 4, 5, 0], 24),
    // Router alert.
    Case([148, 3, 0, 0], 21), Case([148, 4, 0, 0], nil),
    // Source routes: too short, pointer below 4, both kinds.
    Case([131, 2, 0, 0], 21), Case([137, 3, 3, 0], 22), Case([131, 3, 4, 137, 3, 4, 0, 0], 23),
    // End of list, no operation, kinds that nobody knows.
    Case([0, 7, 0, 0], nil), Case([1, 1, 1, 0], nil), Case([99, 4, 0, 0], nil),
  ]

  @Test("R IPv4 options: Linux's verdict and pointer for each", arguments: cases) func verdict(_ test: Case) {
    let bench = IPv4Bench()
    let outcome = bench.deliver(IPv4Bench.frame(options: test.options, Self.udp))
    let reports = bench.packets()
    if let pointer = test.pointer {
      #expect(outcome == .consumed)
      // Behind a recorded route or a time stamp that the answer goes on with.
      let messages = reports.map { Array($0[(Int($0[0] & 0xF) * 4)...]) }
      #expect(messages.map { [$0[0], $0[1], $0[4]] } == [[12, 0, pointer]])
      #expect(bench.count(.IpInHdrErrors) == 1 && bench.count(.IcmpOutParmProbs) == 1)
    } else {
      #expect(outcome == .delivered(17, payload: Self.udp, source: IPv4Bench.peer, typeOfService: 0))
      #expect(reports.isEmpty)
    }
  }

  @Test("U7 an error about options goes on with those before the wrong one, in Linux's bytes") func echoed() {
    let bench = IPv4Bench()
    for (options, echo) in [
      ([7, 3, 4, 7, 3, 4, 0, 0], [7, 3, 4, 0]), ([68, 4, 5, 0, 68, 4, 5, 0], [68, 4, 5, 0x10]),
    ] as [([UInt8], [UInt8])] {
      bench.deliver(IPv4Bench.frame(options: options, Self.udp))
      bench.advance(.seconds(2))
      #expect(bench.packets().map { Array($0[20..<24]) } == [echo])
    }
  }

  @Test(
    "R IPv4 a source route is refused without a word, wherever it stands", arguments: [131, 137] as [UInt8])
  func sourceRoute(kind: UInt8) {
    for options: [UInt8] in [[kind, 7, 4, 10, 0, 0, 9, 0], [1, kind, 3, 4], [kind, 3, 4, 0]] {
      let bench = IPv4Bench()
      #expect(bench.deliver(IPv4Bench.frame(options: options, Self.udp)) == .consumed)
      #expect(bench.packets().isEmpty)
      #expect(bench.count(.IpInHdrErrors) == 0)
    }
  }
}
