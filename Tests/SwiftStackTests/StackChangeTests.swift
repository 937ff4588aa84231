import NetNamespace
import SwiftStack
import Testing

/// The words of a change: iproute2's, read strictly.
@Suite struct StackChangeTests {
  private func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

  @Test("words become changes") func read() throws {
    let net = try #require(IPv4Prefix("10.9.0.0/16"))
    let hop = IPv4Address(10, 0, 0, 1)
    let all = try #require(IPv4Prefix(.any, length: 0))
    let host = try #require(IPv4Prefix("10.9.0.1/32"))
    let cases: [(String, StackChange)] = [
      ("addr add 10.0.0.3/24", .addAddress(try #require(IPv4Prefix("10.0.0.3/24")))),
      ("addr del 10.9.0.1 dev tap0", .removeAddress(host)),
      ("route add 10.9.0.0/16 via 10.0.0.1 metric 5", .addRoute(RouteEntry(net, gateway: hop, metric: 5))),
      ("route replace default via 10.0.0.1", .replaceRoute(RouteEntry(all, gateway: hop))),
      ("route add unicast 10.9.0.1 dev tap0 mtu 900", .addRoute(RouteEntry(host, mtu: 900))),
      ("route add blackhole 10.9.0.0/16", .addRoute(RouteEntry(net, kind: .blackhole))),
      (
        "route add prohibit 10.9.0.0/16 metric 4294967295",
        .addRoute(RouteEntry(net, kind: .prohibit, metric: .max))
      ),
      ("route del 10.9.0.0/16", .removeRoute(RouteSelector(net))),
      (
        "route del unreachable 10.9.0.0/16 metric 5",
        .removeRoute(RouteSelector(net, kind: .unreachable, metric: 5))
      ),
      (
        "neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01",
        .replaceNeighbour(hop, MACAddress(0x0200_0000_0001), .permanent)
      ),
      (
        "neigh replace 10.0.0.1 nud stale lladdr 02:00:00:00:00:01 dev tap0",
        .replaceNeighbour(hop, MACAddress(0x0200_0000_0001), .stale)
      ),
      ("neigh del 10.0.0.1", .removeNeighbour(hop)), ("neigh flush", .flushNeighbours),
      ("neigh flush all dev tap0", .flushNeighbours), ("arp announce", .announceAddresses),
      ("sysctl a.b=c=d", .setting(name: "a.b", value: "c=d")),
    ]
    for (text, change) in cases {
      #expect(try StackChange(words: words(text), device: "tap0") == change, "\(text)")
    }
  }

  @Test(
    "words that make no change are refused with what was wrong",
    arguments: [
      ("", "object"), ("fish", "\"fish\""), ("addr", "add, del"), ("addr sideways", "\"sideways\""),
      ("addr add", "ADDRESS/LENGTH"), ("addr add 10.0.0.3/33", "\"10.0.0.3/33\""), ("addr add x", "\"x\""),
      ("addr add 10.0.0.3/24 via 10.0.0.1", "\"via\""), ("addr add 10.0.0.3/24 dev", "value for dev"),
      ("addr add 10.0.0.3/24 dev eth9", "Cannot find device \"eth9\""), ("route add", "ADDRESS/LENGTH"),
      ("route add 10.9.0.1/16 via 10.0.0.1", "Invalid argument"), ("route add 10.9.0.0/16", "No such device"),
      ("route add 10.9.0.0/16 via", "value for via"), ("route add 10.9.0.0/16 via me", "\"me\""),
      ("route add 10.9.0.0/16 via 10.0.0.1 via 10.0.0.1", "duplicate \"via\""),
      ("route add 10.9.0.0/16 via 10.0.0.1 metric -1", "\"-1\""),
      ("route add 10.9.0.0/16 via 10.0.0.1 metric 4294967296", "4294967295"),
      ("route add 10.9.0.0/16 via 10.0.0.1 mtu 67", "68 to 65535"),
      ("route add blackhole 10.9.0.0/16 via 10.0.0.1", "no next hop"),
      ("route add prohibit 10.9.0.0/16 dev tap0", "no next hop"),
      ("route del default src 10.0.0.2", "\"src\""),
      ("neigh replace 10.0.0.1", "lladdr"), ("neigh replace 10.0.0.1 lladdr 1:2", "\"1:2\""),
      ("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 nud probe", "\"probe\""), ("neigh del", "an address"),
      ("neigh flush everything", "\"everything\""), ("arp", "announce"), ("arp announce now", "\"now\""),
      ("sysctl", "NAME=VALUE"), ("sysctl net.ipv4.tcp_sack", "NAME=VALUE"),
    ])
  func refused(text: String, reason: String) {
    #expect {
      try StackChange(words: words(text), device: "tap0")
    } throws: { "\($0)".contains(reason) }
  }

  @Test(
    "any words give a change or a sentence, and whatever change comes is made or refused", arguments: 1...4)
  func fuzz(seed: UInt64) throws {
    var random = RandomSource(seed: seed)
    let pool = [
      "addr", "route", "neigh", "arp", "sysctl", "add", "del", "replace", "flush", "announce", "all",
      "default",
      "via", "dev", "sim0", "metric", "mtu", "src", "lladdr", "nud", "stale", "permanent", "blackhole",
      "unicast",
      "10.0.0.1", "10.0.0.2/24", "10.9.0.0/16", "0.0.0.0/0", "255.255.255.255", "127.0.0.1/8", "224.0.0.1/32",
      "10.0.0.2/32", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "", "0", "-1", "4294967295", "68", "=",
      "\u{0}",
      "net.ipv4.ip_default_ttl=7", "net.ipv4.tcp_wmem=1 2", "é/24", "99999999999999999999",
    ]
    let stack = try SimulatedStack().stack
    for _ in 0..<3000 {
      let count = Int(random.next(below: 9))
      let words = (0..<count).map { _ in pool[Int(random.next(below: UInt32(pool.count)))] }
      guard let change = try? StackChange(words: words, device: "sim0") else { continue }
      try? stack.apply(change)
      _ = stack.routeReports.count + stack.neighbourReports.count
    }
  }
}
