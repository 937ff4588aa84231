import Testing

extension Netns {
  /// Networks that lose, double and reorder.
  @Suite struct Loss {
    struct Case: Sendable, CustomTestStringConvertible {
      var percent: Int
      var offload: String
      var byteCount: Int
      var testDescription: String { "\(percent) %, offload \(offload), \(byteCount) bytes" }
    }

    static let cases = [
      Case(percent: 1, offload: "auto", byteCount: 64 << 20),
      Case(percent: 1, offload: "off", byteCount: 16 << 20),
      Case(percent: 5, offload: "auto", byteCount: 16 << 20),
      Case(percent: 5, offload: "off", byteCount: 2 << 20),
      Case(percent: 20, offload: "auto", byteCount: 1 << 20),
      Case(percent: 20, offload: "off", byteCount: 128 << 10),
    ]

    @Test("R random loss from the stack to Linux: every byte arrives", arguments: cases)
    func outwards(_ loss: Case) throws {
      try withLoss(loss, hook: "ingress") { world in
        let out = try world.send(byteCount: loss.byteCount, seconds: 150)
        #expect(out.client.status == 0 && out.receivedBytes == loss.byteCount, "\(out)")
        #expect(out.receivedDigest == out.sentDigest, "\(out)")
        print("loss out \(loss.testDescription): \(out.seconds) s")
      }
    }

    @Test("R random loss from Linux to the stack: every byte arrives", arguments: cases)
    func inwards(_ loss: Case) throws {
      try withLoss(loss, hook: "egress") { world in
        let back = try world.receive(byteCount: loss.byteCount, seconds: 150)
        #expect(back.client.status == 0 && back.receivedBytes == loss.byteCount, "\(back)")
        #expect(back.receivedDigest == back.sentDigest, "\(back)")
        print("loss in \(loss.testDescription): \(back.seconds) s")
      }
    }

    @Test("R loss of 5 % in both directions at once: every byte arrives, both ways")
    func bothDirections() throws {
      let loss = Case(percent: 5, offload: "auto", byteCount: 4 << 20)
      try withLoss(loss, hook: "ingress") { world in
        try Self.drop(loss.percent, hook: "egress", in: world)
        let result = try world.peer(["echo-pattern", world.stack, "7", "\(loss.byteCount)"], seconds: 150)
        #expect(result.integer("bytes") == loss.byteCount && result.integer("same") == 1, "\(result.summary)")
      }
    }

    @Test("R duplicated and reordered frames, both ways: every byte arrives")
    func duplicatesAndReordering() throws {
      var options = NetnsWorld.Options()
      options.offload = "off"
      try withWorld(options) { world in
        // The TAP's frames are carried, by a relay that doubles and reorders them, over a veth pair to a second
        // namespace: there is the kernel peer.
        let inFar = try world.addFarNamespace()
        try world.inside(["ip", "link", "set", "near0", "up"])
        for line in [
          ["ip", "addr", "add", "10.0.0.3/24", "dev", "far0"], ["ip", "link", "set", "far0", "up"],
          ["ethtool", "-K", "far0", "tso", "off", "gso", "off", "gro", "off", "tx", "off"],
        ] { try world.inside(inFar + line) }
        // Refused where the machine does not list it for namespaces.
        _ = try world.tryInside(inFar + ["sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=cubic"])
        let relay = try world.startPeer(["relay", world.interface, "near0", "0.05", "0.05", "0", "1"])
        let byteCount = 16 << 20
        let pattern = ["python3", "-u", NetnsWorld.peerScript]
        let sink = try world.startInside(inFar + pattern + ["sink", "5001"])
        #expect(sink.waitUntilItWrites("ready"))
        let client = try world.startShell(
          "python3 $PEER pattern \(byteCount) | $SWIFTSTACK nc --interface $IF 10.0.0.3 5001")
        let out = try world.finishSending(sink: sink, client: client, seconds: 90)
        #expect(out.receivedBytes == byteCount && out.receivedDigest == out.sentDigest, "out: \(out)")
        let back = try world.tryInside(
          inFar + pattern + ["echo-pattern", world.stack, "7", "\(byteCount)"], seconds: 90)
        #expect(back.integer("bytes") == byteCount && back.integer("same") == 1, "in: \(back.summary)")
        // It says so twice a second, and a fast machine is done before.
        #expect(relay.waitUntilItWrites("moved="), "the relay moved frames: \(relay.errorsSoFar)")
      }
    }

    private func withLoss(_ loss: Case, hook: String, _ body: (NetnsWorld) throws -> Void) throws {
      var options = NetnsWorld.Options()
      options.offload = loss.offload
      try withWorld(options) { world in
        try Self.drop(loss.percent, hook: hook, in: world)
        try body(world)
        let counted = try world.inside(["nft", "list", "table", "netdev", "loss_\(hook)"])
        #expect(counted.text.contains("inc mod 1000000 3 counter packets 1 "), "\(counted.text)")
      }
    }

    /// Drops IPv4 packets between the TAP and the kernel's stack (`ingress` is what the stack sent): the fourth, so that
    /// something is lost whatever the dice say (large packets may be few), and others at random.
    private static func drop(_ percent: Int, hook: String, in world: NetnsWorld) throws {
      let table = "loss_\(hook)"
      let rules = """
        table netdev \(table) {
          chain drops {
            type filter hook \(hook) device "\(world.interface)" priority 0; policy accept;
            ether type ip numgen inc mod 1000000 == 3 counter drop
            ether type ip numgen random mod 100 < \(percent) counter drop
          }
        }
        """
      try world.inside(["nft", "-f", "/dev/stdin"], input: .text(rules))
    }
  }
}
