import Foundation
import Testing

extension Netns {
  @Suite struct Connections {
    @Test("R 200 connections at once, each with bytes of its own")
    func manyAtOnce() throws {
      try withWorld { world in
        let result = try world.peer(["echo-many", world.stack, "7", "200", "100000"], seconds: 90)
        #expect(result.integer("connected") == 200, "\(result.summary)")
        #expect(result.integer("good") == 200 && result.integer("bad") == 0, "\(result.summary)")
      }
    }

    @Test("R one-byte writes from Linux, streamed and answered one by one")
    func oneByteWritesIn() throws {
      try withWorld { world in
        let result = try world.peer(["one-byte-writes", world.stack, "7", "5000"])
        #expect(result.integer("same") == 1 && result.integer("round_trips") == 200, "\(result.summary)")
      }
    }

    @Test("T9 one-byte writes from the stack, read one byte at a time")
    func oneByteWritesOut() throws {
      try withWorld { world in
        let reader = try world.startPeer(["byte-reader", "6000", "3000"])
        let client = try world.startSwiftstack("nc", [world.host, "6000"], input: .open)
        for number in 0..<3000 { try client.write(number % 2 == 0 ? "a" : "b") }
        try client.closeInput()
        #expect(client.wait(seconds: 30).status == 0)
        let result = reader.wait(seconds: 10)
        #expect(result.integer("bytes") == 3000, "\(result.summary)")
        let expected = try world.tryInside(
          ["sh", "-c", "python3 -c 'print(\"ab\" * 1500, end=\"\")' | sha256sum"])
        #expect(result.word("sha256").map { expected.text.hasPrefix($0) } == true)
      }
    }

    @Test("R half-close by Linux: the stack still delivers everything afterwards")
    func halfCloseByLinux() throws {
      try withWorld { world in
        let data = String(repeating: "0123456789abcdef", count: 60_000)
        let echoed = try world.tryInside(["nc", "-N", world.stack, "7"], input: .text(data), seconds: 20)
        #expect(echoed.status == 0 && echoed.text == data)
        let server = try world.startPeer(["answer-then-close", "6001", "first-and-last"])
        let client = try world.startSwiftstack("nc", [world.host, "6001"], input: .open)
        #expect(client.waitUntilItWrites("first-and-last"))
        for _ in 0..<100 { try client.write(String(repeating: "x", count: 10_000)) }
        try client.closeInput()
        let result = client.wait(seconds: 20)
        #expect(result.status == 0 && result.text == "first-and-last", "\(result.summary)")
        #expect(server.wait(seconds: 10).integer("bytes") == 1_000_000)
      }
    }

    @Test("R half-close by the stack: Linux answers 10 MB only after our FIN")
    func halfCloseByStack() throws {
      try withWorld { world in
        let server = try world.startPeer(["half-close-server", "6002", "10000000"])
        let client = try world.startShell(
          "echo a question | $SWIFTSTACK nc --interface $IF \(world.host) 6002 | python3 $PEER digest")
        let answer = client.wait(seconds: 30)
        let report = server.wait(seconds: 10)
        #expect(report.integer("bytes") == 11, "\(report.summary)")
        #expect(
          answer.integer("bytes") == 10_000_000 && answer.word("sha256") == report.word("sent"),
          "\(answer.summary)")
      }
    }

    @Test(
      "R the peer is killed while we send: nc ends with an error, the stack lives, nothing stays established")
    func peerKilledWhileSending() throws {
      try withWorld { world in
        let (sink, client) = try world.startSending(.bytes(1 << 40))
        defer { client.stop() }
        #expect(poll(seconds: 10) { self.hasEstablished(world, port: 5001) ? true : nil })
        sink.send(signal: SIGKILL)
        let result = client.wait(seconds: 10)
        #expect(!result.timedOut && result.status != 0, "\(result.summary)")
        #expect(poll(seconds: 5) { self.hasEstablished(world, port: 5001) ? nil : true })
      }
    }

    @Test("R the peer is killed while it sends: its bytes so far arrive, then the end")
    func peerKilledWhileReceiving() throws {
      try withWorld { world in
        let (listener, source) = try world.startReceiving(.bytes(1 << 40))
        defer { listener.stop() }
        #expect(poll(seconds: 10) { self.hasEstablished(world, port: 5002) ? true : nil })
        #expect(poll(seconds: 20) { self.counter(world, "bytes_received:") > 1_000_000 ? true : nil })
        source.send(signal: SIGKILL)
        let result = listener.wait(seconds: 10)
        #expect(!result.timedOut && result.integer("bytes") ?? 0 > 1_000_000, "\(result.summary)")
        #expect(poll(seconds: 5) { self.hasEstablished(world, port: 5002) ? nil : true })
      }
    }

    @Test("R the client is killed mid-transfer: the kernel's side ends, the stack lives on")
    func clientKilled() throws {
      try withWorld { world in
        let sink = try world.startPeer(["sink", "5001"])
        let client = try world.startSwiftstack(
          "nc", [world.host, "5001"], input: .file(URL(fileURLWithPath: "/dev/zero")))
        #expect(poll(seconds: 10) { self.hasEstablished(world, port: 5001) ? true : nil })
        #expect(poll(seconds: 20) { self.counter(world, "bytes_acked:") > 100_000 ? true : nil })
        client.send(signal: SIGKILL)
        #expect(!sink.wait(seconds: 10).timedOut)
        #expect(poll(seconds: 5) { self.hasEstablished(world, port: 5001) ? nil : true })
        let result = try world.tryInside(["nc", "-N", world.stack, "7"], input: .text("hi\n"), seconds: 10)
        #expect(result.text == "hi\n")
      }
    }

    @Test("R 1,000 connections one after the other leave no socket behind but TIME-WAIT")
    func manyInSequence() throws {
      try withWorld { world in
        let script = """
          import socket, sys
          for _ in range(1000):
              s = socket.create_connection((sys.argv[1], 7)); s.sendall(b"x"); s.shutdown(1)
              assert s.recv(10) == b"x" and s.recv(10) == b""
              s.close()
          """
        let result = try world.tryInside(["python3", "-c", script, world.stack], seconds: 60)
        #expect(result.status == 0, "\(result.summary)")
        #expect(poll(seconds: 5) { self.hasEstablished(world, port: 7) ? nil : true })
      }
    }

    /// The largest value that any socket shows under a name of `ss -ti`.
    private func counter(_ world: NetnsWorld, _ name: String) -> Int {
      let words = (try? world.swiftstack("ss", seconds: 5))?.text.split(whereSeparator: \.isWhitespace) ?? []
      return words.filter { $0.hasPrefix(name) }.compactMap { Int($0.dropFirst(name.count)) }.max() ?? 0
    }

    /// Whether the stack has a connection with this port at either end; `nc` without input has half-closed it.
    private func hasEstablished(_ world: NetnsWorld, port: Int) -> Bool {
      guard let sockets = try? world.swiftstack("ss", seconds: 5) else { return false }
      return sockets.text.split(separator: "\n").contains {
        ($0.contains("ESTAB") || $0.contains("FIN-WAIT")) && NetnsWorld.names(port, in: $0)
      }
    }
  }
}
