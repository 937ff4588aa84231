import Foundation
import Testing

extension Netns {
  /// Queueing disciplines that need time, measured by a Linux peer.
  @Suite struct Qdiscs {
    private func qdisc(_ world: NetnsWorld, _ words: String) throws {
      let result = try world.swiftstack("qdisc", words.split(separator: " ").map(String.init))
      #expect(result.status == 0, "\(result.summary)")
    }

    /// Milliseconds of the shortest of Linux's pings to the stack: what the machine itself adds is not in it.
    private func roundTrip(_ world: NetnsWorld) throws -> Double {
      let text = try world.inside(["ping", "-c40", "-i0.01", world.stack]).text
      let times = text.split(separator: " ").filter { $0.hasPrefix("time=") }.compactMap {
        Double($0.dropFirst(5))
      }
      #expect(times.count == 40, "\(text)")
      return times.min() ?? 0
    }

    @Test("Q3 netem delays what goes out and what comes in by what it was told, within 1 ms, and del ends it")
    func delay() throws {
      try withWorld { world in
        let base = try roundTrip(world)
        try qdisc(world, "replace root netem delay 40ms")
        var time = try roundTrip(world) - base
        #expect(abs(time - 40) < 1, "\(time)")
        print("netem out, 40 ms told: \(time) ms")
        try qdisc(world, "replace ingress netem delay 30ms")
        time = try roundTrip(world) - base
        #expect(abs(time - 70) < 1, "\(time)")
        print("netem out and in, 70 ms told: \(time) ms")
        let shown = try world.swiftstack("qdisc").text
        #expect(
          shown.contains("qdisc netem 8001: dev \(world.interface) root refcnt 2 limit 1000 delay 40ms\n"))
        #expect(shown.contains("ingress refcnt 2 limit 1000 delay 30ms\n"), "\(shown)")
        try qdisc(world, "del root")
        time = try roundTrip(world) - base
        #expect(abs(time - 30) < 1, "\(time)")
        try qdisc(world, "del ingress")
        time = try roundTrip(world) - base
        #expect(abs(time) < 1, "\(time)")
        #expect(try world.swiftstack("qdisc").text.contains("pfifo_fast 0:"))
      }
    }

    /// Frames as they are on the wire, so that interface counters count what the queueing disciplines count.
    private static var unmerged: NetnsWorld.Options {
      var options = NetnsWorld.Options()
      options.offload = "off"
      return options
    }

    @Test(
      "Q3 tbf and netem let TCP pass at their rate, within 2 %, out to Linux",
      arguments: ["tbf rate 20mbit burst 20kb latency 50ms", "netem rate 20mbit limit 200"])
    func rateOut(words: String) throws {
      try withWorld(Self.unmerged) { world in
        try qdisc(world, "replace root \(words)")
        let result = try world.peer(["rate", world.stack, "19", world.interface, "3"])
        let rate = Double(result.integer("rate") ?? 0) * 8 / 1e6
        #expect(abs(rate / 20 - 1) < 0.02, "\(rate) Mbit/s, \(result.summary)")
        print("\(words), out: \(rate) Mbit/s")
      }
    }

    @Test(
      "Q3 tbf and netem let TCP pass at their rate, within 2 %, in from Linux",
      arguments: ["tbf rate 20mbit burst 20kb latency 50ms", "netem rate 20mbit limit 200"])
    func rateIn(words: String) throws {
      try withWorld(Self.unmerged) { world in
        try qdisc(world, "replace ingress \(words)")
        let source = try world.startInside([
          "python3", "-u", NetnsWorld.peerScript, "send-for", world.stack, "9", "6",
        ])
        defer { source.stop() }
        func passed() throws -> (bytes: Double, at: Double) {
          let rows = try world.json("qdisc") as? [[String: Any]] ?? []
          let row = rows.first { $0["place"] as? String == "ingress" }
          return (Double(row?["bytes"] as? Int ?? 0), ProcessInfo.processInfo.systemUptime)
        }
        Thread.sleep(forTimeInterval: 1)
        let before = try passed()
        Thread.sleep(forTimeInterval: 4)
        let after = try passed()
        let rate = (after.bytes - before.bytes) * 8 / 1e6 / (after.at - before.at)
        #expect(abs(rate / 20 - 1) < 0.02, "\(rate) Mbit/s")
        print("\(words), in: \(rate) Mbit/s")
      }
    }

    /// Of 3000 echoes, how many may be lost: 4.5 standard deviations about the share, which is beyond that once in
    /// 150,000 runs.
    @Test(
      "Q3 netem loses the share it was told, within its confidence interval, out and in",
      arguments: ["root", "ingress"])
    func loss(place: String) throws {
      try withWorld { world in
        func lost(_ words: String) throws -> Double {
          try qdisc(world, "replace \(place) netem \(words)")
          let text = try world.tryInside(["ping", "-f", "-c3000", "-W1", world.stack], seconds: 60).text
          let counts = text.split(separator: "\n").first { $0.contains("packets transmitted") } ?? ""
          let words = counts.split(separator: " ")
          #expect(words.count > 3 && words[0] == "3000", "\(text)")
          return 3000 - (Double(words.count > 3 ? words[3] : "0") ?? 0)
        }
        let random = try lost("loss 10%")
        #expect(abs(random - 300) < 4.5 * (3000 * 0.1 * 0.9).squareRoot(), "\(random)")
        // Bad p / (p + r) of the time; each state tells of the next by 1 - p - r.
        let bursts = try lost("loss gemodel 5% 45%")
        let spread = (3000 * 0.1 * 0.9 * (1 + 0.5) / (1 - 0.5)).squareRoot()
        #expect(abs(bursts - 300) < 4.5 * spread, "\(bursts)")
        print("netem \(place): of 3000 lost \(random) of 300 told, in bursts \(bursts) of 300")
      }
    }

    @Test("Q3 netem loses all, tbf passes what fits, and wrong words are named with exit code 64")
    func words() throws {
      try withWorld { world in
        try qdisc(world, "replace root netem loss 100%")
        #expect(
          try world.tryInside(["ping", "-c2", "-i0.05", "-W1", world.stack]).text.contains("100% packet loss")
        )
        try qdisc(world, "replace root tbf rate 10mbit burst 10kb latency 50ms")
        #expect(try world.inside(["ping", "-c2", "-i0.05", world.stack]).text.contains(" 0% packet loss"))
        #expect(try world.swiftstack("qdisc").text.contains("rate 10Mbit burst 10Kb lat 50ms"))
        let wrong = try world.swiftstack("qdisc", ["replace", "root", "netem", "delay", "20q"])
        #expect(wrong.status == 64 && wrong.errors.contains("\"20q\""), "\(wrong.summary)")
        let ingress = try world.swiftstack("qdisc", ["replace", "ingress", "pfifo_fast"])
        #expect(ingress.status == 64 && ingress.errors.contains("tbf or netem"), "\(ingress.summary)")
        #expect(try world.swiftstack("qdisc", ["del", "ingress"]).status == 1)
      }
    }
  }
}
