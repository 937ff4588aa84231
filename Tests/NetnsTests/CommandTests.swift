import Foundation
import Glibc
import Testing

extension Netns {
  /// What becomes of a command whose output goes nowhere, or that is told to end.
  @Suite struct Commands {
    @Test("every verb that prints, into a full disk: status 1 and the reason")
    func fullDisk() throws {
      try withWorld { world in
        let idle = try world.startPeer(["idle", world.stack, "7", "1"], input: .open)
        defer { idle.stop() }
        for line in [
          "ss", "ss --json", "neigh", "neigh --json", "route", "route --json", "qdisc", "qdisc --json", "nic",
          "nic --json", "stats", "stats --json", "ping -c1 \(world.host)", "capture -c1 -",
        ] {
          let command = try world.startShell(
            "$SWIFTSTACK \(line) --interface $IF >/dev/full & "
              + "pid=$!; ip netns exec \(world.namespace) ping -qc2 -i0.2 -W20 \(world.stack) >/dev/null; wait $pid"
          )
          let result = command.wait(seconds: 20)
          #expect(result.status == 1 && !result.timedOut, "\(line): \(result.summary)")
          #expect(result.errors.contains("No space left on device"), "\(line): \(result.summary)")
        }
        let page = try world.startInside(["nc", "-l", "-N", "8080"], input: .text("a page\n"))
        #expect(
          poll(seconds: 5) {
            (try? world.tryInside(["ss", "-Hltn"]))?.text.contains(":8080") == true ? true : nil
          })
        let netcat = try world.startShell(
          "$SWIFTSTACK nc --interface $IF \(world.host) 8080 </dev/null >/dev/full"
        ).wait(seconds: 20)
        #expect(netcat.status == 1 && netcat.errors.contains("No space left on device"), "\(netcat.summary)")
        page.stop()
      }
    }

    @Test(
      "every verb that prints, into a pipe that nobody reads any more: it ends, and says no more than why")
    func closedPipe() throws {
      try withWorld { world in
        for line in ["ss", "stats -z", "nic", "ping -i0.01 \(world.host)", "trace --follow", "capture -"] {
          let command = try world.startShell(
            "ip netns exec \(world.namespace) ping -qi0.1 \(world.stack) >/dev/null & p=$!; "
              + "$SWIFTSTACK \(line) --interface $IF | head -c1 >/dev/null; kill $p")
          let result = command.wait(seconds: 20)
          #expect(!result.timedOut, "\(line): \(result.summary)")
          #expect(!result.errors.contains("Fatal"), "\(line): \(result.summary)")
        }
      }
    }

    @Test(
      "INT and TERM end a client that is stuck in its output: a FIFO without a reader, a pipe that is full",
      arguments: [SIGINT, SIGTERM])
    func stuckOutput(number: Int32) throws {
      try withWorld { world in
        let fifo = world.directory.appendingPathComponent("fifo").path
        let full = world.directory.appendingPathComponent("full").path
        #expect(unsafe mkfifo(fifo, 0o600) == 0 && mkfifo(full, 0o600) == 0)
        let opening = try world.startSwiftstack("capture", [fifo])
        let reader = try world.startShell("exec sleep 600 <\(full)")
        let flood = try world.startInside(["ping", "-q", "-i0.002", "-s1400", world.stack])
        let clients =
          [opening]
          + (try [
            "trace --follow", "ping -i0.001 \(world.host)", "capture -",
          ].map { try world.startShell("exec $SWIFTSTACK \($0) --interface $IF >\(full)") })
        // Stuck: what it does takes no time any more. The FIFO's 64 KiB are full of what others wrote.
        let filler = try world.startShell("exec cat /dev/zero >\(full)")
        for client in clients {
          #expect(poll(seconds: 20) { Self.isWaiting(client) ? true : nil }, "\(client.name)")
          client.send(signal: number)
          let result = client.wait(seconds: 10)
          #expect(!result.timedOut && result.status == 128 + number, "\(client.name): \(result.summary)")
        }
        for other in [flood, reader, filler] { other.stop() }
      }
    }

    /// Whether the process sleeps: in a write or an open that nobody answers, or between two looks.
    private static func isWaiting(_ process: ChildProcess) -> Bool {
      let text = (try? String(contentsOfFile: "/proc/\(process.identifier)/wchan", encoding: .utf8)) ?? ""
      return ["pipe_write", "wait_for_partner", "anon_pipe_write", "fifo_open"].contains { text.contains($0) }
    }

    @Test("capture -c 0 is refused, capture - writes to standard output")
    func captureArguments() throws {
      try withWorld { world in
        let none = try world.swiftstack("capture", ["-c", "0", "x.pcapng"])
        #expect(none.status == 64 && none.errors.contains("-c 0"), "\(none.summary)")
        let ping = try world.startInside(["ping", "-qi0.1", world.stack])
        defer { ping.stop() }
        let some = try world.swiftstack("capture", ["-c", "4", "-"])
        #expect(some.status == 0 && some.output.starts(with: [0x0A, 0x0D, 0x0D, 0x0A]), "\(some.errors)")
        #expect(some.errors.contains("4 frames captured, 0 dropped"), "\(some.errors)")
        #expect(!FileManager.default.fileExists(atPath: "-"))
      }
    }

    @Test("capture: the text and the file say the same of what was captured and what was dropped")
    func captureCounts() throws {
      try withWorld { world in
        let file = world.directory.appendingPathComponent("frames.pcapng").path
        let capture = try world.startSwiftstack("capture", [file])
        #expect(capture.waitUntilItWrites("capturing on"))
        let discard = try world.peer(["send-pattern", world.stack, "9", "\(256 << 20)"])
        #expect(discard.status == 0, "\(discard.summary)")
        let echo = try world.peer(["echo-pattern", world.stack, "7", "\(64 << 20)"])
        #expect(echo.integer("same") == 1, "\(echo.summary)")
        capture.send(signal: SIGINT)
        let result = capture.wait(seconds: 60)
        #expect(result.status == 0, "\(result.summary)")
        let words = result.errors.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        let kept = try #require(words.dropLast().last), dropped = try #require(words.last)
        #expect(kept > 1000)
        let counted = try world.tryInside(["python3", "-c", Self.countBlocks, file], seconds: 60)
        #expect(counted.integer("frames") == kept, "\(counted.summary) \(result.summary)")
        #expect(counted.integer("received") == kept + dropped, "\(counted.summary) \(result.summary)")
        #expect(counted.integer("dropped") == dropped, "\(counted.summary) \(result.summary)")
      }
    }

    /// Enhanced packet blocks of a pcapng file, and its interface statistics.
    private static let countBlocks = """
      import struct, sys
      data = open(sys.argv[1], "rb").read()
      at = frames = received = dropped = 0
      while at < len(data):
          kind, length = struct.unpack_from("<II", data, at)
          assert struct.unpack_from("<I", data, at + length - 4)[0] == length
          if kind == 6: frames += 1
          if kind == 5: received, dropped = (struct.unpack_from("<Q", data, at + 24 + 12 * n)[0] for n in (0, 1))
          at += length
      print(f"frames={frames} received={received} dropped={dropped}")
      """

    @Test("trace: what is not shown is counted, in the output and at the end")
    func traceCounts() throws {
      try withWorld { world in
        let trace = try world.startSwiftstack("trace", ["--follow"])
        #expect(trace.waitUntilItWrites("tracing"))
        let discard = try world.peer(["send-pattern", world.stack, "9", "\(256 << 20)"])
        #expect(discard.status == 0, "\(discard.summary)")
        trace.send(signal: SIGINT)
        let result = trace.wait(seconds: 60)
        #expect(result.status == 0, "\(result.errors)")
        let lines = result.text.split(separator: "\n")
        let gaps = lines.filter { $0.hasPrefix("# ") && $0.hasSuffix(" records lost") }
        let lost = gaps.reduce(0) { $0 + (Int($1.split(separator: " ")[1]) ?? 0) }
        if lost > 0 {
          #expect(
            result.errors.contains("\(lines.count - gaps.count) records shown, \(lost) lost"),
            "\(result.errors)")
        } else {
          #expect(!result.errors.contains("lost"), "\(result.errors)")
        }
        #expect(lines.count > 1000)
      }
    }

    @Test("SIGQUIT: ping says how it stands and goes on, others end")
    func quit() throws {
      try withWorld { world in
        let ping = try world.startSwiftstack("ping", ["-i", "0.05", world.host])
        #expect(ping.waitUntilItWrites("icmp_seq=3"))
        ping.send(signal: SIGQUIT)
        #expect(ping.waitUntilItWrites("% loss, min/avg/max"))
        let shown = ping.outputSoFar.split(separator: "\n").count
        #expect(poll(seconds: 10) { ping.outputSoFar.split(separator: "\n").count > shown + 2 ? true : nil })
        ping.send(signal: SIGINT)
        let result = ping.wait(seconds: 10)
        #expect(result.status == 0, "\(result.summary)")
        let trace = try world.startSwiftstack("trace", ["--follow"])
        #expect(trace.waitUntilItWrites("tracing"))
        trace.send(signal: SIGQUIT)
        let end = trace.wait(seconds: 10)
        #expect(end.status == 128 + SIGQUIT && !end.errors.contains("Crash"), "\(end.summary)")
      }
    }

    @Test("perf that is interrupted says what it has measured so far")
    func perfInterrupted() throws {
      try withWorld { world in
        let sink = try world.startPeer(["parallel-sink", "5201", "300"])
        let send = try world.startSwiftstack("perf", ["send", world.host, "5201", "-t", "600", "--json"])
        #expect(
          poll(seconds: 20) {
            (try? world.swiftstack("ss"))?.text.contains("bytes_acked:") == true ? true : nil
          })
        send.send(signal: SIGINT)
        let result = send.wait(seconds: 10)
        #expect(result.status == 0 && result.text.contains("\"bytes\""), "\(result.summary)")
        sink.stop()
        let receive = try world.startSwiftstack("perf", ["recv", "5202", "-t", "600"])
        try world.waitUntilStackListens(on: 5202)
        let source = try world.startInside(
          ["python3", "-u", NetnsWorld.peerScript, "send-for", world.stack, "5202", "600"])
        #expect(
          poll(seconds: 20) {
            (try? world.swiftstack("ss"))?.text.contains("bytes_received:") == true ? true : nil
          })
        receive.send(signal: SIGTERM)
        let sum = receive.wait(seconds: 10)
        #expect(sum.status == 0 && sum.text.contains("received "), "\(sum.summary)")
        #expect(!source.wait(seconds: 10).timedOut)
      }
    }

    @Test("ping of a host without a neighbour: Destination Host Unreachable for each request, counted")
    func unreachable() throws {
      try withWorld { world in
        let result = try world.swiftstack("ping", ["-c", "3", "-i", "0.2", "-W", "60", "10.0.0.97"])
        #expect(result.status == 1 && !result.timedOut, "\(result.summary)")
        let lines = result.text.split(separator: "\n").filter { $0.contains("Destination Host Unreachable") }
        #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("From 10.0.0.") }, "\(result.summary)")
        #expect(result.text.contains("0 received, +3 errors, 100% packet loss"), "\(result.summary)")
      }
    }

    @Test(
      "ping after its client was stopped: paced, nothing counted as lost, no waiting time in the round trips")
    func stoppedClient() throws {
      try withWorld { world in
        let before = try Self.echoes(world)
        let ping = try world.startSwiftstack("ping", ["-i", "0.01", world.host])
        #expect(ping.waitUntilItWrites("icmp_seq=3"))
        ping.send(signal: SIGSTOP)
        // Until it is so far behind that no more requests are sent.
        var last = -1
        #expect(
          poll(seconds: 60, every: 0.5) {
            guard let count = try? Self.echoes(world) else { return nil }
            defer { last = count }
            return count == last && count > before + 50 ? true : nil
          })
        ping.send(signal: SIGCONT)
        ping.send(signal: SIGINT)
        let result = ping.wait(seconds: 30)
        #expect(result.status == 0, "\(result.summary)")
        let sent =
          result.text.components(separatedBy: " packets transmitted").first?
          .split(whereSeparator: \.isWhitespace).last.flatMap { Int($0) } ?? 0
        let received =
          result.text.components(separatedBy: " received").first?
          .split(whereSeparator: \.isWhitespace).last.flatMap { Int($0) } ?? 0
        #expect(sent > 3 && sent - received <= 2, "\(sent) sent, \(received) received")
      }
    }

    /// Echo requests that Linux has received.
    private static func echoes(_ world: NetnsWorld) throws -> Int {
      let text = try world.inside(["nstat", "-asz", "IcmpInEchos"]).text
      return text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.first ?? 0
    }
  }
}
