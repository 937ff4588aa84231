import Foundation
import Testing

extension Netns {
  /// The stack as a router between two Linux hosts, each in a namespace of its own.
  @Suite struct Router {
    /// A stack with a TAP in each of two namespaces: 10.81.1.2 here, 10.81.2.2 there, with a Linux host at .1 of both.
    private func withRouter(_ body: (NetnsWorld, _ far: [String]) throws -> Void) throws {
      var options = NetnsWorld.Options()
      options.address = "10.81.1.2/24"
      options.hostAddress = "10.81.1.1/24"
      let world = try NetnsWorld(options, startingStack: false)
      defer { world.removeAll() }
      let far = try world.addFarNamespace()
      let link = world.interface.prefix(10) + "b"
      let name = try #require(far.last)
      world.linkArguments = [
        "--link", "\(link),address=10.81.2.2/24,host-address=10.81.2.1/24,netns=\(name)",
      ]
      try world.startStack()
      try world.inside(["ip", "route", "add", "default", "via", "10.81.1.2"])
      _ = try world.inNamespace(far, ["ip", "link", "set", "lo", "up"])
      _ = try world.inNamespace(far, ["ip", "route", "add", "default", "via", "10.81.2.2"])
      try body(world, far)
      #expect(world.isStackAlive)
      #expect(world.stopStack()?.status == 0)
    }

    private func set(_ world: NetnsWorld, _ words: String...) throws {
      let result = try world.swiftstack(words[0], Array(words.dropFirst()))
      #expect(result.status == 0, "\(result.summary)")
    }

    @Test("P1 P4 P6 router: ping, hops, pieces and what is too large, between two Linux hosts")
    func forwarding() throws {
      try withRouter { world, _ in
        let ping = ["ping", "-c3", "-i0.05", "-W1", "10.81.2.1"]
        #expect(try world.tryInside(ping).text.contains("100% packet loss"))
        try set(world, "sysctl", "net.ipv4.ip_forward=1")
        let answer = try world.tryInside(ping).text
        #expect(answer.contains(" 0% packet loss") && answer.contains("ttl=63"), "\(answer)")
        #expect(
          try world.tryInside(["ping", "-c1", "-W1", "-t1", "10.81.2.1"]).text.contains("From 10.81.1.2"))
        #expect(
          try world.tryInside(["ping", "-c1", "-W1", "-s5000", "10.81.2.1"]).text.contains(" 0% packet loss"))
        #expect(
          try world.tryInside(["ping", "-c1", "-W1", "192.0.2.1"]).text.contains(
            "Destination Net Unreachable"))
        let counters = try world.swiftstack("stats").text
        #expect(counters.contains("IpForwDatagrams"), "\(counters)")
      }
    }

    @Test(
      "P4 router: a Linux host behind a masquerade talks TCP to another, which sees the router; conntrack lists it"
    )
    func masquerade() throws {
      try withRouter { world, far in
        try set(world, "sysctl", "net.ipv4.ip_forward=1")
        let link = world.interface.prefix(10) + "b"
        try set(world, "filter", "add", "postrouting", "oifname", String(link), "masquerade")
        let script =
          "import socket,sys\\ns=socket.socket();s.setsockopt(1,2,1);s.bind(('10.81.2.1',4444));s.listen()\\n"
          + "print('ready',flush=True)\\nc,a=s.accept();n=0\\n"
          + "while True:\\n d=c.recv(65536)\\n if not d: break\\n n+=len(d)\\nprint(a[0],n,flush=True)"
        let server = try world.startInNamespace(far, ["python3", "-c", "exec(\"\(script)\")"])
        #expect(server.waitUntilItWrites("ready"))
        let client =
          "import socket\\ns=socket.create_connection(('10.81.2.1',4444))\\ns.sendall(bytes(20000000))\\ns.close()"
        try world.inside(["python3", "-c", "exec(\"\(client)\")"])
        let said = server.wait(seconds: 20).text
        #expect(said.contains("10.81.2.2 20000000"), "\(said)")
        let list = try world.swiftstack("conntrack").text
        #expect(
          list.contains("src=10.81.1.1 dst=10.81.2.1") && list.contains("src=10.81.2.1 dst=10.81.2.2"),
          "\(list)")
        let unreachable = try world.tryInside(["nc", "-zw2", "10.81.2.1", "4445"])
        #expect(unreachable.status != 0)
      }
    }
  }
}
