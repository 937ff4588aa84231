import Foundation
import Testing

extension Netns {
  @Suite struct Reports {
    @Test(
      "every report parses as JSON and has a text form",
      arguments: ["ss", "neigh", "route", "qdisc", "nic", "stats"])
    func json(command: String) throws {
      try withWorld { world in
        let idle = try world.startPeer(["idle", world.stack, "7", "3"], input: .open)
        defer { idle.stop() }
        let value = try world.json(command)
        #expect(
          (value as? [Any])?.isEmpty == false || (value as? [String: Any])?.isEmpty == false, "\(value)")
        let text = try world.swiftstack(command)
        #expect(text.status == 0 && !text.text.isEmpty, "\(text.summary)")
      }
    }

    @Test("ss shows the connections as Linux sees them from its side, with ss -ti details")
    func sockets() throws {
      try withWorld { world in
        let client = try world.startSwiftstack("nc", ["-l", "6010"], input: .open)
        try world.waitUntilStackListens(on: 6010)
        let peer = try world.startInside(["nc", world.stack, "6010"], input: .open)
        try peer.write("some bytes\n")
        #expect(client.waitUntilItWrites("some bytes"))
        let kernel = try world.inside(["ss", "-Htn", "dport", "=", "6010"])
        let local = try #require(kernel.text.split(separator: " ").first { $0.hasPrefix("10.0.0.1:") })
        let stack = try world.swiftstack("ss")
        let line = try #require(
          stack.text.split(separator: "\n").first { $0.contains(local) && $0.contains("10.0.0.2:6010") })
        #expect(line.contains("ESTAB"), "\(stack.text)")
        for word in ["rtt:", "cwnd:", "mss:1448", "rto:", "wscale:"] {
          #expect(stack.text.contains(word), "\(word) in \(stack.text)")
        }
      }
    }

    @Test("neigh, route, qdisc, nic and stats say what is so")
    func others() throws {
      try withWorld { world in
        try world.inside(["ping", "-c5", "-i0.1", world.stack])
        let address = try world.inside(["cat", "/sys/class/net/\(world.interface)/address"]).text
          .trimmingCharacters(in: .whitespacesAndNewlines)
        let neighbours = try world.swiftstack("neigh").text
        #expect(neighbours.contains(world.host) && neighbours.lowercased().contains(address), "\(neighbours)")
        #expect(
          ["REACHABLE", "STALE", "DELAY", "PROBE"].contains { neighbours.contains($0) }, "\(neighbours)")
        #expect(try world.swiftstack("route").text.contains("10.0.0.0/24"))
        let qdisc = try world.swiftstack("qdisc").text
        #expect(qdisc.contains("pfifo_fast") && qdisc.contains("Sent"), "\(qdisc)")
        let stats = try world.swiftstack("stats").text
        #expect(stats.contains("IpInReceives") || stats.contains("InReceives"), "\(stats)")
        #expect(stats.contains("InEchos"), "\(stats)")
      }
    }

    @Test("capture writes a pcapng file that tcpdump reads, with every frame of a ping")
    func capture() throws {
      try withWorld { world in
        let file = world.directory.appendingPathComponent("frames.pcapng").path
        let capture = try world.startSwiftstack("capture", [file])
        #expect(capture.waitUntilItWrites("capturing on"))
        try world.inside(["ping", "-c3", "-i0.2", world.stack])
        capture.send(signal: SIGINT)
        let result = capture.wait(seconds: 5)
        #expect(result.status == 0, "\(result.summary)")
        #expect(result.errors.contains(", 0 dropped"), "\(result.summary)")
        let read = try world.tryInside(["tcpdump", "-nn", "-e", "-r", file])
        #expect(read.status == 0, "\(read.summary)")
        let lines = read.text.split(separator: "\n")
        #expect(lines.filter { $0.contains("ICMP echo request") }.count == 3, "\(read.text)")
        #expect(lines.filter { $0.contains("ICMP echo reply") }.count == 3, "\(read.text)")
      }
    }

    @Test("trace shows the staircase by the kernel's names, from sendmsg to the doorbell")
    func trace() throws {
      try withWorld { world in
        let trace = try world.startSwiftstack("trace", ["--follow"])
        #expect(trace.waitUntilItWrites("tracing"))
        let echo = try world.tryInside(["nc", "-N", world.stack, "7"], input: .text("traced\n"), seconds: 10)
        #expect(echo.text == "traced\n")
        #expect(trace.waitUntilItWrites("ice_start_xmit"), "\(trace.outputSoFar)\(trace.errorsSoFar)")
        for name in ["tcp_sendmsg", "tcp_write_xmit", "ip_queue_xmit", "dev_queue_xmit", "ice_start_xmit"] {
          #expect(trace.waitUntilItWrites(name, seconds: 3), "\(name) in \(trace.outputSoFar.prefix(3000))")
        }
        trace.send(signal: SIGINT)
        #expect(trace.wait(seconds: 5).status == 0)
      }
    }
  }
}
