import Foundation
import Testing

extension Netns {
  /// Ordinary programs as peers.
  @Suite struct Programs {
    @Test("R nc against the echo service: echo hi | nc -N")
    func netcat() throws {
      try withWorld { world in
        let result = try world.tryInside(["nc", "-N", world.stack, "7"], input: .text("hi\n"), seconds: 10)
        #expect(result.status == 0 && result.text == "hi\n", "\(result.summary)")
      }
    }

    @Test("R socat against the echo service, TCP and UDP")
    func socat() throws {
      try withWorld { world in
        let tcp = try world.tryInside(
          ["socat", "-t60", "-", "TCP:\(world.stack):7"], input: .text("over tcp\n"), seconds: 10)
        #expect(tcp.status == 0 && tcp.text == "over tcp\n", "\(tcp.summary)")
        let udp = try world.tryInside(
          ["bash", "-c", "(echo over udp; sleep 3) | socat -t0.1 - UDP:\(world.stack):7 | head -1"],
          seconds: 30)
        #expect(udp.status == 0 && udp.text == "over udp\n", "\(udp.summary)")
      }
    }

    @Test("R curl reads a page that swiftstack nc -l serves")
    func curl() throws {
      try withWorld { world in
        let page = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"
        let server = try world.startSwiftstack("nc", ["-l", "8080"], input: .text(page))
        try world.waitUntilStackListens(on: 8080)
        let result = try world.tryInside(["curl", "-sS", "-m60", "http://\(world.stack):8080/"])
        #expect(result.status == 0 && result.text == "hello\n", "\(result.summary)")
        let request = server.wait(seconds: 10)
        #expect(request.status == 0 && request.text.hasPrefix("GET / HTTP/1.1\r\n"), "\(request.summary)")
      }
    }

    @Test("R swiftstack nc reads a page from a kernel web server")
    func webServer() throws {
      try withWorld { world in
        let directory = world.directory.appendingPathComponent("www")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let page = String(repeating: "All the bytes of the page, in order.\n", count: 50_000)
        try page.write(to: directory.appendingPathComponent("page.txt"), atomically: true, encoding: .utf8)
        let server = try world.startInside(
          ["python3", "-u", "-m", "http.server", "8000", "--directory", directory.path])
        #expect(server.waitUntilItWrites("Serving HTTP"))
        let result = try world.swiftstack(
          "nc", [world.host, "8000"], input: .text("GET /page.txt HTTP/1.0\r\n\r\n"))
        #expect(result.status == 0, "\(result.summary)")
        #expect(result.text.hasPrefix("HTTP/1.0 200") && result.text.hasSuffix(page))
      }
    }

    @Test("R swiftstack nc against nc -l: both directions, nothing but the peer's bytes on stdout")
    func netcatListener() throws {
      try withWorld { world in
        let listener = try world.startInside(["nc", "-l", "-N", "9999"], input: .text("from linux\n"))
        #expect(
          poll(seconds: 5) {
            (try? world.tryInside(["ss", "-Hltn", "sport", "=", "9999"]))?.text.contains(":9999") == true
              ? true : nil
          })
        let result = try world.swiftstack("nc", ["-v", world.host, "9999"], input: .text("from the stack\n"))
        #expect(result.status == 0 && result.text == "from linux\n", "\(result.summary)")
        let got = listener.wait(seconds: 5)
        #expect(got.text == "from the stack\n", "\(got.summary)")
      }
    }

    @Test("R swiftstack nc -l accepts one connection from nc")
    func netcatClient() throws {
      try withWorld { world in
        let listener = try world.startSwiftstack("nc", ["-l", "9998"], input: .text("from the stack\n"))
        try world.waitUntilStackListens(on: 9998)
        let client = try world.tryInside(
          ["nc", "-N", world.stack, "9998"], input: .text("from linux\n"), seconds: 10)
        #expect(client.status == 0 && client.text == "from the stack\n", "\(client.summary)")
        let result = listener.wait(seconds: 5)
        #expect(result.status == 0 && result.text == "from linux\n", "\(result.summary)")
      }
    }

    @Test("R swiftstack nc to a closed port: Connection refused, status 1, at once")
    func refused() throws {
      try withWorld { world in
        let result = try world.swiftstack("nc", [world.host, "4"])
        #expect(result.status == 1 && !result.timedOut, "\(result.summary)")
        #expect(try world.swiftstack("stats").text.contains("RetransSegs") == false)
        #expect(result.errors.contains("Connection refused") && result.text.isEmpty, "\(result.summary)")
      }
    }

    @Test("R Linux connecting to a closed port of the stack is refused at once")
    func refusesOthers() throws {
      try withWorld { world in
        let result = try world.peer(["connect-error", world.stack, "4"])
        #expect(result.word("error") == "ECONNREFUSED", "\(result.summary)")
        let again = try world.inside(["nstat", "-asz", "TcpRetransSegs"])
        #expect(again.text.split(separator: " ").contains("0"), "the SYN was sent again: \(again.text)")
        let udp = try world.tryInside(
          ["python3", "-c", Self.udpRefused, world.stack], seconds: 10)
        #expect(udp.text == "ECONNREFUSED\n", "port unreachable for UDP: \(udp.summary)")
      }
    }

    @Test("R the services: chargen lines as in RFC 864, daytime, discard")
    func services() throws {
      try withWorld { world in
        let chargen = try world.peer(["chargen", world.stack, "19", "500000"])
        #expect(chargen.integer("lines") ?? 0 > 6000, "\(chargen.summary)")
        #expect(chargen.integer("good") == 1 && chargen.integer("shifted") == 1, "\(chargen.summary)")
        let daytime = try world.tryInside(["nc", "-d", world.stack, "13"], seconds: 5)
        let year = Calendar(identifier: .gregorian).component(.year, from: Date())
        #expect(daytime.status == 0 && daytime.text.contains("\(year)"), "\(daytime.summary)")
        let discard = try world.peer(["send-pattern", world.stack, "9", "10000000"])
        #expect(discard.integer("returned") == 0 && discard.status == 0, "\(discard.summary)")
      }
    }

    @Test("R a python socket echoes 64 MiB through the stack, both directions at once")
    func pythonEcho() throws {
      try withWorld { world in
        let result = try world.peer(["echo-pattern", world.stack, "7", "\(64 << 20)"], seconds: 60)
        #expect(result.integer("bytes") == 64 << 20 && result.integer("same") == 1, "\(result.summary)")
      }
    }

    private static let udpRefused = """
      import errno, socket, sys
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      s.connect((sys.argv[1], 4)); s.settimeout(30); s.send(b"x")
      try:
          s.recv(10); print("answer")
      except TimeoutError:
          print("silence")
      except OSError as e:
          print(errno.errorcode[e.errno])
      """
  }
}
