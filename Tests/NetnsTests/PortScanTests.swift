import Foundation
import Testing

extension Netns {
  /// What nmap finds out of a stack, beside what it finds out of a kernel with the same services.
  @Suite struct PortScans {
    /// Echo, discard, daytime and chargen on the kernel's side, as the stack has them.
    private static let services = """
      import selectors, socket
      line = b"Saturday, November 28, 2026 07:00:00-UTC\\r\\n"
      ready = selectors.DefaultSelector()
      for port in (7, 9, 13, 19):
          for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
              one = socket.socket(socket.AF_INET, kind)
              one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
              one.bind(("", port))
              if kind == socket.SOCK_STREAM: one.listen(128)
              one.setblocking(False)
              ready.register(one, selectors.EVENT_READ, (kind, port))
      print("ready", flush=True)
      while True:
          for key, _ in ready.select():
              kind, port = key.data
              try:
                  if kind == socket.SOCK_DGRAM:
                      data, sender = key.fileobj.recvfrom(65536)
                      answer = {7: data, 13: line, 19: b"x" * 100}.get(port)
                      if answer: key.fileobj.sendto(answer, sender)
                  else:
                      client, _ = key.fileobj.accept()
                      if port == 13: client.sendall(line)
                      client.close()
              except OSError:
                  pass
      """

    /// The words of nmap's report that say what the target is, without its address and without times.
    private static func findings(_ report: String, of target: String) -> [String] {
      report.split(separator: "\n").map(String.init).filter { line in
        !["Starting", "Nmap", "MAC Address", "Host is up", "Raw packets"].contains { line.hasPrefix($0) }
      }.map { $0.replacingOccurrences(of: target, with: "TARGET") }
    }

    /// The fingerprint: what does not change from one scan of the same target to the next. Ports that nmap chose, times and
    /// the statistics of sequence numbers are left out.
    private static func fingerprint(_ report: String) -> [String] {
      let lines = report.split(separator: "\n").filter { $0.hasPrefix("OS:") }.map { $0.dropFirst(3) }
      let tests = lines.joined().split(separator: ")").map(String.init)
      return tests.filter { !$0.hasPrefix("SCAN") }.map { test in
        guard test.hasPrefix("SEQ") else { return test }
        return test.split(separator: "%").filter { word in
          !["SEQ(SP", "GCD", "ISR"].contains { word.hasPrefix($0) }
        }.joined(separator: "%")
      }
    }

    @Test(
      "nmap -sS -sT -sU -sA -sN -sF -sX -sM -sW -sO -O: every answer is a kernel's with the same services")
    func scans() throws {
      try withWorld { world in
        let far = try world.addFarNamespace()
        for command in [
          ["ip", "address", "add", "10.0.1.2/24", "dev", "far0"], ["ip", "link", "set", "far0", "up"],
          ["ip", "link", "set", "lo", "up"],
          // The stack's own: the machine's may be larger. And no limit that a fast scan would meet by chance.
          ["sysctl", "-q", "-w", "net.ipv4.tcp_rmem=4096 131072 6291456", "net.ipv4.icmp_ratelimit=0"],
        ] {
          let result = try world.inNamespace(far, command)
          #expect(result.status == 0, "\(command): \(result.summary)")
        }
        try world.inside(["ip", "address", "add", "10.0.1.1/24", "dev", "near0"])
        try world.inside(["ip", "link", "set", "near0", "up"])
        #expect(try world.swiftstack("sysctl", ["net.ipv4.icmp_ratelimit=0"]).status == 0)
        let kernel = try world.startInNamespace(far, ["python3", "-u", "-c", Self.services])
        defer { kernel.stop() }
        #expect(kernel.waitUntilItWrites("ready"))
        func scan(_ target: String, _ words: String) throws -> String {
          let all =
            ["nmap", "-n", "-Pn", "--reason"] + words.split(separator: " ").map(String.init) + [target]
          let result = try world.tryInside(all, seconds: 120)
          #expect(result.status == 0, "\(words): \(result.summary)")
          return result.text
        }
        // The kernel here may route groups, the stack does not: without protocol 103 (PIM).
        for words in [
          "-sS -p 1-1000", "-sT -p 1-1000", "-sA -p 1-100", "-sN -p 1-30", "-sF -p 1-30", "-sX -p 1-30",
          "-sM -p 1-30", "-sW -p 1-30", "-sU -p 1-100", "-sO -p 0-102,104-140",
        ] {
          let found = Self.findings(try scan(world.stack, words), of: world.stack)
          #expect(found == Self.findings(try scan("10.0.1.2", words), of: "10.0.1.2"), "\(words)")
          #expect(found.count > 1, "\(words)")
        }
        let own = Self.fingerprint(try scan(world.stack, "-d -O -p 7,9,13,19,20"))
        #expect(own == Self.fingerprint(try scan("10.0.1.2", "-d -O -p 7,9,13,19,20")))
        // SEQ, OPS, WIN, ECN, T1 to T7, U1, IE.
        #expect(own.count == 13, "\(own)")
      }
    }
  }
}
