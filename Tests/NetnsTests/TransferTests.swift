import Testing

extension Netns {
  @Suite struct Transfers {
    /// 1 GiB, the size.
    static let gibibyte = 1 << 30

    @Test(
      "1 GiB each way with equal SHA-256",
      arguments: ["auto", "off"], [1500, 9000, 576])
    func gibibyte(offload: String, mtu: Int) throws {
      var options = NetnsWorld.Options()
      options.offload = offload
      options.mtu = mtu
      try withWorld(options) { world in
        let out = try world.send(byteCount: Self.gibibyte, seconds: 120)
        #expect(out.client.status == 0, "\(out.client.summary)")
        #expect(out.receivedBytes == Self.gibibyte && out.receivedDigest == out.sentDigest, "\(out)")
        let back = try world.receive(byteCount: Self.gibibyte, seconds: 120)
        #expect(back.client.status == 0, "\(back.client.summary)")
        #expect(back.receivedBytes == Self.gibibyte && back.receivedDigest == back.sentDigest, "\(back)")
        print("1 GiB offload \(offload) mtu \(mtu): out \(out.seconds) s, in \(back.seconds) s")
      }
    }

    @Test("perf send: what it counts is what a kernel sink got", arguments: [1, 4])
    func perfSend(streams: Int) throws {
      try withWorld { world in
        let sink = try world.startPeer(["parallel-sink", "5201", "300"])
        let sent = try world.json("perf", ["send", world.host, "5201", "-t", "2", "-P", "\(streams)"])
        let report = try #require(sent as? [String: Any])
        let bytes = try #require(report["bytes"] as? Int)
        let seconds = try #require(report["seconds"] as? Double)
        let rate = try #require(report["bitsPerSecond"] as? Double)
        #expect(report["retransmits"] is Int)
        #expect(bytes > 1_000_000 && seconds > 1.5 && seconds < 60)
        #expect(abs(rate - Double(bytes) * 8 / seconds) < rate * 0.05)
        let received = sink.wait(seconds: 15)
        #expect(received.integer("connections") == streams, "\(received.summary)")
        #expect(received.integer("bytes") == bytes, "\(received.summary)")
      }
    }

    @Test(
      "T4 perf send -Z: packets carry the sender's memory, and every byte is right",
      arguments: ["auto", "off"], [0, 1])
    func zeroCopy(offload: String, loss: Int) throws {
      var options = NetnsWorld.Options()
      options.offload = offload
      try withWorld(options) { world in
        if loss > 0 {
          let netem = try world.swiftstack("qdisc", ["replace", "root", "netem", "loss", "\(loss)%"])
          #expect(netem.status == 0, "\(netem.summary)")
        }
        let sink = try world.startPeer(["sink-pattern", "5201", "100000"])
        let sent = try world.json("perf", ["send", "-Z", "-l", "100000", world.host, "5201", "-t", "3"])
        let report = try #require(sent as? [String: Any])
        let bytes = try #require(report["bytes"] as? Int)
        let received = sink.wait(seconds: 30)
        #expect(bytes > 1_000_000, "\(report)")
        #expect(received.integer("bytes") == bytes && received.integer("same") == 1, "\(received.summary)")
        print("perf send -Z offload \(offload), loss \(loss) %: \(bytes) bytes")
      }
    }

    @Test("perf recv: what it counts is what a kernel source wrote")
    func perfReceive() throws {
      try withWorld { world in
        let perf = try world.startSwiftstack("perf", ["recv", "5202", "-t", "60", "--json"])
        try world.waitUntilStackListens(on: 5202)
        let source = try world.peer(["send-for", world.stack, "5202", "2"])
        let result = perf.wait(seconds: 20)
        #expect(result.status == 0, "\(result.summary)")
        let text = result.text
        let wrote = try #require(source.integer("bytes"), "\(source.summary)")
        #expect(text.contains("\"bytes\"") && text.contains("\(wrote)"), "wrote \(wrote): \(result.summary)")
      }
    }

    @Test("iperf3-style bulk both ways at once on one stack")
    func bothWays() throws {
      try withWorld { world in
        let perf = try world.startSwiftstack("perf", ["recv", "5202", "-t", "60"])
        try world.waitUntilStackListens(on: 5202)
        let sink = try world.startPeer(["parallel-sink", "5201", "300"])
        let source = try world.startInside(
          ["python3", "-u", NetnsWorld.peerScript, "send-for", world.stack, "5202", "2"])
        let out = try world.swiftstack("perf", ["send", world.host, "5201", "-t", "2"])
        #expect(out.status == 0, "\(out.summary)")
        let received = sink.wait(seconds: 20)
        #expect(received.integer("bytes") ?? 0 > 1_000_000, "\(received.summary)")
        let wrote = source.wait(seconds: 20)
        #expect(wrote.integer("bytes") ?? 0 > 1_000_000, "\(wrote.summary)")
        #expect(perf.wait(seconds: 20).status == 0)
      }
    }
  }
}
