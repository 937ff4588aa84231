import Testing

extension Netns {
  @Suite struct Datagrams {
    static let sizes = [
      0, 1, 2, 3, 7, 8, 9, 100, 511, 1471, 1472, 1473, 1480, 1481, 2952, 2953, 8192, 32_768, 65_500, 65_506,
      65_507,
    ]

    @Test(
      "U1 U5 P6 UDP of 0 to 65,507 bytes through the echo service, data compared", arguments: ["auto", "off"])
    func echo(offload: String) throws {
      var options = NetnsWorld.Options()
      options.offload = offload
      try withWorld(options) { world in
        let result = try world.peer(
          ["udp-echo", world.stack, "7"] + Self.sizes.map(String.init), seconds: 60)
        #expect(
          result.integer("tried") == Self.sizes.count && result.word("bad") == "none", "\(result.summary)")
      }
    }

    @Test("U5 UDP over MTU 576 and 9000: fragments of every size, data compared", arguments: [576, 9000])
    func echoOtherMTU(mtu: Int) throws {
      var options = NetnsWorld.Options()
      options.mtu = mtu
      try withWorld(options) { world in
        let result = try world.peer(
          ["udp-echo", world.stack, "7"] + Self.sizes.map(String.init), seconds: 60)
        #expect(result.word("bad") == "none", "\(result.summary)")
      }
    }

    @Test("U3 swiftstack nc -u sends datagrams to a kernel socket and prints the answers")
    func netcat() throws {
      try withWorld { world in
        let server = try world.startPeer(["udp-server", "6000", "1"])
        let client = try world.startSwiftstack("nc", ["-u", "-w", "5", world.host, "6000"], input: .open)
        try client.write("a datagram\n")
        #expect(client.waitUntilItWrites("a datagram\n"))
        #expect(server.wait(seconds: 5).word("sizes") == "11")
        try client.closeInput()
        #expect(!client.wait(seconds: 10).timedOut)
      }
    }

    @Test("U3 swiftstack nc -u -l receives from a kernel socket and answers it")
    func netcatListener() throws {
      try withWorld { world in
        let listener = try world.startSwiftstack("nc", ["-u", "-l", "-w", "5", "6001"], input: .open)
        try world.waitUntilStackListens(on: 6001)
        let client = try world.startInside(["nc", "-u", world.stack, "6001"], input: .open)
        try client.write("to the stack\n")
        #expect(listener.waitUntilItWrites("to the stack\n"))
        try listener.write("to linux\n")
        #expect(client.waitUntilItWrites("to linux\n"))
      }
    }

    @Test("U9 10,000 small datagrams: what is lost is counted, nothing is mangled")
    func burst() throws {
      try withWorld { world in
        let result = try world.tryInside(["python3", "-c", Self.burst, world.stack], seconds: 60)
        #expect(result.integer("mangled") == 0 && result.integer("got") ?? 0 > 9_000, "\(result.summary)")
      }
    }

    /// A window of 32 datagrams in flight, each carrying its number.
    private static let burst = """
      import socket, sys
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      s.connect((sys.argv[1], 7)); s.settimeout(2)
      sent = got = mangled = waiting = 0
      while got + waiting < 10000 or waiting:
          while waiting < 32 and sent < 10000:
              s.send(b"%08d" % sent * 8); sent += 1; waiting += 1
          try:
              data = s.recv(2000)
          except TimeoutError:
              waiting = 0
              if sent == 10000: break
              continue
          waiting -= 1; got += 1
          if data != data[:8] * 8: mangled += 1
          if sent == 10000 and waiting <= 0: break
      print(f"got={got} mangled={mangled}")
      """
  }
}
