import Foundation
import Glibc
import Testing

extension Netns {
  /// Clients of the control socket that mean ill, as the user who started the stack: nothing that they send or do not send ends it,
  /// grows it without bound, or keeps root out.
  @Suite struct ControlFlood {
    static let user = "61234"

    static func withWorld(_ body: (NetnsWorld, Int32) throws -> Void) throws {
      try Netns.withWorld(.init(environment: ["SUDO_UID": user, "SUDO_GID": user])) { world in
        guard let daemon = world.daemon else { throw Failure("no daemon") }
        try body(world, daemon.identifier)
      }
    }

    /// What a process has and holds.
    struct Weight: CustomStringConvertible {
      var kilobytes = 0
      var threads = 0
      var descriptors = 0
      var description: String { "\(kilobytes) KiB, \(threads) threads, \(descriptors) descriptors" }

      init(_ process: Int32) {
        let text = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        func value(_ field: String) -> Int {
          let line = text.split(separator: "\n").first { $0.hasPrefix("\(field):") } ?? ""
          return Int(line.split(whereSeparator: \.isWhitespace).dropFirst().first ?? "") ?? .max
        }
        kilobytes = value("VmRSS")
        threads = value("Threads")
        descriptors =
          (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").count) ?? .max
      }
    }

    /// A script's client as the user. It says "ready" when it has done what it does, and holds it.
    static func start(_ script: String, _ world: NetnsWorld, _ more: String...) throws -> ChildProcess {
      try world.startInside(
        ["python3", "-u", "-c", common + script, world.controlSocket, user] + more)
    }

    private static let common = """
      import json, os, random, resource, socket, sys, time
      resource.setrlimit(resource.RLIMIT_NOFILE, (12000, 12000))
      os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
      kept = []
      def client():
          s = socket.socket(socket.AF_UNIX); s.settimeout(30); kept.append(s)
          while True:
              # A full queue of waiting clients.
              try: s.connect(sys.argv[1]); return s
              except BlockingIOError: time.sleep(0.001)
      def send(s, data):
          try: s.sendall(data)
          except OSError: pass
      def held():
          print("ready"); time.sleep(600)

      """

    /// Root is served, as soon as clients that have their time have had it.
    static func expectServed(_ world: NetnsWorld, sourceLocation: SourceLocation = #_sourceLocation) throws {
      let ss = try world.swiftstack("ss")
      #expect(ss.status == 0 && ss.text.contains("LISTEN"), "\(ss.summary)", sourceLocation: sourceLocation)
      let ping = try world.swiftstack("ping", ["-c1", world.host])
      #expect(ping.status == 0, "\(ping.summary)", sourceLocation: sourceLocation)
    }

    @Test("10,000 clients at once: bounded memory, threads and descriptors; root gets in during and after it")
    func flood() throws {
      try Self.withWorld { world, daemon in
        let before = Weight(daemon)
        let flood = try Self.start(
          """
          for number in range(10000):
              s = client()
              if number % 3: send(s, b'{"version":2,"command":{"ss":{}}}\\n' if number % 3 == 1 else b'{"vers')
          held()
          """, world)
        var most = before
        let arrived = poll(seconds: 120, every: 0.02) {
          let now = Weight(daemon)
          most.kilobytes = max(most.kilobytes, now.kilobytes)
          most.threads = max(most.threads, now.threads)
          most.descriptors = max(most.descriptors, now.descriptors)
          if flood.outputSoFar.contains("ready") { return true }
          return flood.isRunning ? nil : false
        }
        #expect(arrived, "\(flood.errorsSoFar)")
        // Places for one user are 256, and 16 more for down and describe.
        #expect(most.threads - before.threads <= 280, "\(before), at most \(most)")
        #expect(most.descriptors - before.descriptors <= 300, "\(before), at most \(most)")
        #expect(most.kilobytes - before.kilobytes <= 64 << 10, "\(before), at most \(most)")
        try Self.expectServed(world)
        #expect((world.daemon?.errorsSoFar.utf8.count ?? .max) < 4000)
        flood.stop()
        #expect(poll(seconds: 20, every: 0.2) { Weight(daemon).threads <= before.threads + 1 ? true : nil })
        #expect(Weight(daemon).descriptors <= before.descriptors + 2)
        try Self.expectServed(world)
      }
    }

    @Test("messages of chance bytes, of every wrong shape, and with descriptors nobody asked for")
    func garbage() throws {
      try Self.withWorld { world, daemon in
        let before = Weight(daemon)
        let garbage = try Self.start(
          """
          random.seed(7)
          good = b'{"version":2,"command":{"describe":{}}}'
          lines = [b"[" * 60000, b'{"version":2,"command":' * 2000, b'{"version":1e999,"command":{}}',
              b'{"version":2,"command":{"ping":{"_0":{"host":"' + b"x" * 50000 + b'"}}}}',
              b'{"version":2,"command":{"ping":{"_0":{"host":"10.0.0.1","count":1e400,"interval":-0.0,"byteCount":1e19,"wait":1}}}}',
              b'{"version":2,"command":{"change":{"_0":[' + b",".join([b'"x"'] * 15000) + b']}}}',
              b'{"version":2,"command":{"sysctl":{"_0":"\\\\u0000\\\\ud800"}}}', b"\\xff\\xfe" * 1000, b"\\0" * 5000, b"null", b'""', b"x" * 70000]
          for line in lines:
              s = client(); send(s, line + b"\\n" + good + b"\\n")
              answer = b""
              try:
                  while b'"describe"' not in answer and (piece := s.recv(65536)): answer += piece
              except OSError: pass
              if b'"describe"' not in answer: print("no answer behind", line[:60], answer[:200])
          for number in range(2000):
              s = client()
              data = bytearray(good) if number % 2 else bytearray(random.randbytes(random.randrange(1, 3000)))
              for _ in range(random.randrange(1, 6)): data[random.randrange(len(data))] = random.randrange(256)
              send(s, bytes(data) + b"\\n")
              s.close()
              kept.pop()
          null = os.open("/dev/null", os.O_RDONLY)
          for number in range(50):
              s = client()
              for _ in range(20):
                  try: socket.send_fds(s, [b"x"], [null] * 250)
                  except OSError: break
          held()
          """, world)
        #expect(garbage.waitUntilItWrites("ready", seconds: 60), "\(garbage.errorsSoFar)")
        #expect(garbage.outputSoFar == "ready\n", "\(garbage.outputSoFar)")
        let now = Weight(daemon)
        #expect(now.descriptors - before.descriptors <= 50 * 5 + 20, "\(before), then \(now)")
        #expect(now.kilobytes - before.kilobytes <= 64 << 10, "\(before), then \(now)")
        try Self.expectServed(world)
        garbage.stop()
        #expect(
          poll(seconds: 20, every: 0.2) { Weight(daemon).descriptors <= before.descriptors + 2 ? true : nil })
      }
    }

    @Test("clients that send a byte now and then, and such as never read: root is served all the while")
    func slow() throws {
      try Self.withWorld { world, daemon in
        let before = Weight(daemon)
        let slow = try Self.start(
          """
          trickle = [client() for _ in range(100)]
          deaf = [client() for _ in range(150)]
          for s in deaf:
              s.setblocking(False)
              send(s, b'{"version":2,"command":{"sysctl":{}}}\\n' * 1500)
          print("ready")
          for _ in range(600):
              for s in trickle: send(s, b" ")
              time.sleep(0.1)
          """, world)
        #expect(slow.waitUntilItWrites("ready", seconds: 30), "\(slow.errorsSoFar)")
        for _ in 0..<3 {
          try Self.expectServed(world)
          let now = Weight(daemon)
          #expect(now.kilobytes - before.kilobytes <= 96 << 10, "\(before), then \(now)")
          #expect(now.threads - before.threads <= 280, "\(before), then \(now)")
          Thread.sleep(forTimeInterval: 0.5)
        }
        // A byte is no request: who has not asked for 10 s is let go, however often bytes come.
        #expect(poll(seconds: 20, every: 0.5) { Weight(daemon).threads <= before.threads + 152 ? true : nil })
        try Self.expectServed(world)
        // Those that do not read hold their places, and keep nothing from its end.
      }
    }
  }
}
