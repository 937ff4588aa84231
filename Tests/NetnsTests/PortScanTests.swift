import Foundation
import Testing

extension Netns {
  /// A stack beside a kernel with the same services: what strangers find out of it by asking.
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
    /// the statistics of random numbers are left out.
    private static func fingerprint(_ report: String) -> [String] {
      let lines = report.split(separator: "\n").filter { $0.hasPrefix("OS:") }.map { $0.dropFirst(3) }
      let tests = lines.joined().split(separator: ")").map(String.init)
      let found = tests.filter { !$0.hasPrefix("SCAN") }.map { test in
        guard test.hasPrefix("SEQ") else { return test }
        return test.split(separator: "%").filter { word in
          !["SEQ(SP", "GCD", "ISR", "II", "TS"].contains { word.hasPrefix($0) }
        }.joined(separator: "%")
      }
      // One that came out otherwise the second time stands there twice.
      return found.indices.filter { !found[..<$0].contains(found[$0]) }.map { found[$0] }
    }

    /// A kernel in a namespace of its own, joined by a veth pair, with the stack's services and none of the limits that many
    /// questions at once would meet by chance; nor has the stack them then.
    private func startKernel(_ world: NetnsWorld, address: String) throws -> [String] {
      let far = try world.addFarNamespace()
      for command in [
        ["ip", "address", "add", address + "/24", "dev", "far0"], ["ip", "link", "set", "far0", "up"],
        ["ip", "link", "set", "lo", "up"],
        // The stack's own receive buffer: the machine's may be larger.
        [
          "sysctl", "-q", "-w", "net.ipv4.tcp_rmem=4096 131072 6291456", "net.ipv4.icmp_ratelimit=0",
          "net.ipv4.icmp_msgs_per_sec=10000000", "net.ipv4.icmp_msgs_burst=10000000",
        ],
      ] {
        let result = try world.inNamespace(far, command)
        if result.status != 0 { throw Failure("\(command): \(result.summary)") }
      }
      try world.inside(["ip", "link", "set", "near0", "up"])
      for setting in ["net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=10000000"] {
        #expect(try world.swiftstack("sysctl", [setting]).status == 0)
      }
      let kernel = try world.startInNamespace(far, ["python3", "-u", "-c", Self.services])
      #expect(kernel.waitUntilItWrites("ready"))
      return far
    }

    @Test(
      "nmap -sS -sT -sU -sA -sN -sF -sX -sM -sW -sO -O: every answer is a kernel's with the same services")
    func scans() throws {
      try withWorld { world in
        _ = try startKernel(world, address: "10.0.1.2")
        try world.inside(["ip", "address", "add", "10.0.1.1/24", "dev", "near0"])
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

    @Test(
      "R options of IP and TCP, every kind with every length at many places: what a kernel answers, byte by byte",
      arguments: [["ip-options"], ["tcp-options", "7"], ["tcp-options", "20"]])
    func options(words: [String]) throws {
      try withWorld { world in
        try world.inside(["ping", "-c1", world.stack])
        let station = try station(of: world, ["ip", "neigh", "show", world.stack, "dev", world.interface])
        // The stack's twin: the same address, asked with frames, past the kernel in between.
        let far = try startKernel(world, address: world.stack)
        let near = try self.station(of: world, ["ip", "-o", "link", "show", "near0"])
        let known = try world.inNamespace(
          far, ["ip", "neigh", "replace", world.host, "lladdr", near, "dev", "far0", "nud", "permanent"])
        #expect(known.status == 0, "\(known.summary)")
        let shown = try world.inNamespace(far, ["ip", "-o", "link", "show", "far0"])
        let twin = try #require(Self.station(in: shown.text))
        func ask(_ interface: String, _ station: String) throws -> [Substring] {
          let program = [words[0], interface, station] + words.dropFirst()
          let result = try world.peer(program, seconds: 120)
          #expect(result.status == 0, "\(program): \(result.summary)")
          return result.text.split(separator: "\n")
        }
        // Kind, cases, how many were answered, and a digest of the answers.
        let answers = try ask(world.interface, station)
        #expect(answers.count > 40)
        #expect(answers == (try ask("near0", twin)))
      }
    }

    private func station(of world: NetnsWorld, _ command: [String]) throws -> String {
      try #require(Self.station(in: try world.inside(command).text))
    }

    /// Behind `lladdr`, or behind `link/ether`.
    private static func station(in text: String) -> String? {
      let words = text.split(whereSeparator: \.isWhitespace)
      let place = words.firstIndex { $0 == "lladdr" || $0 == "link/ether" }
      return place.map { String(words[$0 + 1]) }
    }
  }
}
