import IPv4
import NetNamespace
import Testing
import Timers
import Wire

@testable import Internet

/// What one link tells about the other, where a comparison with Linux 6.18 on two links once found differences.
@Suite("Links apart")
struct LinkFaithTests {
  private static let there = IPv4Address(10, 0, 2, 2)

  private func answers(_ two: TwoDevices, _ target: IPv4Address, from sender: IPv4Address, by number: Int)
    -> Bool
  {
    two.arp(1, sender, for: target, by: number)
    return two.frames(number).contains { $0[13] == 6 && $0[21] == 2 }
  }

  @Test(
    "N5 rp_filter holds for who asks by ARP",
    arguments: [(.off, true, true), (.strict, false, false), (.loose, true, false)]
      as [(ReversePathFilter, Bool, Bool)])
  func reversePath(mode: ReversePathFilter, other: Bool, stranger: Bool) throws {
    let two = try TwoDevices()
    two.host.net.settings.reversePathFilter = mode
    #expect(answers(two, Self.there, from: IPv4Address(10, 0, 2, 9), by: 1))
    #expect(answers(two, Self.there, from: IPv4Address(10, 0, 1, 9), by: 1) == other)
    #expect(answers(two, Self.there, from: IPv4Address(8, 8, 8, 8), by: 1) == stranger)
    // Who has no address yet asks for all that.
    #expect(answers(two, Self.there, from: .any, by: 1))
  }

  @Test("N5 proxy_arp answers for hosts, not for a broadcast address of the other link") func proxy() throws {
    let two = try TwoDevices()
    two.host.net.settings.forwards = true
    two.host.net.settings.allInterfaces.proxyARP = true
    two.host.net.settings.neighbours.proxyDelay = .zero
    let asker = IPv4Address(10, 0, 1, 9)
    #expect(answers(two, IPv4Address(10, 0, 2, 7), from: asker, by: 0))
    #expect(!answers(two, IPv4Address(10, 0, 2, 255), from: asker, by: 0))
  }

  @Test("RFC 5227 a conflict is one of the link that has the address, and is defended there") func conflict()
    throws
  {
    let two = try TwoDevices()
    two.arp(1, Self.there, for: IPv4Address(10, 0, 2, 9), by: 0)
    #expect(two.frames(0).isEmpty && two.frames(1).isEmpty)
    #expect(two.host.internet.takeAddressConflict() == nil)
    two.arp(1, Self.there, for: IPv4Address(10, 0, 2, 9), by: 1)
    #expect(two.frames(0).isEmpty)
    #expect(two.frames(1).count == 1)
    #expect(two.host.internet.takeAddressConflict()?.address == Self.there)
  }
}
