import Foundation
import Testing

extension Netns {
  /// The filter, as a Linux peer meets it.
  @Suite struct Filter {
    private func filter(_ world: NetnsWorld, _ words: String) throws {
      let result = try world.swiftstack("filter", words.split(separator: " ").map(String.init))
      #expect(result.status == 0, "\(result.summary)")
    }

    @Test("P4 filter: drop, reject and accept of Linux's pings; list shows rules and counters; del ends it")
    func pings() throws {
      try withWorld { world in
        let ping = ["ping", "-c3", "-i0.05", "-W1", world.stack]
        #expect(try world.tryInside(ping).text.contains(" 0% packet loss"))
        try filter(world, "add input ip saddr \(world.host) ip protocol icmp drop")
        #expect(try world.tryInside(ping).text.contains("100% packet loss"))
        var shown = try world.swiftstack("filter").text
        #expect(shown.contains("chain input { # accepted 0 packets, dropped 3\n"), "\(shown)")
        #expect(
          shown.contains(
            "  ip saddr \(world.host) ip protocol icmp counter packets 3 bytes 252 drop # handle 1\n"),
          "\(shown)")
        try filter(world, "del input handle 1")
        try filter(world, "add input iifname \(world.interface) ip protocol icmp reject")
        #expect(try world.tryInside(ping).text.contains("Packet filtered"))
        try filter(world, "del input handle 2")
        try filter(world, "add postrouting oifname \(world.interface) ip daddr \(world.host) drop")
        #expect(try world.tryInside(ping).text.contains("100% packet loss"))
        try filter(world, "del postrouting handle 3")
        #expect(try world.tryInside(ping).text.contains(" 0% packet loss"))
        shown = try world.swiftstack("filter").text
        #expect(!shown.contains("handle"), "\(shown)")
      }
    }

    @Test("P4 filter: a TCP port closed by a rule does not answer; words that cannot be end with 64")
    func ports() throws {
      try withWorld { world in
        let connect = ["nc", "-zw1", world.stack, "7"]
        #expect(try world.tryInside(connect).status == 0)
        try filter(world, "add prerouting tcp dport 7 drop")
        #expect(try world.tryInside(connect).status != 0)
        #expect(try world.tryInside(["nc", "-zw1", world.stack, "9"]).status == 0)
        // The SYN is let in, its answer is not let out.
        try filter(world, "del prerouting handle 1")
        try filter(world, "add output tcp sport 7 drop")
        #expect(try world.tryInside(connect).status != 0)
        let wrong = try world.swiftstack("filter", ["add", "forwards", "drop"])
        #expect(wrong.status == 64 && wrong.errors.contains("unknown hook"), "\(wrong.summary)")
        #expect(try world.swiftstack("filter", ["del", "input", "handle", "9"]).status == 1)
      }
    }
  }
}
