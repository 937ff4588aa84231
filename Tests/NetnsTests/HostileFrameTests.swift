import Foundation
import Testing

extension Netns {
  @Suite struct HostileFrames {
    @Test(
      "any bytes at all on the TAP: the stack lives, memory is bounded, service goes on",
      arguments: [1, 2, 3])
    func garbage(seed: Int) throws {
      try withWorld { world in
        try world.inside(["ping", "-c1", world.stack])
        let neighbour = try world.inside(["ip", "neigh", "show", world.stack]).text.split(separator: " ")
        let index = try #require(neighbour.firstIndex(of: "lladdr"))
        let before = Self.residentBytes(world)
        let result = try world.peer(
          ["garbage", world.interface, "100000", "\(seed)"], input: .text(String(neighbour[index + 1])),
          seconds: 90)
        #expect(result.status == 0, "\(result.summary)")
        let echo = try world.tryInside(
          ["nc", "-N", world.stack, "7"], input: .text("still here\n"), seconds: 20)
        #expect(echo.text == "still here\n", "\(echo.summary)")
        #expect(Self.residentBytes(world) - before < 64 << 20)
      }
    }

    @Test("R a SYN flood from many ports: memory stays bounded, the stack answers, other ports accept")
    func synFlood() throws {
      try withWorld { world in
        let flood = try world.tryInside(["python3", "-c", Self.flood, world.stack, "20000"], seconds: 60)
        #expect(flood.status == 0, "\(flood.summary)")
        #expect(Self.residentBytes(world) < 300 << 20)
        let ping = try world.tryInside(["ping", "-c3", "-i0.2", "-W20", world.stack])
        #expect(ping.status == 0, "\(ping.summary)")
        let discard = try world.peer(["send-pattern", world.stack, "9", "1000000"])
        #expect(discard.status == 0, "\(discard.summary)")
      }
    }

    @Test("RFC 4987 a client of the very port that a SYN flood is for gets in while it lasts, by a cookie")
    func floodedPort() throws {
      try withWorld { world in
        let flood = try world.startInside(["python3", "-c", Self.flood, world.stack, "1000000"])
        defer { flood.stop() }
        // The queue is full from now on: nobody completes what is in it.
        #expect(
          poll(seconds: 20) {
            (try? world.swiftstack("stats"))?.text.contains("TcpExtSyncookiesSent") == true ? true : nil
          })
        let clients = try world.tryInside(["python3", "-c", Self.clients, world.stack], seconds: 60)
        #expect(clients.status == 0, "\(clients.summary)")
        #expect(try world.swiftstack("stats").text.contains("TcpExtSyncookiesRecv"))
      }
    }

    /// Twenty connections to the echo service, one after the other.
    private static let clients = """
      import socket, sys
      for number in range(20):
          client = socket.create_connection((sys.argv[1], 7), timeout=20)
          client.sendall(b"x" * 1000)
          got = b""
          while len(got) < 1000: got += client.recv(1000)
          client.close()
      """

    /// So many SYNs with addresses of their own, none ever completed.
    private static let flood = """
      import random, socket, struct, sys
      out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
      def sum16(data):
          total = sum(struct.unpack(f">{len(data) // 2}H", data))
          while total >> 16: total = (total & 0xffff) + (total >> 16)
          return ~total & 0xffff
      target = socket.inet_aton(sys.argv[1])
      numbers = random.Random(5)
      for number in range(int(sys.argv[2])):
          source = bytes([10, 0, 0, numbers.randint(10, 250)])
          tcp = struct.pack(">HHIIBBHHH", numbers.randint(1024, 65535), 7, numbers.getrandbits(32), 0, 0x50, 2, 65535, 0, 0)
          check = sum16(source + target + struct.pack(">BBH", 0, 6, len(tcp)) + tcp)
          tcp = tcp[:16] + struct.pack(">H", check) + tcp[18:]
          ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, number & 0xffff, 0, 64, 6, 0, source, target)
          try:
              out.sendto(ip + tcp, (sys.argv[1], 0))
          except OSError:
              pass
      """

    private static func residentBytes(_ world: NetnsWorld) -> Int {
      guard let daemon = world.daemon,
        let status = try? String(contentsOfFile: "/proc/\(daemon.identifier)/statm", encoding: .utf8)
      else { return Int.max / 2 }
      let pages = status.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
      return pages * 4096
    }
  }
}
