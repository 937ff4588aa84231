import Foundation
import Testing

extension Netns {
  /// Coming and going.
  @Suite struct Lifecycle {
    @Test("up says what is up, who is who and what to try next")
    func says() throws {
      try withWorld { world in
        let said = (world.daemon?.outputSoFar ?? "") + (world.daemon?.errorsSoFar ?? "")
        for word in [world.interface, "10.0.0.1", "10.0.0.2", "ping"] {
          #expect(said.contains(word), "\(word) in \(said)")
        }
        let link = try world.inside(["ip", "-d", "link", "show", world.interface]).text
        #expect(link.contains("tun type tap") && link.contains("mtu 1500") && link.contains("UP"), "\(link)")
        #expect(try world.inside(["ip", "addr", "show", world.interface]).text.contains("10.0.0.1/24"))
      }
    }

    @Test(
      "SIGINT and SIGTERM: connections end, TAP and control socket go, status 0",
      arguments: [SIGINT, SIGTERM])
    func signals(number: Int32) throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      let idle = try world.startPeer(["idle", world.stack, "7", "5"], input: .open)
      let client = try world.startSwiftstack("nc", ["-l", "6020"], input: .open)
      try world.waitUntilStackListens(on: 6020)
      let end = try #require(world.stopStack(signal: number))
      #expect(end.status == 0 && !end.timedOut, "\(end.summary)")
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
      #expect(try world.tryInside(["ip", "link", "show", world.interface]).status != 0)
      #expect(!client.wait(seconds: 5).timedOut, "a client outlived its stack")
      idle.stop()
    }

    @Test("SIGTERM resets established connections: the kernel's sockets learn of it")
    func resets() throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      let peer = try world.startInside(["python3", "-u", "-c", Self.waitForEnd, world.stack])
      #expect(peer.waitUntilItWrites("ready"))
      _ = world.stopStack()
      let result = peer.wait(seconds: 5)
      #expect(!result.timedOut && result.text.contains("ended"), "\(result.summary)")
    }

    private static let waitForEnd = """
      import socket, sys
      s = socket.create_connection((sys.argv[1], 7)); s.sendall(b"x"); s.recv(1)
      print("ready")
      try:
          s.recv(1)
      except ConnectionError:
          pass
      print("ended")
      """

    @Test("up --detach returns when the stack is up; down takes it away")
    func detach() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let up = try NetnsWorld.swiftstack(["up"] + world.upArguments + ["--detach"], seconds: 20)
      #expect(up.status == 0, "\(up.summary)")
      let ping = try world.tryInside(["ping", "-c1", "-W20", world.stack])
      #expect(ping.status == 0, "\(ping.summary)")
      let down = try NetnsWorld.swiftstack(["down", world.interface], seconds: 20)
      #expect(down.status == 0, "\(down.summary)")
      #expect(!FileManager.default.fileExists(atPath: world.controlSocket))
      #expect(try world.tryInside(["ip", "link", "show", world.interface]).status != 0)
    }

    @Test("up --detach that fails says why and ends with status 1")
    func detachFails() throws {
      let world = try NetnsWorld(startingStack: false)
      defer { world.removeAll() }
      let up = try NetnsWorld.swiftstack(
        ["up", world.interface, "--netns", world.namespace, "--mtu", "70000", "--detach"], seconds: 20)
      #expect(up.status == 1 && up.errors.contains("70000"), "\(up.summary)")
    }

    @Test("a stack that was killed leaves a stale control socket; the next up takes over")
    func staleSocket() throws {
      let world = try NetnsWorld()
      defer { world.removeAll() }
      _ = world.stopStack(signal: SIGKILL)
      try world.startStack()
      let ping = try world.tryInside(["ping", "-c1", "-W20", world.stack])
      #expect(ping.status == 0, "\(ping.summary)")
      #expect(world.stopStack()?.status == 0)
    }

    @Test("--no-services: nothing listens")
    func noServices() throws {
      var options = NetnsWorld.Options()
      options.more = ["--no-services"]
      try withWorld(options) { world in
        let result = try world.peer(["connect-error", world.stack, "7"])
        #expect(result.word("error") == "ECONNREFUSED", "\(result.summary)")
      }
    }

    @Test("--mac, --mtu, --ring and other addresses are what the kernel and the reports see")
    func options() throws {
      var options = NetnsWorld.Options()
      options.address = "172.20.7.9/29"
      options.hostAddress = "172.20.7.10/29"
      options.mtu = 1400
      options.more = ["--mac", "02:aa:bb:cc:dd:ee", "--ring", "128"]
      try withWorld(options) { world in
        try world.inside(["ping", "-c1", "-W20", "-Mdo", "-s1372", world.stack])
        #expect(try world.inside(["ip", "neigh", "show", world.stack]).text.contains("02:aa:bb:cc:dd:ee"))
        #expect(try world.inside(["ip", "link", "show", world.interface]).text.contains("mtu 1400"))
        #expect(try world.swiftstack("nic").text.contains("128"))
      }
    }

    @Test("--queues 2: connections over both queues, every byte right")
    func queues() throws {
      var options = NetnsWorld.Options()
      options.more = ["--queues", "2"]
      try withWorld(options) { world in
        let many = try world.peer(["echo-many", world.stack, "7", "50", "200000"], seconds: 60)
        #expect(many.integer("good") == 50, "\(many.summary)")
        let ping = try world.tryInside(["ping", "-c3", "-i0.2", "-W20", world.stack])
        #expect(ping.status == 0, "\(ping.summary)")
        let out = try world.send(byteCount: 64 << 20, seconds: 60)
        #expect(out.receivedDigest == out.sentDigest, "\(out)")
      }
    }

    @Test("two stacks at once, on two interfaces of two namespaces")
    func twoStacks() throws {
      try withWorld { first in
        try withWorld { second in
          for world in [first, second] {
            let result = try world.tryInside(
              ["nc", "-N", world.stack, "7"], input: .text("\(world.interface)\n"), seconds: 10)
            #expect(result.text == "\(world.interface)\n", "\(result.summary)")
          }
        }
      }
    }
  }
}
