import Foundation
import Testing

extension Netns {
  /// Changes to a running stack, seen from Linux's side.
  @Suite struct Administration {
    /// A change that is made.
    private func change(_ world: NetnsWorld, _ command: String, _ words: String) throws {
      let result = try world.swiftstack(command, words.split(separator: " ").map(String.init))
      #expect(result.status == 0, "\(command) \(words): \(result.summary)")
    }

    @Test("addr add and del: Linux pings the new address, and then no more; its neighbour table was told")
    func addresses() throws {
      try withWorld { world in
        try change(world, "addr", "add 10.0.0.77/24")
        try world.inside(["ping", "-c1", "-W2", "10.0.0.77"])
        #expect(try world.swiftstack("addr").text.contains("inet 10.0.0.77/24 brd 10.0.0.255"))
        let again = try world.swiftstack("addr", ["add", "10.0.0.77/24"])
        #expect(again.status == 1 && again.errors.contains("File exists"), "\(again.summary)")
        try change(world, "addr", "del 10.0.0.77/24")
        #expect(try world.tryInside(["ping", "-c1", "-W1", "10.0.0.77"]).status == 1)
        try world.inside(["ping", "-c1", "-W2", world.stack])
      }
    }

    @Test("arp announce: Linux believes it over what it had", arguments: [["announce"]])
    func announce(words: [String]) throws {
      try withWorld { world in
        try world.inside(["ping", "-c1", "-W2", world.stack])
        try world.inside([
          "ip", "neigh", "replace", world.stack, "lladdr", "02:00:00:00:00:99", "nud", "stale", "dev",
          world.interface,
        ])
        // Within its locktime Linux keeps what it learned.
        let isTold = poll(seconds: 10, every: 1.2) {
          guard (try? world.swiftstack("arp", words))?.status == 0 else { return nil }
          let table = (try? world.tryInside(["ip", "neigh"]))?.text ?? ""
          return table.contains("02:00:00:00:00:99") ? nil : true
        }
        #expect(isTold)
      }
    }

    @Test("route add unreachable, blackhole, prohibit: nc is told what Linux's nc is told")
    func routes() throws {
      try withWorld { world in
        try change(world, "route", "add default via \(world.host)")
        for (kind, text) in [
          ("unreachable", "No route to host"), ("blackhole", "Invalid argument"),
          ("prohibit", "Permission denied"),
        ] {
          try change(world, "route", "replace \(kind) 192.0.2.0/24")
          #expect(try world.swiftstack("route").text.contains("\(kind) 192.0.2.0/24"))
          let result = try world.swiftstack("nc", ["-w2", "192.0.2.1", "80"])
          #expect(result.status == 1 && result.errors.contains(text), "\(kind): \(result.summary)")
          try world.inside(["ip", "route", "replace", kind, "192.0.2.0/24"])
          let linux = try world.tryInside([
            "python3", "-c",
            "import socket,sys\ntry: socket.create_connection(('192.0.2.1',80),2)\nexcept OSError as e: sys.exit(e.strerror)",
          ])
          #expect(linux.errors.contains(text), "\(kind): \(linux.summary)")
        }
        try change(world, "route", "del prohibit 192.0.2.0/24")
        #expect(!(try world.swiftstack("route").text.contains("192.0.2.0")))
      }
    }

    @Test("neigh replace, flush: a wrong neighbour is nobody's, and after del it is asked for again")
    func neighbours() throws {
      try withWorld { world in
        let ping = ["-c1", "-W1", world.host]
        #expect(try world.swiftstack("ping", ping).status == 0)
        try change(world, "neigh", "replace \(world.host) lladdr 02:00:00:00:00:99")
        #expect(try world.swiftstack("neigh").text.contains("02:00:00:00:00:99 PERMANENT"))
        #expect(try world.swiftstack("ping", ping).status == 1)
        try change(world, "neigh", "del \(world.host)")
        #expect(try world.swiftstack("ping", ping).status == 0)
        try change(world, "neigh", "flush")
        #expect(!(try world.swiftstack("neigh").text.contains(world.host)))
      }
    }

    @Test("link set: down and up as Linux's pings see it, a new address that it is told of, a longer MTU")
    func link() throws {
      try withWorld { world in
        try world.inside(["ping", "-c1", "-W2", world.stack])
        try change(world, "link", "set down")
        #expect(try world.swiftstack("link").text.contains("state DOWN"))
        #expect(try world.tryInside(["ping", "-c1", "-W1", world.stack]).status == 1)
        try change(world, "link", "set up")
        try world.inside(["ping", "-c1", "-W2", world.stack])
        // Within its locktime Linux keeps what it learned.
        var number = 0x10
        let isTold = poll(seconds: 10, every: 1.2) {
          number += 1
          let address = "02:00:00:00:00:\(String(number, radix: 16))"
          guard (try? world.swiftstack("link", ["set", "address", address]))?.status == 0 else { return nil }
          let table = (try? world.tryInside(["ip", "neigh"]))?.text ?? ""
          return table.contains(address) ? true : nil
        }
        #expect(isTold)
        try world.inside(["ping", "-c1", "-W2", world.stack])
        try world.inside(["ip", "link", "set", world.interface, "mtu", "4000"])
        let long = ["ping", "-c1", "-W1", "-M", "do", "-s", "3900", world.stack]
        #expect(try world.tryInside(long).status == 1)
        try change(world, "link", "set mtu 4000")
        try world.inside(long)
        #expect(try world.swiftstack("link").text.contains("mtu 4000"))
        for (words, text) in [
          ("set mtu 67", "Invalid argument"),
          ("set address 01:00:00:00:00:01", "Cannot assign requested address"),
        ] {
          let result = try world.swiftstack("link", words.split(separator: " ").map(String.init))
          #expect(result.status == 1 && result.errors.contains(text), "\(result.summary)")
        }
      }
    }

    @Test("nic set and fault: rings and features are shown, and what a broken NIC loses Linux does not get")
    func nic() throws {
      try withWorld { world in
        let ping = ["ping", "-c1", "-W1", world.stack]
        try world.inside(ping)
        for words in ["set rx-ring 256", "set tx-ring 128", "set tso off", "set gro off"] {
          try change(world, "nic", words)
        }
        let shown = try world.swiftstack("nic").text
        #expect(shown.contains("RX:\t\t256\nTX:\t\t128"))
        #expect(!shown.contains("tx-tcp-segmentation") && !shown.contains("rx-gro"))
        try world.inside(ping)
        try change(world, "nic", "fault drop 100%")
        #expect(try world.swiftstack("nic").text.contains("drop 100%"))
        #expect(try world.tryInside(ping).status == 1)
        try change(world, "nic", "fault off")
        try world.inside(ping)
      }
    }

    @Test("sysctl: the TTL that Linux sees, the value shown, and refusals with status 1")
    func settings() throws {
      try withWorld { world in
        let set = try world.swiftstack("sysctl", ["net.ipv4.ip_default_ttl=33"])
        #expect(set.status == 0 && set.text == "net.ipv4.ip_default_ttl = 33\n", "\(set.summary)")
        #expect(try world.inside(["ping", "-c1", "-W2", world.stack]).text.contains("ttl=33"))
        #expect(
          try world.swiftstack("sysctl", ["-a"]).text.contains("net.ipv4.tcp_rmem = 4096 131072 6291456\n"))
        for (word, text) in [
          ("net.ipv4.ip_default_ttl=256", "1 to 255"), ("net.ipv4.nonsense=1", "unknown key"),
          ("net.ipv4.nonsense", "unknown key"),
        ] {
          let result = try world.swiftstack("sysctl", [word])
          #expect(result.status == 1 && result.errors.contains(text), "\(result.summary)")
        }
      }
    }

    @Test(
      "words that cannot be understood end with status 64, and say which",
      arguments: [
        ("route", "add 10.9.0.1/16 via 10.0.0.1", "10.9.0.1/16"), ("route", "sideways", "sideways"),
        ("addr", "add x", "\"x\""), ("neigh", "replace 10.0.0.1", "lladdr"), ("arp", "shout", "shout"),
        ("sysctl", "", "-a"),
        ("link", "set", "mtu N"), ("nic", "set warp on", "\"warp\""),
        ("route", "add default via 10.0.0.1 --json", "--json"),
      ])
    func misunderstood(command: String, words: String, reason: String) throws {
      try withWorld { world in
        let result = try world.swiftstack(command, words.split(separator: " ").map(String.init))
        #expect(result.status == 64 && result.errors.contains(reason), "\(result.summary)")
      }
    }
  }
}
