import Foundation
import Testing

extension Netns {
  /// What happens under a connection: the cable, the neighbour.
  @Suite struct Links {
    @Test("R the TAP goes down and up during a transfer: every byte arrives", arguments: ["out", "in"])
    func downAndUp(direction: String) throws {
      try withWorld { world in
        try Self.during(direction, in: world) {
          for _ in 0..<2 {
            try world.inside(["ip", "link", "set", world.interface, "down"])
            Thread.sleep(forTimeInterval: 0.7)
            try world.inside(["ip", "link", "set", world.interface, "up"])
            Thread.sleep(forTimeInterval: 0.5)
          }
        }
      }
    }

    @Test("N5 the neighbour changes its MAC and announces it: the transfer goes on")
    func macChangeAnnounced() throws {
      try withWorld { world in
        try world.inside(["sysctl", "-q", "-w", "net.ipv4.conf.all.arp_notify=1"])
        try Self.during("out", in: world) {
          try world.inside(["ip", "link", "set", world.interface, "address", "02:11:22:33:44:55"])
        }
        let neighbours = try world.swiftstack("neigh")
        #expect(neighbours.text.lowercased().contains("02:11:22:33:44:55"), "\(neighbours.summary)")
      }
    }

    @Test("N1 the neighbour changes its MAC silently: NUD finds out, the transfer goes on")
    func macChangeSilent() throws {
      try withWorld { world in
        try Self.during("out", seconds: 150, in: world) {
          // The kernel's own neighbour entry is permanent, so that no ARP request of its own tells the stack.
          let mac = try Self.stackAddress(world)
          try world.inside([
            "ip", "neigh", "replace", world.stack, "lladdr", mac, "nud", "permanent", "dev", world.interface,
          ])
          try world.inside(["ip", "link", "set", world.interface, "address", "02:11:22:33:44:66"])
        }
        let neighbours = try world.swiftstack("neigh")
        #expect(neighbours.text.lowercased().contains("02:11:22:33:44:66"), "\(neighbours.summary)")
      }
    }

    @Test("R a host that does not exist: No route to host, in the time Linux takes")
    func noSuchHost() throws {
      try withWorld { world in
        let linux = try world.peer(["connect-error", "10.0.0.99", "80"])
        #expect(linux.word("error") == "EHOSTUNREACH", "\(linux.summary)")
        let expected = try #require(linux.number("seconds"))
        let result = try world.swiftstack("nc", ["10.0.0.98", "80"])
        #expect(result.status == 1 && result.errors.contains("No route to host"), "\(result.summary)")
        // mcast_solicit requests, a second apart: 3 s at least, and no retransmission of the SYN is waited for.
        #expect(
          expected > 2.5 && result.seconds > 2.5 && result.seconds < expected + 60,
          "Linux \(expected) s, the stack \(result.seconds) s")
        let ping = try world.swiftstack("ping", ["-c", "1", "-W", "5", "10.0.0.97"])
        #expect(ping.status == 1, "\(ping.summary)")
        #expect(
          (ping.text + ping.errors).contains("Unreachable") || ping.text.contains("100% packet loss"),
          "\(ping.summary)")
      }
    }

    @Test("P1 an address without a route: Network is unreachable, at once")
    func noRoute() throws {
      try withWorld { world in
        let result = try world.swiftstack("nc", ["192.0.2.1", "80"])
        #expect(result.status == 1 && !result.timedOut, "\(result.summary)")
        #expect(result.errors.contains("Network is unreachable"), "\(result.summary)")
        #expect(try world.swiftstack("stats").text.contains("RetransSegs") == false)
      }
    }

    @Test("P1 a gateway: the kernel forwards to an address outside the subnet")
    func gateway() throws {
      var options = NetnsWorld.Options()
      options.more = ["--gateway", "10.0.0.1"]
      try withWorld(options) { world in
        try world.inside(["ip", "addr", "add", "192.0.2.1/32", "dev", "lo"])
        let server = try world.startPeer(["answer-then-close", "6003", "through-the-gateway"])
        let result = try world.swiftstack("nc", ["192.0.2.1", "6003"], input: .text("hello\n"))
        #expect(result.status == 0 && result.text == "through-the-gateway", "\(result.summary)")
        #expect(server.wait(seconds: 5).integer("bytes") == 6)
      }
    }

    @Test("P3 a smaller MTU on the path: ICMP fragmentation needed is believed, the data arrives")
    func pathMTU() throws {
      var options = NetnsWorld.Options()
      options.more = ["--gateway", "10.0.0.1"]
      options.offload = "off"
      try withWorld(options) { world in
        let inFar = try world.addFarNamespace()
        for line in [
          ["ip", "addr", "add", "192.0.2.1/24", "dev", "near0"],
          ["ip", "link", "set", "near0", "mtu", "1000", "up"],
          ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"],
          inFar + ["ip", "addr", "add", "192.0.2.2/24", "dev", "far0"],
          inFar + ["ip", "link", "set", "far0", "up"],
          inFar + ["ip", "route", "add", "default", "via", "192.0.2.1"],
        ] { try world.inside(line) }
        let byteCount = 4 << 20
        let sink = try world.startInside(inFar + ["python3", "-u", NetnsWorld.peerScript, "sink", "5001"])
        #expect(sink.waitUntilItWrites("ready"))
        let client = try world.startShell(
          "python3 $PEER pattern \(byteCount) | $SWIFTSTACK nc --interface $IF 192.0.2.2 5001")
        let out = try world.finishSending(sink: sink, client: client, seconds: 60)
        #expect(out.receivedBytes == byteCount && out.receivedDigest == out.sentDigest, "\(out)")
      }
    }

    /// Does something while a transfer runs, and checks that the transfer, which ends only after that, ends well.
    private static func during(
      _ direction: String, seconds: Double = 60, in world: NetnsWorld,
      _ body: () throws -> Void
    ) throws {
      let result: NetnsWorld.Transfer
      let enough = world.directory.appendingPathComponent("enough")
      if direction == "out" {
        let (sink, client) = try world.startSending(.until(enough))
        Thread.sleep(forTimeInterval: 0.5)
        try body()
        #expect(client.isRunning, "the transfer ended before anything happened to it")
        try Data().write(to: enough)
        result = try world.finishSending(sink: sink, client: client, seconds: seconds)
      } else {
        let (listener, source) = try world.startReceiving(.until(enough))
        Thread.sleep(forTimeInterval: 0.5)
        try body()
        #expect(source.isRunning, "the transfer ended before anything happened to it")
        try Data().write(to: enough)
        result = try world.finishReceiving(listener: listener, source: source, seconds: seconds)
      }
      #expect(result.receivedBytes > 0 && result.receivedDigest == result.sentDigest, "\(result)")
      print("\(direction) with trouble: \(result.seconds) s")
    }

    /// The stack's MAC address, as the kernel learned it.
    private static func stackAddress(_ world: NetnsWorld) throws -> String {
      let text = try world.inside(["ip", "neigh", "show", world.stack]).text
      let words = text.split(separator: " ")
      guard let index = words.firstIndex(of: "lladdr"), index + 1 < words.count else {
        throw Failure("no neighbour: \(text)")
      }
      return String(words[index + 1])
    }
  }
}
