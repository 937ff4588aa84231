import SwiftStack
import TestSupport
import Testing

/// `ip link set` of an interface beside the stack's own.
@Suite struct FurtherLinkTests {
  private func report(_ bench: RouterBench, _ name: String) throws -> InterfaceReport {
    try #require(bench.stack.interfaceReports.first { $0.device == name })
  }

  @Test("P1 link set of a further interface changes that one, and no other")
  func named() throws {
    let bench = try RouterBench()
    let own = try report(bench, "sim0")
    try bench.change("link set sim1 mtu 1200 arp off down")
    let further = try report(bench, "sim1")
    #expect(further.mtu == 1200 && !further.isUp && !further.resolvesAddresses)
    #expect(try report(bench, "sim0") == own)
    try bench.change("link set sim1 up")
    #expect(try report(bench, "sim1").isUp)
  }

  @Test("P1 a further interface keeps its station address, and has no larger MTU than it began with")
  func refused() throws {
    let bench = try RouterBench(mtu: 1400)
    let before = bench.stack.interfaceReports
    for (change, errno) in [
      ("mtu 1401 down", Errno.EINVAL), ("address 02:00:00:00:00:77 down", .EOPNOTSUPP), ("mtu 67", .EINVAL),
    ] {
      let error = #expect(throws: StackError.self) { try bench.change("link set sim1 \(change)") }
      #expect(error?.code == errno, "\(change)")
    }
    #expect(bench.stack.interfaceReports == before)
    try bench.change("link set sim1 mtu 1400")
    #expect(try report(bench, "sim1").mtu == 1400)
  }
}
